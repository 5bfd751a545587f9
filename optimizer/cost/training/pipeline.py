"""Pipeline stages: their layers, how many microbatches they hold, how long they wait.

Stages need not be equal: the largest has ceil(L / p) layers, and what is missing to p equal ones is taken
from the last stage, which has the head as well. (Llama-3.1-405B has 126 = 8 x 16 - 2 layers for this.) With m
microbatches and v chunks on each stage, 1F1B waits (p - 1) / v mean stages (Narayanan et al. 2021, arXiv
2104.04473), a zero-bubble schedule a third of that (Qi et al. 2023, arXiv 2401.10241).

In DualPipe microbatches enter at both ends, and the forward pass of one hides the messages of the backward
pass of another. It waits (p/2 - 1)(F&B + B - 3 W), which is (p - 2)/3 mean stages where a backward pass is
two forward ones and half of it is for weights, and holds p + 1 microbatches and two stages' weights (arXiv
2412.19437, table 2).

Stages of unlike chips are unlike as well: a step needs of them only the turn of the slowest and their mean.
"""

from dataclasses import dataclass

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.training.layout import Layout

_ZERO_BUBBLE = 1 / 3


def stage_layers(n_layers: int, at: Layout) -> Number:
    """Layers of the largest pipeline stage."""
    return np.ceil(n_layers / at.pipeline_parallel) if at.layers is None else at.layers


def layers_in_flight(n_layers: int, at: Layout) -> Number:
    """Layers times microbatches whose activations the first stage holds at once.

    It holds min(m, p) microbatches, times 1 + (p - 1)/(p v) when chunks are interleaved (arXiv 2205.05198).
    """
    p, v = at.pipeline_parallel, at.pipeline_interleave
    held = np.minimum(at.n_microbatches, p) * np.where(v > 1, 1 + (p - 1) / (p * v), 1.0) + at.dualpipe
    return stage_layers(n_layers, at) * np.minimum(held, at.n_microbatches)


def slowest_stage(n_layers: int, at: Layout, layer: Number, head: Number) -> Number:
    """Seconds of the slowest stage for one microbatch: the largest, or the last with the head."""
    largest = stage_layers(n_layers, at)
    missing = at.pipeline_parallel * largest - n_layers
    return np.maximum(largest * layer, np.maximum(largest - missing, 0) * layer + head)


@dataclass(frozen=True, slots=True)
class Turns:
    """What the stages of a pipeline take for one microbatch."""

    share: Number
    """Of all layers, those of the slowest stage."""
    slowest: Number
    """Seconds of the slowest stage."""
    mean: Number
    """Seconds of the mean stage."""


def equal_turns(n_layers: int, at: Layout, layers: Number, head: Number) -> Turns:
    """Those of stages as equal as can be, from seconds of all layers and of the head."""
    slowest = slowest_stage(n_layers, at, layers / n_layers, head)
    return Turns(stage_layers(n_layers, at) / n_layers, slowest, (layers + head) / at.pipeline_parallel)


def bubble_stages(at: Layout) -> Number:
    """Mean stages that a rank waits in a step."""
    wait = (at.pipeline_parallel - 1 - at.dualpipe) / at.pipeline_interleave
    return wait * np.where(np.maximum(at.zero_bubble, at.dualpipe), _ZERO_BUBBLE, 1.0)
