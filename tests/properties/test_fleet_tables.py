"""Fleets as whole problems over drawn tables, against the same question asked otherwise.

Services have replicas of their own, so two copies of one cost twice what one does, and no less than one of
double traffic, which may fill replicas that each copy leaves half empty; with pools that halve evenly they
are equal. Requests of one size named twice, half of them each, are one bucket. A fleet of one service is the
deployment. Each answer is also looked at again (questions/fleet/witness.py), so that no true one is refused.
"""

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.errors import InputError
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.fleet.answer import FleetAnswer
from optimizer.questions.fleet.problem import FleetProblem
from optimizer.studies import solve as deploy
from optimizer.studies import solve as fleet

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
HEAD = "mode,chip,chips,requests_per_s,ttft_ms,tpot_ms,batch,size"
PRICES = {"red": 2.5, "blue": 1.0}
SIZES = ("short", "long")
CLOSE = 1e-6


@st.composite
def tables(draw: Any) -> str:
    """Rows of both sizes on two kinds of chips, aggregated among them."""
    rows = [HEAD]
    setups = [("agg", draw(st.sampled_from(sorted(PRICES))), draw(st.sampled_from([1, 2, 4])))]
    modes = st.sampled_from(["agg", "agg", "prefill", "decode"])
    for _ in range(draw(st.integers(1, 4))):
        setups.append((draw(modes), draw(st.sampled_from(sorted(PRICES))), draw(st.sampled_from([1, 2, 3]))))
    for number, (mode, chip, chips) in enumerate(setups, 1):
        for size in SIZES:
            rate = draw(st.integers(1, 60)) / draw(st.sampled_from([4, 7, 10]))
            ttft, tpot = draw(st.integers(50, 150)), draw(st.integers(5, 15))
            rows.append(f"{mode},{chip},{chips},{rate:.6g},{ttft},{tpot},{number},{size}")
    return "\n".join(rows) + "\n"


TRAFFIC = st.integers(1, 80).map(lambda n: n / 4)
BOUNDS = st.sampled_from([{}, {}, {"ttft_ms_max": 120.0}, {"tpot_ms_max": 12.0}])
STOCK = st.one_of(st.none(), st.integers(1, 40))
GOALS = st.sampled_from([{"minimize": "chips"}, {"minimize": "usd_per_hour"}])
MODES = st.sampled_from([["aggregated"], ["aggregated", "disaggregated"]])


def asked(table: str, services: list[dict[str, Any]], goal: dict[str, str], stock: Any, modes: Any) -> Any:
    """The answer to a fleet whose services share one table; None if no service could ever run."""
    problem = {
        "name": "drawn",
        "documents": {"tables": {"table": table}, "files": False},
        "hardware": [
            {"chip": name, "usd_per_chip_hour": price} | ({} if stock is None else {"max_count": stock})
            for name, price in PRICES.items()
        ],
        "deployment": {"mode": modes},
        "services": [
            {"name": f"service {i}", "performance_table": "table"} | own for i, own in enumerate(services)
        ],
    }
    try:
        return fleet.solve(FleetProblem.model_validate(problem | goal))
    except InputError as error:
        assert "no whole replica" in str(error)
        return None


def service(rates: list[tuple[str, float]], bounds: dict[str, float]) -> dict[str, Any]:
    traffic = [
        {"input_tokens": 100, "output_tokens": 100, "requests_per_s": rate, "rows": {"size": size}}
        for size, rate in rates
    ]
    return {"traffic": traffic, "constraints": bounds}


def value(found: FleetAnswer | None) -> float | None:
    """The proven optimum; None where there is no plan."""
    if found is None or found.status == "infeasible":
        return None
    assert found.status == "optimal"
    seen = found.certificate.witnesses
    assert seen is not None and seen.setups_looked_at == seen.setups_left_out
    return found.objective.value


@settings(SETTINGS, max_examples=12)
@given(tables(), TRAFFIC, TRAFFIC, BOUNDS, GOALS, STOCK, MODES)
def test_two_copies_of_a_service_and_one_of_double_traffic(
    table: str, short: float, long: float, bounds: Any, goal: Any, stock: Any, modes: Any
) -> None:
    rates, double = [("short", short), ("long", long)], [("short", 2 * short), ("long", 2 * long)]
    one = value(asked(table, [service(rates, bounds)], goal, None, modes))
    two = value(asked(table, [service(rates, bounds)] * 2, goal, None, modes))
    whole = asked(table, [service(double, bounds)], goal, None, modes)
    most = value(whole)
    if one is None or two is None or most is None:
        assert one is two is most is None  # whatever the traffic is
        return
    assert abs(two - 2 * one) <= CLOSE, "they share nothing"
    each = {pool: pool.chips / pool.replicas for pool in whole.deployment.pools}
    odd = [pool for pool in each if pool.replicas % 2]
    spare = sum(
        n * (1 if goal["minimize"] == "chips" else PRICES[p.chip]) for p, n in each.items() if p in odd
    )
    assert most - CLOSE <= two <= most + spare + CLOSE, "every pool halved, rounded up, serves a copy"
    if stock is not None:
        within = value(asked(table, [service(rates, bounds)] * 2, goal, stock, modes))
        together = value(asked(table, [service(double, bounds)], goal, stock, modes))
        assert within is None or (together is not None and together <= within + CLOSE)


@settings(SETTINGS, max_examples=12)
@given(tables(), TRAFFIC, TRAFFIC, BOUNDS, st.one_of(GOALS, st.just({"maximize": "requests_per_s"})), MODES)
def test_requests_of_one_size_named_twice_are_one_bucket(
    table: str, short: float, long: float, bounds: Any, goal: Any, modes: Any
) -> None:
    stock = 6 if "maximize" in goal else None
    once = asked(table, [service([("short", short), ("long", long)], bounds)], goal, stock, modes)
    halves = [("short", short / 2), ("long", long), ("short", short / 2)]
    twice = asked(table, [service(halves, bounds)], goal, stock, modes)
    a, b = value(once), value(twice)
    assert (a is None) == (b is None)
    assert a is None or b is None or abs(a - b) <= CLOSE


@SETTINGS
@given(tables(), TRAFFIC, BOUNDS, GOALS, STOCK, MODES)
def test_a_fleet_of_one_service_is_the_deployment(
    table: str, rate: float, bounds: Any, goal: Any, stock: Any, modes: Any
) -> None:
    found = asked(table, [service([("short", rate)], bounds)], goal, stock, modes)
    problem = {
        "name": "drawn",
        "documents": {"tables": {"table": table}, "files": False},
        "hardware": [
            {"chip": name, "usd_per_chip_hour": price} | ({} if stock is None else {"max_count": stock})
            for name, price in PRICES.items()
        ],
        "deployment": {"mode": modes},
        "performance_table": "table",
        "performance_table_rows": {"size": "short"},
        "workload": {"input_tokens": 100, "output_tokens": 100, "requests_per_s": rate},
        "constraints": bounds,
    }
    alone = deploy.solve(DeploymentProblem.model_validate(problem | goal))
    assert alone.status in ("optimal", "infeasible")
    expected = alone.objective.value if alone.status == "optimal" else None
    got = value(found)
    assert (got is None) == (expected is None)
    if got is None or expected is None:
        return
    assert abs(got - expected) <= CLOSE
    gains = {row.constraint: row.gain for row in alone.binding if row.constraint.startswith("inventory:")}
    own = {row.constraint: row.gain for row in found.binding if row.constraint.startswith("inventory:")}
    assert set(own) == set(gains)
    assert all(abs((own[name] or 0) - (gains[name] or 0)) <= CLOSE for name in own)
