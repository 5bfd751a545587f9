"""The additive quantities of a plan: a share of the frame plus a sum over its layers.

    q(plan) = base(frame) + sum over layers [ attention(layer) + ffn(layer) ]

Every metric is a function of one of them, which is what keeps the solver's rows linear. Layer parts
take one layer kind or arrays of kinds and return numbers or arrays to match.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from optimizer.blocks import block, embedding
from optimizer.blocks.operators import Host, Number, Operator, Step
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.roofline import Roofline
from optimizer.cost.training import quantity as training
from optimizer.spec.architecture import Architecture


@dataclass(frozen=True)
class Quantity:
    """One additive quantity: its unit, and its parts."""

    unit: str
    base: Callable[[Frame], Number]
    mixer: Callable[[Frame, Any], Number]
    ffn: Callable[[Frame, Any], Number]

    def total(self, frame: Frame, architecture: Architecture) -> float:
        """The quantity of a whole architecture in a frame."""
        total = self.base(frame)
        for group in architecture.layers:
            block = group.block
            own = replace(frame, n_norms=block.n_norms, norm_bias=block.norm_bias)
            total += group.count * (self.mixer(own, block.mixer) + self.ffn(own, block.ffn))
        return float(total)


def roofline(frame: Frame) -> Roofline:
    """The rates of one rank of the frame."""
    return Roofline(frame.chip, frame.tensor_parallel, frame.weight_dtype, frame.kv_dtype)


def step_of(frame: Frame, phase: str) -> Step:
    """What a replica computes in a phase.

    'decode' is one token per sequence, 'prefill' one prompt, 'mixed' the steady state of continuous
    batching: one token per sequence, and as many prompts as keep the batch full.
    """
    batch = 0 if phase == "prefill" else frame.batch
    prompts = {"decode": 0.0, "prefill": 1.0, "mixed": frame.prompts_per_step}[phase]
    return Step(
        d_model=frame.d_model,
        tensor_parallel=frame.tensor_parallel,
        batch=batch,
        context=frame.decode_context,
        prompts=prompts,
        prompt_tokens=frame.input_tokens,
    )


def shared_operators(frame: Frame, phase: str) -> list[Operator]:
    """Operators of a phase outside the layers."""
    return _outside(frame, step_of(frame, phase))


def _outside(frame: Frame, step: Step) -> list[Operator]:
    return [*embedding.operators(step, frame.vocab_size), Host("host", frame.host_ms * 1e-3)]


def step_s(frame: Frame, architecture: Architecture, step: Step) -> float:
    """Seconds of a step of any make-up."""
    rates = roofline(frame)
    layers = sum(
        group.count * rates.seconds(block(part).operators(part, step))
        for group in architecture.layers
        for part in (group.block.mixer, group.block.ffn)
    )
    return float(layers + rates.seconds(_outside(frame, step)))


def layer_operators(frame: Frame, part: Any, phase: str) -> list[Operator]:
    """Operators of the mixer or the feed-forward half of a layer in a phase."""
    found: list[Operator] = block(part).operators(part, step_of(frame, phase))
    return found


def _step(phase: str) -> Quantity:
    return Quantity(
        "s",
        lambda f: roofline(f).seconds(shared_operators(f, phase)),
        lambda f, a: roofline(f).seconds(layer_operators(f, a, phase)),
        lambda f, k: roofline(f).seconds(layer_operators(f, k, phase)),
    )


def _nothing(f: Frame, part: Any) -> Number:
    """Zero for each of the kinds that a part stands for."""
    return 0.0 * block(part).n_params(part, f.d_model)


def _trained(unit: str, base: Callable[..., Number], half: Callable[..., Number]) -> Quantity:
    """A quantity of the training run; nothing where the frame has none."""

    def whole(f: Frame) -> Number:
        own = (f.d_model, f.vocab_size, f.tied_embeddings, f.position_embeddings)
        return base(f.training, *own) if f.training else 0.0

    def mixer(f: Frame, a: Any) -> Number:
        norms = f.n_norms * f.d_model * (1 + f.norm_bias)
        return half(f.training, a, f.d_model, norms) if f.training else _nothing(f, a)

    def ffn(f: Frame, k: Any) -> Number:
        return half(f.training, k, f.d_model) if f.training else _nothing(f, k)

    return Quantity(unit, whole, mixer, ffn)


QUANTITIES: dict[str, Quantity] = {
    "n_params": Quantity(
        "parameters",
        lambda f: embedding.n_params(
            f.d_model, f.vocab_size, f.tied_embeddings, f.position_embeddings, f.norm_bias
        ),
        lambda f, a: block(a).n_params(a, f.d_model) + f.n_norms * f.d_model * (1 + f.norm_bias),
        lambda f, k: block(k).n_params(k, f.d_model),
    ),
    "memory_bytes": Quantity(
        "bytes",
        memory.shared_bytes,
        lambda f, a: memory.attention_bytes(a, f) + memory.norm_bytes(f),
        lambda f, k: memory.ffn_bytes(k, f),
    ),
    "decode_s": _step("decode"),
    "prefill_s": _step("prefill"),
    "mixed_s": _step("mixed"),
    "train_s": _trained("s", training.base_s, training.half_s),
    "train_bytes": _trained("bytes", training.base_bytes, training.half_bytes),
}
