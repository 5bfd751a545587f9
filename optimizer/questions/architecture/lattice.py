"""What a problem file may leave free of an architecture: width, depth, and the dimensions of its halves.

A lattice has one kind of mixer and one of feed-forward network. Which dimensions those have, and what they
are where the file does not say, stands in the files of `optimizer/blocks`.
"""

from functools import cache
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field, SerializeAsAny, StrictBool, ValidatorFunctionWrapHandler
from pydantic_core import core_schema

from optimizer.blocks import searched
from optimizer.blocks._fields import Dimension
from optimizer.plugins import plugins
from optimizer.spec.architecture import kind_of, usual
from optimizer.spec.base import Strict
from optimizer.spec.domains import Domain, Positive, Range, domain_of
from optimizer.spec.flat import flat
from optimizer.spec.norms import Norms
from optimizer.spec.quantity import Count

ROLES = ("mixer", "ffn")
_BEHIND = "n_layers"
"""The field of every lattice that those of its halves follow."""


class Lattice(Strict):
    """What lattices of all kinds have: every dimension left out has the domain given here."""

    n_params: Count | None = None
    n_params_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    vocab_size: Positive = 128256
    tied_embeddings: StrictBool = False
    d_model: Domain = Range(min=512, max=16384, multiple_of=64).values()
    n_layers: Domain = Range(min=4, max=160).values()
    n_norms: Annotated[int, Field(ge=0, le=8)] = 2
    norm_bias: StrictBool = False
    position_embeddings: Annotated[int, Field(ge=0, le=10**7)] = 0
    mixer: str = usual("mixer")
    """The kind of mixer of each layer: a file of `optimizer/blocks`."""
    ffn: str = usual("ffn")
    """The kind of its feed-forward network."""

    @property
    def norms(self) -> Norms:
        """The norms of each layer."""
        return Norms(self.n_norms, self.norm_bias)

    @property
    def final_bias(self) -> bool:
        """Whether the norm behind the last layer has a bias."""
        return self.norm_bias

    @property
    def outer_params(self) -> int:
        """None beside tables, positions and the last norm."""
        return 0

    @property
    def window(self) -> tuple[float, float] | None:
        """The least and the most parameters; None if no number is asked for."""
        if self.n_params is None:
            return None
        return self.n_params * (1 - self.n_params_tolerance), self.n_params * (1 + self.n_params_tolerance)


def _declared(mixer: str, ffn: str) -> dict[str, Any]:
    """(type, default) of what a lattice has of its halves: dimensions, then what all kinds share."""
    fields = {n: plugins("blocks")[n].FIELDS.model_fields for n in (mixer, ffn)}
    free = {n: _domain(f) for own in fields.values() for n, f in own.items() if _dimension(f)}
    fixed = {
        name: (Annotated[f.annotation, Field(), *f.metadata], f.default)
        for own in (fields[ffn], fields[mixer])
        for name, f in own.items()
        if name != "kind" and not _dimension(f) and f.exclude_if is None
    }
    return {"mixer": (Literal[mixer], mixer), "ffn": (Literal[ffn], ffn)} | free | fixed


def _dimension(field: Any) -> Dimension | None:
    return next((said for said in field.metadata if isinstance(said, Dimension)), None)


def _domain(field: Any) -> tuple[Any, Any]:
    said, limits = _dimension(field), [m for m in field.metadata if not isinstance(m, Dimension)]
    default = said.domain if said and said.domain else ...
    return domain_of(Annotated[field.annotation, Field(), *limits]), default


@flat({"family": (Literal["dense"], "dense")})
@flat(_declared(usual("mixer"), usual("ffn")), after=_BEHIND)
class ArchitectureSpace(Lattice):
    """The lattice of the dense family: every dimension left out has the domain given here."""


@cache
def lattice_of(mixer: str, ffn: str) -> type[Lattice]:
    """The model of lattices of two kinds of half."""
    if (mixer, ffn) == (usual("mixer"), usual("ffn")):
        return ArchitectureSpace
    said = f"A lattice of {mixer} and {ffn}: every dimension left out has the domain given here."
    own: Any = type(f"ArchitectureSpace_{mixer}_{ffn}", (Lattice,), {"__doc__": said, "__module__": __name__})
    found: type[Lattice] = flat(_declared(mixer, ffn), after=_BEHIND)(own)
    return found


class OfItsKinds:
    """Marks a lattice in a file: its fields are those of the kinds it names, or that a field tells."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_wrap_validator_function(_read, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        pairs = product(*(searched(role) for role in ROLES))
        return {"anyOf": [handler(lattice_of(*kinds).__pydantic_core_schema__) for kinds in pairs]}


def _read(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    if isinstance(value, Lattice):
        return value
    if isinstance(value, dict):
        model = lattice_of(*(kind_of(role, value, value, searched(role)) for role in ROLES))
        if model is not ArchitectureSpace:
            return model.model_validate(value)
    return handler(value)


AnyLattice = Annotated[SerializeAsAny[ArchitectureSpace], OfItsKinds()]
"""A lattice of any kinds, as a field of a problem."""
