"""How requests come, one file a process; its name is what users write before the colon.

A file says `WORDS` (its parameters in words, for help and errors), `EXAMPLE`, and

    drawn(text, at)    what follows the colon and what is asked (`simulation.asked.Asked`), as `Arriving`

InputError names what is wrong with the text.
"""

from optimizer.errors import InputError, nearest
from optimizer.plugins import plugins
from optimizer.simulation.asked import Arriving, Asked


def arriving(text: str, asked: Asked) -> Arriving:
    """The arrivals that a text such as 'poisson:2.5' names. InputError says what is accepted."""
    name, colon, rest = text.partition(":")
    known = plugins("arrivals")
    if name not in known:
        examples = ", ".join(own.EXAMPLE for own in known.values())
        hint = nearest(name, list(known))
        raise InputError(f"arrivals: unknown process '{name[:40]}'.{hint} Accepted: {examples}")
    if not colon or not rest:
        raise InputError(f"arrivals: {name} needs {known[name].WORDS}, as in {known[name].EXAMPLE}")
    found: Arriving = known[name].drawn(rest, asked)
    return found
