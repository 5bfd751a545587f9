"""Why the answer to a question of training over clusters can be believed."""

from optimizer.questions.training_across.search import Counts
from optimizer.spec.answer import Proof


def proof_of(counts: Counts, found: bool) -> Proof:
    """What the search counted; `found`: whether there is a plan."""
    confirmed = [
        "optimistic bounds of the cells not opened, and of the "
        f"{counts.structures - counts.placed - counts.without_memory} structures with room for all layers "
        "whose layers were not placed, in numpy"
    ]
    if counts.witnesses:
        confirmed.append(
            f"{counts.witnesses} structures that bounds ruled out, placed all the same: none is better"
        )
    if counts.placed:
        confirmed.append(f"layers of {counts.placed} structures placed exactly, by numbers of layers")
    return Proof(
        counts={
            "cells": counts.cells,
            "cells_opened": counts.opened,
            "structures": counts.structures,
            "structures_without_memory": counts.without_memory,
            "structures_placed": counts.placed,
            "witnesses": counts.witnesses,
        },
        confirmed_by=tuple(confirmed),
        checker="step, memory, rules and limits priced again from the stages alone"
        if found
        else "no plan to check",
    )
