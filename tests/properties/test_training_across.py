"""Training over clusters against brute force: every plan that words allow, each priced from its stages alone.

Guards the proof: a bound above a plan of its cell, a way that is never looked at, or layers placed by a rule
that is only nearly right would make 'no plan is better' untrue.
"""

import random
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from optimizer import catalog, read_problem
from optimizer.blocks import n_experts
from optimizer.cost.training.across import Stages, priced_across
from optimizer.cost.training.job import job, shape_of
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.rules import facts_of, kept
from optimizer.cost.training.work import work
from optimizer.questions.question import Ask, question_of
from optimizer.questions.training_across.layers import Part, Question, placed
from optimizer.spec.training import TrainingSetup

SMALL = {
    "name": "small",
    "d_model": 1024,
    "n_layers": 4,
    "n_heads": 8,
    "n_kv_heads": 4,
    "d_head": 128,
    "d_ff": 4096,
    "vocab_size": 32000,
}
MIXTURE = SMALL | {"name": "mixture", "n_experts": 4, "n_active_experts": 2, "d_expert": 1024}
SEEDS = 10
CHIPS = ["nvidia-h100-sxm", "nvidia-a100-80-sxm", "nvidia-b200-sxm", "amd-mi300x", "google-tpu-v5p"]


def compositions(n: int, parts: int) -> list[tuple[int, ...]]:
    """Every way to give `parts` stages a layer or more each."""
    if parts == 1:
        return [(n,)]
    return [(k, *rest) for k in range(1, n - parts + 2) for rest in compositions(n - k, parts - 1)]


def drawn(seed: int) -> dict[str, Any]:
    """A problem with few enough plans to list them all."""
    draw = random.Random(seed)

    def some(values: list[Any], most: int = 2) -> list[Any]:
        return draw.sample(values, draw.randint(1, min(most, len(values))))

    model = draw.choice([SMALL, SMALL, MIXTURE]) | {"n_layers": draw.choice([1, 2, 3, 4, 5])}
    offers = [
        {"chip": chip, "chips": draw.choice([1, 2, 3, 4]), "tensor_parallel": some([1, 2, 4])}
        | draw.choice([{}, {"expert_parallel": some([1, 2])} if "n_experts" in model else {}])
        | draw.choice([{}, {}, {"stages": [1, *some([2, 3])]}, {"context_parallel": some([1, 2])}])
        for chip in draw.sample(CHIPS, draw.choice([1, 2, 2, 2, 3]))
    ]
    setup = {
        "recompute": some(["none", "light", "selective", "full"]),
        "zero_stage": some([0, 1]),
        "microbatch": some([1, 2]),
        "engine": draw.choice(["megatron", "pytorch", "deepspeed", "xla"]),
        "overlap": draw.random() < 0.7,
        "dtype": draw.choice(["bf16", "fp8"]),
        "sequence_parallel": draw.random() < 0.7,
    }
    link = {"bandwidth": draw.choice(["0.2 GB/s", "50 GB/s"]), "latency": "50 us"}
    return {
        "name": "drawn",
        "train_model": model,
        "train_on": offers,
        "global_batch": draw.choice([1, 2, 4, 6]),
        "sequence_length": draw.choice([512, 2048]),
        "network": link,
        "setup": setup,
        "minimize": "step_s",
    }


def setups(problem: Any, g: int, way: tuple[Any, ...], d: int, b: int, stages: int) -> TrainingSetup:
    """The stages of one cluster as a setup of their own."""
    own = problem.setup.model_dump(include={"engine", "overlap", "dtype", "sequence_parallel"})
    names = ("tensor_parallel", "context_parallel", "expert_parallel", "recompute", "zero_stage")
    shared = {"data_parallel": d, "microbatch": b, "pipeline_parallel": stages}
    batch = {"global_batch": problem.global_batch, "sequence_length": problem.sequence_length}
    return TrainingSetup(**own, **dict(zip(names, way, strict=False)), **shared, **batch)


def ways(problem: Any, offer: Any, experts: tuple[int, ...], d: int, most: int) -> list[tuple[Any, ...]]:
    """Degrees, what is computed again and sharded, the number of stages: all that there are chips for."""
    space = problem.setup
    degrees = (offer.tensor_parallel, offer.context_parallel, offer.expert_parallel or experts)
    stages = offer.stages or range(1, most + 1)
    found = product(*degrees, space.recompute, space.zero_stage, stages)
    return [way for way in found if way[0] * way[1] * way[-1] * d <= offer.chips]


def every_plan(problem: Any, question: Any) -> Iterator[tuple[float, dict[str, int], float, float]]:
    """(step, chips of each kind, bytes on the fullest chip, the largest share of a chip) of every plan."""
    model, n = question.model, question.model.n_layers

    @cache
    def stage(g: int, way: tuple[Any, ...], d: int, b: int, stages: int) -> Any:
        setup, chip = setups(problem, g, way, d, b, stages), question.clusters[g].chip
        rules = kept(facts_of(model, chip), layout_of(setup)).items()
        holds = all(bool(value) for name, value in rules if name != "chips_connected")
        return (chip, layout_of(setup), work(model, chip, shape_of(setup))) if holds else None

    experts = (1, 2, 4) if n_experts(model.first.ffn) else (1,)
    places = range(len(problem.train_on))
    orders = [order for k in range(1, len(places) + 1) for order in permutations(places, k)]
    for d, b, order in product(range(1, problem.global_batch + 1), problem.setup.microbatch, orders):
        for some in product(*(ways(problem, problem.train_on[g], experts, d, n) for g in order)):
            p = sum(way[-1] for way in some)
            parts = [stage(g, way[:-1], d, b, p) for g, way in zip(order, some, strict=True)]
            if p > n or None in parts:
                continue
            chips = {
                part[0].name: way[0] * way[1] * way[-1] * d for part, way in zip(parts, some, strict=True)
            }
            for layers in compositions(n, p):
                left, run = list(layers), []
                for part, way in zip(parts, some, strict=True):
                    run.append(Stages(*part, tuple(left[: way[-1]])))
                    left = left[way[-1] :]
                across = priced_across(model, run, question.link)
                held = [float(own.total) for own in across.memory]
                rooms = [own.chip.hbm_for_programs for own in run for _ in own.layers]
                yield across.step_s, chips, max(held), max(a / r for a, r in zip(held, rooms, strict=True))


