"""No operator is faster than the chip: not than its peak, its memory or its links, whatever an engine says.

Guards the ceiling of every price. An engine that speeds up kernels, a fit above the datasheet or a measured
exchange above the link would promise what no chip does, and the search would choose it.
"""

from dataclasses import replace
from typing import Any

import drawn
import numpy as np
import pytest
import samples
from hypothesis import HealthCheck, given, settings

from optimizer import catalog
from optimizer.blocks.operators import (
    AllReduce,
    Collective,
    DecodeAttention,
    Elementwise,
    ExpertExchange,
    Experts,
    ForSome,
    Gemm,
    LatentAttention,
    PrefillAttention,
    Products,
    StageTransfer,
)
from optimizer.cost import torus
from optimizer.cost.operator_cost import achieved
from optimizer.cost.roofline import Roofline
from optimizer.cost.training.constants import ENGINES
from optimizer.cost.training.rates import training_chip
from optimizer.spec.chip import Chip
from optimizer.spec.engine import IDEAL
from optimizer.spec.split import Formats, Split

FAST = IDEAL.model_copy(update={"compute": 2.0, "attention_decode": 2.0, "all_reduce": 2.0})
SLOW = IDEAL.model_copy(update={"compute": 0.2, "attention_decode": 0.1, "all_reduce": 0.05})
GATHERS = FAST.model_copy(update={"expert_exchange": "all_gather"})
CATALOGUE = [pytest.param(chip, id=name) for name, chip in catalog.chips().items()]


LARGE: list[Any] = [
    Gemm("", 8192, 8192, 8192),
    Gemm("", 1, 8192, 8192),
    DecodeAttention("", 512, 130_000, 64, 8, 128),
    DecodeAttention("", 512, 130_000, 512, 1, 128, 4),
    PrefillAttention("", 65_536, 65_536, 64, 8, 128),
    PrefillAttention("", 65_536, 65_536, 64, 8, 256),
    LatentAttention("", 512, 130_000, 128, 512, 64),
    Experts("", 65_536, 8192, 32, 8, 8, 8, True),
    Experts("", 65_536, 8192, 65_536, 8, 8, 8, True),
    Elementwise("", 1e12),
    AllReduce("", 1e12),
    Collective("", "all_gather", 1e12, 4, 1),
    Collective("", "all_to_all", 1e12, 4, 1),
    ExpertExchange("", 65_536, 8192, 128, 8, 48, 8, True),
    StageTransfer("", 1e12, 1),
]
"""So large that overheads and latencies do not count."""


def link_rate(rates: Roofline) -> float:
    """Bytes a second out of a chip over all its links, the network's too."""
    link = rates.chip.scaleup
    ways = sum(w for _, w in torus.sides(link.domain, link)) if link.topology.startswith("torus") else 1
    return float(link.bandwidth * ways + (rates.chip.scaleout_bandwidth or 0.0))


def peak_of(op: Any, rates: Roofline) -> float:
    """FLOP/s that the arithmetic of an operator may reach."""
    chip, dtype = rates.chip, getattr(op, "weight_dtype", "") or rates.formats.weight_dtype
    if isinstance(op, Experts):
        return float(chip.dense_flops[chip.experts(dtype).arithmetic or chip.arithmetic(dtype)])
    products = isinstance(op, Gemm | Products)
    return float(chip.dense_flops[chip.arithmetic(dtype) if products else "bf16"])


def too_fast(op: Any, rates: Roofline) -> list[str]:
    """What of the hardware an operator beats."""
    one = op.operator if isinstance(op, ForSome) else op
    cost = rates.cost(one)
    ceilings = {
        "peak": cost.flops / peak_of(one, rates),
        "bandwidth": cost.bytes / rates.chip.hbm_bandwidth,
        "links": cost.link_bytes / link_rate(rates),
    }
    return [name for name, least in ceilings.items() if np.any(least > cost.seconds * (1 + 1e-12))]


@pytest.mark.parametrize("chip", CATALOGUE)
def test_no_operator_beats_a_chip_of_the_catalogue(chip: Chip) -> None:
    chip = chip.model_copy(update={"scaleout_bandwidth": chip.scaleout_bandwidth or 50e9})
    trained = [training_chip(chip, engine) for engine in ENGINES]
    for seed, engine in enumerate((IDEAL, FAST, SLOW, GATHERS)):
        for dtype, kv, t in zip(drawn.WEIGHTS, drawn.CACHES * 4, (1, 2, 4, 8, 1, 3, 8), strict=False):
            rates = Roofline(chip, Split(t), Formats(dtype, kv), engine)
            for own in (rates, *(replace(rates, chip=other) for other in trained)):
                for op in (*LARGE, *drawn.operators(drawn.Seeded(seed), t)):
                    assert not too_fast(op, own), (op, engine)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(drawn.by_hypothesis(drawn.work))
def test_no_operator_beats_a_chip_of_the_users(drawing: Any) -> None:
    rates, operators = drawing
    trained = [replace(rates, chip=training_chip(rates.chip, engine)) for engine in ("megatron", "xla")]
    for own in (rates, *trained):
        for op in (*LARGE, *operators):
            assert not too_fast(op, own), op


def test_an_engine_may_be_slower_but_not_faster_than_the_chip() -> None:
    assert achieved(0.8, 0.5) == 0.4
    assert achieved(0.8, 1.2) == pytest.approx(0.96)
    assert achieved(0.8, 2.0) == 1.0
    assert achieved(np.array([0.5, 0.9]), 1.5).tolist() == [0.75, 1.0]


def test_products_of_a_fast_engine_run_at_the_peak_and_not_above() -> None:
    chip = catalog.chip("nvidia-b200-sxm")
    op = Gemm("", 8192, 8192, 8192)
    seconds = {
        c: Roofline(chip, Split(), Formats(), IDEAL.model_copy(update={"compute": c})) for c in (1.2, 2)
    }
    peak = 2.0 * 8192**3 / chip.dense_flops["bf16"]
    assert seconds[1.2].cost(op).compute_s == pytest.approx(peak / (1.2 * chip.gemm("bf16").compute))
    assert seconds[2].cost(op).compute_s == pytest.approx(peak)


def test_experts_of_a_training_run_stay_below_the_peak() -> None:
    """Their kernels' share grows with that of products, which a long run may sustain better: to the peak."""
    kernel = {
        "compute": 0.8,
        "width_half": 0,
        "tile_half": 0,
        "memory": 0.9,
        "activations": 1,
        "overhead": "1 us",
    }
    own = {
        "gemm": {"bf16": {"compute": 0.3, "memory": 0.8, "overhead": "1 us"}},
        "attention_decode": {"bf16": {"memory": 0.8, "overhead": "1 us"}},
        "training": {"products": {"bf16": 0.9}, "attention": 0.5},
        "experts": {"bf16": kernel},
    }
    trained = training_chip(samples.chip(efficiency=own), "megatron")
    assert trained.experts("bf16").compute == 1
    for op in LARGE:
        if isinstance(op, Experts):
            assert not too_fast(op, Roofline(trained, Split(), Formats()))
