"""A programme in numbers of replicas: what its variables cost, and rows that hold whatever is planned.

    chips of each kind <= what there is,  totals <= their limits
    caches are handed over in one format;  mix same: one aggregated setup, or one of prefill and one of decode

Rates are whole numbers of 1e-8 requests/s, money of 1e-6 USD, power of milliwatts: no rounding decides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from optimizer.columns.supply import Supply
from optimizer.columns.totals import each_of, limit_of
from optimizer.metrics import totals
from optimizer.search.packing import Part, added
from optimizer.search.programme import Programme

AGGREGATED = "aggregated"
SIDES = ("prefill", "decode")
PHASES = (AGGREGATED, *SIDES)


@dataclass
class ReplicaProgramme:
    """Variables that stand for replicas, made of `parts`; limits by name, with `inventory:CHIP`."""

    supplies: tuple[Supply, ...]
    """The kinds of chips on offer."""
    limits: Mapping[str, float]
    m: Programme = field(default_factory=Programme)
    parts: list[Part] = field(default_factory=list)
    """The chips that each variable stands for."""

    def inventory(self, chip: str) -> int | None:
        """Chips there are of one kind; None for as many as wanted."""
        limit = self.limits.get(f"inventory:{chip}")
        return None if limit is None else int(limit)

    def cost(self, name: str) -> dict[int, int]:
        """A total, or the chips of one kind, as a linear row."""
        kind = name.removeprefix("inventory:")
        if kind != name:
            return added((p.variable, p.chips) for p in self.parts if self.supplies[p.kind].name == kind)
        each = [each_of(s, name) for s in self.supplies]
        return added((part.variable, part.chips * each[part.kind]) for part in self.parts)

    def keep_limits(self) -> None:
        """Rows for the inventories and for limits on totals."""
        for s in self.supplies:
            if (limit := self.inventory(s.name)) is not None:
                self.m.row(self.cost(f"inventory:{s.name}"), high=limit)
        for name in totals():
            if f"{name}_max" in self.limits:
                self.m.row(self.cost(name), high=limit_of(name, self.limits[f"{name}_max"]))

    def use_one_of(self, variables: Iterable[int]) -> None:
        """A row: a plan has some replica of these."""
        self.m.row(dict.fromkeys(variables, 1), low=1)

    def one_cache_format(self, paired: Sequence[tuple[int, str]]) -> tuple[str, ...]:
        """Prefill replicas hand over caches that decode replicas can read; the formats there are.

        `paired`: the variables of both pools with their formats.
        """
        formats = tuple(sorted({name for _, name in paired}))
        if len(formats) > 1:
            chosen = {name: self.m.variable(0, 1) for name in formats}
            self.m.row(dict.fromkeys(chosen.values(), 1), high=1)
            for v, name in paired:
                self.m.row({v: 1, chosen[name]: -self.m.highs[v]}, high=0)
        return formats

    def one_setup_a_phase(self, phases: Mapping[int, str]) -> None:
        """One aggregated variable in use, or one of prefill and one of decode. `phases`: by variable."""
        used = {v: self.m.variable(0, 1) for v in phases}
        for v, u in used.items():
            self.m.row({v: 1, u: -self.m.highs[v]}, high=0)
        for side in SIDES:
            self.m.row({used[v]: 1 for v, own in phases.items() if own in (side, AGGREGATED)}, high=1)
