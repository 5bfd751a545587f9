"""Seconds, bytes and losses of a plan: the only formulas of them, beside the operators of `blocks`."""
