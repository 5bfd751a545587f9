"""A training step put together by hand: pipelines, messages, passes and their parts, with round numbers.

Collectives and rooflines have tests of their own; here an exchange costs a made-up number of seconds, so that
each factor, group and stride of a formula shows in the sum.
"""

from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.anatomy.training import metrics_of
from optimizer.cost.collectives import (
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    group_of,
    point_to_point_s,
    reduce_scatter_s,
)
from optimizer.cost.training import links, messages
from optimizer.cost.training import step as step_module
from optimizer.cost.training.constants import ENGINES, LEAK
from optimizer.cost.training.job import Job, job
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.links import exchange_s, message_s
from optimizer.cost.training.memory import Parameters
from optimizer.cost.training.messages import (
    boundary_s,
    broadcast_s,
    context_s,
    expert_s,
    gather_s,
    hidden,
    least_sum_s,
    reached_domains,
    sum_s,
    tensor_s,
)
from optimizer.cost.training.pipeline import (
    bubble_stages,
    equal_turns,
    layers_in_flight,
    slowest_stage,
    stage_layers,
)
from optimizer.cost.training.rates import attention_share, products_share, training_chip
from optimizer.cost.training.step import (
    Parts,
    Passes,
    added_up,
    data_parallel_s,
    exposed_exchange_s,
    head_of,
    layer_messages,
    passes,
    step_times,
)
from optimizer.cost.training.work import Work
from optimizer.spec.architecture import Architecture
from optimizer.spec.long_run import LongRun
from optimizer.spec.training import TrainingSetup

CHIP = samples.chip(scaleout_bandwidth="50 GB/s")
HELD = Parameters(70.0, 20.0, 30.0)


def layout(**own: Any) -> Any:
    base = {"sequence_length": 1024, "global_batch": 48, "zero_stage": 0, "sequence_parallel": False}
    return layout_of(TrainingSetup.model_validate(base | own))


# Pipelines.


def test_stages_layers_in_flight_and_waiting() -> None:
    """Ten layers on four stages: three on the largest. Twelve microbatches of four sequences."""
    at = layout(pipeline_parallel=4, microbatch=4)
    assert (stage_layers(10, at), layers_in_flight(10, at), bubble_stages(at)) == (3, 3 * 4, 3)
    few = layout(pipeline_parallel=4, microbatch=24)
    assert layers_in_flight(10, few) == 3 * 2  # only two microbatches are there
    chunks = layout(pipeline_parallel=4, pipeline_interleave=2, microbatch=4)
    assert layers_in_flight(10, chunks) == pytest.approx(3 * 4 * (1 + 3 / 8))
    assert bubble_stages(chunks) == 1.5
    some = layout(pipeline_parallel=4, pipeline_interleave=2, microbatch=12)
    assert layers_in_flight(10, some) == 3 * 4  # no more than the four there are
    assert bubble_stages(layout(pipeline_parallel=4, schedule="zero_bubble")) == pytest.approx(1.0)
    # (p/2 - 1)(F&B + B - 3 W), with F = 1, B = 2, W = 1 and F&B = 3, of stages that take three.
    both = layout(pipeline_parallel=8, schedule="dualpipe", microbatch=2)
    assert bubble_stages(both) == pytest.approx((8 / 2 - 1) * (3 + 2 - 3 * 1) / 3)
    assert layers_in_flight(16, both) == 2 * (8 + 1)
    assert bubble_stages(layout()) == 0
    # Two layers are missing to four stages of three: the last has one, and the head.
    assert slowest_stage(10, at, 5.0, 9.0) == 15.0
    assert slowest_stage(10, at, 5.0, 11.0) == 16.0
    assert slowest_stage(5, layout(pipeline_parallel=4), 5.0, 1.0) == 10.0  # none is left for the last


# Messages between ranks.


