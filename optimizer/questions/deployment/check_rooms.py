"""What the replicas of a plan have room for, asked again for the checkers."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optimizer.columns.deployment import PricedBy
from optimizer.columns.supply import Supply
from optimizer.metrics import having
from optimizer.questions.deployment.check_loads import above
from optimizer.questions.deployment.check_prices import Prices


@dataclass(frozen=True)
class Rooms:
    """The rows in use, with their replicas."""

    by: PricedBy | None
    """None where a table states the figures."""
    supplies: Sequence[Supply]
    rows: Mapping[int, Mapping[str, Any]]
    counts: Mapping[int, int]

    @cached_property
    def each(self) -> dict[int, dict[str, float]]:
        """Of one replica of each row, by metric; nothing where a table states the figures."""
        if self.by is None:
            return {i: {} for i in self.counts}
        prices = Prices(self.by, self.supplies)
        return {i: prices.held(row) for i, row in self.rows.items()}

    def fits(self, row: Mapping[str, Any], share: float) -> bool:
        """Whether a row takes no more than a share of what its engine fills of each chip."""
        usable = {s.name: s.usable_gib or math.inf for s in self.supplies} | {"": math.inf}
        limit = share * (self.by.engine_share(row["engine"]) if self.by else 1.0)  # a table states all
        sides = (("chip", "memory_gib"), ("expert_chip", "expert_memory_gib"))
        return not any(above(row[held], limit * usable[row[kind]]) for kind, held in sides)

    def spills(self, row: Mapping[str, Any]) -> bool:
        """Whether the chip's second tier has room for what a row puts there."""
        chip = next((s.chip for s in self.supplies if s.name == row["chip"]), None)
        tier = chip.second_tier if chip else None
        return not row["second_tier_gib"] or bool(
            tier and row["second_tier_gib"] * 2**30 <= tier.capacity * (1 + 1e-9)
        )

    def totals(self) -> dict[str, float]:
        """Of the plan: as the metric says, the sum or the least of its replicas'."""
        found = {}
        for name, module in having("held").items():
            own = [i for i in self.rows if self.rows[i]["mode"] in module.COUNTED_IN]
            if own and all(name in self.each[i] for i in own):
                values = [(self.each[i][name], self.counts[i]) for i in own]
                added = sum(value * n for value, n in values)
                found[name] = added if module.OF_A_PLAN == "sum" else min(value for value, _ in values)
        return found
