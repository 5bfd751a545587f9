"""Each rule of the programme of a deployment, by a table on which the rule alone decides the answer.

Guards what random tables seldom meet: two setups that only together are best, one chip too few, caches that
cannot be handed over, an earlier objective that is held exactly.
"""

from typing import Any

import pytest

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.questions.deployment.check import DeploymentCheck
from optimizer.questions.deployment.optimum import Packed, optimum

ROW: dict[str, Any] = {
    "mode": "aggregated", "chip": "red", "tensor_parallel": 1, "pipeline_parallel": 1, "expert_parallel": 1,
    "data_parallel": 1, "batch": 1, "weight_dtype": "bf16", "kv_dtype": "bf16", "chips": 1,
    "requests_per_s": 1.0, "ttft_ms": 100.0, "tpot_ms": 10.0, "memory_gib": 0.0, "label": "",
}  # fmt: skip
LOOSE = Supply("red", None, 2.0, 700.0, None, None, None)


def row(chips: int, rate: float, **fields: Any) -> dict[str, Any]:
    return ROW | {"chips": chips, "requests_per_s": rate} | fields


def solved(
    rows: list[dict[str, Any]],
    objectives: Any,
    bounds: dict[str, float],
    same: bool = False,
    supplies: tuple[Supply, ...] = (LOOSE,),
    factors: dict[str, float] | None = None,
) -> Packed:
    """The optimum, which the checker accepts."""
    columns = DeploymentColumns(Replicas.of(rows), supplies, None, same, factors or {}, None, {})
    found = optimum(columns, objectives, bounds)
    check = DeploymentCheck(
        columns.replicas, supplies, found.counts, columns.factors, bounds.get("requests_per_s"), same=same
    )
    assert check.broken(bounds) == []
    return found


CHIPS = (("chips", 1),)
MOST = (("requests_per_s", -1),)


@pytest.mark.parametrize("same, counts, chips", [(False, {0: 1, 1: 1}, 3), (True, {0: 2}, 4)])
def test_one_setup_for_all_whole_replicas(same: bool, counts: dict[int, int], chips: int) -> None:
    found = solved([row(2, 1.0), row(1, 0.3)], CHIPS, {"requests_per_s": 1.3}, same)
    assert (found.counts, found.values["chips"]) == (counts, chips)


@pytest.mark.parametrize("same, chips", [(False, 4), (True, 5)])
def test_one_setup_for_each_of_two_pools(same: bool, chips: int) -> None:
    """Decode: 2 chips for 1.0 and 1 for 0.3; 1.3 asked for, and one prefill chip does."""
    rows = [row(1, 2.0, mode="prefill"), row(2, 1.0, mode="decode"), row(1, 0.3, mode="decode")]
    assert solved(rows, CHIPS, {"requests_per_s": 1.3}, same).values["chips"] == chips


@pytest.mark.parametrize("same, chips", [(False, 4), (True, 5)])
def test_one_setup_for_each_of_two_prefill_pools(same: bool, chips: int) -> None:
    rows = [row(1, 2.0, mode="decode"), row(2, 1.0, mode="prefill"), row(1, 0.3, mode="prefill")]
    assert solved(rows, CHIPS, {"requests_per_s": 1.3}, same).values["chips"] == chips


@pytest.mark.parametrize("same, chips", [(False, 4), (True, 5)])
def test_whole_replicas_beside_pools_are_two_setups(same: bool, chips: int) -> None:
    """1.3 asked for: a pair serves 1.0 on 3 chips, a whole replica 0.3 on one, and five serve 1.5."""
    rows = [row(1, 0.3), row(1, 1.0, mode="prefill"), row(2, 1.0, mode="decode")]
    found = solved(rows, CHIPS, {"requests_per_s": 1.3}, same)
    assert found.values["chips"] == chips


@pytest.mark.parametrize("formats, chips", [(("bf16", "bf16"), 4), (("fp8", "fp8"), 4), (("bf16", "fp8"), 5)])
def test_caches_of_one_format(formats: tuple[str, str], chips: int) -> None:
    """One chip of each pool does in a format of its own; in the other's it takes four, or two and three."""
    prefill, decode = formats
    other = {"bf16": "fp8", "fp8": "bf16"}
    rows = [
        row(2, 1.0, mode="prefill", kv_dtype=prefill),
        row(3, 1.0, mode="prefill", kv_dtype=other[prefill]),
        row(2, 1.0, mode="decode", kv_dtype=decode),
        row(3, 1.0, mode="decode", kv_dtype=other[decode]),
    ]
    assert solved(rows, CHIPS, {"requests_per_s": 1.0}).values["chips"] == chips


@pytest.mark.parametrize("stock, rate", [(2, 2.0), (3, 3.5), (4, 4.0), (5, 5.5), (6, 7.0)])
def test_chips_there_are(stock: int, rate: float) -> None:
    """Replicas of 3 and of 2 chips, where nobody knows the nodes."""
    found = solved([row(3, 3.5), row(2, 2.0)], MOST, {"inventory:red": float(stock)})
    assert found.served == rate


@pytest.mark.parametrize("stock, rate", [(4, 0.0), (5, 1.0), (9, 1.0), (10, 2.0)])
def test_experts_of_the_same_kind_count(stock: int, rate: float) -> None:
    """A decode replica of 2 chips and 2 for its experts, and a prefill replica of one."""
    rows = [
        row(1, 1.0, mode="prefill"),
        row(2, 1.0, mode="decode", expert_chip="red", expert_chips=2),
    ]
    assert solved(rows, MOST, {"inventory:red": float(stock)}).served == rate


