"""What the rows of a CP-SAT model allow, listed by CP-SAT itself."""

from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from optimizer.questions.architecture.slice_model import SliceModel


class _Pairs(cp_model.CpSolverSolutionCallback):
    def __init__(self, model: SliceModel) -> None:
        super().__init__()
        self.model, self.found = model, set()

    def on_solution_callback(self) -> None:
        chosen = [
            next(i for i, v in enumerate(kinds) if self.boolean_value(v))
            for kinds in (self.model._a, self.model._f)
        ]
        self.found.add((int(self.model.attention[chosen[0]]), int(self.model.ffn[chosen[1]])))


def allowed_pairs(model: SliceModel) -> set[tuple[int, int]]:
    """Every pair of kinds that the rows allow, as rows of the space's kinds."""
    solver, pairs = cp_model.CpSolver(), _Pairs(model)
    solver.parameters.enumerate_all_solutions = True
    solver.parameters.num_workers = 1
    solver.solve(model.model, pairs)
    rules: Any = model.table.rules
    return {(int(rules.attention[a]), int(rules.ffn[f])) for a, f in pairs.found}


def allowed(model: SliceModel, shape: tuple[int, ...]) -> np.ndarray:
    """The same as a mask over all kinds of the space."""
    mask = np.zeros(shape, dtype=bool)
    for pair in allowed_pairs(model):
        mask[pair] = True
    return mask