def test_seconds_of_an_exchange_are_those_of_its_group() -> None:
    for collective in (all_reduce_s, all_gather_s, all_to_all_s):
        for n, stride in ((8, 1), (4, 2), (16, 1), (4, 8)):
            own = float(collective(1e6, group_of(n, CHIP, stride), CHIP)[0])
            assert float(exchange_s(collective, 1e6, n, CHIP, stride)) == own > 0
    sizes, chips, strides = np.array([1e6, 2e6, 0.0, 3e6]), np.array([8, 4, 8, 1]), np.array([1, 8, 1, 4])
    found = exchange_s(all_gather_s, sizes, chips, CHIP, strides)
    rows = zip(sizes, chips, strides, strict=True)
    one = [float(exchange_s(all_gather_s, s, int(n), CHIP, int(k))) for s, n, k in rows]
    assert found.tolist() == one
    assert one[2:] == [0.0, 0.0]
    assert float(exchange_s(all_gather_s, 0.0, 8, CHIP)) == 0.0
    wide = exchange_s(all_gather_s, 1e6, np.array([2, 4]), CHIP, 1)
    assert wide.tolist() == [float(exchange_s(all_gather_s, 1e6, n, CHIP)) for n in (2, 4)]
    apart = exchange_s(all_gather_s, 1e6, 4, CHIP, np.array([1, 8]))
    assert apart.tolist() == [float(exchange_s(all_gather_s, 1e6, 4, CHIP, n)) for n in (1, 8)]


def test_a_message_goes_over_the_links_of_its_place() -> None:
    near, far = (float(point_to_point_s(1e6, CHIP, inside=i)[0]) for i in (True, False))
    assert near < far
    assert [float(message_s(1e6, CHIP, i, True)) for i in (True, False)] == [near, far]
    assert float(message_s(1e6, CHIP, True, False)) == 0.0
    inside, sent = np.array([True, False, True]), np.array([True, True, False])
    assert message_s(1e6, CHIP, inside, sent).tolist() == [near, far, 0.0]
    alone = samples.chip()  # no network: nothing outside is priced where nothing goes there
    assert float(message_s(1e6, alone, True, True)) == near


