"""Kinds of problem, a folder each: what its file says, its cells and bounds, its plan, its checker.

A folder is found by its name, which is the public name of the kind (`kinds.py`). Files beside the folders are
what kinds share. A new kind is a new folder; nothing lists them.
"""
