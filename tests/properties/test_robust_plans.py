"""Deployments that must hold when things go wrong, against brute force: each plan in each case of what may.

Guards the scenarios that are planned for, the rates that replicas have in them, and the checker that looks at
every case by itself. What may go wrong is drawn at random, and how much of it at once.
"""

from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packing_oracle import brute_force

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.scenarios import Uncertain
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.optimum import Packed, optimum

MOST = 3
"""Replicas of one row at most."""
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
OFFERED = tuple(
    Supply(name, 4, price, None, None, 80.0, None) for name, price in (("red", 1.3), ("blue", 2.0))
)


@st.composite
def replicas(draw: Any) -> Replicas:
    """Up to two setups, each with a few batches; times rise with the batch, and mostly rates."""
    rows = []
    batches = draw(st.sampled_from([[(1, 2, 4)], [(1, 2), (2, 4)], [(1, 2), (1,)], [(2,), (1,)]]))
    for k, of in enumerate(batches):
        mode = draw(st.sampled_from(["aggregated", "aggregated", "prefill", "decode"]))
        chips = draw(st.sampled_from([1, 2]))
        chip = draw(st.sampled_from(["red", "blue"]))
        for batch in of:
            rows.append(
                {
                    "mode": mode,
                    "chip": chip,
                    "tensor_parallel": chips,
                    "chips": chips,
                    "batch": batch,
                    "weight_dtype": "bf16",
                    "kv_dtype": "bf16",
                    "requests_per_s": draw(st.integers(1, 40)) / 8 + batch / 4,
                    "ttft_ms": draw(st.sampled_from([300.0, 500.0])) + 100.0 * batch,
                    "tpot_ms": draw(st.sampled_from([10.0, 20.0])) + 5.0 * batch,
                    "memory_gib": draw(st.sampled_from([0.0, 50.0, 90.0])),
                    "label": f"{k} {batch}",
                }
            )
    return Replicas.of(rows)


@st.composite
def instances(draw: Any) -> tuple[DeploymentColumns, dict[str, float]]:
    """Columns and bounds, what may go wrong among them."""
    hours = draw(st.sampled_from([(), ((1.5, 1.0), (0.8, 1.4), (1.2, 1.1))]))
    parts = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "robust.latency": st.sampled_from([1.1, 1.3, 2.0]),
                "robust.rate": st.sampled_from([0.9, 0.5]),
                "robust.traffic": st.sampled_from([1.2, 1.5]),
                "robust.losses": st.sampled_from([1.0, 2.0]),
            },
        )
    )
    if hours and "robust.traffic" in parts:
        parts["robust.traffic"] = 1.0
    uncertain = Uncertain(hours, draw(st.sampled_from([None, 1, 2])), ("traffic",) if hours else ())
    columns = DeploymentColumns(
        draw(replicas()), OFFERED, None, draw(st.booleans()), {"prefill": 0.9}, None, {}, robust=uncertain
    )
    bounds = {f"inventory:{s.name}": float(s.count or 0) for s in OFFERED} | parts
    bounds |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "ttft_ms_max": st.sampled_from([700.0, 1000.0]),
                "tpot_ms_max": st.sampled_from([30.0, 50.0]),
                "memory_capacity": st.just(1.0),
                "spares": st.just(1.0),
            },
        )
    )
    return columns, bounds


@SETTINGS
@given(instances(), st.sampled_from([("chips", 1), ("usd_per_hour", 1), ("requests_per_s", -1)]), st.data())
def test_the_optimum_is_brute_forces(instance: Any, aim: tuple[str, int], data: Any) -> None:
    columns, bounds = instance
    name, sense = aim
    bounds = bounds | {"requests_per_s": data.draw(st.sampled_from([0.5, 2.0, 4.5])) if sense > 0 else 1e-8}
    for s in OFFERED:  # brute force tries so many replicas of a row: make that no limit
        own = columns.replicas.chips[columns.replicas.chip == s.name].tolist()
        bounds[f"inventory:{s.name}"] = float(min(4, MOST * min(own, default=1)))
    found = optimum(columns, (aim,), bounds)
    truth = brute_force(columns, name, sense, bounds, MOST)
    if truth is None:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    assert abs(float(truth) - found.values[name]) <= 1e-6
    check = checked(columns, found, bounds)
    assert not check.broken(bounds) and not check.breaks_when
    assert abs(check.totals()["requests_per_s"] - found.served) <= 1e-6


def checked(columns: DeploymentColumns, found: Packed, bounds: dict[str, float]) -> DeploymentCheck:
    return DeploymentCheck(
        columns.replicas,
        columns.supplies,
        found.counts,
        columns.factors,
        bounds["requests_per_s"],
        spares=int(bounds["spares"]) if "spares" in bounds else None,
        same=columns.same,
        uncertain=columns.robust,
        bounds=bounds,
    )


@settings(SETTINGS, max_examples=40)
@given(instances(), st.sampled_from(["latency", "rate", "traffic", "losses", "at_once"]))
def test_standing_less_never_costs_more(instance: Any, part: str) -> None:
    """Without a part, or with fewer at once, a plan that held holds."""
    columns, bounds = instance
    bounds = bounds | {"requests_per_s": 1.0}
    less, fewer = {n: v for n, v in bounds.items() if n != f"robust.{part}"}, columns
    if part == "at_once":
        fewer = replace(columns, robust=replace(columns.robust, at_once=1))
    with_it, without = (optimum(c, (("chips", 1),), b) for c, b in ((columns, bounds), (fewer, less)))
    if with_it.status == "optimal":
        assert without.status == "optimal"
        assert without.values["chips"] <= with_it.values["chips"]
