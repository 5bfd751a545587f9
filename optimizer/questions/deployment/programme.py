"""The fewest chips, dollars or watts for some traffic, or the most traffic: whole numbers of replicas.

    minimise  sum n_k cost_k      (or maximise T)
    T = min(A + P, A + D) >= demand        A, P, D: sums of capacity_k n_k over aggregated, prefill, decode
    chips of each kind <= what there is, packed into nodes (solver/nodes.py)

Rates are whole numbers of 1e-8 requests/s, money of 1e-6 USD, power of milliwatts: no rounding decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from optimizer.columns.deployment import UNIT, DeploymentColumns, Usable
from optimizer.columns.supply import Supply
from optimizer.errors import InputError, Unlimited
from optimizer.metrics import scale, totals
from optimizer.questions.deployment.knapsack import Curves
from optimizer.solver.engine import SolveSettings
from optimizer.solver.milp import Milp, Proved, prove
from optimizer.solver.nodes import Part, added, pack_nodes
from optimizer.solver.totals import MOST, asked, each_of, limit_of
from optimizer.watch import UNWATCHED, Watch

Objectives = Sequence[tuple[str, int]]


@dataclass(frozen=True)
class Packed:
    """A plan in whole numbers, and what is known of it."""

    status: str
    counts: Mapping[int, int]
    """Row of the table to replicas."""
    values: Mapping[str, float]
    """Each objective's value, in its unit."""
    bounds: Mapping[str, float | None]
    """The proven bound on each objective."""
    served: float
    """Requests per second that can be served."""
    solves: int
    columns: int
    dropped: Mapping[str, int]
    confirmed_by: tuple[str, ...]


def optimum(
    columns: DeploymentColumns,
    objectives: Objectives,
    bounds: Mapping[str, float],
    settings: SolveSettings = SolveSettings(),
    watch: Watch = UNWATCHED,
    confirm: bool = True,
) -> Packed:
    """The optimum under `bounds`, by name; bounds left out do not hold, so that any can be lifted.

    Without `confirm`, plans are verified and optimality is HiGHS's word alone: 'feasible', or 'unknown'.
    Names: the fields of `constraints`, `requests_per_s` (the demand) and `inventory:CHIP`.
    """
    wanted = [name for name, _ in objectives]
    usable = columns.within(bounds, nodes="nodes" in wanted or "nodes_max" in bounds)
    if not len(usable.rows):
        nothing = _nothing_left(objectives, bounds, usable)
        return (
            nothing
            if columns.complete
            else replace(nothing, status=UNPROVEN[nothing.status], bounds={}, confirmed_by=())
        )
    model = _Model(columns, usable, bounds, wanted)
    goals: dict[str, Mapping[int, int]] = {}
    limits: dict[str, float | None] = {}
    proofs: list[Proved] = []
    for name, sense in objectives:
        goal = model.goal(name)
        model.m.objective = {i: sense * c for i, c in goal.items()}
        witness = Curves.witness(model, name, sense)
        proofs.append(prove(model.m, settings, watch, witness, confirm))
        found = proofs[-1]
        if found.objective is None:
            break
        goals[name] = goal
        limits[name] = None if found.bound is None else sense * found.bound / scale(name)
        model.hold(goal, sense, sense * found.objective)
    plan = next((p for p in reversed(proofs) if p.values), None)
    counts = model.counts(plan.values) if plan else {}
    status = _status(proofs, len(objectives))
    return Packed(
        status=status if columns.complete else UNPROVEN[status],
        counts=counts,
        values=_worth(goals, plan.values if plan else ()),
        bounds=limits if columns.complete else {},
        served=served(columns, usable, counts) / UNIT,
        solves=sum(p.solves for p in proofs),
        columns=len(usable.rows),
        dropped=usable.dropped,
        confirmed_by=tuple(dict.fromkeys(c for p in proofs for c in p.confirmed_by if columns.complete)),
    )


def _worth(goals: Mapping[str, Mapping[int, int]], solution: Sequence[int]) -> dict[str, float]:
    """The objectives of the plan itself: one that was not proven may improve while a later one is sought."""
    return {n: sum(c * solution[i] for i, c in goal.items()) / scale(n) for n, goal in goals.items()}


UNPROVEN = {"optimal": "feasible", "infeasible": "unknown", "feasible": "feasible", "unknown": "unknown"}
"""What an answer over some of the configurations is over all."""


