"""Two microbatches: one computes while the tokens of the other are on their way to the experts and back.

    layer = max(2 c, 2 x) + exposed min(2 c, 2 x)

c and x are the seconds of computing and of exchanging half a batch: weights are read twice and kernels start
twice, so small batches lose. `exposed` is the share of the shorter one that shows all the same: 0 is ideal.
0.7 in decode and 0.1 in prefill were fitted to one published point each of DeepSeek-V3 on H800 with other
kernel times (deepseek-ai/open-infra-index @56d86855 day 6; alibaba/InferSim @f2293dab). With those of this
catalogue, where the H800 is not measured, the decode point (55.1 ms, 128 ranks) comes out at 79 ms, and at
57 ms with everything hidden: the share is an assumption.
"""

from dataclasses import replace

import numpy as np

from optimizer.blocks.operators import ExpertExchange, Number
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import roofline, shared_operators, step_of
from optimizer.degrees import operators
from optimizer.spec.architecture import Architecture

EXPOSED = {"decode": 0.7, "prefill": 0.1}


def two_microbatches_s(compute_s: Number, exchange_s: Number, exposed: float = 0.0) -> Number:
    """Seconds of a layer for both microbatches; the arguments are those of one."""
    longer, shorter = np.maximum(compute_s, exchange_s), np.minimum(compute_s, exchange_s)
    return 2.0 * (longer + exposed * shorter)


def overlapped_decode_s(
    frame: Frame, architecture: Architecture, exposed: float = EXPOSED["decode"]
) -> float:
    """Seconds of a decode step in two microbatches, exchanges overlapped; without drafts or pipeline."""
    rates, step = roofline(frame), step_of(frame, "decode")
    half = replace(step, batch=step.batch / 2)
    layers = 0.0
    for group in architecture.layers:
        own = [op for part in (group.block.mixer, group.block.ffn) for op in operators(part, half)]
        exchange = rates.seconds([op for op in own if isinstance(op, ExpertExchange)])
        compute = rates.seconds([op for op in own if not isinstance(op, ExpertExchange)])
        balance = frame.engine.data_parallel_balance if frame.split.data_parallel > 1 else 1.0
        layers += group.count * float(two_microbatches_s(compute / balance, exchange, exposed))
    return layers + float(rates.seconds(shared_operators(frame, "decode")))
