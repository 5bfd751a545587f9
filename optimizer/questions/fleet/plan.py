"""A fleet as people read it: the pools of every service, with what each serves, and the totals."""

from optimizer.questions.fleet.again import totals_of
from optimizer.questions.fleet.check import FleetCheck
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.spec.plan import Deployment, Part, Plan, Pool
from optimizer.spec.split import formats_of, split_of


def plan_of(problem: FleetProblem, checked: FleetCheck) -> Plan:
    """The pools, service by service, and the totals."""
    pools = tuple(_pool(problem, checked, j, k) for j, k in sorted(checked.replicas))
    return Plan(deployment=Deployment(pools=pools), metrics=totals_of(checked))


def _pool(problem: FleetProblem, checked: FleetCheck, j: int, k: int) -> Pool:
    """The replicas of one setup."""
    columns = checked.columns
    item, n = columns.items[j], checked.replicas[j, k]
    row = item.setups.row(k)
    supply = next(s for s in columns.supplies if s.name == row["chip"])
    chips = n * row["chips"]
    models = problem.services[item.service].models
    return Pool(
        service=columns.names[item.service],
        **({"model": models[item.model].called} if models else {}),
        phase=row["mode"],
        chip=row["chip"],
        replicas=n,
        **split_of(row).mentioned(),
        **formats_of(row).published(columns.checkpoints[item.service][item.model]).mentioned(),
        **({"engine": row["engine"]} if row["engine"] else {}),
        domains=row["domains"],
        chips=chips,
        utilisation=float(checked.utilisation(j, k) or 0),
        usd_per_hour=None if supply.usd_per_hour is None else chips * supply.usd_per_hour,
        parts=tuple(_part(problem, checked, key) for key in sorted(checked.shares) if key[:2] == (j, k)),
    )


def _part(problem: FleetProblem, checked: FleetCheck, key: tuple[int, int, int]) -> Part:
    j, k, b = key
    item = checked.columns.items[j]
    bucket = problem.services[item.service].traffic[b]
    row = checked.columns.tables[item.service][item.model][b].row(int(item.rows[b, k]))
    return Part(
        input_tokens=bucket.input_tokens,
        output_tokens=bucket.output_tokens,
        requests_per_s=float(checked.traffic(key)),
        batch=row["batch"],
        **({"in_flight": row["in_flight"]} if row["in_flight"] else {}),
        ttft_ms=row["ttft_ms"] or None,
        tpot_ms=row["tpot_ms"] or None,
    )
