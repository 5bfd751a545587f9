"""From a deployment problem to its columns and named bounds: what a planner needs, priced or read once."""

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from optimizer import catalog
from optimizer.columns.deployment import DeploymentColumns, PricedBy
from optimizer.columns.performance_table import table_of
from optimizer.columns.replica_costs import UNPRICED, n_replicas, replica_columns
from optimizer.columns.replicas import Replicas
from optimizer.columns.separated_costs import n_sides, separated_columns
from optimizer.columns.supply import Supply, supplies
from optimizer.columns.uncertain import levels, uncertain
from optimizer.errors import InputError
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.spec.deployment import as_stored
from optimizer.watch import UNWATCHED, Stopped, Watch

if TYPE_CHECKING:
    from collections.abc import Callable

_PRICING = 0.8
"""Share of a time limit within which configurations are priced; the rest finds a plan among them."""


def pricing(watch: Watch) -> Watch:
    """The time for pricing, of all that a study has."""
    return watch.part(_PRICING)


def offered_by(problem: DeploymentProblem) -> tuple[Supply, ...]:
    """The chips of a problem, with what is known of them."""
    return supplies(problem.hardware, problem.performance_table is None, problem.documents)


def setups_of(problem: DeploymentProblem, offered: tuple[Supply, ...]) -> int:
    """Setups (chips, splits and formats) that there are to price; none where tables state the figures."""
    if problem.performance_table is not None:
        return 0
    apart = "separated" in problem.deployment.mode
    return n_replicas(offered, problem.deployment) + apart * n_sides(offered, problem.deployment)


def prepare(
    problem: DeploymentProblem, offered: tuple[Supply, ...] | None = None, watch: Watch = UNWATCHED
) -> DeploymentColumns:
    """Everything a planner needs, priced or read once; bounds are applied later.

    `offered`: chips with other figures than the problem's own. When the watch is over the columns are not all
    there (`DeploymentColumns.complete`); Stopped if there are none.
    """
    space, table = problem.deployment, problem.performance_table
    offered = offered or offered_by(problem)
    if table is not None:
        replicas, dropped = _from_tables(problem, offered)
    else:
        replicas, dropped = _from_cost_model(problem, offered, watch)
    by = None if table is not None else _priced_by(problem)
    wrong = problem.robust, problem.workload.requests_per_s, space
    factor = space.prefill_ttft_factor
    late = np.where(replicas.mode == "prefill", replicas.ttft_ms * factor, replicas.ttft_ms)
    return DeploymentColumns(
        replicas=_with_ttft(replicas, late),
        supplies=offered,
        demand=problem.demand,
        same=space.mix == "same",
        factors={"prefill": space.prefill_utilisation, "decode": space.decode_utilisation},
        percentile=problem.queued_at,
        dropped=dropped,
        complete=UNPRICED not in dropped,
        priced_by=by,
        checkpoint=by.architecture.checkpoint if by else None,
        robust=uncertain(*wrong, by.architecture if by else None, replicas, offered),
    )


def _priced_by(problem: DeploymentProblem) -> PricedBy:
    model, share = (
        catalog.model(problem.architecture or "", problem.documents),
        problem.constraints.memory_capacity,
    )
    return PricedBy(model, as_stored(problem.deployment, model.checkpoint), problem.workload, share)


def _from_cost_model(
    problem: DeploymentProblem, offered: tuple[Supply, ...], watch: Watch
) -> tuple[Replicas, Counter[str]]:
    """The rows that the cost model prices for the problem's modes."""
    by = _priced_by(problem)
    asked = (by.architecture, offered, by.space, by.traffic)
    tables: list[Replicas] = []
    dropped: Counter[str] = Counter()
    sides: list[tuple[int, Callable[[], tuple[Replicas, Counter[str]]]]] = [
        (n_replicas(offered, by.space), lambda: replica_columns(*asked, by.memory_share, watch))
    ]
    if "separated" in by.space.mode:
        sides.append((n_sides(offered, by.space), lambda: separated_columns(*asked, watch)))
    for n, priced in sides:
        try:
            table, left_out = priced()
        except Stopped:  # one side has rows, or both stop
            dropped[UNPRICED] += n
            continue
        tables.append(table)
        dropped += left_out
    if not tables:
        raise Stopped
    return Replicas.together(tables), dropped


def _with_ttft(replicas: Replicas, ttft_ms: object) -> Replicas:
    return Replicas(**{**vars(replicas), "ttft_ms": ttft_ms})


def _from_tables(problem: DeploymentProblem, offered: tuple[Supply, ...]) -> tuple[Replicas, Counter[str]]:
    """The rows of the problem's tables that its hardware and modes allow."""
    tables = [
        table_of(name, problem.documents, problem.performance_table_rows)
        for name in problem.performance_table or ()
    ]
    rows = Replicas.together(tables)
    nodes = {s.name: s.domain or np.iinfo(np.int64).max for s in offered}
    wanted = {"aggregated"} & set(problem.deployment.mode)
    modes = set(problem.deployment.mode)
    if modes & {"disaggregated", "separated"}:
        wanted |= {"prefill", "decode"}
    apart = rows.expert_chips > 0
    unasked = (rows.mode == "decode") & np.where(
        apart, "separated" not in modes, "disaggregated" not in modes
    )
    other_chip = ~np.isin(rows.chip, list(nodes)) | (apart & ~np.isin(rows.expert_chip, list(nodes)))
    widest = np.array([rows.blocks(i)[0][0] for i in range(len(rows))])
    too_wide = widest > np.array([nodes.get(c, 0) for c in rows.chip.tolist()])
    dropped: Counter[str] = Counter()
    keep = np.ones(len(rows), dtype=bool)
    for why, mask in (
        ("a chip that hardware does not offer", other_chip),
        ("a mode that deployment.mode does not name", unasked | ~np.isin(rows.mode, sorted(wanted))),
        ("more chips in one domain than a node has", too_wide),
    ):
        dropped[why] = int((keep & mask).sum())
        keep &= ~mask
    if not keep.any():
        reasons = ", ".join(f"{why} ({n})" for why, n in dropped.items() if n)
        raise InputError(f"performance_table: no row is left: {reasons}")
    return rows.take(keep), +dropped


def all_bounds(problem: DeploymentProblem, offered: tuple[Supply, ...]) -> dict[str, float]:
    """Every bound of a problem by name: its constraints, the demand and the inventories."""
    bounds = problem.constraints.given()
    bounds.pop("requests_per_s_min", None)
    ordered = {"memory_capacity": bounds.pop("memory_capacity")}  # the plainest reason is looked for first
    ordered |= {f"inventory:{s.name}": float(s.count) for s in offered if s.count is not None}
    if problem.demand is not None:
        ordered["requests_per_s"] = problem.demand
    return ordered | bounds | levels(problem.robust, problem.workload.requests_per_s)