def _nothing_left(objectives: Objectives, bounds: Mapping[str, float], usable: Usable) -> Packed:
    """No configuration keeps the bounds on one replica: no plan, or the empty one if nothing is demanded."""
    said = ("no configuration is left by the bounds on one replica",)
    zero = {} if "requests_per_s" in bounds else {name: 0.0 for name, _ in objectives}
    status = "optimal" if zero else "infeasible"
    return Packed(status, {}, zero, dict(zero), 0.0, 0, 0, usable.dropped, said)


def _status(proofs: list[Proved], wanted: int) -> str:
    first = proofs[0].status
    if first in ("infeasible", "unknown"):
        return first
    return "optimal" if len(proofs) == wanted and all(p.status == "optimal" for p in proofs) else "feasible"


def served(columns: DeploymentColumns, usable: Usable, counts: Mapping[int, int]) -> int:
    """Requests per second that replicas serve together, in 1e-8: the thinner pool of a pair, and the rest."""
    capacity = dict(zip(usable.rows.tolist(), usable.capacity.tolist(), strict=True))
    pool = dict.fromkeys(("aggregated", "prefill", "decode"), 0)
    for row, n in counts.items():
        pool[str(columns.replicas.mode[row])] += n * capacity[row]
    return pool["aggregated"] + min(pool["prefill"], pool["decode"])