def test_what_hides_behind_computing_still_leaks() -> None:
    assert hidden(3.0, 9.0, False) == 3.0
    assert hidden(3.0, 9.0, True) == pytest.approx(3 * LEAK)
    assert hidden(9.0, 3.0, True) == pytest.approx(6 + 3 * LEAK)
    assert hidden(9.0, 3.0, True, 0.5) == 7.5


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collectives cost size x (ranks - 1) x stride, weighed by kind; messages 7 or 9 times their size."""
    weight = {all_reduce_s: 2.0, all_gather_s: 3.0, reduce_scatter_s: 5.0, all_to_all_s: 11.0}

    def exchange(collective: Any, size: Any, n: Any, chip: Any, stride: Any = 1, *more: Any) -> Any:
        return weight[collective] * size * (np.asarray(n) - 1.0) * stride

    def message(size: Any, chip: Any, inside: Any, sent: Any) -> Any:
        return np.where(sent, np.where(inside, 7.0, 9.0) * size, 0.0)

    monkeypatch.setattr(messages, "exchange_s", exchange)
    monkeypatch.setattr(messages, "message_s", message)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_messages_of_tensor_and_expert_parallelism(engine: str, made_up: None) -> None:
    own, profile = (
        Work(reduced_bytes=10.0, reductions=6.0, routed=1.0, n_active=2.0, routed_layers=3.0),
        ENGINES[engine],
    )
    plain = layout(tensor_parallel=4, engine=engine)
    assert tensor_s(own, plain, CHIP) == pytest.approx(6 * 2 * 10 * 3)
    split = layout(tensor_parallel=4, sequence_parallel=True, engine=engine)
    assert tensor_s(own, split, CHIP) == pytest.approx(profile.tensor_exposed * 6 * (3 + 5) * 10 * 3)
    bare = layout(tensor_parallel=4, sequence_parallel=True, engine=engine, overlap=False)
    assert tensor_s(own, bare, CHIP) == pytest.approx(6 * 8 * 10 * 3)
    spread = {"data_parallel": 4, "expert_parallel": 4, "engine": engine, "dispatch": "all_to_all"}
    there_and_back = 3 * 11 * 3 * 2
    assert expert_s(own, layout(**spread), CHIP) == pytest.approx(there_and_back * (2 + 2))
    narrow = layout(**spread, dtype="fp8")  # out in 8 bit with a scale for 128, back in 16
    assert expert_s(own, narrow, CHIP) == pytest.approx(there_and_back * (1 + 4 / 128 + 2))
    wide = layout(**spread, dtype="fp8", dispatch_dtype="bf16")
    assert expert_s(own, wide, CHIP) == pytest.approx(there_and_back * 4)
    assert exposed_exchange_s(9.0, 1.0, layout(engine=engine)) == pytest.approx(9 * profile.expert_exposed)
    assert exposed_exchange_s(9.0, 1.0, layout(engine=engine, overlap=False)) == 9.0


def test_dualpipe_hides_tokens_behind_another_microbatch() -> None:
    """20 of 132 cores move them; what the computing is too short for is exposed."""
    at = layout(pipeline_parallel=4, schedule="dualpipe")
    assert exposed_exchange_s(6.0, 10.0, at) == pytest.approx(6 * 20 / 132)
    assert exposed_exchange_s(16.0, 10.0, at) == pytest.approx(6 + 10 * 20 / 132)
    bare = layout(pipeline_parallel=4, schedule="dualpipe", overlap=False)
    assert exposed_exchange_s(6.0, 10.0, bare) == 6.0


def test_a_token_goes_once_to_each_domain_and_there_once_to_each_rank(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """32 ranks in four domains of eight, two experts: the copies that a token makes, by chance."""
    seen: list[tuple[float, float]] = []

    def routed(inside: Any, outside: Any, group: Any, chip: Any) -> Any:
        seen.append((float(inside), float(outside)))
        return 1.0, 0.0

    monkeypatch.setattr(messages, "routed_s", routed)
    at = layout(data_parallel=32, expert_parallel=32)
    for groups, active, reached in (
        (1.0, 1.0, 4),
        (4.0, 2.0, 2),
        (8.0, 2.0, 2),
        (2.0, 1.0, 2),
        (8.0, 8.0, 4),
    ):
        seen.clear()
        own = Work(routed=5.0, n_active=2.0, groups=groups, active_groups=active, routed_layers=3.0)
        assert expert_s(own, at, CHIP) == 3 * (1 + 1)
        ranks = 8 * reached
        domains = reached * (1 - (1 - 1 / reached) ** 2)
        inside = 2 * 5 * ranks * (1 - (1 - 1 / ranks) ** 2)
        assert seen[0] == pytest.approx((inside, 2 * 5 * domains * 3 / 4))
    assert float(reached_domains(16, 8.0, 4.0)) == 8  # each group lies in two domains


def test_keys_and_values_around_the_ring(made_up: None) -> None:
    """Four ranks: three hops of a quarter each, in two layers; backward takes twice of both."""
    ring = 2 * 3 * 7 * 40 / 4
    for attention in (0.0, 50.0, 1e6):
        own = Work(key_value_bytes=40.0, attention_layers=2.0, attention=attention)
        at = layout(context_parallel=4, tensor_parallel=2)
        expected = hidden(ring, attention, True) + hidden(2 * ring, 2 * attention, True)
        assert context_s(own, at, CHIP) == pytest.approx(expected)
        bare = layout(context_parallel=4, tensor_parallel=2, overlap=False)
        assert context_s(own, bare, CHIP) == pytest.approx(3 * ring)
        far = layout(
            context_parallel=4, tensor_parallel=4, overlap=False
        )  # sixteen ranks leave a domain of 8
        assert context_s(own, far, CHIP) == pytest.approx(3 * ring * 9 / 7)
        assert context_s(own, layout(), CHIP) == 0


@pytest.mark.parametrize("engine", ["megatron", "deepspeed"])
def test_messages_between_stages(engine: str, made_up: None) -> None:
    """Activations and gradients of every microbatch and chunk; Megatron's ranks each send a part."""
    own = Work(reduced_bytes=80.0)
    part = 4 if engine == "megatron" else 1
    at = layout(pipeline_parallel=2, tensor_parallel=4, microbatch=4, engine=engine)
    assert boundary_s(own, at, CHIP) == pytest.approx(12 * 2 * 7 * 80 / part)
    split = layout(
        pipeline_parallel=2, tensor_parallel=4, microbatch=4, engine=engine, sequence_parallel=True
    )
    assert boundary_s(own, split, CHIP) == pytest.approx(12 * 2 * 7 * 20)
    for change in ({"tensor_parallel": 8}, {"context_parallel": 2}, {"data_parallel": 2, "microbatch": 2}):
        far = layout(
            **({"pipeline_parallel": 2, "tensor_parallel": 4, "microbatch": 4, "engine": engine} | change)
        )
        sent = 80 / (far.tensor_parallel if engine == "megatron" else 1)
        assert boundary_s(own, far, CHIP) == pytest.approx(12 * 2 * 9 * sent)
    chunks = layout(
        pipeline_parallel=2, pipeline_interleave=3, tensor_parallel=4, microbatch=4, engine=engine
    )
    every = 12 * 3 * 2 * 7 * 80 / part
    assert boundary_s(own, chunks, CHIP) == pytest.approx(LEAK * every)
    assert boundary_s(own, replace(chunks, overlap=False), CHIP) == pytest.approx(every)
    assert boundary_s(own, layout(), CHIP) == 0


