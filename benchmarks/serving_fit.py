"""How well the engine constants of TensorRT-LLM predict a model they were not fitted to.

python benchmarks/serving_fit.py          each model's rows predicted with constants refitted without them

The rows are the saturated throughputs of benchmarks/points/inference.csv with the engine `trtllm`, or its
profile of 2024. Five constants that both have are refitted from the middle of their bounds; all else (chips,
kernels, form of the model) stays as shipped: what is held out is the engine. Pattern search on the mean
absolute error; minutes.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from optimizer import catalog  # noqa: E402
from optimizer.anatomy.estimate import estimate  # noqa: E402
from optimizer.blocks import n_experts  # noqa: E402
from optimizer.cost.frame import Frame, frame_of  # noqa: E402
from optimizer.cost.quantities import QUANTITIES  # noqa: E402
from optimizer.cost.serving import largest_batch  # noqa: E402
from optimizer.evidence.points import Point, read_points  # noqa: E402
from optimizer.spec.engine import Engine  # noqa: E402

PROFILES = ("trtllm", "trtllm-2024")
POINTS = ROOT / "benchmarks" / "points" / "inference.csv"
STEPS = {
    "host_us_per_sequence": (0.0, 60.0, 4.0),
    "host_us_per_expert_layer": (0.0, 800.0, 64.0),
    "expert_skew": (1.0, 3.0, 0.2),
    "data_parallel_balance": (0.5, 1.0, 0.08),
    "cache_share": (0.4, 1.0, 0.08),
}
"""Each constant's bounds, and the first step of the search."""
HALVINGS = 3

Constants = dict[str, float]


@dataclass
class Row:
    """A measured throughput, its frame, and the batches that fit, by share of the cache."""

    point: Point
    frame: Frame
    fitting: dict[float, int]

    def error(self, engine: Engine) -> float:
        """Predicted over measured, minus one."""
        frame = replace(self.frame, engine=engine)
        if engine.cache_share not in self.fitting:
            self.fitting[engine.cache_share] = largest_batch(frame, self.point.model)
        slots = self.fitting[engine.cache_share]
        seconds = QUANTITIES["mixed_s"].total(replace(frame, batch=slots), self.point.model)
        return float(slots / seconds / self.point.measured - 1)


def rows() -> list[Row]:
    """The rows that the cost model can predict."""
    found = [p for p in read_points(POINTS) if isinstance(p, Point) and p.setup.engine in PROFILES]
    saturated = [p for p in found if p.regime == "saturation"]
    return [
        Row(p, frame_of(p.model, p.chip, p.setup), {})
        for p in saturated
        if not estimate(p.model, p.chip, replace(p.setup, batch=1)).breaks
    ]


def errors(points: Iterable[Row], constants: Constants) -> np.ndarray:
    """Relative errors of the rows with these constants."""
    engines = {name: catalog.engine(name).model_copy(update=constants) for name in PROFILES}
    return np.array([row.error(engines[str(row.point.setup.engine)]) for row in points])


def fitted(points: list[Row], start: Constants) -> Constants:
    """Constants with the least mean absolute error: one at a time up or down, then half the steps."""
    best, least = start, float(np.mean(np.abs(errors(points, start))))
    for halving in range(HALVINGS):
        improved = True
        while improved:
            improved = False
            for name, (low, high, step) in STEPS.items():
                for sign in (1, -1):
                    value = round(float(np.clip(best[name] + sign * step / 2**halving, low, high)), 6)
                    trial = best | {name: value}
                    found = float(np.mean(np.abs(errors(points, trial))))
                    if found < least - 1e-6:
                        best, least, improved = trial, found, True
    return best


def middle() -> Constants:
    """A start that has seen no row: the middle of every bound."""
    return {name: (low + high) / 2 for name, (low, high, _) in STEPS.items()}


def line(name: str, found: np.ndarray, constants: Constants | None = None) -> str:
    """One row of the table."""
    size = np.abs(found)
    shown = ", ".join(f"{value:g}" for value in constants.values()) if constants else ""
    return (
        f"| {name} | {len(size)} | {1 + np.median(found):.2f} | {size.mean():.1%} | {np.median(size):.1%} "
        f"| {np.mean(size <= 0.25):.1%} | {shown} |"
    )


def main() -> None:
    """Print the shipped constants' errors, then those of constants that never saw a model."""
    points = rows()
    shipped = {name: float(getattr(catalog.engine("trtllm"), name)) for name in STEPS}
    print(f"| rows | n | median ratio | mean error | median | within 25 % | {', '.join(STEPS)} |")
    print("|---|---|---|---|---|---|---|")
    print(line("all, as shipped", errors(points, shipped), shipped), flush=True)
    every = fitted(points, middle())
    print(line("all, refitted to all", errors(points, every), every), flush=True)
    held: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for name in sorted({row.point.model.name for row in points}):
        own = [row for row in points if row.point.model.name == name]
        constants = fitted([row for row in points if row.point.model.name != name], middle())
        found = errors(own, constants)
        held[any(n_experts(g.block.ffn) for g in own[0].point.model.layers)].append(found)
        print(line(name, found, constants), flush=True)
    for is_moe, found in held.items():
        print(line(f"{'mixtures of experts' if is_moe else 'dense'}, held out", np.concatenate(found)))


if __name__ == "__main__":
    main()
