"""Pipelines against brute force, and against deployments of like chips.

Guards the one price of a pipeline, whoever asks for it, and the search through structures: drawn chips,
engines and models, every structure, batch and split priced by the checker, which shares no code with it.
"""

from collections.abc import Iterator
from itertools import pairwise, product
from typing import Any

import drawn
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from optimizer import catalog
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.supply import supplies
from optimizer.errors import InputError
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.options import Options
from optimizer.questions.pipeline.check import PipelineCheck
from optimizer.questions.pipeline.columns import StagePrices
from optimizer.questions.pipeline.cut import Found, evenly
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.questions.pipeline.search import StageSearch
from optimizer.questions.pipeline.structures import Structures
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic
from optimizer.studies.solve import solve
from optimizer.studies.solve import solve as deploy
from optimizer.watch import UNWATCHED, Watch

SETTINGS = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def model(d: drawn.Draw) -> Architecture:
    """One or two kinds of layers, few of them."""
    kinds = [{"count": d.whole(1, 4)}, {"count": d.whole(1, 3), "d_ff": d.of([256, 4096, 16384])}]
    heads = {"n_heads": 16, "n_kv_heads": 8, "d_head": 128, "d_ff": 2048}
    layers = kinds[: d.of([1, 2])]
    own = {"name": "small", "d_model": 1024, "vocab_size": d.of([2000, 128_000]), "layers": layers}
    return Architecture.model_validate(
        own | heads | {"n_layers": sum(g["count"] for g in layers), "tied_embeddings": d.of([True, False])}
    )


def asked(d: drawn.Draw) -> tuple[Architecture, PipelineProblem]:
    """A question about two or three groups of drawn chips, some named twice."""
    chips = [drawn.written(drawn.chip(d, name)) for name in ("red", "blue")]
    groups = [
        {"chip": d.of(chips), "chips": d.of([1, 2, 4]), "tensor_parallel": d.of([[1], [1, 2]])}
        for _ in range(d.of([1, 2, 2]))
    ]
    for group in groups:
        if group["chips"] == 1:
            group["tensor_parallel"] = [1]
    problem = {
        "name": "random",
        "architecture": "nobody reads this",
        "pipeline": {"stages": groups},
        "deployment": {
            "batch": [d.of([1, 4]), d.of([32, 200])],
            "engine": drawn.written(drawn.engine(d)),
            "weight_dtype": d.of(["bf16", "int8"]),
        },
        "workload": {"input_tokens": d.of([64, 3000, 20_000]), "output_tokens": d.of([16, 400])},
        "constraints": d.of(
            [
                {},
                {"tpot_ms_max": d.of([0.5, 5, 50])},
                {"ttft_ms_max": d.of([1, 10, 100])},
                {"memory_capacity": d.of([0.01, 0.1, 0.5])},
            ]
        ),
        **d.of([{"maximize": "output_tokens_per_s"}, {"minimize": "tpot_ms"}]),
    }
    return model(d), PipelineProblem.model_validate(problem)


def search_of(own: Architecture, problem: PipelineProblem, watch: Watch = UNWATCHED) -> StageSearch:
    offered = [supplies([Offer(chip=g.chip)])[0] for g in problem.pipeline.stages]
    return StageSearch(Structures(own, problem, offered), SolveSettings(), watch)


@settings(SETTINGS, max_examples=6)
@given(drawn.by_hypothesis(asked))
def test_the_best_split_is_brute_forces(question: Any) -> None:
    own, problem = question
    try:
        search = search_of(own, problem)
    except InputError:
        assume(False)
    found = search.best(problem.constraints.model_dump())
    values = [check.metrics() for check in everything(own, problem) if not check.broken(check.metrics())]
    assert found.proven
    assert (found.best is None) is (not values)
    if found.best is not None:
        sign = -1 if problem.maximize else 1
        truth = min(sign * v[problem.maximize or "tpot_ms"] for v in values)
        value = found.best.rate if problem.maximize else 1e3 * found.best.tpot_s
        assert sign * value == pytest.approx(truth, rel=1e-8)


