"""The additive quantities of a plan: a share of the frame plus a sum over its layers.

    q(plan) = base(frame) + sum over layers [ attention(layer) + ffn(layer) ]

Every metric is a function of one of them, which is what keeps the solver's rows linear. Layer parts
take one layer kind or arrays of kinds and return numbers or arrays to match.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Host, Number, Operator, StageTransfer
from optimizer.blocks.step import Step
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.least import Least, cheapest
from optimizer.cost.placement import most_together
from optimizer.cost.roofline import Roofline
from optimizer.cost.training import quantity as training
from optimizer.degrees import operators
from optimizer.spec.architecture import Architecture, Block
from optimizer.spec.norms import Norms

CHUNKED = ("prefill", "joined")
"""Phases that take a prompt in as many steps as its chunks."""


@dataclass(frozen=True)
class Quantity:
    """One additive quantity: its unit, and its parts."""

    unit: str
    base: Callable[[Frame], Number]
    mixer: Callable[[Frame, Any, Norms], Number]
    """Of one layer, with its norms."""
    ffn: Callable[[Frame, Any], Number]
    least: Callable[[Frame, Least], Number]
    """Of all layers together, at least: the same functions on what is known of them."""
    once: Callable[[Frame, Architecture], Number] | None = None
    """Of the one layer that has the most of it, if there is such a part."""
    stages: Literal["sum", "longest", "round"] = "sum"
    """What counts of a pipeline: all layers, those of its longest stage, or a round of stages as long."""

    def total(self, frame: Frame, architecture: Architecture) -> Any:
        """The quantity of a whole architecture in a frame; an array where `frame.batch` is one."""
        layers: Number = 0.0
        for group in architecture.layers:
            layers += group.count * self.layer(frame, group.block)
        total = self.base(frame) + layers * self._pipelined(frame, architecture.n_layers)
        total = total + self.once(frame, architecture) if self.once else total
        return float(total) if np.ndim(total) == 0 else total

    def layer(self, frame: Frame, block: Block) -> Number:
        """The quantity of one layer."""
        return self.mixer(frame, block.mixer, block.norms) + self.ffn(frame, block.ffn)

    def floor(self, frame: Frame, layers: Least) -> Number:
        """Lower bound for every plan of the frame whose layers are at least these."""
        frame = frame.exact  # no share is below the mean
        return self.base(frame) + self.least(frame, layers) * self._pipelined(frame, layers.n_layers)

    def seen_from(self, other: Callable[[Frame], Frame]) -> "Quantity":
        """The same of each plan in another frame, which follows from its own and has its split."""
        once = self.once
        return replace(
            self,
            base=lambda f: self.base(other(f)),
            mixer=lambda f, part, norms: self.mixer(other(f), part, norms),
            ffn=lambda f, part: self.ffn(other(f), part),
            least=lambda f, layers: self.least(other(f), layers),
            once=(lambda f, a: once(other(f), a)) if once else None,
        )

    def _pipelined(self, frame: Frame, n_layers: Any) -> Any:
        """Stages hold whole layers, so the longest may be longer than their mean."""
        n = frame.split.pipeline_parallel
        if n == 1 or self.stages == "sum":
            return 1.0
        return memory.stage_share(n, n_layers) if self.stages == "longest" else _round_share(frame, n_layers)


def roofline(frame: Frame) -> Roofline:
    """The rates of one rank of the frame."""
    return Roofline(
        frame.chip,
        frame.split,
        frame.formats,
        frame.engine,
        frame.ranks_together
        or most_together(frame.split.data_parallel, frame.split.rank, frame.chip.scaleup.domain),
        frame.stage_runs,
    )


def step_of(frame: Frame, phase: str) -> Step:
    """What an attention rank computes in a phase: its share of the sequences of one microbatch.

    'decode' is one token per sequence (and the drafted ones), 'prefill' one chunk of one prompt, 'joined' the
    two together, 'mixed' the steady state of continuous batching: one token per sequence, and as many prompts
    as keep the batch full. A chunk of a long prompt is the mean of its chunks, so
    that all of them together are exact.
    """
    lanes, tokens, chunked = frame.split.lanes, frame.computed_tokens, phase in CHUNKED
    chunk = tokens / n_chunks(frame) if chunked else tokens
    return Step(
        d_model=frame.d_model,
        split=frame.split,
        batch=0 if phase == "prefill" else np.maximum(1.0, frame.batch / lanes),
        context=frame.decode_context,
        prompts={"decode": 0.0, "mixed": frame.prompts_per_step / lanes}.get(phase, frame.prefill_batch),
        prompt_tokens=chunk,
        prefix=frame.input_tokens - tokens,
        chunks=n_chunks(frame) if chunked else 1,
        queries=1 + frame.draft_tokens if phase in ("decode", "mixed") else 1,
        padding=frame.padding,
    )


def n_chunks(frame: Frame) -> Any:
    """Steps that a prompt takes, or all prompts that are prefilled together."""
    return np.ceil(frame.prefill_batch * frame.computed_tokens / frame.step_tokens)


def passes(frame: Frame) -> Any:
    """Times of one chunk through all layers that a prompt takes: stages work on different chunks."""
    return (n_chunks(frame) + frame.split.pipeline_parallel - 1) / frame.split.pipeline_parallel


def shared_operators(frame: Frame, phase: str) -> list[Operator]:
    """Operators of a phase outside the layers."""
    return _outside(frame, step_of(frame, phase))


def _outside(frame: Frame, step: Step) -> list[Operator]:
    return [*_ends(frame, step), *_stages(frame, step)]


def _ends(frame: Frame, step: Step) -> list[Operator]:
    host_s = frame.engine.host_ms * 1e-3 + frame.engine.host_us_per_sequence * 1e-6 * step.batch
    host_s *= 1 - frame.engine.host_hidden if step.decodes else 1
    return [*embedding.operators(step, frame.vocab_size), Host("host", host_s)]


def _stages(frame: Frame, step: Step) -> list[Operator]:
    """Hand-overs between the stages of a pipeline."""
    if frame.split.pipeline_parallel == 1:
        return []
    return [StageTransfer("stage hand-over", step.rows * 2 * step.d_model, frame.split.pipeline_parallel - 1)]


def step_s(frame: Frame, architecture: Architecture, step: Step) -> float:
    """Seconds of a step of any make-up, through all stages of a pipeline; no drafts, even ranks."""
    rates = roofline(frame)
    layers = sum(
        group.count * np.maximum(rates.seconds(own), launch_s(frame) if own else 0.0)
        for group in architecture.layers
        for part in (group.block.mixer, group.block.ffn)
        for own in [operators(part, step)]
    )
    return float(layers + rates.seconds(_outside(frame, step)))


def round_s(frame: Frame, architecture: Architecture, step: Step) -> Number:
    """Seconds until each stage has had a step of any make-up of every lane, drafts and uneven ranks too."""
    launched = launch_s(frame)
    layers = sum(
        group.count * _of_step(frame, step, partial(operators, part), launched)
        for group in architecture.layers
        for part in (group.block.mixer, group.block.ffn)
    )
    return layers * _round_share(frame, architecture.n_layers) + _round_outside(frame, step)


def _round_outside(frame: Frame, step: Step) -> Number:
    """Outside the layers: the last stage, which sets the pace, has host and logits of every lane."""
    ends, sent = (_of_step(frame, step, partial(made, frame)) for made in (_ends, _stages))
    return frame.split.pipeline_parallel * ends + sent


def _round_share(frame: Frame, n_layers: Any) -> Any:
    """Time of a round of stages as long as the longest, over that of all layers in a row."""
    n = frame.split.pipeline_parallel
    return memory.stage_share(n, n_layers) * n if n > 1 else 1.0


def layer_operators(frame: Frame, part: Any, phase: str) -> list[Operator]:
    """Operators of the mixer or the feed-forward half of a layer in a phase."""
    return operators(part, step_of(frame, phase))


def launch_s(frame: Frame) -> float:
    """Seconds an eager engine needs to launch half a layer, however fast its kernels are."""
    return frame.engine.launch_us_per_layer / 2 * 1e-6 / frame.chip.efficiency.host_speed


def _nothing(f: Frame, part: Any) -> Number:
    """Zero for each of the kinds that a part stands for."""
    return 0.0 * block(part).n_params(part, f.d_model)


def _trained(
    unit: str, base: Callable[..., Number], half: Callable[..., Number], least: Callable[..., Number]
) -> Quantity:
    """A quantity of the training run; nothing where the frame has none."""

    def whole(f: Frame) -> Number:
        own = (f.d_model, f.vocab_size, f.tied_embeddings, f.position_embeddings)
        return base(f.training, *own) if f.training else 0.0

    def mixer(f: Frame, a: Any, norms: Norms) -> Number:
        return half(f.training, a, f.d_model, norms.elements(f.d_model)) if f.training else _nothing(f, a)

    def ffn(f: Frame, k: Any) -> Number:
        return half(f.training, k, f.d_model) if f.training else _nothing(f, k)

    def floor(f: Frame, layers: Least) -> Number:
        return cheapest(least(f.training, layers, f.d_model)) if f.training else 0.0

    return Quantity(unit, whole, mixer, ffn, floor)


def _of_step(
    frame: Frame,
    step: Step,
    made: Callable[[Step], list[Operator]],
    least: float = 0.0,
    times: Number = 1.0,
) -> Number:
    """Seconds of the operators of one part in a step: so many `times`, drafts, uneven ranks."""
    rates = roofline(frame)
    own = made(step)
    seconds = np.maximum(rates.seconds(own), least if own else 0.0) * times
    if step.queries > 1:
        plain = replace(step, queries=1, prompts=0.0)
        seconds = seconds + frame.draft_tokens * frame.draft_cost * rates.seconds(made(plain))
    return seconds / (frame.engine.data_parallel_balance if frame.split.data_parallel > 1 else 1.0)


def _seconds(frame: Frame, phase: str, made: Callable[[Step], list[Operator]], least: float = 0.0) -> Number:
    """Seconds of a phase for the operators of one part, of all chunks of a prompt."""
    return _of_step(frame, step_of(frame, phase), made, least, passes(frame) if phase in CHUNKED else 1.0)


def _step(phase: str) -> Quantity:
    def layer(frame: Frame, part: Any) -> Number:
        return _seconds(frame, phase, lambda step: operators(part, step), launch_s(frame))

    def least(frame: Frame, layers: Least) -> Number:
        return cheapest(
            _seconds(frame, phase, layers.operators, layers.halves * layers.n_layers * launch_s(frame))
        )

    def outside(frame: Frame) -> Number:
        if phase in CHUNKED:
            return _seconds(frame, phase, partial(_outside, frame))
        return _round_outside(frame, step_of(frame, phase))

    def mixer(frame: Frame, part: Any, norms: Norms) -> Number:
        return layer(frame, part)  # its operators read and write what norms do

    return Quantity("s", outside, mixer, layer, least, stages="round")


JOINED = _step("joined")
"""Seconds from the start of a prompt's first chunk to the end of its last, while the others decode on."""

QUANTITIES: dict[str, Quantity] = {
    "n_params": Quantity(
        "parameters",
        lambda f: (
            f.outer_params
            + embedding.n_params(
                f.d_model, f.vocab_size, f.tied_embeddings, f.position_embeddings, f.final_bias
            )
        ),
        lambda f, a, norms: block(a).n_params(a, f.d_model) + norms.elements(f.d_model),
        lambda f, k: block(k).n_params(k, f.d_model),
        lambda f, layers: layers.n_params,
    ),
    "memory_bytes": Quantity(
        "bytes",
        memory.shared_bytes,
        lambda f, a, norms: memory.attention_bytes(a, f) + memory.norm_bytes(norms, f),
        lambda f, k: memory.ffn_bytes(k, f),
        lambda f, layers: cheapest(memory.least_bytes(layers, f)),
        once=memory.held_bytes,
        stages="longest",
    ),
    "decode_s": _step("decode"),
    "prefill_s": _step("prefill"),
    "mixed_s": _step("mixed"),
    "train_s": _trained("s", training.base_s, training.half_s, training.least_s),
    "train_bytes": _trained("bytes", training.base_bytes, training.half_bytes, training.least_bytes),
}