def test_weights_are_gathered_from_the_ranks_that_share_them(made_up: None) -> None:
    """Two bytes of 100 parameters over eight ranks, two apart; of 20 of experts over those with the same."""
    at = layout(tensor_parallel=2, data_parallel=8, zero_stage=3)
    assert gather_s(HELD, at, CHIP) == pytest.approx(3 * 2 * 100 * 7 * 2 + 3 * 2 * 20 * 7 * 2)
    spread = layout(tensor_parallel=2, data_parallel=8, zero_stage=3, expert_parallel=4)
    assert gather_s(HELD, spread, CHIP) == pytest.approx(3 * 2 * 100 * 7 * 2 + 3 * 2 * 20 * 3 * 4)


def test_gradients_are_summed_in_groups_and_between_them(made_up: None) -> None:
    at = layout(tensor_parallel=2, data_parallel=8, zero_stage=2, zero_group=4, gradient_bytes=4)
    dense, experts = 4 * 100.0, 4 * 20.0
    within, at_once = 5 * dense * 3 * 2, 5 * dense * 7 * 2  # shards between the groups: 2 x 5 x 100 x 1 x 8
    found = sum_s(replace(HELD, experts=0.0), at, CHIP)
    assert float(found.within) == pytest.approx(within)
    assert float(found.across) == pytest.approx(at_once - within)  # more than that: no faster than at once
    assert float(found.whole) == pytest.approx(at_once)
    both = sum_s(HELD, at, CHIP)
    assert float(both.whole) == pytest.approx(at_once * (dense + experts) / dense)
    few = layout(tensor_parallel=2, data_parallel=8, zero_stage=2, zero_group=3, gradient_bytes=4)
    found = sum_s(replace(HELD, experts=0.0), few, CHIP)  # groups of three, three of them
    assert float(found.across) == pytest.approx(max(2 * 5 * dense / 3 * 2 * 6, at_once - 5 * dense * 2 * 2))
    spread = layout(
        tensor_parallel=2, data_parallel=8, zero_stage=2, zero_group=2, gradient_bytes=4, expert_parallel=4
    )
    few = sum_s(replace(HELD, layers=0.0, tables=0.0), spread, CHIP)  # four ranks in pairs, four apart
    assert float(few.within) == pytest.approx(5 * experts * 1 * 4)
    assert float(few.across) == pytest.approx(max(2 * 5 * experts / 2 * 1 * 8, 5 * experts * 3 * 4 - 1600))
    plain = sum_s(HELD, layout(data_parallel=8, gradient_bytes=4), CHIP)  # no ZeRO: shards of one rank
    assert float(plain.within) == 0
    assert float(plain.across) == pytest.approx(2 * 5 * 480 * 7)
    assert float(least_sum_s(HELD, at, CHIP)) == pytest.approx(5 * 480 * 7 * 2)
    assert float(least_sum_s(HELD, spread, CHIP)) == pytest.approx(5 * 400 * 7 * 2 + 5 * 80 * 3 * 4)


def test_new_weights_are_sent_one_rank_after_the_other(made_up: None) -> None:
    assert broadcast_s(HELD, layout(data_parallel=8, zero_stage=1), CHIP) == pytest.approx(7 * 2 * 120)
    far = layout(data_parallel=8, tensor_parallel=2, zero_stage=1)
    assert broadcast_s(HELD, far, CHIP) == pytest.approx(9 * 2 * 120)
    near = layout(data_parallel=8, tensor_parallel=2, zero_stage=1, zero_group=4)
    assert broadcast_s(HELD, near, CHIP) == pytest.approx(7 * 2 * 120)
    assert broadcast_s(HELD, layout(data_parallel=8), CHIP) == 0


# The step.

OWN = Work(
    products=10.0, experts=5.0, attention=8.0, norms=6.0, elementwise=3.0, kernels=1.0, head=2.0, rebuilt=4.0
)


