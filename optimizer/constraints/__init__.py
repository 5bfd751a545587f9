"""Named rules of a problem, one file each; the file's name is the rule's public name.

A file holds a docstring (sentence, formula, source), TITLE (what people call it), DEFAULT (the value it has
when a problem does not mention it, or None if it is then off), Value and ACCEPTS (the type of its value, and
the same in words), LATTICE_ONLY (True if a published model is not held to it by default), KEEPS and BREAKS
(one point each, `value` included) and `rule(c, value)`, which returns a relation built with the vocabulary of
`optimizer.scope.Scope`. The same function gives the numpy mask, the CP-SAT rows and the final check.
"""
