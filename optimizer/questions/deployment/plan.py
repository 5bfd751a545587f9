"""A plan of replicas as people read it: checked, with its pools and totals."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

from optimizer.columns.deployment import DeploymentColumns
from optimizer.errors import InternalMismatch
from optimizer.metrics import held_sums, scale
from optimizer.questions.deployment.bounded import ANY_TRAFFIC
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.optimum import Packed
from optimizer.questions.deployment.programme import spares_of
from optimizer.spec.plan import Deployment, Plan, Pool
from optimizer.spec.split import formats_of, split_of

_SAME = 1e-9
_ORDER = {"aggregated": 0, "prefill": 1, "decode": 2}


@dataclass(frozen=True)
class ReplicaPlan:
    """Replica counts under the bounds they were found for; `columns.demand` is the traffic they carry."""

    columns: DeploymentColumns
    bounds: Mapping[str, float]
    counts: Mapping[int, int]
    output_tokens: int

    @cached_property
    def check(self) -> DeploymentCheck:
        """The independent computation of the plan."""
        c = self.columns
        given = None
        if c.percentile is not None:
            rates = c.rates(self.bounds)
            given = {i: float(rates[i]) for i in self.counts}
        return DeploymentCheck(
            replicas=c.replicas,
            supplies=c.supplies,
            counts=self.counts,
            factors=c.factors,
            demand=c.demand,
            utilisation_max=self.bounds.get("utilisation_max", 1.0),
            percentile=c.percentile,
            given=given,
            spares=spares_of(self.bounds) if "spares" in self.bounds else None,
            same=c.same,
            priced_by=c.priced_by,
            uncertain=c.robust,
            bounds=self.bounds,
        )

    def carrying(self, demand: float | None) -> Self:
        """The same replicas under other traffic; None: as much as they can serve."""
        return replace(self, columns=replace(self.columns, demand=demand))

    def require(self, plan: Packed) -> None:
        """InternalMismatch unless the plan holds and has the value the solver claims."""
        broken = self.check.broken(self.bounds)
        if broken:
            raise InternalMismatch(f"the plan found breaks {', '.join(broken)} when recomputed")
        totals = self.check.totals()
        floored = sum(self.counts.values()) / scale("requests_per_s")
        for name, value in plan.values.items():
            if abs(totals[name] - value) > _SAME * max(1.0, abs(value)) + floored:
                raise InternalMismatch(f"{name}: the solver says {value:.9g}, the check {totals[name]:.9g}")

    def pools(self) -> tuple[Pool, ...]:
        """The pools, prefill before decode, the largest first."""
        rows = sorted(self.check.rows, key=lambda i: (_ORDER[self.check.rows[i]["mode"]], -self.counts[i]))
        return tuple(self._pool(i) for i in rows)

    def _pool(self, index: int) -> Pool:
        row, n = self.check.rows[index], self.counts[index]
        supply = next(s for s in self.columns.supplies if s.name == row["chip"])
        chips = [(supply, n * row["chips"])]
        chips += [(s, n * row["expert_chips"]) for s in self.columns.supplies if s.name == row["expert_chip"]]
        return Pool(
            phase=row["mode"],
            chip=row["chip"],
            replicas=n,
            **split_of(row).mentioned(),
            batch=row["batch"],
            **({"in_flight": row["in_flight"]} if row["in_flight"] else {}),
            **formats_of(row).published(self.columns.checkpoint).mentioned(),
            **({"engine": row["engine"]} if row["engine"] else {}),
            chips=chips[0][1],
            expert_chip=row["expert_chip"] or None,
            expert_chips=n * row["expert_chips"],
            microbatches=row["microbatches"],
            domains=row["domains"],
            requests_per_s=n * row["requests_per_s"],
            utilisation=self.check.loads.utilisation(row["mode"]),
            ttft_ms=row["ttft_ms"] or None,
            tpot_ms=row["tpot_ms"] or None,
            memory_gib=row["memory_gib"] or None,
            hbm_usable_gib=supply.chip.hbm_usable / 2**30 if supply.chip else supply.usable_gib,
            expert_memory_gib=row["expert_memory_gib"] or None,
            second_tier_gib=row["second_tier_gib"] or None,
            usd_per_hour=_added((count, s.usd_per_hour) for s, count in chips),
            power_w=_added((count, s.power_w) for s, count in chips),
            source=row["label"],
            **self._room_for(index),
        )

    def _room_for(self, index: int) -> dict[str, dict[str, float]]:
        """What the replicas of a row have room for; nothing where that is not known."""
        n, own = self.counts[index], self.check.rooms.each[index]
        found = {name: value * (n if name in held_sums() else 1) for name, value in own.items()}
        return {"room_for": found} if found else {}

    def metrics(self) -> dict[str, float]:
        """Totals of the plan."""
        found = self.check.totals()
        served = found["requests_per_s"]
        carried = min(served, self.columns.demand or served)
        tokens = carried * self.output_tokens
        whole = found.get("requests_per_s_whole", served)
        found |= {"output_tokens_per_s": tokens, "utilisation": carried / whole if whole else 0.0}
        if "usd_per_hour" in found and tokens:
            found["usd_per_million_tokens"] = found["usd_per_hour"] / 3600 / tokens * 1e6
        return found

    def plan(self, architecture: str | None) -> Plan:
        """As a point of a study."""
        return Plan(
            architecture=architecture, deployment=Deployment(pools=self.pools()), metrics=self.metrics()
        )


def _added(each: Iterable[tuple[int, float | None]]) -> float | None:
    """A total over kinds of chips; None where one of them is unknown."""
    known = [(count, value) for count, value in each if value is not None or count]
    return None if any(v is None for _, v in known) else sum(n * (v or 0.0) for n, v in known)


def stocked(columns: DeploymentColumns, bounds: Mapping[str, float]) -> DeploymentColumns:
    """The columns with the inventories and the demand that bounds say, for the check."""
    supplies = tuple(
        replace(s, count=None if (n := bounds.get(f"inventory:{s.name}")) is None else int(n))
        for s in columns.supplies
    )
    demand = bounds.get("requests_per_s", 0.0)
    return replace(columns, supplies=supplies, demand=demand if demand > ANY_TRAFFIC else None)
