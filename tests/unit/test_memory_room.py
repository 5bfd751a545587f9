"""An engine fills its share of a card, in every command, and files say the share in any engine's words."""

from dataclasses import replace
from typing import Any

import pytest
import samples

from optimizer import InputError, catalog, solve
from optimizer.anatomy.estimate import estimate
from optimizer.cost import memory, serving
from optimizer.cost.memory_parts import KEPT_FREE, memory_parts
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.two_tier import Tensor, place
from optimizer.questions.architecture.problem import DeploymentSpace, Problem
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.spec.deployment import ReplicaSpace
from optimizer.spec.loading import validate
from optimizer.spec.setup import Setup

LLAMA = catalog.model("meta-llama/Llama-3.1-8B")
GIB = 2.0**30


def own(**figures: float) -> Any:
    return catalog.engine("ideal").changed(name="own", **figures)


def test_the_room_is_a_share_of_what_the_driver_shows() -> None:
    chip = catalog.chip("h100")
    assert room_bytes(chip, own(memory_share=0.5)) == chip.hbm_for_programs / 2


def test_what_the_cache_asks_for_is_more_where_an_engine_keeps_some_free() -> None:
    """A cache of four fifths of what is free needs a quarter of itself beside it."""
    whole, shared = (
        samples.frame("meta-llama/Llama-3.1-8B", batch=8, input_tokens=1000, output_tokens=24)
        for _ in range(2)
    )
    shared = replace(shared, engine=own(cache_share=0.8))
    cache = memory.cache_bytes(whole, LLAMA)
    more = QUANTITIES["memory_bytes"].total(shared, LLAMA) - QUANTITIES["memory_bytes"].total(whole, LLAMA)
    assert more == pytest.approx(cache / 4)
    assert memory_parts(shared, LLAMA)[KEPT_FREE] == pytest.approx(cache / 4 / GIB)
    assert KEPT_FREE not in memory_parts(whole, LLAMA)


def test_one_share_for_an_estimate_and_the_batch_of_a_closed_loop() -> None:
    setup = Setup(batch=40, input_tokens=8000, output_tokens=192, engine=own(memory_share=0.9))
    found = estimate(LLAMA, catalog.chip("h100"), setup)
    assert found.room_gib == pytest.approx(0.9 * 79.11)  # torch's total of the card
    frame = samples.frame("meta-llama/Llama-3.1-8B", "nvidia-h100-sxm", input_tokens=8000, output_tokens=192)
    frame = replace(frame, engine=setup.engine)
    most = serving.largest_batch(frame, LLAMA)
    for batch, status in ((most, "feasible"), (most + 1, "infeasible")):
        assert estimate(LLAMA, catalog.chip("h100"), replace(setup, batch=batch)).status == status


WORKLOAD = {"input_tokens": 4000, "output_tokens": 96}
DEPLOYED = {
    "name": "d",
    "architecture": "llama-3.1-8b",
    "hardware": "l4",
    "workload": WORKLOAD | {"requests_per_s": 0.001},
    "minimize": "chips",
}
STAGED = {
    "name": "p",
    "architecture": "llama-3.1-8b",
    "pipeline": {"stages": [{"chip": "l4", "chips": 1}]},
    "workload": WORKLOAD,
    "maximize": "output_tokens_per_s",
}
FIXED = {
    "name": "a",
    "architecture": "llama-3.1-8b",
    "hardware": "l4",
    "workload": WORKLOAD | {"batch": 1},
    "minimize": "tpot_ms",
    "constraints": {"kv_sharing": False},
}


@pytest.mark.parametrize(
    ("kind", "document", "space"),
    [
        (Problem, FIXED, {"tensor_parallel": 1}),
        (DeploymentProblem, DEPLOYED, {"tensor_parallel": 1, "batch": 4}),
        (PipelineProblem, STAGED, {"batch": 1}),
    ],
)
def test_every_kind_of_problem_keeps_to_the_share(kind: Any, document: Any, space: Any) -> None:
    """15 GiB of weights and half a GiB of cache are more than half of a card of 22, less than nine tenths."""
    for share, fits in ((0.9, True), (0.6, False)):
        engine = {"engine": "ideal", "memory_share": share}
        found = solve(validate(kind, document | {"deployment": space | engine}, "test"))
        assert (found.status == "optimal") is fits, share


@pytest.mark.parametrize("kind", [DeploymentSpace, ReplicaSpace])
def test_figures_are_said_in_the_words_of_engines(kind: Any) -> None:
    words = {"gpu_memory_utilization": 0.8, "max_num_batched_tokens": 4096, "max_num_seqs": 64}
    found = validate(kind, words, "test").figures
    assert found == {"memory_share": 0.8, "step_tokens": 4096, "max_sequences": 64}
    with pytest.raises(InputError, match="memory_share"):
        validate(kind, {"memory_share": 0.8, "mem_fraction_static": 0.8}, "test")


def test_what_frees_more_room_moves_less() -> None:
    """Of 30 bytes over, 20 are freed by moving 10 that ask for two each and need a fifth of a buffer each."""
    cache, weights = Tensor("cache", 10.0, 5.0, room=2.0), Tensor("weights", 80.0, 80.0)
    placed = place((weights, cache), free=70.0, n_layers=10, slow_capacity=1e9)
    assert placed.slow_share["cache"] == 1.0
    assert placed.slow_share["weights"] * 80 == pytest.approx((30 - 10 * 1.8) / 0.8)
    few = place((weights, cache), free=91.0, n_layers=10, slow_capacity=1e9)
    assert (few.slow_share["cache"] * 10, few.slow_share["weights"]) == (pytest.approx(9 / 1.8), 0.0)
