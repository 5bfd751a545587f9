"""The search over training settings against brute force over the scalar estimate.

Guards the proof: a bound above a setting of its split loses the optimum, and a lattice that misses settings
makes 'no setting is better' untrue.
"""

from itertools import product

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.columns.training_lattice import divisors, setup_of
from optimizer.cost.training.job import job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.rules import facts_of, kept
from optimizer.solver.training import Counts, Lattice, Limits, priced_inside, search
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup
from optimizer.spec.training_problem import TrainingProblem
from optimizer.studies import train_solve

QUICK = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
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


@st.composite
def problems(draw):
    """(problem, architecture, chip, chips, bytes): small enough to list every setting."""
    architecture = Architecture.model_validate(draw(st.sampled_from([SMALL, MIXTURE])))
    space = {
        "recompute": draw(st.sampled_from([["none"], ["none", "full"], ["none", "selective", "full"]])),
        "zero_stage": draw(st.sampled_from([[1], [0, 3], [0, 1, 2, 3]])),
        "sequence_parallel": draw(st.sampled_from([[True], [False], [False, True]])),
        "schedule": draw(st.sampled_from([["1f1b"], ["1f1b", "zero_bubble"]])),
        "engine": draw(st.sampled_from(["megatron", "pytorch", "deepspeed", "xla"])),
        "overlap": draw(st.booleans()),
        "flash_attention": draw(st.booleans()),
    }
    problem = TrainingProblem(
        name="small",
        train_model="small",
        hardware="h100",
        chips=draw(st.sampled_from([2, 4, 6])),
        global_batch=draw(st.sampled_from([2, 4, 6])),
        sequence_length=draw(st.sampled_from([512, 2048])),
        maximize="train_tokens_per_s",
        setup=space,
    )
    chip = catalog.chip(draw(st.sampled_from(["h100", "a100", "google-tpu-v5p", "gb200"])))
    memory = draw(st.sampled_from([0.3, 0.6, 1.2, 3.0, 80.0])) * 2**30
    return problem, architecture, chip, memory


def every_setup(problem: TrainingProblem, architecture: Architecture):
    """Every setup of the lattice, from its definition and not from the arrays."""
    facts, space, n = facts_of(architecture), problem.setup, problem.chips
    sequence = problem.sequence_length
    contexts = [c for c in (1, 2, 4, 8, 16) if sequence // 2 % c == 0]
    experts = divisors(facts.experts[0]) if facts.experts else [1]
    for t, p, c, d, e, b in product(
        range(1, n + 1),
        range(1, facts.n_layers + 1),
        contexts,
        divisors(problem.global_batch),
        experts,
        divisors(problem.global_batch),
    ):
        if t * p * c * d > n or problem.global_batch % (b * d):
            continue
        shards = [(z, g) for z in space.zero_stage for g in divisors(c * d) if (z == 0) == (g == 1)]
        shards = shards if c * d > 1 else [(min(space.zero_stage), 1)]
        chunks = range(1, facts.n_layers // p + 1) if p > 1 else [1]
        for (z, g), v, again, s, how in product(
            shards, chunks, space.recompute, set(space.sequence_parallel), space.schedule
        ):
            if how == "zero_bubble" and (p == 1 or v > 1):
                continue
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
                zero_group=g if z else None,
                sequence_parallel=s and t > 1,
                schedule=how,
                engine=space.engine,
                overlap=space.overlap,
                flash_attention=space.flash_attention,
            )
            if all(bool(np.all(x)) for x in kept(facts, layout_of(setup)).values()):
                yield setup


@QUICK
@given(problems())
def test_the_search_is_brute_force(made) -> None:
    problem, architecture, chip, memory = made
    lattice = Lattice(problem, architecture, chip, problem.chips)
    counts = Counts()
    found = search(lattice, lambda s, n, m: s, Limits((), memory), counts)
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
    assert counts.without_memory + counts.by_bound + counts.priced == counts.splits == len(lattice.splits)


def test_the_lattice_has_every_setting_once() -> None:
    architecture = Architecture.model_validate(SMALL)
    problem = TrainingProblem(
        name="small",
        train_model="small",
        hardware="h100",
        chips=12,
        global_batch=6,
        sequence_length=512,
        maximize="train_tokens_per_s",
    )
    lattice = Lattice(problem, architecture, catalog.chip("h100"), 12)
    setups = {s.model_dump_json() for s in every_setup(problem, architecture)}
    assert lattice.n_settings() == len(setups)


@QUICK
@given(problems())
def test_no_setting_is_below_its_split_s_bounds(made) -> None:
    problem, architecture, chip, _ = made
    lattice = Lattice(problem, architecture, chip, problem.chips)
    for i in range(0, len(lattice.splits), max(1, len(lattice.splits) // 60)):
        inner, step_s, memory = priced_inside(lattice, i)
        if len(inner):
            assert lattice.bounds.step_s[i] <= step_s.min() * (1 + 1e-12)
            assert lattice.bounds.memory[i] <= memory.min() * (1 + 1e-12)


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
    assert result.certificate.splits > 1000
    assert result.certificate.splits_priced < 0.05 * result.certificate.splits


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
