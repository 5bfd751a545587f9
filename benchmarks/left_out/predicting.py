"""Predictions of rows for any values of the constants."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp
from typing import Any

from constants import Parameter
from scored_rows import Row

from optimizer import catalog
from optimizer.evidence.calibrate_engine import Predictor
from optimizer.evidence.train_validate import predict_step
from optimizer.spec.chip import Chip, Streaming, Training

Values = Mapping[str, float]
PRIOR = {"bf16": 0.68, "fp8": 0.58, "fp4": 0.42, "attention": 0.38}
"""Shares of a chip that nobody has trained on."""
_SAME_DIE = {
    "nvidia-a100-40-sxm": "nvidia-a100-80-sxm",
    "nvidia-gb200": "nvidia-b200-sxm",
    "nvidia-gb300": "nvidia-b300-sxm",
    "nvidia-h200-sxm": "nvidia-h100-sxm",
    "nvidia-h800-sxm": "nvidia-h100-sxm",
}
_PLACES = (-0.4, -0.15, 0.0, 0.15, 0.4)


@dataclass
class Serving:
    """Rows of serving, by the constants of engines and of chips."""

    rows: list[Row]
    parameters: list[Parameter]
    _known: dict[Any, Predictor] = field(default_factory=dict)

    def meets(self, parameter: Parameter, row: Row) -> bool:
        """Whether a row is of an engine, or on a chip, with the constant."""
        return (row.chip if parameter.of_chip else row.engine) in parameter.owners

    def as_shipped(self, base: dict[int, float]) -> dict[int, float]:
        """Predictions with the constants that ship: those that the surrogate begins with."""
        return base

    def predict(self, values: Values, which: Sequence[int]) -> dict[int, float]:
        """Predictions of some rows."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        chips = {p.owners[0] for p in self.parameters if p.of_chip}
        for i in which:
            row = self.rows[i]
            group = (row.engine, row.chip if row.chip in chips else "", row.name.partition(":")[0])
            groups.setdefault(group, []).append(i)
        found: dict[int, float] = {}
        for (engine, chip, file), own in groups.items():
            on = {p.figure: values[p.name] for p in self.parameters if p.of_chip and chip in p.owners}
            key = (engine, chip, file, tuple(own), tuple(on.items()))
            if key not in self._known:
                points = [self.rows[i].item for i in own]
                moved = [replace(p, chip=_chip(p.chip, on)) for p in points] if on else points
                self._known[key] = Predictor(moved, catalog.engines()[engine])
            figures = {
                p.figure: values[p.name] for p in self.parameters if not p.of_chip and engine in p.owners
            }
            found |= dict(zip(own, self._known[key](figures), strict=True))
        return found


def _chip(chip: Chip, figures: Values) -> Chip:
    """The chip with other figures, as nobody may write them."""
    changes: dict[str, Any] = dict(figures)
    if (share := changes.pop("attention_decode", None)) is not None:
        own = chip.efficiency.attention_decode["bf16"]
        changes["attention_decode"] = {"bf16": Streaming.model_construct(memory=share, overhead=own.overhead)}
    return chip.supposed(efficiency=chip.efficiency.supposed(**changes))


@dataclass
class Steps:
    """Rows of training, by the shares of each die."""

    rows: list[Row]
    parameters: list[Parameter] = field(init=False)

    def __post_init__(self) -> None:
        found = {}
        for row in self.rows:
            for share in self._shares(row):
                values = tuple(min(1.0, PRIOR[share] * exp(place)) for place in _PLACES)
                name = f"{_die(row.chip)} {share}"
                found[name] = Parameter(
                    name, share, (_die(row.chip),), _PLACES, values, start=0.0, of_chip=True
                )
        self.parameters = [found[name] for name in sorted(found)]

    def _shares(self, row: Row) -> tuple[str, ...]:
        dtype = row.item.chip.arithmetic(row.item.setups[0].dtype)
        return tuple({"bf16", "attention", dtype if dtype in PRIOR else "bf16"})

    def meets(self, parameter: Parameter, row: Row) -> bool:
        """Whether a row is on the die, and of products in the format."""
        return _die(row.chip) in parameter.owners and parameter.figure in self._shares(row)

    def as_shipped(self, base: dict[int, float]) -> dict[int, float]:
        """Predictions with the shares that ship."""
        return {i: predict_step(row.item).predicted for i, row in enumerate(self.rows)}

    def predict(self, values: Values, which: Sequence[int]) -> dict[int, float]:
        """Predictions of some rows."""
        found = {}
        for i in which:
            point = self.rows[i].item
            shares = {s: values.get(f"{_die(point.chip.name)} {s}", PRIOR[s]) for s in PRIOR}
            own = Training.model_construct(
                products={d: s for d, s in shares.items() if d in point.chip.dense_flops},
                attention=shares["attention"],
            )
            chip = point.chip.supposed(efficiency=point.chip.efficiency.supposed(training=own))
            found[i] = predict_step(replace(point, chip=chip)).predicted
        return found


def _die(chip: str) -> str:
    return _SAME_DIE.get(chip, chip)
