"""The independent check of a deployment: every total, latency and limit again, in fractions, from the rows.

It shares no code with `solver`: rates are the decimals of the table, replicas are placed node by node, and
the load of each replica is worked out from the traffic. What the cost model said of a row is asked again
(`check_prices`). A plan that fails is no answer.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from optimizer.anatomy.placement import blocks_of, nodes_for
from optimizer.columns.deployment import PricedBy
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import PREFIX, Uncertain
from optimizer.columns.supply import Supply
from optimizer.metrics import counted, having, latencies
from optimizer.metrics import each as each_of
from optimizer.metrics import totals as sums
from optimizer.questions.deployment.check_loads import Loads, above, exact
from optimizer.questions.deployment.check_prices import Prices
from optimizer.questions.deployment.check_robust import Stood, Surprises
from optimizer.questions.deployment.check_rooms import Rooms


@dataclass(frozen=True)
class DeploymentCheck:
    """Recomputes one plan: replicas by row, the chips on offer, factors and traffic."""

    replicas: Replicas
    supplies: tuple[Supply, ...]
    counts: Mapping[int, int]
    factors: Mapping[str, float]
    demand: float | None
    utilisation_max: float = 1.0
    percentile: float | None = None
    given: Mapping[int, float] | None = None
    """With a percentile: the requests per second the plan gives each replica of a row at most."""
    spares: int | None = None
    """Replicas of which any may be lost; None where the problem has no such rule."""
    same: bool = False
    """Whether all replicas of a phase are set up alike."""
    priced_by: PricedBy | None = None
    """What the cost model priced the rows for; None where a table states their figures."""
    uncertain: Uncertain | None = None
    """What may go wrong; None where nothing may."""
    bounds: Mapping[str, float] = field(default_factory=dict)
    """Under which the plan holds then: how far each part goes, and what latencies must keep."""

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]]:
        """The rows in use."""
        return {index: self.replicas.row(index) for index in self.counts}

    @cached_property
    def loads(self) -> Loads:
        """The traffic that each pool gets."""
        asked = self.factors, self.demand, self.utilisation_max, self.given
        return Loads(self.rows, self.counts, *asked, spares=self.spares or 0)

    @cached_property
    def at_worst(self) -> tuple[Stood, ...]:
        """The plan in each case of what may go wrong; none where nothing may."""
        if self.uncertain is None or not any(name.startswith(PREFIX) for name in self.bounds):
            return ()
        own = Surprises(self.uncertain, self.bounds, self.replicas, self.rooms.fits, self.percentile)
        return own.stood(self.loads)

    @property
    def breaks_when(self) -> tuple[str, ...]:
        """The cases in which what is asked for is not served, in words."""
        return tuple(own.case.words for own in self.at_worst if not own.loads.carries)

    @cached_property
    def rooms(self) -> Rooms:
        """What its replicas have room for."""
        return Rooms(self.priced_by, self.supplies, self.rows, self.counts)

    def chips(self, chip: str | None = None) -> int:
        """Chips in use, of one kind or all: attention and all else, and experts that lie apart."""
        return sum(
            n * self.rows[i][count]
            for i, n in self.counts.items()
            for kind, count in (("chip", "chips"), ("expert_chip", "expert_chips"))
            if chip in (None, self.rows[i][kind])
        )

    def nodes(self, supply: Supply) -> int | None:
        """Nodes in use of one kind; None where nodes are unknown, or do not hold the plan."""
        if supply.node is None:
            return None
        blocks: Counter[int] = Counter()
        for i, n in self.counts.items():
            if self.rows[i]["chip"] == supply.name:
                blocks.update({size: n * k for size, k in blocks_of(self.rows[i]["domains"]).items()})
            if self.rows[i]["expert_chip"] == supply.name:
                blocks[1] += n * self.rows[i]["expert_chips"]
        domain = min(supply.node, supply.chip.scaleup.domain) if supply.chip else supply.node
        return nodes_for(blocks, supply.node, domain, supply.count)

    def totals(self) -> dict[str, float]:
        """Metrics of the plan; what lacks a price or a power is left out."""
        used = [(s, n) for s in self.supplies if (n := self.chips(s.name))]
        held = min((own.loads.held for own in self.at_worst), default=self.loads.held)
        found: dict[str, float] = {"chips": self.chips(), "requests_per_s": float(held)}
        if self.spares is not None or self.at_worst:
            found["requests_per_s_whole"] = float(self.loads.served)
        if self.spares is not None:
            found["spares"] = self.loads.may_be_lost
        for name in sums():
            each = [(n, value) for s, n in used if (value := each_of(name, s)) is not None]
            if len(each) == len(used):
                found[name] = float(sum((n * exact(value) for n, value in each), Fraction(0)))
        placed = [self.nodes(s) for s, _ in used]
        if None not in placed:
            found["nodes"] = sum(nodes for nodes in placed if nodes is not None)
        for name, without in latencies().items():
            values = [row[name] for row in self.rows.values() if row["mode"] != without]
            if values:
                found[name] = max(values)
        return found | self.rooms.totals()

    def broken(self, bounds: Mapping[str, float]) -> list[str]:
        """The names of the bounds this plan breaks."""
        found_totals = self.totals()
        unknown = math.inf if self.counts else 0.0
        found = [
            f"{name}_max"
            for name in (*latencies(), *counted())
            if above(
                found_totals.get(name, 0.0 if name in latencies() else unknown), bounds.get(f"{name}_max")
            )
        ]
        short = (n for n in having("held") if found_totals.get(n, 0.0) < bounds.get(f"{n}_min", 0.0))
        found += [f"{name}_min" for name in short]
        found += [f"inventory:{s.name}" for s in self.supplies if not self._in_stock(s)]
        if not self.loads.carries:
            found += ["requests_per_s"] if self.demand is not None else []
            found += ["spares"] if self.spares else []
        found += [f"robust ({words})" for words in self.breaks_when]
        if "memory_capacity" in bounds and not all(
            self.rooms.fits(row, bounds["memory_capacity"]) for row in self.rows.values()
        ):
            found.append("memory_capacity")
        if not all(map(self.rooms.spills, self.rows.values())):
            found.append("second_tier")
        limit = bounds.get("ttft_ms_max")
        loads = (self.loads, *self.loads.losses)
        if self.percentile is not None and not all(own.in_time(self.percentile, limit) for own in loads):
            found.append("percentile")
        if self.same and not self._one_setup():
            found.append("mix")
        if self.priced_by is not None:
            prices = Prices(self.priced_by, self.supplies)
            runs = {repr(row): row for own in self.at_worst for row in own.runs}
            found += ["prices"] if any(map(prices.differs, (*self.rows.values(), *runs.values()))) else []
        return [*found, *self._unmatched()]

    def _one_setup(self) -> bool:
        """Whether each request meets one row, or one for its prefill and one for the rest."""
        modes = sorted(row["mode"] for row in self.rows.values())
        return modes in ([], ["aggregated"], ["prefill"], ["decode"], ["decode", "prefill"])

    def _in_stock(self, s: Supply) -> bool:
        if s.count is not None and self.chips(s.name) > s.count:
            return False
        return s.node is None or self.nodes(s) is not None

    def _unmatched(self) -> list[str]:
        """A pool without its counterpart, or caches that the decode pool cannot read."""
        formats = {r["kv_dtype"] for r in self.rows.values() if r["mode"] in ("prefill", "decode")}
        return ["kv_dtype"] if len(formats) > 1 else []
