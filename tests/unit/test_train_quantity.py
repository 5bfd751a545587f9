"""Training as a metric of the architecture search: floors hold, and it is the step of the estimate.

Guards the solver's bounds with random training setups (those of serving are in test_floors.py), and that the
additive form does not drift from `archsat estimate --phase train`.
"""

from dataclasses import replace

import drawn
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import optimizer
from optimizer import catalog
from optimizer.cost.memory import GIB
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.training.job import job
from optimizer.cost.training.quantity import TrainingRun
from optimizer.errors import InputError
from optimizer.spec.training import TrainingSetup

NAMES = ["meta-llama/Llama-3.1-8B", "openai/gpt-3-175b", "Qwen/Qwen2.5-0.5B", "mistralai/Mistral-7B-v0.1"]


@st.composite
def runs(draw):
    d = draw(st.sampled_from([1, 2, 16]))
    p = draw(st.sampled_from([1, 2, 4]))
    setup = TrainingSetup(
        tensor_parallel=draw(st.sampled_from([1, 2, 4, 8])),
        sequence_parallel=draw(st.booleans()),
        pipeline_parallel=p,
        data_parallel=d,
        context_parallel=draw(st.sampled_from([1, 2])),
        microbatch=draw(st.sampled_from([1, 2])),
        global_batch=2 * d * p,
        sequence_length=draw(st.sampled_from([256, 2048, 32768])),
        recompute=draw(st.sampled_from(["none", "selective", "full"])),
        zero_stage=draw(st.integers(0, 3)),
        dtype=draw(st.sampled_from(["bf16", "fp8", "nvfp4"])),
        engine=draw(st.sampled_from(["megatron", "deepspeed", "pytorch", "torch_compile", "xla"])),
        flash_attention=draw(st.booleans()),
        overlap=draw(st.booleans()),
    )
    return TrainingRun(setup, catalog.chip(draw(st.sampled_from(["h100", "a100", "b200", "google-tpu-v5p"]))))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    runs(), st.sampled_from(NAMES), st.sampled_from([1, 2]), st.floats(0.01, 1.0), st.sampled_from([1, 2, 16])
)
def test_no_plan_trains_below_the_floor(run, name: str, t: int, share: float, narrower: int) -> None:
    model = catalog.model(name)
    frame = replace(samples.frame(model, tensor_parallel=t), training=run)
    n_params = QUANTITIES["n_params"].total(frame, model)
    for known in (n_params, share * n_params):
        layers = drawn.least_of(frame, model, known, narrower)
        for name in ("train_s", "train_bytes"):
            quantity = QUANTITIES[name]
            exact = quantity.total(frame, model)
            assert float(quantity.floor(frame, layers)) <= exact * (1 + 1e-12), name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("zero", [1, 3])
def test_it_is_the_step_of_the_estimate(name: str, zero: int) -> None:
    """On one stage whose messages hide, nearly: they start and hide for each layer half."""
    own = TrainingSetup(data_parallel=8, global_batch=64, microbatch=2, zero_stage=zero)
    model, chip = catalog.model(name), catalog.chip("h100")
    frame = replace(samples.frame(model), training=TrainingRun(own, chip))
    made = job(model, chip, own)
    assert QUANTITIES["train_s"].total(frame, model) == pytest.approx(made.step_s, rel=0.015)
    memory = float(made.memory.total - made.memory.buffers)
    assert QUANTITIES["train_bytes"].total(frame, model) == pytest.approx(memory, rel=2e-3)


def test_without_a_training_section_nothing_is_trained() -> None:
    frame = replace(samples.frame("meta-llama/Llama-3.1-8B"), training=None)
    assert QUANTITIES["train_s"].total(frame, catalog.model("meta-llama/Llama-3.1-8B")) == 0
    with pytest.raises(InputError, match="give a `training` section"):
        optimizer.solve(samples.problem(minimize="train_usd", training=None))


TRAINED = {"training": {"hardware": "nvidia-a100-80-sxm", "data_parallel": 8, "global_batch": 16}}


def test_training_and_serving_in_one_problem() -> None:
    """Each objective is best at its own, and a bound on one costs the other."""
    fast = optimizer.solve(samples.problem(**TRAINED))
    cheap = optimizer.solve(samples.problem(**TRAINED, minimize="train_usd"))
    assert cheap.metrics["train_usd"] <= fast.metrics["train_usd"]
    assert fast.metrics["tpot_ms"] <= cheap.metrics["tpot_ms"]
    bound = (cheap.metrics["train_usd"] + fast.metrics["train_usd"]) / 2
    both = optimizer.solve(samples.problem(**TRAINED, constraints={"train_usd_max": bound}))
    assert both.metrics["train_usd"] <= bound * (1 + 1e-9)
    assert both.metrics["tpot_ms"] >= fast.metrics["tpot_ms"]


@pytest.mark.parametrize("name", ["train_usd", "train_memory_gib", "train_tokens_per_s_per_chip"])
def test_the_optimum_is_the_best_of_all(name: str) -> None:
    """Against every plan of the small lattice, listed."""
    better = {"maximize": name, "minimize": None} if name.endswith("chip") else {"minimize": name}
    problem = samples.problem(**TRAINED, **better)
    best = optimizer.solve(problem)
    listed = optimizer.enumerate_plans(problem, top=10_000)
    values = [plan.metrics[name] for plan in listed.plans]
    assert len(values) > 50
    extreme = max(values) if name.endswith("chip") else min(values)
    assert best.objective.value == pytest.approx(extreme, rel=1e-12)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"tensor_parallel": 3}, "must divide every deployment.tensor_parallel"),
        ({"data_parallel": 3, "global_batch": 4}, "multiple of microbatch x data_parallel"),
        ({"hardware": "abacus"}, "unknown chip"),
    ],
)
def test_bad_sections(section, message: str) -> None:
    with pytest.raises(InputError, match=message):
        optimizer.solve(samples.problem(training=section))


def test_memory_of_the_section_is_a_bound() -> None:
    small = samples.problem(**TRAINED, constraints={"train_memory_gib_max": 1.0})
    result = optimizer.solve(small)
    assert result.status == "infeasible"
    assert "train_memory_gib_max" in result.conflict.constraints
    assert GIB == 2.0**30


@pytest.mark.parametrize("network", ["3 GB/s", "12.5 GB/s"])
def test_computing_that_hides_messages_twice_is_no_bound(network: str) -> None:
    """Less attention hides less, of keys and values and of weights: a step may be longer with less work."""
    chip = samples.chip(scaleout_bandwidth=network)
    setup = TrainingSetup(
        tensor_parallel=8,
        context_parallel=4,
        data_parallel=2,
        zero_stage=3,
        global_batch=2,
        sequence_length=32768,
    )
    model = catalog.model("meta-llama/Llama-3.1-8B")
    frame = replace(samples.frame(model, chip), training=TrainingRun(setup, chip))
    step = QUANTITIES["train_s"]
    layers = drawn.least_of(frame, model, QUANTITIES["n_params"].total(frame, model), narrower=8)
    assert 0.2 * step.total(frame, model) < step.floor(frame, layers) <= step.total(frame, model)
