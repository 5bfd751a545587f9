"""Metrics of a plan, one file each. A metric is a function of one additive quantity inside a slice.

A file holds a docstring, TITLE (what people call it), QUANTITY (a key of `cost.quantities.QUANTITIES`), UNIT,
BETTER ('lower' or 'higher'), RISES (True or False as the value rises or falls with the quantity, None if it
may turn) and `value(at, quantity)`, where `at` is a `cost.frame.Slice`; arrays broadcast. Every metric can be
minimised, maximised, bounded (`<metric>_max`, `<metric>_min`) and reported.
"""
