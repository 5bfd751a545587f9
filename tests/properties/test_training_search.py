"""The search over training settings against brute force over the scalar estimate.

Guards the proof: a bound above a setting of its split loses the optimum, and a lattice that misses settings
makes 'no setting is better' untrue.
"""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.cost.training.job import job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.rules import facts_of, kept
from optimizer.errors import InternalMismatch
from optimizer.questions.training import lattice as lattice_module
from optimizer.questions.training.choices import setup_of
from optimizer.questions.training.lattice import Lattice
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.search import Counts, Limits, search, witness
from optimizer.questions.training.splits import divisors
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup
from optimizer.studies import solve as train_solve
from optimizer.watch import UNWATCHED

QUICK = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
SMALL = {
    "name": "small",
    "d_model": 1024,
    "n_layers": 6,
    "n_heads": 8,
    "n_kv_heads": 4,
    "d_head": 128,
    "d_ff": 4096,
    "vocab_size": 32000,
}
MIXTURE = SMALL | {"n_experts": 4, "n_active_experts": 2, "d_expert": 1024}
GROUPED = MIXTURE | {"n_expert_groups": 2, "n_active_expert_groups": 1}
MODELS = [
    *(Architecture.model_validate(own) for own in (SMALL, MIXTURE, GROUPED)),
    *(catalog.model(name) for name in sorted(catalog.models())),
]


@st.composite
def problems(draw):
    """(problem, architecture, chip, bytes): any model, few enough settings to list every one."""
    small = draw(st.booleans())
    architecture = draw(st.sampled_from(MODELS[:3] if small else MODELS))

    def some(values, most):
        return sorted(draw(st.lists(st.sampled_from(values), min_size=1, max_size=most, unique=True)))

    space = {
        "recompute": some(["none", "light", "selective", "full"], 4),
        "zero_stage": some([0, 1, 2, 3], 4),
        "sequence_parallel": some([False, True], 2),
        "schedule": some(["1f1b", "zero_bubble", "dualpipe"], 3),
        "engine": draw(st.sampled_from(["megatron", "pytorch", "deepspeed", "xla"])),
        "overlap": draw(st.booleans()),
        "flash_attention": draw(st.booleans()),
        "dropout": draw(st.booleans()),
        "dtype": draw(st.sampled_from(["bf16", "fp8"])),
        "dispatch": draw(st.sampled_from(["all_to_all", "deepep"])),
        "dispatch_dtype": draw(st.sampled_from([None, "bf16"])),
    }
    if not small or draw(st.booleans()):
        space |= {
            "tensor_parallel": some([1, 2, 4], 2),
            "pipeline_parallel": some([1, 2, 3, 4], 2),
            "context_parallel": some([1, 2, 3], 2),
            "data_parallel": some([1, 2, 3, 4], 2),
            "expert_parallel": some([1, 2, 4], 2),
            "microbatch": some([1, 2, 3], 2),
            "pipeline_interleave": some([1, 2, 3], 2),
        }
    if draw(st.booleans()):
        space["zero_group"] = some([1, 2, 3, 4], 3)
    problem = TrainingProblem(
        name="small",
        train_model="small",
        hardware="h100",
        chips=draw(st.sampled_from([2, 4, 6, 16])) if not small else draw(st.sampled_from([2, 4, 6])),
        global_batch=draw(st.sampled_from([2, 4, 6, 12])),
        sequence_length=draw(st.sampled_from([512, 1536, 2048])),
        maximize="train_tokens_per_s",
        setup=space,
    )
    chip = catalog.chip(draw(st.sampled_from(["h100", "a100", "google-tpu-v5p", "gb200"])))
    memory = draw(st.sampled_from([0.3, 0.6, 1.2, 3.0, 80.0, 10_000.0])) * 2**30
    return problem, architecture, chip, memory


