"""A frame: everything that all layers of one plan share."""

from dataclasses import dataclass, fields
from typing import Any

from optimizer.spec.chip import Chip


@dataclass(frozen=True, slots=True)
class Frame:
    """Chip, split, formats, traffic and model width. Inside a frame every cost is a sum over layers.

    `d_model` may be an array: many frames at once that differ in nothing else.
    """

    chip: Chip
    tensor_parallel: int
    batch: int
    weight_dtype: str
    kv_dtype: str
    d_model: Any
    vocab_size: int
    tied_embeddings: bool
    input_tokens: int
    output_tokens: int
    training_tokens: float
    host_ms: float
    reserve_gib: float
    position_embeddings: int = 0
    n_norms: int = 2
    norm_bias: bool = False

    @property
    def n_chips(self) -> int:
        """Chips of one replica."""
        return self.tensor_parallel

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells the frames of one space apart: the chip's name and every plain field."""
        plain = (str, int, float, type(None))
        values = (getattr(self, field.name) for field in fields(self))
        return (self.chip.name, *(value for value in values if isinstance(value, plain)))

    @property
    def decode_context(self) -> float:
        """Mean tokens a decode step attends to: the prompt and half of the answer."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def prompts_per_step(self) -> float:
        """Prompts that must be prefilled per decode step to keep the batch full."""
        return self.batch / self.output_tokens


@dataclass(frozen=True, slots=True)
class Slice:
    """A frame at one depth, or at an array of depths: all that a metric needs beside its quantity."""

    frame: Frame
    n_layers: Any
