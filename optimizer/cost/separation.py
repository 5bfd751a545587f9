"""Attention and routed experts on chips of their own: tokens go over and back in every mixture layer.

Microbatches follow each other through attention, the way out, the experts and the way back, as a caravan
through four toll gates. With t the longest of the four for one microbatch, R their sum, m microbatches and
L layers:

    step = (L - 1) max(m t, R) + R + (m - 1) t

m t >= R hides the ways; with equal work on both sides and short ways that takes m >= 3. Out in the activation
format, back in 16 bit; each direction has its own side of the link. The condition is MegaScale-Infer's (arXiv
2504.02263, section 4.1). Norms, router, shared experts and dense layers stay with attention.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import block, padded
from optimizer.blocks.operators import ExpertExchange, Experts, Number, Operator
from optimizer.blocks.step import Step
from optimizer.cost.collectives import point_to_point_s
from optimizer.cost.experts import copies_per_token
from optimizer.cost.frame import Frame
from optimizer.cost.memory import GIB, reserve_bytes
from optimizer.cost.quantities import QUANTITIES, roofline, shared_operators, step_of
from optimizer.degrees import operators
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import BYTES
from optimizer.spec.split import Split


@dataclass(frozen=True)
class Gates:
    """Seconds of one microbatch in one layer: attention, to the experts, the experts, back."""

    attention_s: Number
    out_s: Number = 0.0
    experts_s: Number = 0.0
    back_s: Number = 0.0

    @property
    def longest(self) -> Number:
        """The gate that a long row of microbatches waits for."""
        there, back = np.maximum(self.attention_s, self.out_s), np.maximum(self.experts_s, self.back_s)
        return np.maximum(there, back)

    @property
    def round_trip(self) -> Number:
        """One microbatch alone."""
        return self.attention_s + self.out_s + self.experts_s + self.back_s

    def period(self, microbatches: int) -> Number:
        """Seconds from one layer to the next, with all microbatches under way."""
        return np.maximum(microbatches * self.longest, self.round_trip)


def caravan_s(layers: Sequence[tuple[int, Gates]], microbatches: int) -> Number:
    """Seconds until the last microbatch is through all layers: (count, gates) of each kind, in order."""
    last = layers[-1][1]
    through = sum(count * gates.period(microbatches) for count, gates in layers)
    return through - last.period(microbatches) + last.round_trip + (microbatches - 1) * last.longest


def other_degrees(split: Split) -> list[str]:
    """The degrees above 1 that the attention side cannot have: it is tensor and data parallel alone."""
    return [n for n, v in vars(split).items() if v > 1 and n not in ("tensor_parallel", "data_parallel")]


@dataclass(frozen=True)
class Separated:
    """A replica whose routed experts lie on other chips than its attention.

    `frame` is the attention side: its chip, tensor_parallel x data_parallel chips, all sequences in `batch`.
    The expert side has `n_expert_chips`, which hold the experts in `expert_parallel` groups.
    """

    frame: Frame
    expert_chip: Chip
    n_expert_chips: int
    expert_parallel: int
    microbatches: int = 3
    same_domain: bool = False
    """Whether both sides lie in one scale-up domain; else tokens cross the network."""

    def __post_init__(self) -> None:
        for name in other_degrees(self.frame.split):
            raise InputError(f"{name}: attention apart from experts has none; use {name} 1")
        if self.n_expert_chips % self.expert_parallel:
            raise InputError(
                f"expert_parallel {self.expert_parallel} does not divide the {self.n_expert_chips} chips"
                " of the experts"
            )

    @property
    def n_chips(self) -> Any:
        """Chips of both sides."""
        return self.frame.n_chips + self.n_expert_chips


def step_s(separated: Separated, architecture: Architecture) -> Number:
    """Seconds of a decode step of all sequences, drafted tokens included; one for each batch of an array."""
    frame = separated.frame
    seconds = _decode_s(separated, architecture)
    if frame.draft_tokens:
        plain = replace(separated, frame=replace(frame, draft_tokens=0))
        seconds += frame.draft_tokens * frame.draft_cost * _decode_s(plain, architecture)
    return seconds


def _decode_s(separated: Separated, architecture: Architecture) -> Number:
    frame = separated.frame
    layers = [
        (group.count, gates(separated, group.block.mixer, group.block.ffn)) for group in architecture.layers
    ]
    shared = roofline(frame).seconds(shared_operators(frame, "decode"))
    return caravan_s(layers, separated.microbatches) + shared


def gates(separated: Separated, mixer: Any, ffn: Any) -> Gates:
    """Seconds of one microbatch in one layer; a dense layer never leaves the attention side."""
    frame = separated.frame
    whole = step_of(frame, "decode")
    step = replace(whole, batch=whole.batch / separated.microbatches)
    own = [op for part in (mixer, ffn) for op in operators(part, step)]
    stays = [op for op in own if not isinstance(op, Experts | ExpertExchange)]
    attention = roofline(frame).seconds(stays)
    attention = attention / (frame.engine.data_parallel_balance if frame.split.data_parallel > 1 else 1.0)
    rows = step.rows * frame.split.data_parallel
    routed = [op for op in _remote(separated, ffn, rows) if isinstance(op, Experts)]
    if not routed:
        return Gates(attention)
    rates = replace(roofline(frame), chip=separated.expert_chip)
    out, back = (_way_s(separated, routed[0], rows, outward) for outward in (True, False))
    return Gates(attention, out, rates.seconds(routed), back)


def _remote(separated: Separated, ffn: Any, rows: Number) -> list[Operator]:
    """The feed-forward operators of a layer as the expert chips see them: all tokens, no attention ranks."""
    n = separated.n_expert_chips
    step = Step(
        d_model=separated.frame.d_model,
        split=Split(data_parallel=n, expert_parallel=separated.expert_parallel),
        batch=rows / n,
        context=0,
        prompts=0,
        prompt_tokens=0,
    )
    return operators(ffn, step)


def _way_s(separated: Separated, experts: Experts, rows: Number, outward: bool) -> Number:
    """Seconds until `rows` tokens are on the other side: the busier of the two ends."""
    frame, n = separated.frame, separated.n_expert_chips
    chip = separated.expert_chip if outward else frame.chip
    element = chip.activation_bytes(frame.formats.of("experts").dtype) if outward else BYTES["bf16"]
    copies = copies_per_token(n, separated.expert_parallel, experts.n_active)
    moved = rows * copies * experts.d_model * element
    ends = ((frame.n_chips, frame.chip), (n, separated.expert_chip))
    first, second = (point_to_point_s(moved / k, end, separated.same_domain)[0] for k, end in ends)
    return np.maximum(first, second)


def expert_chip_gib(separated: Separated, architecture: Architecture) -> float:
    """GiB on each expert chip: its share of all routed experts, and what the engine reserves."""
    frame = separated.frame
    held = sum(group.count * _routed_bytes(frame, group.block.ffn) for group in architecture.layers)
    reserve = reserve_bytes(replace(frame, chip=separated.expert_chip))
    return float((float(held) * frame.n_chips / separated.n_expert_chips + reserve) / GIB)


def _routed_bytes(frame: Frame, ffn: Any) -> Number:
    """Bytes of one layer's routed experts on each chip of an undivided replica."""
    spread = getattr(block(ffn), "rank_weights", None)
    if spread is None:
        return 0.0
    elements = spread(ffn, frame.d_model, frame.split.tensor_parallel, frame.split.data_parallel).experts
    return elements * frame.formats.of("experts").bytes


def attention_chip_gib(separated: Separated, architecture: Architecture) -> Number:
    """GiB on each attention chip: everything but the routed experts."""
    frame = separated.frame
    whole = QUANTITIES["memory_bytes"].total(frame, architecture)
    split, padding = frame.split, frame.padding
    held = sum(
        g.count * _routed_bytes(frame, padded(g.block.ffn, split, padding)) for g in architecture.layers
    )
    return (whole - held) / GIB