@pytest.mark.parametrize("red, blue, rate", [(3, 2, 1.0), (2, 2, 0.0), (3, 1, 0.0), (6, 4, 2.0), (6, 3, 1.0)])
def test_experts_of_another_kind_count_there(red: int, blue: int, rate: float) -> None:
    rows = [
        row(1, 1.0, mode="prefill"),
        row(2, 1.0, mode="decode", expert_chip="blue", expert_chips=2),
    ]
    both = (LOOSE, Supply("blue", None, 1.0, 100.0, None, None, None))
    stock = {"inventory:red": float(red), "inventory:blue": float(blue)}
    found = solved(rows, MOST, stock, supplies=both)
    assert found.served == rate
    if rate == 2:
        assert found.counts == {0: 2, 1: 2}
        cost = solved(rows, (("usd_per_hour", 1),), {"requests_per_s": 2.0}, supplies=both)
        assert cost.values["usd_per_hour"] == 6 * 2.0 + 4 * 1.0


def test_an_earlier_objective_is_held_exactly() -> None:
    """Forty chips serve 40; two more would serve much more, and are not taken."""
    rows = [row(1, 1.0), row(42, 100.0)]
    found = solved(rows, (*CHIPS, *MOST), {"requests_per_s": 40.0, "inventory:red": 80.0})
    assert (found.values["chips"], found.served) == (40, 40.0)
    most = solved(rows, (*MOST, *CHIPS), {"inventory:red": 80.0})
    assert (most.served, most.values["chips"]) == (138.0, 80)


def test_the_thinner_pool_serves() -> None:
    rows = [row(1, 1.0), row(1, 3.0, mode="prefill"), row(1, 0.5, mode="decode")]
    found = solved(rows, MOST, {"inventory:red": 2.0})
    assert (found.served, found.counts) == (2.0, {0: 2})
    pair = solved(rows[1:], MOST, {"inventory:red": 3.0})
    assert (pair.served, pair.counts) == (1.0, {0: 1, 1: 2})
    planned = solved(rows[1:], MOST, {"inventory:red": 3.0}, factors={"decode": 0.9})
    assert planned.served == pytest.approx(0.9)


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_totals_are_kept_at_their_limits(replicas: int) -> None:
    """Replicas of three chips, at 2 USD/h and 700 W a chip."""
    for name, each in (("chips", 1.0), ("usd_per_hour", 2.0), ("power_w", 700.0)):
        limit = replicas * 3 * each
        for spare, fit in ((0.0, replicas), (2.99 * each, replicas), (-0.001 * each, replicas - 1)):
            assert solved([row(3, 2.0)], MOST, {f"{name}_max": limit + spare}).served == fit * 2.0


@pytest.mark.parametrize("nodes, rate", [(1, 2.0), (2, 4.0), (3, 6.0)])
def test_nodes_are_a_limit(nodes: int, rate: float) -> None:
    """Nodes of eight chips hold two groups of three each."""
    red = Supply("red", None, 2.0, 700.0, 8, None, None)
    found = solved([row(3, 1.0, tensor_parallel=3)], MOST, {"nodes_max": float(nodes)}, supplies=(red,))
    assert found.served == rate
    fewest = solved(
        [row(3, 1.0, tensor_parallel=3)], (("nodes", 1),), {"requests_per_s": rate}, supplies=(red,)
    )
    assert fewest.values["nodes"] == nodes


@pytest.mark.parametrize("stock, rate", [(8, 8.0), (12, 12.0), (15, 14.0), (16, 16.0), (20, 20.0)])
def test_blocks_of_several_sizes_in_the_same_nodes(stock: int, rate: float) -> None:
    """Whole nodes for eights, what is left for fours and twos."""
    red = Supply("red", None, 2.0, 700.0, 8, None, None)
    rows = [row(n, float(n), tensor_parallel=n) for n in (8, 4, 2)]
    found = solved(rows, MOST, {"inventory:red": float(stock)}, supplies=(red,))
    assert found.served == rate
    eights = [row(8, 9.0, tensor_parallel=8), row(4, 4.0, tensor_parallel=4)]
    found = solved(eights, MOST, {"inventory:red": float(stock)}, supplies=(red,))
    assert found.served == stock // 8 * 9 + stock % 8 // 4 * 4


def test_a_replica_that_fits_is_not_covered_by_one_that_does_not() -> None:
    """Six chips as 3 and 3 are faster, but only 5 and 1 lie in nodes of five and one."""
    red = Supply("red", None, 2.0, 700.0, 5, None, None)
    rows = [row(6, 2.0, domains="2x3"), row(6, 1.5, domains="5+1"), row(6, 1.0, domains="6x1")]
    for stock, rate in ((6, 1.5), (8, 2.0), (5, 0.0), (13, 3.5), (12, 3.0)):
        found = solved(rows, MOST, {"inventory:red": float(stock)}, supplies=(red,))
        assert found.served == rate


def test_a_little_more_for_a_little_more() -> None:
    """One chip more serves 4 % more, which is what is asked for."""
    rows = [row(10, 1.0), row(11, 1.04), row(12, 1.06)]
    for demand, chips in ((1.0, 10), (1.01, 11), (1.04, 11), (1.05, 12), (1.07, 20)):
        assert solved(rows, CHIPS, {"requests_per_s": demand}).values["chips"] == chips
