"""Nodes that hold the replicas of a plan: as few as their blocks can be packed into.

nodes = sum over kinds of chips of the nodes with a chip in use
"""

TITLE = "Nodes"
RANK = 21
UNIT, BETTER = "nodes", "lower"
STEP = 1.0
SCALE, GIVEN_BY = 1, "node"
PACKED = True
"""Not a sum over chips: replicas share nodes."""
