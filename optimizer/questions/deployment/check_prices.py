"""A replica's figures a second time, for the checkers: from what its row says, and the cost model alone.

The row's split, formats, batch, load and domains are taken at their word; rate, latencies and memory are not,
nor that the batch has slots enough for the load. A row that says less of how its chips lie than prices need
is right if some placement in its blocks has its figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.anatomy.placement import blocks_of
from optimizer.columns.deployment import PricedBy
from optimizer.columns.operating_points import up_to
from optimizer.columns.replica import common
from optimizer.columns.replica_costs import NETWORK
from optimizer.columns.supply import Supply
from optimizer.cost import memory, serving
from optimizer.cost.disaggregation import cache_on_a_chip
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.overflow import in_fast_memory, placement, streamed_s
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.separation import Separated, attention_chip_gib, expert_chip_gib, other_degrees, step_s
from optimizer.cost.under_load import apart_under_load, under_load
from optimizer.errors import InputError
from optimizer.metrics import having, held
from optimizer.spec.chip import Chip
from optimizer.spec.split import formats_of, split_of

_SAME = 1e-9
_FIGURES = (
    "chips",
    "requests_per_s",
    "ttft_ms",
    "tpot_ms",
    "memory_gib",
    "expert_memory_gib",
    "second_tier_gib",
)


@dataclass(frozen=True)
class Prices:
    """The cost model, for the rows of one deployment."""

    by: PricedBy
    supplies: Sequence[Supply]

    def differs(self, row: Mapping[str, Any]) -> bool:
        """Whether the cost model, asked again, gives a row other figures than it has."""
        frames = list(self.frames(row)) if self._loaded(row) else []
        return not any(_equal(row, self._figures(row, frame)) for frame in frames)

    def held(self, row: Mapping[str, Any]) -> dict[str, float]:
        """What a row has room for, by metric; nothing where that is not known of it."""
        if row["expert_chips"] or row["second_tier_gib"] or (chip := self._chip(row["chip"])) is None:
            return {}
        return {
            name: value
            for name, value in held(self._frame(row, chip), self.by.architecture).items()
            if row["mode"] in having("held")[name].COUNTED_IN
        }

    def _chip(self, name: str) -> Chip | None:
        return next((s.chip for s in self.supplies if s.name == name), None)

    def frames(self, row: Mapping[str, Any]) -> Iterator[Frame]:
        """The frame of a row in each of the ways its chips may lie in its blocks; none if there is no way."""
        supply = next(s for s in self.supplies if s.name == row["chip"])
        if (chip := supply.chip) is None:
            return
        domain = min(supply.node or chip.scaleup.domain, chip.scaleup.domain)
        ways = [(1, 1)] if row["expert_chips"] else _lying(row, domain)  # apart, ranks exchange nothing
        for ranks, runs in ways:
            yield replace(self._frame(row, chip), ranks_together=ranks, stage_runs=runs)

    def _frame(self, row: Mapping[str, Any], chip: Chip) -> Frame:
        a, split = self.by.architecture, split_of(row)
        own = replace(split, expert_parallel=1) if row["expert_chips"] else split
        setup = replace(
            common(self.by.space, self.by.traffic, row["engine"]),
            **vars(own),
            **vars(formats_of(row)),
            batch=row["batch"],
            prefill_batch=row["batch"] // split.lanes if row["mode"] == "prefill" else 1,
        )
        return frame_of(a, chip, setup)

    def _figures(self, row: Mapping[str, Any], frame: Frame) -> dict[str, float]:
        """What the cost model says of a row; a figure that is not named is 0."""
        if row["expert_chips"]:
            return self._apart(row, frame)
        a, least, slow = self.by.architecture, dict[str, Any](), 0.0
        held = QUANTITIES["memory_bytes"].total(frame, a) / memory.GIB
        if row["second_tier_gib"]:
            tier = frame.chip.second_tier
            if tier is None:
                return {}
            parts = {name: float(value) for name, value in memory_parts(frame, a).items()}
            try:
                placed = placement(frame, a, tier, parts, self.by.memory_share)
            except InputError:  # the two tiers do not hold it
                return {}
            slow, least = placed.slow_bytes / memory.GIB, dict(streamed_s(frame, tier, parts, placed))
            held = sum(in_fast_memory(frame, parts, placed).values())
        served, slots = self._served(row, frame, least)
        if row["batch"] < slots * (1 - _SAME):
            return {}
        ttft = served.ttft_s
        if row["mode"] == "prefill":
            ttft = (ttft + cache_on_a_chip(frame, a) / self._network()) * self.by.space.prefill_ttft_factor
        return {
            "chips": frame.n_chips,
            "requests_per_s": served.requests_per_s,
            "ttft_ms": 1e3 * ttft,
            "tpot_ms": 1e3 * served.tpot_s,
            "memory_gib": held,
            "second_tier_gib": slow,
        }

    def _served(
        self, row: Mapping[str, Any], frame: Frame, least: Mapping[str, Any]
    ) -> tuple[serving.Served, float]:
        """Full, or at the load that the row names; and the slots that it must have."""
        a, percentile = self.by.architecture, self.by.traffic.priced_at
        if percentile is None:
            how = {"aggregated": serving.aggregated, "prefill": serving.prefill, "decode": serving.decode}
            return how[row["mode"]](frame, a, least), 0.0
        each = np.array([row["in_flight"]])
        if row["mode"] != "prefill" and not least:
            each = up_to(row["in_flight"], frame.split.lanes)
        own = under_load(row["mode"], frame, a, each, percentile, least or serving.NONE)
        fast = under_load(row["mode"], frame, a, each, percentile) if least else own
        return _last(own.served), float(fast.slots[-1])

    def _loaded(self, row: Mapping[str, Any]) -> bool:
        """Whether a row names a load that a replica can have: none of full ones."""
        percentile, load = self.by.traffic.priced_at, row["in_flight"]
        return bool(load == 0 if percentile is None else 0 < load < row["batch"])

    def _apart(self, row: Mapping[str, Any], frame: Frame) -> dict[str, float]:
        a, chip, n = self.by.architecture, self._chip(row["expert_chip"]), row["expert_chips"]
        if chip is None or other_degrees(frame.split):
            return {}
        both = Separated(frame, chip, n, row["expert_parallel"], row["microbatches"])
        tpot = step_s(both, a) / frame.tokens_per_step
        rate = frame.batch / tpot / frame.output_tokens
        if (percentile := self.by.traffic.priced_at) is not None:
            each = up_to(row["in_flight"], frame.split.lanes * row["microbatches"])
            own = apart_under_load(both, a, each, percentile)
            if row["batch"] < own.slots[-1] * (1 - _SAME):
                return {}
            served = _last(own.served)
            tpot, rate = served.tpot_s, served.requests_per_s
        return {
            "chips": frame.n_chips,
            "requests_per_s": rate,
            "tpot_ms": 1e3 * tpot,
            "memory_gib": attention_chip_gib(both, a),
            "expert_memory_gib": expert_chip_gib(both, a),
        }

    def _network(self) -> float:
        """Bytes a second of the slowest network on offer."""
        return min((s.chip and s.chip.scaleout_bandwidth) or NETWORK for s in self.supplies)


def _last(served: serving.Served) -> serving.Served:
    """Of loads that ascend the last."""
    own = (served.ttft_s, served.tpot_s, served.requests_per_s)
    return serving.Served(*(np.ravel(values)[-1] for values in own))


def _equal(row: Mapping[str, Any], figures: Mapping[str, float]) -> bool:
    return all(abs(row[name] - float(figures.get(name, 0.0))) <= _SAME * abs(row[name]) for name in _FIGURES)


def _lying(row: Mapping[str, Any], domain: int) -> Iterator[tuple[int, int]]:
    """Attention ranks together and runs of stages of each placement that has a row's blocks."""
    blocks = blocks_of(row["domains"])
    split = split_of(row)
    t, d, p, n = split.tensor_parallel, split.data_parallel, split.pipeline_parallel, split.sequence_ranks
    if max(blocks) > domain:
        return
    part = max(size for size in range(1, t + 1) if t % size == 0 and size <= domain)
    part *= max(k for k in range(1, n + 1) if n % k == 0 and (k == 1 or k * t <= domain))
    for ranks in (k for k in range(1, d + 1) if d % k == 0):
        sets = split.rank // part * d // ranks
        runs = {size // (part * ranks): n // sets for size, n in blocks.items()}
        whole = all(size % (part * ranks) == 0 and n % sets == 0 for size, n in blocks.items())
        if whole and sum(stages * n for stages, n in runs.items()) == p:
            yield ranks, sum(runs.values())