@pytest.mark.parametrize("flash", [True, False])
def test_passes_over_the_layers(flash: bool) -> None:
    """Experts take 1.8 times their kernels; a flash kernel's backward 2.5 times, all else twice."""
    products, norms = 10 + 1.8 * 5, 6 / 3
    light = norms + 3 + 1
    forward = products + 8 + light
    backward = 2 * products + (2.5 if flash else 2.0) * 8 + 2 * light
    again = {"none": 0.0, "light": norms + 3 + 4, "selective": 8 + norms + 3, "full": forward}
    for how, more in again.items():
        at = layout(tensor_parallel=3, sequence_parallel=True, recompute=how, flash_attention=flash)
        found = passes(OWN, at)
        assert [float(x) for x in (found.forward, found.backward, found.again)] == pytest.approx(
            [forward, backward, more]
        )
        assert float(found.total) == pytest.approx(forward + backward + more)
    eager = layout(tensor_parallel=3, sequence_parallel=True, recompute="selective", engine="pytorch")
    assert float(passes(OWN, eager).again) == pytest.approx(8 + norms + 3 + 0.5 * products)


def test_layers_computed_again_send_their_messages_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(("tensor_s", "expert_s", "context_s")):
        monkeypatch.setattr(messages, name, lambda own, at, chip, i=i: 10.0**i)
    for how, times in (("none", 2), ("light", 2), ("selective", 2), ("full", 3)):
        at = layout(recompute=how, overlap=False)
        assert layer_messages(OWN, at, CHIP) == (times, times * 10, 100)


def test_parts_add_up_to_a_step() -> None:
    """Ten layers on four stages, three on the largest; twelve microbatches."""
    at = layout(pipeline_parallel=4, microbatch=4)
    parts = Parts(Passes(20.0, 40.0, 10.0), 3.0, 5.0, 2.0, 30.0, 3.0, 7.0, 1.5, 4.0, 6.0)
    found = added_up(at, parts, equal_turns(10, at, parts.layers, parts.head))
    layers = 20 + 40 + 10 + 3 + 5 + 2
    slowest = max(3 * layers / 10, 1 * layers / 10 + 30)
    expected = {
        "forward": 12 * 0.3 * 20, "backward": 12 * 0.3 * 40, "recompute": 12 * 0.3 * 10,
        "head": 12 * (slowest - 0.3 * layers), "tensor_parallel": 12 * 0.3 * 3,
        "expert_parallel": 12 * 0.3 * 5, "context_parallel": 12 * 0.3 * 2,
        "bubble": 3 * ((layers + 30) / 4 + 1.5), "pipeline": 7.0, "data_parallel": 12 * 1.5 + 4,
        "optimizer": 6.0,
    }  # fmt: skip
    assert {f.name: float(getattr(found, f.name)) for f in fields(found)} == pytest.approx(expected)
    assert float(found.total) == pytest.approx(sum(expected.values()))


def test_a_step_is_made_of_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "boundary_s", lambda own, at, chip: 7.0)
    monkeypatch.setattr(step_module, "layer_messages", lambda own, at, chip: (3.0, 5.0, 2.0))
    shares: list[float] = []

    def data_parallel(chip: Any, at: Any, held: Any, computing: Passes, share: Any) -> Any:
        shares.append(float(share))
        return 1.5, 4.0

    monkeypatch.setattr(step_module, "data_parallel_s", data_parallel)
    monkeypatch.setattr(step_module, "optimizer_s", lambda held, at, chip: 6.0)
    at = layout(pipeline_parallel=4, microbatch=4)
    found = step_times(10, CHIP, at, OWN, HELD)
    parts = Parts(passes(OWN, at), 3.0, 5.0, 2.0, 6.0, 3.0, 7.0, 1.5, 4.0, 6.0)
    assert float(found.total) == pytest.approx(
        float(added_up(at, parts, equal_turns(10, at, parts.layers, parts.head)).total)
    )
    assert shares == [0.3]
    assert head_of(2.0) == 6.0