@dataclass
class _Model:
    columns: DeploymentColumns
    usable: Usable
    limits: Mapping[str, float]
    wanted: Sequence[str]
    m: Milp = field(default_factory=Milp)

    def __post_init__(self) -> None:
        replicas, rows = self.columns.replicas, self.usable.rows
        self.mode: list[str] = replicas.mode[rows].tolist()
        self.chips: list[int] = replicas.all_chips[rows].tolist()
        self.sides = self._sides()
        self.capacity: list[int] = self.usable.capacity.tolist()
        self.demand = self._demand()
        self.stock = self._stock()
        tops = [self._most(k) for k in range(len(rows))]
        if sum(c * top for c, top in zip(self.capacity, tops, strict=True)) > MOST:
            raise InputError("requests_per_s: too much traffic, or too many chips, to plan exactly")
        self.n = [self.m.variable(0, top) for top in tops]
        self.parts = [Part(self.n[k], *side) for k, sides in enumerate(self.sides) for side in sides]
        self._flow()
        self._one_cache_format(tops)
        if self.columns.same:
            self._one_setup_per_phase(tops)
        for mask in self.columns.used:
            own = [i for i, used in zip(self.n, mask[rows].tolist(), strict=True) if used]
            self.m.row(dict.fromkeys(own, 1), low=1)
        self._limits()
        self.nodes = pack_nodes(self, "nodes" in self.wanted or "nodes_max" in self.limits)
        if "nodes_max" in self.limits:
            self.m.row(dict.fromkeys(self.nodes.values(), 1), high=int(self.limits["nodes_max"]))

    def _sides(self) -> list[list[tuple[int, int, int]]]:
        """Kind, size and number of each replica's blocks; experts that lie apart stand one by one."""
        rows = self.usable.rows.tolist()
        own = self.columns.chip_index(rows).tolist()
        other = self.columns.chip_index(rows, "expert_chip").tolist()
        apart = self.columns.replicas.expert_chips[rows].tolist()
        return [
            [(a, size, n) for size, n in self.columns.replicas.blocks(row)]
            + ([(b, 1, alone)] if alone else [])
            for row, a, b, alone in zip(rows, own, other, apart, strict=True)
        ]

    def _demand(self) -> int | None:
        rate = self.limits.get("requests_per_s")
        return None if rate is None else asked(rate)

    def _stock(self) -> list[int | None]:
        """Chips of each kind that a plan can use, from the inventory and from limits on totals."""
        found: list[int | None] = []
        for s in self.supplies:
            tops = [] if (limit := self.inventory(s.name)) is None else [limit]
            for name in totals():
                if f"{name}_max" in self.limits and (each := each_of(s, name)) > 0:
                    tops.append(limit_of(name, self.limits[f"{name}_max"]) // each)
            if "nodes_max" in self.limits and s.node:
                tops.append(int(self.limits["nodes_max"]) * s.node)
            found.append(min(tops) if tops else None)
        return found

    def _most(self, k: int) -> int:
        need = added((kind, size * n) for kind, size, n in self.sides[k])
        tops = [stock // n for kind, n in need.items() if (stock := self.stock[kind]) is not None]
        if self.demand is not None and "requests_per_s" not in self.wanted:
            tops.append(-(-self.demand // self.capacity[k]))
        if not tops:
            raise Unlimited(
                f"hardware: nothing limits {self.supplies[self.sides[k][0][0]].name}; give max_count, "
                "chips_max, usd_per_hour_max or power_w_max to ask for the most traffic"
            )
        return min(tops)

    def _flow(self) -> None:
        """Aggregated replicas serve whole requests; the others as many as the thinner of the two pools."""
        pool = {mode: self._pool(mode) for mode in ("aggregated", "prefill", "decode")}
        self.sums = [pool["aggregated"] | pool[mode] for mode in ("prefill", "decode")]
        if self.demand is not None:
            for terms in self.sums:
                self.m.row(terms, low=self.demand)
        if "requests_per_s" in self.wanted:
            most = min(sum(c * self.m.highs[i] for i, c in terms.items()) for terms in self.sums)
            self.total = self.m.least_of([(terms, 0) for terms in self.sums], 0, most)

    def _pool(self, mode: str) -> dict[int, int]:
        return {i: c for i, c, own in zip(self.n, self.capacity, self.mode, strict=True) if own == mode}

    def _one_setup_per_phase(self, tops: list[int]) -> None:
        """One aggregated row, or one prefill and one decode row."""
        used = [self.m.variable(0, 1) for _ in self.n]
        for i, u, top in zip(self.n, used, tops, strict=True):
            self.m.row({i: 1, u: -top}, high=0)
        for mode in ("prefill", "decode"):
            chosen = [u for u, own in zip(used, self.mode, strict=True) if own in (mode, "aggregated")]
            self.m.row(dict.fromkeys(chosen, 1), high=1)

    def _one_cache_format(self, tops: list[int]) -> None:
        """Prefill replicas hand over caches that decode replicas can read."""
        format_of = self.columns.replicas.kv_dtype[self.usable.rows].tolist()
        pairs = [k for k, own in enumerate(self.mode) if own != "aggregated"]
        self.formats = sorted({format_of[k] for k in pairs})
        if len(self.formats) < 2:
            return
        chosen = {name: self.m.variable(0, 1) for name in self.formats}
        self.m.row(dict.fromkeys(chosen.values(), 1), high=1)
        for k in pairs:
            self.m.row({self.n[k]: 1, chosen[format_of[k]]: -tops[k]}, high=0)

    def _limits(self) -> None:
        for c, s in enumerate(self.supplies):
            if (limit := self.inventory(s.name)) is not None:
                self.m.row(self.used(c), high=limit)
        for name in totals():
            if f"{name}_max" in self.limits:
                self.m.row(self.goal(name), high=limit_of(name, self.limits[f"{name}_max"]))

    @property
    def supplies(self) -> tuple[Supply, ...]:
        """The kinds of chips on offer."""
        return self.columns.supplies

    def inventory(self, chip: str) -> int | None:
        """Chips there are of one kind; None for as many as wanted."""
        limit = self.limits.get(f"inventory:{chip}")
        return None if limit is None else int(limit)

    def used(self, kind: int) -> dict[int, int]:
        """Chips of one kind, as a row."""
        return added((part.variable, part.chips) for part in self.parts if part.kind == kind)

    def goal(self, name: str) -> dict[int, int]:
        """A quantity as a linear row."""
        if name == "requests_per_s":
            return {self.total: 1}
        if name == "nodes":
            return dict.fromkeys(self.nodes.values(), 1)
        if name.startswith("inventory:"):
            kinds = [s.name for s in self.supplies]
            return self.used(kinds.index(name.partition(":")[2]))
        each = [each_of(s, name) for s in self.supplies]
        return added((part.variable, part.chips * each[part.kind]) for part in self.parts)

    def hold(self, goal: Mapping[int, int], sense: int, value: int) -> None:
        """Keep a quantity at its optimum while a later one is optimised."""
        self.m.row(goal, high=value) if sense > 0 else self.m.row(goal, low=value)

    def counts(self, values: Sequence[int]) -> dict[int, int]:
        """Replicas by row of the table."""
        rows = self.usable.rows.tolist()
        return {rows[k]: values[i] for k, i in enumerate(self.n) if values[i]}
