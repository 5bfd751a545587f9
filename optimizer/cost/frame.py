"""A frame: everything that all layers of one plan share."""

from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from optimizer import catalog
from optimizer.blocks.padding import EXACT, Padding
from optimizer.spec.chip import Chip
from optimizer.spec.documents import CATALOGUE
from optimizer.spec.engine import IDEAL, Engine
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats, Split


@dataclass(frozen=True, slots=True)
class Frame:
    """Chip, split, formats, traffic and model width. Inside a frame every cost is a sum over layers.

    `d_model` or `batch` may be an array: many frames at once that differ in nothing else. `batch` counts
    the sequences of the whole replica, all its attention ranks and pipeline stages together.
    """

    chip: Chip
    split: Split
    formats: Formats
    batch: Any
    d_model: Any
    vocab_size: int
    tied_embeddings: bool
    input_tokens: int
    output_tokens: int
    training_tokens: float
    engine: Engine = IDEAL
    position_embeddings: int = 0
    final_bias: bool = False
    """Whether the norm behind the last layer has a bias."""
    outer_params: int = 0
    """Parameters outside the layers beside tables, positions and that norm; below zero if it is not there."""
    training: Any = None
    """A `cost.training.quantity.TrainingRun` where a problem asks how its architectures train."""
    requests_per_s: float | None = None
    """Traffic that as many replicas as needed serve together."""
    prefix_tokens: int = 0
    """Tokens of the prompt whose cache is already there: attended to, not computed."""
    prefill_batch: Any = 1
    """Prompts that each attention rank prefills together."""
    draft_tokens: int = 0
    """Tokens drafted for each sequence and verified together in one decode step."""
    draft_acceptance: float = 0.8
    draft_cost: float = 0.05
    """Cost of drafting one token, in plain decode steps."""
    ranks_together: int = 0
    """Attention ranks of each stage in one scale-up domain; 0 for as many as fit (`cost.placement`)."""
    window_room: int = 0
    """Tokens beside its window that a layer with one has room for, where an engine plans a request."""
    stage_runs: int = 0
    """Runs of stages that each lie in one domain; 0 for as few as the domain allows."""
    cache_tokens: float | None = None
    """Tokens that the caches of an attention rank hold, where they are not those of its batch."""

    @property
    def n_chips(self) -> Any:
        """Chips of one replica."""
        return self.split.chips

    @property
    def padding(self) -> Padding:
        """What the engine rounds up where ranks do not share a layer evenly."""
        pads = self.engine.pads
        return Padding(tuple(sorted(pads.items())), self.formats.scale_block) if pads else EXACT

    @property
    def exact(self) -> "Frame":
        """The frame as if every share were exact: no plan costs less in it than its true frame."""
        return replace(self, engine=self.engine.supposed(pads={})) if self.engine.pads else self

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens each sequence gains in a decode step: (1 - a^(g+1)) / (1 - a) of g drafted."""
        a, tokens = self.draft_acceptance, self.draft_tokens + 1
        return float(tokens) if a == 1 else (1 - a**tokens) / (1 - a)

    @property
    def step_tokens(self) -> int:
        """Tokens that a step has room for: those of each rank that shares the sequences."""
        return int(self.engine.step_tokens * self.split.sequence_ranks)

    @property
    def computed_tokens(self) -> int:
        """Tokens of a prompt that are not in the cache yet."""
        return max(1, self.input_tokens - self.prefix_tokens)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells the frames of one space apart: the chip's name and every plain field."""
        plain = (str, int, float, type(None), Split, Formats)
        values = (getattr(self, field.name) for field in fields(self))
        return (self.chip.name, *(value for value in values if isinstance(value, plain)))

    @property
    def decode_context(self) -> float:
        """Mean tokens a decode step attends to: the prompt and half of the answer."""
        return self.input_tokens + self.output_tokens / 2

    @property
    def prompts_per_step(self) -> Any:
        """Prompts that must be prefilled per decode step to keep the batch full."""
        return self.batch * self.tokens_per_step / self.output_tokens


class Body(Protocol):
    """What a frame needs of an architecture, or of a lattice of them: the same for all layers."""

    @property
    def d_model(self) -> Any:
        """Width, or an array of them."""

    @property
    def vocab_size(self) -> int:
        """Tokens."""

    @property
    def tied_embeddings(self) -> bool:
        """Whether one table serves both ends."""

    @property
    def position_embeddings(self) -> int:
        """Learned positions."""

    @property
    def final_bias(self) -> bool:
        """Whether the norm behind the last layer has a bias."""

    @property
    def outer_params(self) -> int:
        """Parameters outside the layers beside tables, positions and that norm."""


def frame_of(body: Body, chip: Chip, setup: Setup) -> Frame:
    """The frame a model runs in. InputError if the setup names an engine that the catalogue does not have."""
    return Frame(
        chip=chip,
        split=setup.split,
        formats=setup.formats.published(getattr(body, "checkpoint", None)),
        batch=setup.batch,
        d_model=body.d_model,
        vocab_size=body.vocab_size,
        tied_embeddings=body.tied_embeddings,
        input_tokens=setup.input_tokens,
        output_tokens=setup.output_tokens,
        training_tokens=setup.training_tokens,
        engine=catalog.engine(setup.engine, CATALOGUE),
        position_embeddings=body.position_embeddings,
        final_bias=body.final_bias,
        outer_params=body.outer_params,
        prefix_tokens=setup.prefix_tokens,
        prefill_batch=setup.prefill_batch,
        draft_tokens=setup.draft_tokens,
        draft_acceptance=setup.draft_acceptance,
        draft_cost=setup.draft_cost,
    )


@dataclass(frozen=True, slots=True)
class Slice:
    """A frame at one depth, or at an array of depths: all that a metric needs beside its quantity."""

    frame: Frame
    n_layers: Any
