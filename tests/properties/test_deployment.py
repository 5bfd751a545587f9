"""Deployments against brute force: the optimum of every small instance, and what must never happen.

Guards the integer programmes, the pruning of dominated configurations and the packing into nodes: a wrong
one would answer with confidence. Adding chips or relaxing a bound never makes an answer worse.
"""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from packing_oracle import brute_force

from optimizer.anatomy.losses import left
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.levels import held
from optimizer.questions.deployment.optimum import Packed, optimum

CHIPS = ("red", "blue")
MOST = 4
"""Replicas of one row at most, which the inventories below never exceed."""


def _blocks(chips: int) -> list[str]:
    """All in one domain, and cut in two."""
    return [
        str(chips),
        *(f"{chips - part}+{part}" for part in range(1, chips // 2 + 1) if chips - part > part),
    ]


@st.composite
def replicas(draw: Any) -> Replicas:
    """A few configurations of every mode, some of several groups, with experts apart, or of awkward sizes."""
    rows = []
    for k in range(draw(st.integers(1, 4))):
        group = draw(st.sampled_from([1, 2, 3, 4]))
        mode = draw(st.sampled_from(["aggregated", "prefill", "decode"]))
        apart = draw(st.sampled_from([0, 1, 2, 3])) if mode == "decode" else 0
        rows.append(
            {
                "mode": mode,
                "chip": draw(st.sampled_from(CHIPS)),
                "tensor_parallel": group,
                "pipeline_parallel": 1,
                "expert_parallel": 1,
                "data_parallel": 1,
                "batch": 1,
                "weight_dtype": "bf16",
                "kv_dtype": draw(st.sampled_from(["bf16", "bf16", "fp8"])),
                "chips": (chips := group * draw(st.sampled_from([1, 1, 2]))),
                "domains": draw(st.sampled_from([f"{chips // group}x{group}", *_blocks(chips)])),
                "requests_per_s": draw(st.integers(1, 5_000_000)) / 1e6,
                "ttft_ms": draw(st.sampled_from([100.0, 500.0])),
                "tpot_ms": draw(st.sampled_from([10.0, 50.0])),
                "memory_gib": draw(st.sampled_from([0.0, 50.0, 90.0])),
                "label": f"row {k}",
                "expert_chip": draw(st.sampled_from(CHIPS)) if apart else "",
                "expert_chips": apart,
                "expert_memory_gib": draw(st.sampled_from([0.0, 60.0])) if apart else 0.0,
            }
        )
    return Replicas.of(rows)


@st.composite
def supplies(draw: Any) -> tuple[Supply, ...]:
    def one(name: str) -> Supply:
        return Supply(
            name=name,
            count=draw(st.integers(0, 9)),
            usd_per_hour=draw(st.sampled_from([1.3, 2.05, 3.0])),
            power_w=draw(st.sampled_from([700.0, 1000.5])),
            node=draw(st.sampled_from([None, 4, 4, 5, 8])),
            usable_gib=80.0,
            chip=None,
        )

    return tuple(one(name) for name in CHIPS)


@st.composite
def instances(draw: Any) -> tuple[DeploymentColumns, str, int, dict[str, float]]:
    """Columns, an objective and bounds."""
    offered = draw(supplies())
    columns = DeploymentColumns(
        replicas=draw(replicas()),
        supplies=offered,
        demand=None,
        same=draw(st.booleans()),
        factors={"prefill": draw(st.sampled_from([1.0, 0.9])), "decode": draw(st.sampled_from([1.0, 0.92]))},
        percentile=None,
        dropped={},
    )
    bounds = {f"inventory:{s.name}": float(s.count or 0) for s in offered}
    bounds |= draw(
        st.fixed_dictionaries(
            {},
            optional={
                "ttft_ms_max": st.sampled_from([200.0, 1000.0]),
                "tpot_ms_max": st.sampled_from([20.0, 100.0]),
                "memory_capacity": st.sampled_from([0.7, 1.0]),
                "chips_max": st.integers(0, 12),
                "usd_per_hour_max": st.sampled_from([5.0, 12.3]),
                "utilisation_max": st.sampled_from([0.8, 1.0]),
            },
        )
    )
    name, sense = draw(
        st.sampled_from(
            [("chips", 1), ("usd_per_hour", 1), ("power_w", 1), ("nodes", 1), ("requests_per_s", -1)]
        )
    )
    if name == "nodes":
        assume(all(s.node for s in offered))
    if sense > 0:
        bounds["requests_per_s"] = draw(st.integers(1, 15_000_000)) / 1e6
    return columns, name, sense, bounds


SETTINGS = settings(
    max_examples=160, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)


def value_of(found: Packed, name: str) -> Fraction | None:
    return Fraction(repr(found.values[name])) if name in found.values else None


@SETTINGS
@given(instances())
def test_the_optimum_is_brute_forces(instance: Any) -> None:
    compare(*instance)


@settings(SETTINGS, max_examples=150)
@given(instances())
def test_the_optimum_is_brute_forces_for_one_setup_per_phase(instance: Any) -> None:
    columns, name, sense, bounds = instance
    compare(DeploymentColumns(**{**vars(columns), "same": not columns.same}), name, sense, bounds)


@settings(SETTINGS, max_examples=200)
@given(instances(), st.sampled_from([1, 1, 2, 3]))
def test_the_optimum_with_spares_is_brute_forces(instance: Any, spares: int) -> None:
    """Every choice of replicas to lose is tried, for replicas as unlike as they were drawn."""
    columns, name, sense, bounds = instance
    compare(columns, name, sense, {"requests_per_s": 1e-8} | bounds | {"spares": spares})


@settings(SETTINGS, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=4), st.integers(0, 5))
def test_what_is_held_is_what_is_left_of_the_worst_loss(replicas: Any, lost: int) -> None:
    """The planner's levels and the checker's removal say the same as dropping the largest one by one."""
    rates, counts = [r for r, _ in replicas], [n for _, n in replicas]
    each = sorted(r for r, n in replicas for _ in range(n))
    worst = sum(each[: max(0, len(each) - lost)])
    assert held(rates, counts, lost) == worst
    after = left(dict(enumerate(counts)), dict(enumerate(rates)), lost)
    assert sum(rates[i] * n for i, n in after.items()) == worst


def compare(columns: DeploymentColumns, name: str, sense: int, bounds: dict[str, float]) -> None:
    most = 9 if len(columns.replicas) < 3 else MOST
    capped = {**bounds}
    for s in columns.supplies:  # brute force tries at most `most` replicas of a row: make that no limit
        smallest = min((g for g, c in pairs(columns) if c == s.name), default=1)
        capped[f"inventory:{s.name}"] = min(bounds[f"inventory:{s.name}"], float(most * smallest))
    found = optimum(columns, ((name, sense),), capped)
    truth = brute_force(columns, name, sense, capped, most)
    if truth is None:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    value = value_of(found, name)
    assert value is not None
    assert abs(value - truth) <= Fraction(1, 10**6)
    checked = DeploymentCheck(
        columns.replicas,
        columns.supplies,
        found.counts,
        columns.factors,
        capped.get("requests_per_s"),
        capped.get("utilisation_max", 1.0),
        spares=capped.get("spares"),
        same=columns.same,
    )
    assert not checked.broken(capped)
    if "spares" in capped:
        totals = checked.totals()
        assert totals["spares"] >= capped["spares"]
        assert totals["requests_per_s"] == pytest.approx(found.served, abs=1e-6)


def pairs(columns: DeploymentColumns) -> list[tuple[int, str]]:
    return list(zip(columns.replicas.chips.tolist(), columns.replicas.chip.tolist(), strict=True))


LOOSER = {"chips_max": 2, "usd_per_hour_max": 1.1, "ttft_ms_max": 300.0, "tpot_ms_max": 40.0}


@settings(SETTINGS, max_examples=60)
@given(instances(), st.sampled_from([*LOOSER, "inventory:red", "inventory:blue", "requests_per_s"]))
def test_more_chips_or_a_looser_bound_is_never_worse(instance: Any, change: str) -> None:
    columns, name, sense, bounds = instance
    assume(change in bounds)
    step = {"requests_per_s": -0.5}.get(change, LOOSER.get(change, 3))
    looser = {**bounds, change: max(1e-6, bounds[change] + step)}
    before = optimum(columns, ((name, sense),), bounds)
    after = optimum(columns, ((name, sense),), looser)
    if before.status == "optimal":
        assert after.status == "optimal"
        assert sense * after.values[name] <= sense * before.values[name] + 1e-9


@settings(SETTINGS, max_examples=120)
@given(instances(), st.sampled_from(CHIPS), st.sampled_from(CHIPS), st.integers(1, 3))
def test_experts_on_other_chips_are_counted(instance: Any, own: str, other: str, apart: int) -> None:
    """A prefill row, and a decode row whose experts lie apart, and what else was drawn."""
    columns, name, sense, bounds = instance
    plain = {"pipeline_parallel": 1, "expert_parallel": 1, "data_parallel": 1, "batch": 1}
    plain |= {"weight_dtype": "bf16", "kv_dtype": "bf16", "ttft_ms": 100.0, "tpot_ms": 10.0}
    plain |= {"memory_gib": 50.0, "label": "", "requests_per_s": 2.5}
    pair = [
        plain | {"mode": "prefill", "chip": own, "tensor_parallel": 1, "chips": 1},
        plain
        | {"mode": "decode", "chip": own, "tensor_parallel": 2, "chips": 2}
        | {"expert_chip": other, "expert_chips": apart, "expert_memory_gib": 50.0},
    ]
    drawn = columns.replicas.take(slice(0, 1))
    table = Replicas.together([Replicas.of(pair), drawn])
    compare(DeploymentColumns(**{**vars(columns), "replicas": table}), name, sense, bounds)


@pytest.mark.parametrize("stock, replicas_that_fit", [(8, 2), (9, 2), (11, 3), (16, 4), (19, 5)])
def test_a_group_does_not_straddle_two_nodes(stock: int, replicas_that_fit: int) -> None:
    """Groups of three in nodes of eight: nine chips are a node and one chip, and hold two, not three."""
    row = {
        "mode": "aggregated",
        "chip": "red",
        "tensor_parallel": 3,
        "chips": 3,
        "batch": 1,
        "label": "threes",
    }
    row |= {"weight_dtype": "bf16", "kv_dtype": "bf16", "ttft_ms": 1.0, "tpot_ms": 1.0, "memory_gib": 0.0}
    table = Replicas.of([row | {"requests_per_s": 1.0}])
    red = Supply("red", stock, 1.0, 1.0, 8, None, None)
    columns = DeploymentColumns(table, (red,), None, False, {}, None, {})
    found = optimum(columns, (("requests_per_s", -1),), {"inventory:red": float(stock)})
    assert (found.status, found.served) == ("optimal", replicas_that_fit)
