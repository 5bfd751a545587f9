"""Why the answer to a training problem can be believed."""

from optimizer.questions.training.search import Counts
from optimizer.spec.answer import Proof


def proof_of(counts: Counts, found: bool) -> Proof:
    """What the search counted; `found`: whether there is a setting."""
    confirmed = [
        f"optimistic bounds of {counts.cells - counts.cells_opened} cells not opened and of the "
        f"{counts.splits - counts.priced} splits not priced, in numpy"
    ]
    if counts.witnesses:
        confirmed.append(
            f"{counts.witnesses} splits that bounds ruled out, priced all the same: none is better"
        )
    if counts.settings_priced:
        confirmed.append(f"all {counts.settings_priced} settings of the splits priced, in numpy")
    checked = "step, memory, rules and limits recomputed from the setup alone"
    return Proof(
        counts={
            "cells": counts.cells,
            "cells_opened": counts.cells_opened,
            "settings": counts.settings,
            "splits": counts.splits,
            "splits_without_memory": counts.without_memory,
            "splits_by_bound": counts.by_bound,
            "splits_priced": counts.priced,
            "settings_priced": counts.settings_priced,
            "witnesses": counts.witnesses,
        },
        confirmed_by=tuple(confirmed),
        checker=checked if found else "no setting to check",
    )
