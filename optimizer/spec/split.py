"""How one replica is split over chips, and the number formats it keeps: every degree and format, once.

Problem files, tables, options, answers and reports read them from here. A new degree is a field of `Split`
(and what of a replica it multiplies or shares, below), its cost, and a file of `optimizer/degrees` that says
which models cannot have it. Needs nothing that is slow to import: the command line starts with it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Self, get_args, get_type_hints

from optimizer.spec.dtypes import PLAIN, KvDtype, Stored, WeightDtype

FORMAT = "bf16"
"""Of everything where nothing is said."""


@dataclass(frozen=True)
class Degree:
    """What files, options and reports say of a degree of parallelism."""

    short: str
    """In tables and reports: tp."""
    words: str
    """The ranks that it counts."""
    domain: tuple[int, ...] = (1,)
    """What a problem file that does not say lets it be."""
    quiet: bool = False
    """Whether answers mention it only where it is not 1."""


@dataclass(frozen=True)
class Format:
    """What files, options and reports say of a number format."""

    words: str
    title: str
    kind: Any
    """The type of its names."""

    @property
    def options(self) -> tuple[str, ...]:
        """The names there are."""
        return get_args(self.kind)


@dataclass(frozen=True)
class Split:
    """Degrees of parallelism of one replica: numbers, arrays of them, or the values that a file allows."""

    tensor_parallel: Annotated[Any, Degree("tp", "ranks that share each layer", (1, 2, 4, 8))] = 1
    pipeline_parallel: Annotated[Any, Degree("pp", "stages of layers")] = 1
    expert_parallel: Annotated[Any, Degree("ep", "groups of ranks with whole experts")] = 1
    data_parallel: Annotated[Any, Degree("dp", "attention ranks that share experts")] = 1
    context_parallel: Annotated[Any, Degree("cp", "ranks that share each sequence's tokens", quiet=True)] = 1

    @property
    def chips(self) -> Any:
        """Chips of one replica; experts are spread over chips it has anyway."""
        return self.rank * self.data_parallel * self.pipeline_parallel

    @property
    def sequence_ranks(self) -> Any:
        """Ranks that share the tokens of each sequence, each with a copy of the weights."""
        return self.context_parallel

    @property
    def rank(self) -> Any:
        """Chips of one attention rank, which has sequences of its own."""
        return self.tensor_parallel * self.sequence_ranks

    @property
    def network_ranks(self) -> Any:
        """Ranks that share the width of each routed expert."""
        return max(1, self.tensor_parallel * self.data_parallel // self.expert_parallel)

    @property
    def lanes(self) -> Any:
        """Parts of a batch that are computed apart: on attention ranks side by side, in stages in turn."""
        return self.data_parallel * self.pipeline_parallel

    def mentioned(self) -> dict[str, Any]:
        """The degrees that an answer mentions."""
        return {n: v for n, v in vars(self).items() if v != 1 or not DEGREES[n].quiet}


@dataclass(frozen=True)
class Formats:
    """Number formats of one replica: names, arrays of them, or those that a file allows."""

    weight_dtype: Annotated[Any, Format("of the weights", "Weight format", WeightDtype)] = FORMAT
    kv_dtype: Annotated[Any, Format("of the cache", "Cache format", KvDtype)] = FORMAT
    expert_dtype: Any = ""
    """Of routed experts, if not that of all weights: no choice of a file."""
    checkpoint: Any = None
    """The model's own `spec.checkpoint.Checkpoint`, where its weights stay as they are."""

    def of(self, component: str) -> Stored:
        """How a component of `spec.checkpoint` is stored; '' for any layer where all are alike.

        Tables of the vocabulary stay 16 bit in every engine we know, unless the checkpoint says otherwise.
        """
        if component == "experts" and self.expert_dtype:
            return PLAIN[self.expert_dtype]
        if self.checkpoint is not None and component:
            found: Stored = self.checkpoint.stored(component)
            return found
        return PLAIN[FORMAT if component in ("embeddings", "head") else self.weight_dtype]

    def published(self, checkpoint: Any) -> Self:
        """The formats of a model, whose checkpoint is kept under the format that it has; '' is its own."""
        weights, cache = (checkpoint.weight_dtype, checkpoint.kv_dtype) if checkpoint else (FORMAT, FORMAT)
        chosen = {"weight_dtype": self.weight_dtype or weights, "kv_dtype": self.kv_dtype or cache or FORMAT}
        own = checkpoint if checkpoint and chosen["weight_dtype"] == weights else None
        return replace(self, **chosen, checkpoint=own)

    @property
    def scale_block(self) -> int:
        """The edge of the blocks of weights that share a scale; 1 where there are none."""
        return self.checkpoint.scale_block if self.checkpoint else 1

    def mentioned(self) -> dict[str, Any]:
        """The formats that an answer mentions: those chosen, and in words what the checkpoint has."""
        return self.chosen() | self.kept()

    def kept(self) -> dict[str, str]:
        """How the checkpoint stores the weights, in words, where they stay so."""
        return {"checkpoint": self.checkpoint.in_words()} if self.checkpoint else {}

    def chosen(self) -> dict[str, Any]:
        """The formats that a file may choose, by name."""
        return {name: getattr(self, name) for name in FORMATS}


def _said(declared: type, kind: type) -> dict[str, Any]:
    hints = get_type_hints(declared, include_extras=True)
    own = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: said[0] for name, said in own.items() if said and isinstance(said[0], kind)}


DEGREES: dict[str, Degree] = _said(Split, Degree)
"""Every degree by its name."""
FORMATS: dict[str, Format] = _said(Formats, Format)
"""Every format that a file may choose, by its name."""


def split_of(carrier: Any) -> Split:
    """The degrees of whatever has them: a row of a table, or an object with flat fields."""
    return Split(**_read(carrier, DEGREES))


def formats_of(carrier: Any, **own: Any) -> Formats:
    """The formats of whatever has them: a row of a table, or an object with flat fields; and others."""
    return Formats(**_read(carrier, FORMATS), **own)


def _read(carrier: Any, names: Iterable[str]) -> dict[str, Any]:
    if isinstance(carrier, Mapping):
        return {name: carrier[name] for name in names}
    return {name: getattr(carrier, name) for name in names}
