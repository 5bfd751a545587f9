"""Every cost rises with the work and falls with the hardware, operator by operator.

That is what makes a price of optimistic inputs a lower bound: the floors put the narrowest kinds and the
fewest parameters through the functions that price plans.
"""

from dataclasses import fields, replace
from typing import Any

import drawn
import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optimizer.blocks import block
from optimizer.blocks.operators import Gemm, Products
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES, step_of
from optimizer.cost.roofline import Roofline
from optimizer.questions.architecture.kinds import Kinds, kinds_like
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip

WORK = {
    "Gemm": ("m", "n", "k"),
    "Products": ("m", "elements", "width_in", "width_out", "kernels"),
    "DecodeAttention": ("batch", "context", "n_heads", "n_kv_heads", "d_head", "queries"),
    "LatentAttention": ("batch", "context", "n_heads", "d_latent", "d_rope", "queries"),
    "PrefillAttention": ("tokens", "window", "n_heads", "n_kv_heads", "prompts", "prefix", "chunks"),
    "Experts": ("rows", "d_model", "d_expert"),
    "ExpertExchange": ("rows", "d_model"),
    "Elementwise": ("bytes",),
    "AllReduce": ("bytes",),
    "Collective": ("bytes",),
    "StageTransfer": ("bytes",),
    "Host": ("seconds",),
    "ForSome": ("present",),
}
"""d_head of a prompt's attention is missing: wide heads may run at a better share of the peak."""
FASTER = ("hbm_bandwidth", "dense_flops", "scaleup", "scaleout_bandwidth")
SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)


def at_most(less: Any, more: Any) -> bool:
    return bool(np.all(np.asarray(less) <= np.asarray(more) * (1 + 1e-12)))


def test_every_operator_has_its_work_named() -> None:
    made = {type(op).__name__: op for op in drawn.operators(drawn.Seeded(0))}
    assert set(made) == set(WORK)
    for name, op in made.items():
        assert set(WORK[name]) <= {field.name for field in fields(op)}


@SETTINGS
@given(drawn.by_hypothesis(drawn.work), st.sampled_from([1.001, 1.5, 2, 17]))
def test_more_work_never_costs_less(drawing: Any, factor: float) -> None:
    rates, operators = drawing
    for op in operators:
        for name in WORK[type(op).__name__]:
            more = replace(op, **{name: getattr(op, name) * factor})
            assert at_most(rates.seconds([op]), rates.seconds([more])), (name, op)


def faster(chip: Chip, figure: str, factor: float) -> Chip:
    value = getattr(chip, figure)
    if figure == "scaleup":
        better: Any = value.model_copy(update={"bandwidth": value.bandwidth * factor})
    elif figure == "dense_flops":
        better = {dtype: peak * factor for dtype, peak in value.items()}
    else:
        better = value * factor
    return chip.model_copy(update={figure: better})


@SETTINGS
@given(drawn.by_hypothesis(drawn.work), st.sampled_from([1.001, 1.5, 9]))
def test_faster_hardware_or_a_faster_engine_never_costs_more(drawing: Any, factor: float) -> None:
    rates, operators = drawing
    better = {figure: replace(rates, chip=faster(rates.chip, figure, factor)) for figure in FASTER}
    for speed in ("compute", "attention_decode", "all_reduce"):
        quick = rates.engine.model_copy(update={speed: getattr(rates.engine, speed) * factor})
        better[speed] = replace(rates, engine=quick)
    for op in operators:
        for name, own in better.items():
            assert at_most(own.seconds([op]), rates.seconds([op])), (name, op)


def pool(d: drawn.Draw) -> tuple[Roofline, list[Gemm]]:
    m = d.of([1, 64, 8192])
    gemms = [Gemm("", m, d.of([8, 512, 28672]), d.of([64, 4096])) for _ in range(d.whole(1, 6))]
    return drawn.rates(d), gemms


@SETTINGS
@given(drawn.by_hypothesis(pool))
def test_a_pool_of_products_costs_no_more_than_its_parts(drawing: Any) -> None:
    rates, gemms = drawing
    sums = {name: sum(getattr(op, name) for op in gemms) for name in ("elements", "width_in", "width_out")}
    whole = Products("", gemms[0].m, **sums, kernels=len(gemms))
    assert at_most(rates.seconds([whole]), rates.seconds(gemms))
    one = Products("", gemms[0].m, gemms[0].elements, gemms[0].width_in, gemms[0].width_out, 1)
    assert rates.cost(one) == rates.cost(gemms[0])


def lattice_of_one(model: Architecture) -> tuple[Kinds, Kinds]:
    """The halves of a model's layers, as arrays of one kind."""
    return kinds_like(model.first.mixer), kinds_like(model.first.ffn)


LAYERS = ("n_params", "memory_bytes", "decode_s", "prefill_s", "mixed_s", "train_bytes")
"""Not train_s: messages hide behind computing, so more of it may cost less; its floor hides all of them."""


@SETTINGS
@given(drawn.by_hypothesis(drawn.plan), st.sampled_from([("n_heads", 2), ("n_kv_heads", 2), ("d_ff", 3)]))
def test_wider_layers_of_a_head_width_never_cost_less(plan: Any, change: tuple[str, int]) -> None:
    frame, model = plan
    name, factor = change
    for half in lattice_of_one(model):
        if not hasattr(half, name):
            continue
        wide = replace(half, **{name: getattr(half, name) * factor})
        own = (model.first.norms,) if block(half).ROLE == "mixer" else ()
        for quantity in LAYERS:
            price = getattr(QUANTITIES[quantity], block(half).ROLE)
            assert at_most(price(frame, half, *own), price(frame, wide, *own)), quantity


@SETTINGS
@given(drawn.by_hypothesis(drawn.plan), st.sampled_from([1, 2, 3, 4, 8, 16]))
def test_products_hold_the_matrices_and_no_split_loses_any(plan: Any, split: int) -> None:
    """Floors take the matrices of a parameter count for the elements of all products of a rank."""
    frame, model = plan
    frame = samples.changed(frame, tensor_parallel=split)
    for half in lattice_of_one(model):
        stored = block(half).weights(half, frame.d_model, split).matrix
        whole = block(half).weights(half, frame.d_model, 1).matrix
        assert at_most(whole / split, stored)
        step = step_of(frame, "mixed")
        gemms = [op for op in block(half).operators(half, step) if isinstance(op, Gemm)]
        assert sum(op.elements for op in gemms) == pytest.approx(stored, rel=1e-12)
        assert all(op.m == step.rows for op in gemms)


@SETTINGS
@given(drawn.by_hypothesis(drawn.plan), st.floats(0.01, 1.0))
def test_floors_rise_with_the_parameter_count(plan: Any, share: float) -> None:
    frame, model = plan
    n_params = QUANTITIES["n_params"].total(frame, model)
    for quantity in QUANTITIES.values():
        low, high = (floor_at(quantity, frame, model, s * n_params) for s in (share, 1.0))
        assert at_most(low, high)


def floor_at(quantity: Any, frame: Frame, model: Any, n_params: float) -> Any:
    return quantity.floor(frame, drawn.least_of(frame, model, n_params))
