"""How well training steps are predicted, and how much of that is fit.

    python benchmarks/training_fit.py [POINTS.csv]      (some minutes; prints three tables)

1. The shipped constants on every row, by tier and source.
2. The chips' shares fitted again, from one prior for all chips, to every other row of tiers A and B, and
   scored on the rows left out. Constants of engines stay as shipped.
3. The same, leaving out one source at a time: its rows are predicted from other sources only. A chip that
   only this source has runs on the prior.
"""

import csv
import math
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from optimizer.cost.training.rates import attention_share, products_share
from optimizer.evidence.train_cells import UnreadableRow
from optimizer.evidence.train_points import TrainingPoint, read_row
from optimizer.evidence.train_validate import predict_step
from optimizer.spec.chip import Chip, Training

POINTS = Path(__file__).parent / "points" / "training.csv"
PRIOR = {"bf16": 0.68, "fp8": 0.58, "fp4": 0.42, "attention": 0.38}
SPREAD = 0.15
SCALE = 0.08
SAME_DIE = {
    "nvidia-a100-40-sxm": "nvidia-a100-80-sxm",
    "nvidia-gb200": "nvidia-b200-sxm",
    "nvidia-gb300": "nvidia-b300-sxm",
    "nvidia-h200-sxm": "nvidia-h100-sxm",
    "nvidia-h800-sxm": "nvidia-h100-sxm",
}
Shares = dict[str, float]
STEPS = (0.9, 0.96, 1.04, 1.1)


def read(path: Path) -> list[tuple[TrainingPoint, bool]]:
    """(point, whether it is fitted to at all: tiers A and B, latest release) of every readable row."""
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for line, row in enumerate(csv.DictReader(file), 2):
            try:
                point = read_row(line, row)
            except UnreadableRow:
                continue
            found.append((point, point.tier in ("A", "B") and row.get("latest", "1") == "1"))
    return found


def family(point: TrainingPoint) -> str:
    """Chips of one die share their constants."""
    return SAME_DIE.get(point.chip.name, point.chip.name)


def with_shares(chip: Chip, shares: Shares) -> Chip:
    """The chip with other training shares."""
    products = {d: s for d, s in shares.items() if d in chip.dense_flops}
    own = Training.model_construct(products=products, attention=shares["attention"])
    return chip.model_copy(update={"efficiency": chip.efficiency.model_copy(update={"training": own})})


def errors(points: Iterable[TrainingPoint], shares: Shares | None = None) -> list[float]:
    """Relative errors; with the shipped shares where none are given."""
    moved = [p if shares is None else replace(p, chip=with_shares(p.chip, shares)) for p in points]
    return [predict_step(p).error for p in moved]


def loss(points: list[TrainingPoint], shares: Shares) -> float:
    """Pseudo-Huber of log errors, each (source, model, precision) weighing as the root of its rows."""
    counts: dict[tuple[str, str, str], int] = defaultdict(int)
    for p in points:
        counts[p.source, p.model.name, p.precision] += 1
    total = 0.0
    for p, error in zip(points, errors(points, shares), strict=True):
        weight = 1 / math.sqrt(counts[p.source, p.model.name, p.precision])
        total += weight * (math.sqrt(1 + (math.log1p(error) / SCALE) ** 2) - 1)
    return total + sum(((shares[k] - PRIOR[k]) / SPREAD) ** 2 for k in PRIOR)


def fit(points: list[TrainingPoint]) -> Shares:
    """Shares of one family by coordinate descent, from dense rows where there are any."""
    dense = [p for p in points if p.model.family == "dense"] or points
    shares, best = dict(PRIOR), loss(dense, PRIOR)
    names = {"bf16", "attention"} | {p.chip.arithmetic(p.setups[0].dtype) for p in dense}
    for _ in range(3):
        before = best
        for name in sorted(names):
            for step in STEPS:
                trial = shares | {name: min(1.0, shares[name] * step)}
                if (value := loss(dense, trial)) < best:
                    shares, best = trial, value
        if before - best < 0.01 * before:
            break
    return shares


def line(name: str, found: list[float]) -> str:
    """One row: n, bias, median and 90th percentile of the absolute error, share within 25 %."""
    size = sorted(abs(e) for e in found)
    near = sum(e <= 0.25 for e in size) / len(size)
    p90 = size[min(len(size) - 1, int(0.9 * len(size)))]
    bias = 1 + median(found)
    return f"| {name} | {len(found)} | {bias:.2f} | {median(size):.1%} | {p90:.1%} | {near:.0%} |"


def table(title: str, groups: dict[str, list[float]]) -> None:
    """Print one table."""
    print(f"\n{title}\n\n| rows | n | median pred/meas | median error | p90 | within 25 % |")
    print("|---|---|---|---|---|---|")
    for name, found in sorted(groups.items()):
        if found:
            print(line(name, found))


def by_family(points: Iterable[TrainingPoint]) -> dict[str, list[TrainingPoint]]:
    """Points of each family of chips."""
    found: dict[str, list[TrainingPoint]] = defaultdict(list)
    for p in points:
        found[family(p)].append(p)
    return found


def scored(fitted: list[TrainingPoint], held: list[TrainingPoint]) -> dict[str, list[float]]:
    """Errors of held-out points by tier and source, with shares fitted to the others."""
    own, groups = by_family(fitted), defaultdict(list)
    for name, points in by_family(held).items():
        shares = fit(own[name]) if own.get(name) else PRIOR
        for p, error in zip(points, errors(points, shares), strict=True):
            groups[f"{p.tier} {p.source}"].append(error)
    return groups


def main() -> None:
    """Print the three tables."""
    everything = read(Path(sys.argv[1]) if len(sys.argv) > 1 else POINTS)
    shipped: dict[str, list[float]] = defaultdict(list)
    for p, _ in everything:
        error = errors([p])
        shipped[f"{p.tier} {p.source}"] += error
        shipped[f"{p.tier} all"] += error
    table("1. Shipped constants, all rows (half of tiers A and B in sample)", shipped)
    used = [p for p, fits in everything if fits]
    table("2. Shares fitted to every other row, scored on the rest", scored(used[::2], used[1::2]))
    left: dict[str, list[float]] = {}
    for source in sorted({p.source for p in used}):
        others = [p for p in used if p.source != source]
        left |= scored(others, [p for p in used if p.source == source])
    table("3. Leaving one source out", left)
    chips = {p.chip.name: p.chip for p in used}
    for name, chip in sorted(chips.items()):
        shares = {d: round(products_share(chip, d), 3) for d in chip.dense_flops if d in PRIOR}
        print(f"{name}: {shares}, attention {attention_share(chip):.2f}")


if __name__ == "__main__":
    main()