def everything(own: Architecture, problem: PipelineProblem) -> Iterator[PipelineCheck]:
    """Every cut of every group, every batch, every split."""
    cuts = []
    for group in problem.pipeline.stages:
        chip = catalog.chip(group.chip)
        ways: list[tuple[Any, ...]] = [()]
        for t in group.tensor_parallel or ():
            if group.chips % t == 0 and t <= chip.scaleup.domain:
                ways += [((chip, t),) * n for n in range(1, group.chips // t + 1)]
        cuts.append(ways)
    for chosen in product(*cuts):
        stages = tuple(stage for group in chosen for stage in group)
        if not 1 <= len(stages) <= own.n_layers:
            continue
        spreads = [list(ways_to_add_up(g.count, len(stages))) for g in own.layers]
        for counts, batch in product(product(*spreads), problem.deployment.batch):
            if all(map(any, zip(*counts, strict=True))):
                yield PipelineCheck(own, problem, stages, counts, batch, problem.constraints.model_dump())


def ways_to_add_up(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    for bars in product(range(total + 1), repeat=parts - 1):
        edges = (0, *bars, total)
        if all(a <= b for a, b in pairwise(edges)):
            yield tuple(b - a for a, b in pairwise(edges))


def like_chips(d: drawn.Draw) -> tuple[Any, ...]:
    chip = drawn.written(drawn.chip(d)) if d.of([True, False]) else d.of(["nvidia-h100-sxm", "nvidia-l40s"])
    size = {"input_tokens": d.of([64, 3000, 20_000]), "output_tokens": d.of([16, 400])}
    engine = drawn.written(drawn.engine(d))
    formats = {"weight_dtype": d.of(["bf16", "int8"]), "kv_dtype": d.of(drawn.CACHES)}
    return model(d), chip, d.of([1, 2, 4]), d.whole(1, 6), d.of([1, 8, 100]), size, engine, formats


@SETTINGS
@given(drawn.by_hypothesis(like_chips))
def test_a_pipeline_of_like_chips_is_a_deployment(drawn_case: Any) -> None:
    own, chip, t, p, batch, size, engine, formats = drawn_case
    own = own.model_copy(update={"layers": own.layers[:1]})  # alike, so that the longest stage is one number
    problem = PipelineProblem.model_validate(
        {
            "name": "like",
            "architecture": "nobody reads this",
            "pipeline": {"stages": [{"chip": chip, "chips": t * p, "tensor_parallel": t}]},
            "deployment": {"batch": [batch], "engine": engine, **formats},
            "workload": size,
            "minimize": "tpot_ms",
        }
    )
    space = ReplicaSpace.model_validate(
        {"tensor_parallel": t, "pipeline_parallel": p, "batch": batch * p, "engine": engine, **formats}
    )
    offered = supplies([Offer(chip=chip)])
    try:
        rows, _ = replica_columns(own, offered, space, Traffic(**size, percentile="none"))
    except InputError:
        rows = None
    prices = StagePrices(own, problem)
    costs = prices.priced(prices.setups_of(offered, ((t, p),)), batch)
    assert isinstance(costs, str) is (rows is None or not len(rows))
    if rows is None or isinstance(costs, str):
        return
    split = Found(costs, evenly([own.n_layers], p))
    own_figures = (split.rate / size["output_tokens"], 1e3 * split.tpot_s, 1e3 * split.ttft_s)
    columns = (rows.requests_per_s, rows.tpot_ms, rows.ttft_ms)
    same = [
        np.isclose(column, value, rtol=1e-9, atol=0)
        for column, value in zip(columns, own_figures, strict=True)
    ]
    alike = np.flatnonzero(np.all(same, axis=0))  # one of the ways in which the replica may lie in domains
    assert len(alike), (own_figures, columns)
    closest = int(alike[0])
    fullest = max(split.memory(s) for s in range(p)) / 2**30
    if own.n_layers % p == 0:
        assert fullest == pytest.approx(rows.memory_gib[closest], rel=1e-9)
    assert fullest <= rows.memory_gib[closest] * (1 + 1e-9)


def shipped(**changes: Any) -> PipelineProblem:
    h100, a100 = "nvidia-h100-sxm", "nvidia-a100-80-sxm"
    return PipelineProblem.model_validate(
        {
            "name": "unlike",
            "architecture": "meta-llama/Llama-3.1-8B",
            "pipeline": {
                "stages": [{"chip": c, "chips": 4, "tensor_parallel": 4} for c in (h100, a100, h100)]
            },
            "workload": {"input_tokens": 2000, "output_tokens": 400},
            "maximize": "output_tokens_per_s",
        }
        | changes
    )


def test_chips_of_a_kind_named_twice_count_twice() -> None:
    found = solve(shipped())
    assert found.metrics["chips"] == 12
    assert found.metrics["usd_per_hour"] == pytest.approx(2 * 4 * 1.3 + 4 * 1.39, rel=0.2)


def test_two_ways_to_ask_for_like_chips() -> None:
    """Once 6,890 tokens/s as a pipeline, 7,987 as a deployment."""
    h100, common = "nvidia-h100-sxm", {"name": "like", "architecture": "meta-llama/Llama-3.1-8B"}
    rest: dict[str, Any] = {
        "workload": {"input_tokens": 2000, "output_tokens": 400},
        "maximize": "output_tokens_per_s",
    }
    stages = {"stages": [{"chip": h100, "chips": 4, "tensor_parallel": 2}]}
    pipeline = PipelineProblem.model_validate(
        common | rest | {"pipeline": stages, "deployment": {"batch": [32]}}
    )
    split = {"tensor_parallel": 2, "pipeline_parallel": 2, "batch": 64}
    full = {"workload": rest["workload"] | {"percentile": "none"}}
    deployment = DeploymentProblem.model_validate(
        common | rest | full | {"hardware": [{"chip": h100, "max_count": 4}], "deployment": split}
    )
    assert solve(pipeline).objective.value == pytest.approx(deploy(deployment).objective.value, rel=1e-8)


def test_a_stage_may_stand_idle_where_that_is_better() -> None:
    """A token passes fewer turns: its time falls though the chip beside is free."""
    slow = {
        "stages": [{"chip": c, "chips": 1, "tensor_parallel": 1} for c in ("nvidia-l4", "nvidia-h100-sxm")]
    }
    found = solve(shipped(pipeline=slow, maximize=None, minimize="tpot_ms", deployment={"batch": [1]}))
    assert [stage.chip for stage in found.stages] == ["nvidia-h100-sxm"]
    assert (found.metrics["chips"], found.metrics["chips_idle"]) == (2, 1)


def test_order_of_batches_and_dropped_limits_are_irrelevant() -> None:
    plain = solve(shipped(deployment={"batch": [8, 64, 256]})).objective.value
    assert solve(shipped(deployment={"batch": [256, 8, 64]})).objective.value == plain
    far = {"tpot_ms_max": 1e6, "ttft_ms_max": 1e6}
    assert solve(shipped(deployment={"batch": [8, 64, 256]}, constraints=far)).objective.value == plain


def test_stopped_early_it_says_what_is_known() -> None:
    found = solve(shipped(), Options(cancelled=lambda: True))
    assert (found.status, found.stages) == ("unknown", ())
    assert found.objective.bound is not None
    best = solve(shipped()).objective.value
    assert best is not None and found.objective.bound >= best


def test_stopped_with_a_plan_it_shows_the_plan_and_the_gap() -> None:
    told: list[Any] = []
    options = Options(cancelled=lambda: bool(told), tell=told.append)
    problem = shipped(
        architecture="meta-llama/Llama-3.3-70B-Instruct",
        pipeline={"stages": [{"chip": c, "chips": 4} for c in ("nvidia-a100-80-sxm", "nvidia-h100-sxm")]},
    )
    found = solve(problem, options)
    assert (found.status, found.objective.gap is not None) == ("feasible", True)
    assert told[0].incumbent == pytest.approx(found.objective.value)