@pytest.mark.parametrize("engine", ["megatron", "pytorch"])
def test_weights_and_gradients_of_a_step(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gathering takes 4 s, summing 6 s within groups and 10 s between, broadcasting 20 s.

    Of the passes' 10, 24 and 6 s, half is this stage's: 5 s forward, 15 s backward.
    """
    monkeypatch.setattr(messages, "gather_s", lambda held, at, chip: 4.0)
    monkeypatch.setattr(messages, "sum_s", lambda held, at, chip: messages.Sums(6.0, 10.0))
    monkeypatch.setattr(messages, "broadcast_s", lambda held, at, chip: 20.0)
    leak = ENGINES[engine].data_exposed

    def exposed(sent: float, behind: float) -> float:
        return max(0.0, sent - behind) + leak * min(sent, behind)

    updated = 20.0 if engine == "pytorch" else exposed(4, 5)
    expected = {
        0: (0.0, exposed(16, 15)),
        1: (0.0, updated + exposed(16, 15)),
        2: (exposed(6, 15), updated + exposed(10, 15)),
        3: (exposed(4, 5) + exposed(10, 15), exposed(10, 15)),
    }
    for stage, own in expected.items():
        at = layout(zero_stage=stage, data_parallel=4, engine=engine)
        found = data_parallel_s(CHIP, at, HELD, Passes(10.0, 24.0, 6.0), 0.5)
        assert [float(x) for x in found] == pytest.approx(list(own))
    bare = layout(zero_stage=3, data_parallel=4, engine=engine, overlap=False)
    assert [float(x) for x in data_parallel_s(CHIP, bare, HELD, Passes(10.0, 24.0, 6.0), 0.5)] == [14.0, 10.0]


# Rates.


def efficiency(**own: Any) -> Any:
    return samples.chip(
        dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s", "fp4": "4 PFLOP/s"}, efficiency=own
    )


def kernel(share: float) -> dict[str, Any]:
    return {"compute": share, "memory": 0.8, "overhead": "2 us"}


def test_shares_of_products_in_a_long_run() -> None:
    """Fitted; else measured kernels times 0.93; else from bf16 for narrow formats, or labelled constants."""
    plain = efficiency()
    assert [products_share(plain, d) for d in ("bf16", "fp8", "fp4")] == pytest.approx([0.62, 0.465, 0.31])
    measured = efficiency(gemm={"bf16": kernel(0.8), "fp8": kernel(0.5)})
    assert products_share(measured, "bf16") == pytest.approx(0.8 * 0.93)
    assert products_share(measured, "fp8") == pytest.approx(0.5 * 0.93)
    assert products_share(measured, "fp4") == pytest.approx(0.8 * 0.93 * 0.5)
    fitted = {"products": {"bf16": 0.7}, "attention": 0.4}
    both = efficiency(gemm={"bf16": kernel(0.8), "fp8": kernel(0.5)}, training=fitted)
    assert [products_share(both, d) for d in ("bf16", "fp8", "fp4")] == pytest.approx([0.7, 0.465, 0.35])
    narrow = efficiency(training={"products": {"bf16": 0.7, "fp8": 0.6}, "attention": 0.4})
    assert [products_share(narrow, d) for d in ("bf16", "fp8", "fp4")] == pytest.approx([0.7, 0.6, 0.35])


def test_shares_of_attention_in_a_long_run() -> None:
    heads = {"64": {"peak": 0.4, "half": 500.0}, "256": {"peak": 0.8, "half": 900.0}}
    assert attention_share(efficiency()) == 0.35
    assert attention_share(efficiency(attention_prefill=heads)) == pytest.approx(0.8 * 0.75)  # the widest
    common = heads | {"128": {"peak": 0.6, "half": 700.0}}
    assert attention_share(efficiency(attention_prefill=common)) == pytest.approx(0.6 * 0.75)
    fitted = {"products": {"bf16": 0.7}, "attention": 0.4}
    chip = efficiency(attention_prefill=common, training=fitted)
    assert attention_share(chip) == 0.4
    for engine in ("megatron", "pytorch"):
        scale = 0.4 / 0.6 * ENGINES[engine].attention
        found = training_chip(chip, engine).efficiency.attention_prefill
        assert {w: f.peak for w, f in found.items()} == pytest.approx(
            {64: 0.4 * scale, 128: 0.6 * scale, 256: 0.8 * scale}
        )
        assert {w: f.half for w, f in found.items()} == {64: 500.0, 128: 700.0, 256: 900.0}


def test_kernels_of_a_long_run_keep_their_memory_and_fixed_time() -> None:
    expert = {
        "compute": 0.5,
        "width_half": 1.0,
        "tile_half": 2.0,
        "memory": 0.6,
        "activations": 2.0,
        "overhead": "1 us",
    }
    own = efficiency(
        gemm={"bf16": kernel(0.8), "fp8": kernel(0.5)},
        training={"products": {"bf16": 0.6, "fp8": 0.4}, "attention": 0.4},
        experts={"bf16": expert, "fp8": expert, "int8": expert},
    )
    found = training_chip(own, "megatron").efficiency
    assert {d: g.compute for d, g in found.gemm.items()} == pytest.approx(
        {"bf16": 0.6, "fp8": 0.4, "fp4": 0.3}
    )
    assert all((g.memory, g.overhead) == (0.8, 2e-6) for g in found.gemm.values())
    assert {d: e.compute for d, e in found.experts.items()} == pytest.approx(
        {"bf16": 0.5 * 0.6 / 0.8, "fp8": 0.5 * 0.4 / 0.5}
    )  # no int8 products on this chip
    assert found.elementwise == own.efficiency.elementwise


# Jobs.


def test_figures_of_a_job() -> None:
    """48 sequences of 1,000 tokens in 2 s on 8 chips: 24,000 tokens/s, 3,000 a chip."""
    setup = TrainingSetup.model_validate(
        {"data_parallel": 8, "global_batch": 48, "sequence_length": 1000, "recompute": "full"}
    )
    flops = SimpleNamespace(
        model=lambda causal: 3e10 if causal else 4e10,
        hardware=lambda recompute, causal: {"full": 5e10}[recompute] if causal else -1.0,
    )
    memory = SimpleNamespace(total=3.0)
    own: Any = Job(setup, layout_of(setup), SimpleNamespace(total=2.0), memory, flops)  # type: ignore[arg-type]
    assert (own.step_s, own.tokens_per_s) == (2.0, 24_000)
    chip = samples.chip(usd_per_chip_hour=3.0, dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"})
    expected = {
        "step_s": 2.0, "tokens_per_s": 24e3, "train_tokens_per_s_per_chip": 3e3, "mfu": 0.09,
        "mfu_full_attention": 0.12, "hfu": 0.15,
    }  # fmt: skip
    assert metrics_of(own, chip) == pytest.approx(expected)
    fp8 = replace(own, setup=setup.model_copy(update={"dtype": "fp8"}))
    assert metrics_of(fp8, chip) == pytest.approx(expected | {"mfu_of_format_peak": 0.045})
    days = 24e3 * 86400 * 5
    # Eight chips, one of which fails in 1/(8 x 0.01) = 12.5 hours; a minute to restart, nine seconds to save.
    lost = (2 * 9 / (12.5 * 3600)) ** 0.5 + 60 / (12.5 * 3600)
    share = 0.9 / (1 + lost)
    losses = LongRun(stragglers=0.1, failures_per_chip_hour=0.01, restart_min=1, checkpoint_s=9)
    paid = expected | {"train_days": 5.0 / share, "train_usd": 5 * 24 * 8 * 3.0 / share}
    paid |= {"effective_share": share, "mfu_of_run": 0.09 * share}
    assert metrics_of(own, chip, days, losses) == pytest.approx(paid)
    none = LongRun(stragglers=0, failures_per_chip_hour=0)
    assert metrics_of(own, chip, days, none)["train_days"] == pytest.approx(5.0)
    free = chip.model_copy(update={"usd_per_chip_hour": None})
    assert "train_usd" not in metrics_of(own, free, days) and "train_days" in metrics_of(own, free, days)


SMALL = Architecture.model_validate(
    {
        "name": "small", "d_model": 512, "n_layers": 6, "n_heads": 8, "n_kv_heads": 4, "d_head": 64,
        "d_ff": 1024, "vocab_size": 1000,
    }
)  # fmt: skip


def test_a_job_prices_its_setup_with_its_own_layers_and_ranks() -> None:
    """Twice the microbatches take twice the layers' time; half the sequence a rank, half its tokens."""
    base = {"global_batch": 8, "sequence_length": 1024, "flash_attention": True}
    one, two = (job(SMALL, CHIP, TrainingSetup.model_validate(base | {"global_batch": n})) for n in (8, 16))
    assert float(two.times.forward) == pytest.approx(2 * float(one.times.forward))
    assert one.flops == two.flops
    assert (one.layout.n_microbatches, two.layout.n_microbatches) == (8, 16)
    assert links._WIDE > 10**9