def figures(
    problem: Any, question: Any, plan: tuple[float, dict[str, int], float, float]
) -> dict[str, float]:
    """Metrics of a plan, from their sentences."""
    step_s, chips, held, _ = plan
    prices = {own.chip.name: own.chip.usd_per_chip_hour for own in question.clusters}
    n, tokens = sum(chips.values()), problem.global_batch * problem.sequence_length
    hours = step_s / 3600 * problem.training_tokens / tokens / float(effective_share(problem.long_run, n))
    usd = (
        {} if None in prices.values() else {"train_usd": hours * sum(prices[c] * k for c, k in chips.items())}
    )
    rate = tokens / step_s / n
    return {
        "step_s": step_s,
        "chips": n,
        "memory_gib": held / 2**30,
        "train_tokens_per_s_per_chip": rate,
    } | usd


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_plan_that_words_allow_is_better(seed: int) -> None:
    """The optimum of every metric, with all memory and with some of it, is that of the list of all plans."""
    problem = read_problem(drawn(seed))
    question, draw = question_of(problem), random.Random(seed)
    plans = [(plan[3], figures(problem, question, plan)) for plan in every_plan(problem, question)]
    shares = sorted(share for share, _ in plans) or [1.0]
    for metric in draw.sample(question.metrics(), 3):
        if metric not in (plans[0][1] if plans else {"step_s"}):
            continue
        share = draw.choice([1.0, 1e3, shares[len(shares) // 4] * 1.001])
        aim = question.aim(metric)
        kept_by = [own[metric] for held, own in plans if held <= share]
        found = question.optimum(Ask(aims=(aim,), values={"memory_capacity": share})).plan
        if found is None:
            assert not kept_by
        else:
            assert found.metrics[metric] == pytest.approx(aim.sign * min(aim.sign * v for v in kept_by))


def test_layers_are_placed_as_all_placements_say() -> None:
    """Structures drawn at random, their layers placed in every way: no placement takes less."""
    draw = random.Random(0)
    none = 0
    for _ in range(150):
        n = draw.randint(1, 8)
        parts = tuple(
            Part(
                draw.choice([1.0, 2.0, 3.0, 1.7, 5.0]),
                np.array([0.0] + [draw.random() * draw.choice([0, 1, 10]) for _ in range(n)]),
                tuple(draw.randint(draw.random() < 0.95, n) for _ in range(draw.randint(1, 3))),
            )
            for _ in range(draw.randint(1, 3))
        )
        sizes = [len(part.most) for part in parts]
        turns, weight = draw.choice([1.0, 2.0, 20.0]), draw.choice([0.0, 0.5, 0.9])
        asked = Question(n, turns, weight, parts, draw.choice([0.0, 0.5, 10.0]), 0.1)
        steps = []
        for layers in compositions(n, sum(sizes)) if sum(sizes) <= n else []:
            ends = np.cumsum(sizes)
            own = [layers[end - size : end] for end, size in zip(ends, sizes, strict=True)]
            if all(
                k <= most
                for part, mine in zip(parts, own, strict=True)
                for k, most in zip(mine, part.most, strict=True)
            ):
                times = [part.layer_s * k for part, mine in zip(parts, own, strict=True) for k in mine]
                times[-1] += asked.head_s
                end = max(part.end_s[max(mine)] for part, mine in zip(parts, own, strict=True))
                steps.append(turns * max(times) + weight * sum(times) + end + 0.1)
        found = placed(asked)
        none += found is None
        assert (found is None) == (not steps)
        if found is not None:
            assert found.step_s == pytest.approx(min(steps))
            assert sum(map(sum, found.layers)) == n and list(map(len, found.layers)) == sizes
            assert asked.least_s <= found.step_s * (1 + 1e-12)
    assert 10 < none < 120


@pytest.mark.parametrize("engine", ["megatron", "pytorch"])
def test_equal_stages_of_one_cluster_are_the_run_on_one_kind_of_chip(engine: str) -> None:
    """Its step and its fullest chip, part by part: the law of unlike stages has the other's as a case."""
    model, chip = catalog.model("meta-llama/Llama-3.2-1B"), catalog.chip("nvidia-h100-sxm")
    for p, t, zero, again in product((1, 2, 8), (1, 2), (0, 1), ("none", "full")):
        setup = TrainingSetup(
            tensor_parallel=t, pipeline_parallel=p, data_parallel=2, global_batch=16, zero_stage=zero,
            recompute=again, engine=engine,
        )  # fmt: skip
        own, at = job(model, chip, setup), layout_of(setup)
        layers = (model.n_layers // p,) * p
        run = [Stages(chip, at, work(model, chip, shape_of(setup)), layers)]
        across = priced_across(model, run, None)
        for field in fields(own.times):
            assert getattr(across.times, field.name) == pytest.approx(
                float(getattr(own.times, field.name)), rel=1e-12, abs=1e-12
            )
        held = max(float(memory.total) for memory in across.memory)
        assert held == pytest.approx(float(own.memory.total), rel=1e-12)
