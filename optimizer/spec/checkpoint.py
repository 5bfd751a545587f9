"""How a checkpoint stores its weights: a format for each component, scales and zero points included."""

from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from optimizer.spec.base import Strict
from optimizer.spec.dtypes import SCALED, KvDtype, Stored, WeightDtype

Component = Literal["attention", "ffn", "shared_experts", "experts", "embeddings", "head"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
LAYERS: tuple[Component, ...] = ("attention", "ffn", "shared_experts", "experts")
"""Components that a deployment's own choice of a weight format is of; tables of the vocabulary stay."""
_WORDS = {"shared_experts": "shared experts"}
_Size = Annotated[int, Field(ge=1, le=2**20)]


class Storage(Strict):
    """The format of one component. Without `group` and `block` a row has one scale, which counts nothing."""

    dtype: WeightDtype
    """Whose kernels and arithmetic it takes."""
    bits: Annotated[float, Field(gt=0, le=16)]
    """Of an element, without scales."""
    group: _Size | None = None
    """Elements along a row that share a scale."""
    block: tuple[_Size, _Size] | None = None
    """Rows and columns that share a scale."""
    scale_bits: Annotated[float, Field(ge=0, le=64)] = 16
    zero_bits: Annotated[float, Field(ge=0, le=64)] = 0
    """Of the zero point beside each scale."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the component's matrices that are stored so."""
    other_bits: Annotated[float, Field(gt=0, le=16)] = 16
    """Of the others, on average, scales included."""

    @model_validator(mode="after")
    def _one_grid(self) -> "Storage":
        if self.group and self.block:
            raise ValueError("give a group or a block of elements that share a scale, not both")
        return self

    @cached_property
    def stored(self) -> Stored:
        """Its kernels and its bytes an element, the mean over the component's layers."""
        shared = self.group or (self.block[0] * self.block[1] if self.block else None)
        own = (self.bits + ((self.scale_bits + self.zero_bits) / shared if shared else 0.0)) / 8
        return Stored(self.dtype, self.share * own + (1 - self.share) * self.other_bits / 8)

    def in_words(self) -> str:
        """In short: 'int4 in groups of 128'."""
        name: str = self.dtype
        if self.bits != SCALED.get(name, 16) and name.startswith("int"):
            name = f"{self.bits:g}-bit"
        grid = f" in groups of {self.group}" if self.group else ""
        if self.block:
            grid = f" in blocks of {self.block[0]} x {self.block[1]}"
        part = f" in {100 * self.share:.0f} %" if self.share < 1 else ""
        return f"{name}{grid}{part}"


class Checkpoint(Strict):
    """The formats of a checkpoint that is quantised; what is not named is 16 bit, or not there."""

    method: Annotated[str, Field(max_length=40)]
    """As its file calls it: awq, gptq, fp8."""
    unread: bool = False
    """Whether nobody here knows the method: then all counts as 16 bit."""
    attention: Storage | None = None
    ffn: Storage | None = None
    shared_experts: Storage | None = None
    experts: Storage | None = None
    embeddings: Storage | None = None
    head: Storage | None = None
    kv_dtype: KvDtype | None = None
    """Of the cache, where the checkpoint brings its scales."""

    @property
    def weight_dtype(self) -> WeightDtype:
        """The format of a deployment that leaves it as it is: of its layers, routed experts apart."""
        own = [s.dtype for s in (self.ffn, self.attention, self.shared_experts) if s and s.dtype != "bf16"]
        return own[0] if own else "bf16"

    def stored(self, component: str) -> Stored:
        """How it stores a component."""
        own: Storage | None = getattr(self, component)
        return (own or SIXTEEN).stored

    @property
    def scale_block(self) -> int:
        """The edge of its largest blocks of weights that share a scale; 1 where there are none."""
        own = [getattr(self, name) for name in LAYERS]
        return max((max(s.block) for s in own if s and s.block), default=1)

    def in_words(self) -> str:
        """In short: 'awq: int4 in groups of 128, embeddings and head bf16'."""
        if self.unread:
            return f"{self.method}: not read, counted as bf16; memory and times are too high"
        parts: dict[str, list[str]] = {}
        for name in COMPONENTS:
            own: Storage | None = getattr(self, name)
            if own or name not in LAYERS:
                parts.setdefault(own.in_words() if own else "bf16", []).append(_WORDS.get(name, name))
        said = [f"{_listed(names)} {words}" for words, names in parts.items()]
        return f"{self.method}: " + ", ".join(said)


SIXTEEN = Storage(dtype="bf16", bits=16)
"""Of a component that stays as it was trained."""


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