def every_setup(problem: TrainingProblem, architecture: Architecture):
    """Every setup that the problem leaves and no rule of `estimate` forbids, from words and not from arrays.

    Choices that make no difference count once: a schedule without a pipeline, shards of a sequence on one
    rank, a group that shards nothing.
    """
    chip = catalog.chip("h100")
    facts, space, n = facts_of(architecture, chip), problem.setup, problem.chips
    sequence = problem.sequence_length
    batches = divisors(problem.global_batch)
    contexts = [c for c in range(1, n + 1) if sequence % (2 * c) == 0]
    experts = divisors(facts.experts[0]) if facts.experts else [1]
    for t, p, c, d, e, b in product(
        space.tensor_parallel or range(1, n + 1),
        space.pipeline_parallel or range(1, facts.n_layers + 1),
        space.context_parallel or contexts,
        space.data_parallel or batches,
        space.expert_parallel or experts,
        space.microbatch or batches,
    ):
        if t * p * c * d > n:
            continue
        groups = [g for g in divisors(c * d) if space.zero_group is None or g in space.zero_group]
        shards = [(z, g) for z in space.zero_stage for g in (groups if z else [None])]
        chunks = space.pipeline_interleave or range(1, facts.n_layers // p + 1)
        schedules = [how for how in ("1f1b", "zero_bubble", "dualpipe") if how in space.schedule]
        schedules = schedules if p > 1 else schedules[:1]
        ways = space.sequence_parallel if t > 1 else [min(space.sequence_parallel)]
        for (z, g), v, again, s, how in product(shards, chunks, space.recompute, ways, schedules):
            setup = TrainingSetup(
                tensor_parallel=t,
                pipeline_parallel=p,
                context_parallel=c,
                data_parallel=d,
                expert_parallel=e,
                microbatch=b,
                global_batch=problem.global_batch,
                sequence_length=sequence,
                pipeline_interleave=v,
                recompute=again,
                zero_stage=z,
                zero_group=g,
                sequence_parallel=s,
                schedule=how,
                engine=space.engine,
                overlap=space.overlap,
                flash_attention=space.flash_attention,
                dropout=space.dropout,
                dtype=space.dtype,
                dispatch=space.dispatch,
                dispatch_dtype=space.dispatch_dtype,
            )
            if all(bool(np.all(x)) for x in kept(facts, layout_of(setup)).values()):
                yield setup


@QUICK
@given(problems())
def test_the_search_is_brute_force_over_what_estimate_prices(made) -> None:
    problem, architecture, chip, memory = made
    lattice = Lattice(problem, architecture, chip, problem.chips)
    counts = Counts()
    limits = Limits((), memory)
    found = search(lattice, lambda s, n, m: s, limits, counts)
    setups = {s.model_dump_json(): s for s in every_setup(problem, architecture)}
    jobs = [job(architecture, chip, s) for s in list(setups.values())[:: max(1, len(setups) // 1000)]]
    fitting = [j.step_s for j in jobs if float(j.memory.total) <= memory]
    if len(jobs) == len(setups):
        assert (found is None) == (not fitting)
    if fitting:
        assert found is not None and found.step_s <= min(fitting) * (1 + 1e-9)
    if found:
        setup = setup_of(problem, found.split, found.inner, found.row)
        own = job(architecture, chip, setup)
        assert own.step_s == pytest.approx(found.step_s, rel=1e-12)
        assert float(own.memory.total) == pytest.approx(found.memory, rel=1e-12)
        assert setup.model_dump_json() in setups
    assert counts.without_memory + counts.by_bound + counts.priced == counts.splits
    assert counts.settings == len(setups)
    witness(lattice, lambda s, n, m: s, limits, counts, found, UNWATCHED)


@pytest.mark.parametrize("wide", [False, True])
def test_the_lattice_has_every_setting_once(wide, monkeypatch) -> None:
    """Cut into many cells or whole."""
    if wide:
        monkeypatch.setattr(lattice_module, "_CELL", 50)
    architecture = Architecture.model_validate(SMALL)
    problem = TrainingProblem(
        name="small",
        train_model="small",
        hardware="h100",
        chips=6,
        global_batch=6,
        sequence_length=512,
        maximize="train_tokens_per_s",
    )
    lattice = Lattice(problem, architecture, catalog.chip("h100"), 6)
    assert (len(lattice.cells) > 20) is wide
    setups = {s.model_dump_json() for s in every_setup(problem, architecture)}
    found = []
    for cell in lattice.cells:
        cell.open()
        for i in range(len(cell)):
            inner, split = cell.choices.inner(i), cell.split(i)
            found += [setup_of(problem, split, inner, k).model_dump_json() for k in range(len(inner))]
    assert sorted(found) == sorted(setups)
    assert sum(cell.n_settings for cell in lattice.cells) == len(setups)


@QUICK
@given(problems())
def test_no_setting_is_below_the_bounds_of_its_split_and_its_cell(made) -> None:
    """`priced` raises if one is: the guard of every search."""
    problem, architecture, chip, _ = made
    lattice = Lattice(problem, architecture, chip, problem.chips)
    for cell in lattice.cells:
        cell.open()
        for i in range(0, len(cell), max(1, len(cell) // 60)):
            _, step_s, memory = cell.priced(i)
            assert cell.bounds.step_s[i] <= step_s.min() * (1 + 1e-12)
            assert cell.bounds.memory[i] <= memory.min() * (1 + 1e-12)
            assert cell.chip_seconds <= step_s.min() * cell.n_chips[i] * (1 + 1e-12)


@pytest.mark.parametrize("what", ["step_s", "memory"])
def test_bounds_that_are_too_high_are_an_error_and_no_answer(what, monkeypatch) -> None:
    honest = lattice_module.bounds_of

    def high(*rest):
        bounds = honest(*rest)
        return replace(bounds, **{what: 1.5 * getattr(bounds, what)})

    monkeypatch.setattr(lattice_module, "bounds_of", high)
    with pytest.raises(InternalMismatch, match="below the bound"):
        train_solve.solve(llama())


def test_a_split_that_a_wrong_bound_hides_is_found_by_a_witness(monkeypatch) -> None:
    """Bounds too high for all but one split, which is opened and shows no fault."""
    few = {"tensor_parallel": [1, 2], "pipeline_parallel": 1, "context_parallel": 1}
    problem = llama(chips=2, setup=few)
    honest = lattice_module.bounds_of
    worst = []

    def high(works, splits, *rest):
        bounds = honest(works, splits, *rest)
        worst.append(int(np.argmax(bounds.step_s)))
        step_s = 100 * bounds.step_s
        step_s[worst[-1]] /= 100
        return replace(bounds, step_s=step_s, memory=0 * bounds.memory)

    monkeypatch.setattr(lattice_module, "bounds_of", high)
    with pytest.raises(InternalMismatch):
        train_solve.solve(problem)


@pytest.mark.parametrize("name", sorted(catalog.models()))
def test_every_model_of_the_catalogue_can_be_asked_about(name) -> None:
    space = {
        "microbatch": 1,
        "context_parallel": 1,
        "tensor_parallel": [1, 2, 8],
        "pipeline_parallel": [1, 2],
    }
    result = train_solve.solve(
        llama(train_model=name, chips=64, setup=space | {"recompute": ["none", "full"]})
    )
    assert result.status in ("optimal", "infeasible")
    assert result.conflict if result.status == "infeasible" else result.estimate


@pytest.mark.parametrize(
    ("setup", "rule"),
    [
        ({"pipeline_parallel": 2, "zero_stage": 3}, "setup: whole_weights_in_pipelines"),
        ({"tensor_parallel": 5}, "setup: heads_divide"),
        ({"pipeline_parallel": 64, "tensor_parallel": 1}, "setup: stages_have_layers"),
        ({"zero_stage": 1, "zero_group": 3}, "setup: shard_group_divides"),
        ({"microbatch": 128}, "setup: batch_divides"),
        ({"expert_parallel": 2}, "setup: experts_divide"),
    ],
)
def test_a_setup_that_nothing_can_keep_names_the_rule(setup, rule) -> None:
    few = {"microbatch": 1, "context_parallel": 1, "data_parallel": [1, 2, 4], "recompute": "none"}
    result = train_solve.solve(llama(setup=few | setup))
    assert result.status == "infeasible"
    assert rule in result.conflict.constraints


def test_splits_without_a_setting_are_left_out() -> None:
    """The review's case: groups of 3 on replicas that 3 does not divide once crashed the study."""
    space = {
        "tensor_parallel": [2, 4],
        "pipeline_parallel": [3, 4],
        "pipeline_interleave": [2, 5],
        "data_parallel": [2, 4, 6],
        "microbatch": [1, 4],
        "zero_group": [3],
    }
    problem = llama(train_model="Qwen/Qwen2.5-0.5B", chips=24, global_batch=8, setup=space)
    assert train_solve.solve(problem).status in ("optimal", "infeasible")


def test_zero_bubble_with_chunks_is_searched() -> None:
    space = {"tensor_parallel": 4, "pipeline_parallel": 8, "pipeline_interleave": [1, 3], "recompute": "none"}
    space |= {"data_parallel": 1, "context_parallel": 1, "microbatch": 1, "zero_stage": 0}
    problem = llama(
        train_model="google/gemma-2-2b", global_batch=16, setup=space, maximize=None, minimize="step_s"
    )
    best = train_solve.solve(problem)
    assert (best.estimate.setup.pipeline_interleave, best.estimate.setup.schedule) == (3, "zero_bubble")
    alone = train_solve.solve(
        llama(**problem.model_dump(exclude_unset=True) | {"setup": space | {"schedule": "1f1b"}})
    )
    assert best.objective.value < alone.objective.value


def test_a_group_of_one_shards_nothing_and_costs_what_no_sharding_costs() -> None:
    """Time as if sharded, memory not: such a price was there, and the search used it."""
    chip, model = catalog.chip("a100"), catalog.model("Qwen/Qwen3-30B-A3B")
    at = {"tensor_parallel": 4, "pipeline_parallel": 5, "expert_parallel": 2, "global_batch": 24}
    whole, one = (
        job(model, chip, TrainingSetup(**at, zero_stage=z, zero_group=g)) for z, g in ((0, None), (1, 1))
    )
    assert one.step_s == pytest.approx(whole.step_s, rel=1e-12)
    assert float(one.memory.total) == pytest.approx(float(whole.memory.total), rel=1e-12)


def test_groups_between_one_and_all_pay_for_the_sum_between_them() -> None:
    chip, model = catalog.chip("h100"), catalog.model("meta-llama/Llama-3.1-8B")
    at = {"data_parallel": 64, "global_batch": 64, "zero_stage": 1, "overlap": False}
    times = [job(model, chip, TrainingSetup(**at, zero_group=g)).times for g in (1, 2, 8, 64)]
    sums = [float(t.data_parallel) for t in times]
    assert sums[0] > sums[-1]
    assert all(value >= sums[-1] * (1 - 1e-9) for value in sums)


def llama(**changes):
    own = {
        "name": "q",
        "train_model": "meta-llama/Llama-3.1-8B",
        "hardware": "nvidia-h100-sxm",
        "chips": 32,
        "global_batch": 64,
        "sequence_length": 4096,
        "maximize": "train_tokens_per_s",
        "training_tokens": 10**12,
    }
    return TrainingProblem.model_validate(own | changes)


def test_the_bounds_are_no_trivial_ones() -> None:
    """Bounds of zero would hold too, and price everything: of Llama's splits a handful is priced."""
    result = train_solve.solve(llama())
    assert result.status == "optimal"
    assert result.certificate.counts["splits"] > 1000
    assert result.certificate.counts["splits_priced"] < 0.05 * result.certificate.counts["splits"]


def test_more_chips_or_looser_bounds_are_never_worse() -> None:
    rates = [train_solve.solve(llama(chips=n)).objective.value for n in (8, 16, 24, 32)]
    assert rates == sorted(rates)
    days = [
        train_solve.solve(llama(maximize=None, minimize="chips", constraints={"train_days_max": d})).objective
        for d in (60, 90, 120)
    ]
    assert [d.value for d in days] == sorted((d.value for d in days), reverse=True)


def test_fewest_chips_is_the_fewest() -> None:
    """One chip less misses the deadline."""
    bound = {"constraints": {"train_days_max": 60}}
    best = train_solve.solve(llama(maximize=None, minimize="chips", **bound))
    n = int(best.objective.value)
    less = train_solve.solve(llama(chips=n - 1, **bound))
    assert best.metrics["train_days"] <= 60
    assert less.status == "infeasible"


@pytest.mark.parametrize("name", ["mfu", "train_tokens_per_s_per_chip", "train_usd", "train_days", "step_s"])
def test_every_metric_is_an_objective_and_a_bound(name: str) -> None:
    more = name in ("mfu", "train_tokens_per_s_per_chip")
    direction = {"maximize": name} if more else {"maximize": None, "minimize": name}
    best = train_solve.solve(llama(**direction))
    value = best.objective.value
    assert best.metrics[name] == value
    side, beyond = ("min", value * 1.001) if more else ("max", value * 0.999)
    none = train_solve.solve(llama(constraints={f"{name}_{side}": beyond}))
    assert none.status == "infeasible"
    assert f"{name}_{side}" in none.conflict.constraints
    some = train_solve.solve(llama(constraints={f"{name}_{side}": value * (0.999 if more else 1.001)}))
    assert some.status == "optimal"


def test_the_conflict_is_smallest_and_each_change_is_enough() -> None:
    bounds = {"train_days_max": 20.0, "train_usd_max": 1e9}
    result = train_solve.solve(llama(chips=8, constraints=bounds))
    assert result.status == "infeasible"
    assert set(result.conflict.constraints) == {"chips", "train_days_max"}
    for change in result.conflict.relaxations:
        if change.to is None:
            continue
        if change.constraint == "chips":
            again = llama(chips=int(change.to), constraints=bounds)
            short = llama(chips=int(change.to) - 1, constraints=bounds)
        else:
            again = llama(chips=8, constraints=bounds | {change.constraint: change.to})
            short = llama(chips=8, constraints=bounds | {change.constraint: change.to * 0.998})
        assert train_solve.solve(again).status == "optimal"
        assert train_solve.solve(short).status == "infeasible"


@pytest.mark.parametrize(("chips", "fits"), [(16, False), (32, True)])
@pytest.mark.parametrize(("model", "chip"), [("Llama-3.1-70B", "h100"), ("Llama-2-70b-hf", "a100")])
def test_a_full_70b_trains_on_32_chips_of_80_gb_and_not_on_16(model, chip, chips, fits) -> None:
    """Observed: epfLLM/Megatron-LLM docs/guide/faq.md (TP8 PP4); NVIDIA/Megatron-LM issue 1308 (not 16)."""
    result = train_solve.solve(
        llama(
            train_model=f"meta-llama/{model}", hardware=chip, chips=chips, sequence_length=4096,
            setup={"microbatch": 1},
        )
    )  # fmt: skip
    assert (result.status == "optimal") is fits


def test_falcon_40b_trains_on_16_chips_of_80_gb() -> None:
    """Observed: epfLLM/Megatron-LLM docs/guide/faq.md, TP8 PP2."""
    setup = {"tensor_parallel": 8, "pipeline_parallel": 2, "microbatch": 1}
    problem = llama(train_model="tiiuae/falcon-40b", hardware="a100", chips=16, setup=setup)
    assert train_solve.solve(problem).status == "optimal"


def test_tensor_parallel_stays_in_the_domain_unless_the_problem_says_otherwise() -> None:
    fixed = {"pipeline_parallel": 1, "context_parallel": 1, "data_parallel": 1, "microbatch": 1}
    problem = llama(train_model="meta-llama/Llama-2-7b-hf", chips=16, global_batch=1, setup=fixed)
    wide = problem.changed(setup=problem.setup.changed(tensor_parallel=(16,)))
    chip, model = catalog.chip("h100"), catalog.model("meta-llama/Llama-2-7b-hf")
    assert Lattice(problem, model, chip, 16).domains.tensor_parallel == (1, 2, 4, 8)
    assert Lattice(wide, model, chip, 16).domains.tensor_parallel == (16,)
    assert train_solve.solve(wide).estimate.setup.tensor_parallel == 16


def test_what_the_framework_takes_is_part_of_the_memory_of_estimate_and_search() -> None:
    chip, model = catalog.chip("h100"), catalog.model("meta-llama/Llama-3.1-8B")
    at = {"tensor_parallel": 8, "data_parallel": 1}
    sizes = {
        (engine, own): float(
            job(model, chip, TrainingSetup(**at, engine=engine, reserve_gib=own)).memory.reserve
        )
        for engine in ("megatron", "xla")
        for own in (None, 3.5)
    }
    assert {key: size / 2**30 for key, size in sizes.items()} == {
        ("megatron", None): 6.1,
        ("xla", None): 1.0,
        ("megatron", 3.5): 3.5,
        ("xla", 3.5): 3.5,
    }
    problem = llama(chips=8, setup=at | {"microbatch": 1, "reserve_gib": 60.0})
    assert train_solve.solve(problem).estimate.memory_gib["reserve"] == 60.0


def test_a_long_run_is_in_the_problem_and_in_its_answer() -> None:
    """More chips fail more often: days, not steps, and the share is among what the answer assumes."""
    few = {"setup": {"tensor_parallel": 8, "microbatch": 1, "recompute": "none"}, "maximize": None}
    asked = {"minimize": "train_days", **few}
    usual, calm = (
        train_solve.solve(llama(**asked, long_run=own))
        for own in ({}, {"stragglers": 0.0, "failures_per_chip_hour": 0.0})
    )
    assert usual.metrics["step_s"] == calm.metrics["step_s"]
    share = usual.estimate.metrics["effective_share"]
    assert usual.metrics["train_days"] == pytest.approx(calm.metrics["train_days"] / share)
    assert usual.metrics["train_usd"] == pytest.approx(calm.metrics["train_usd"] / share)
    said = {a.name: a.source for a in calm.assumptions}
    assert said["long_run.stragglers"] == "the problem" != said["long_run.restart_min"]
