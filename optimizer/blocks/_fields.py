"""The fields of a kind, and what each says of itself: nothing else lists the fields of layers.

A kind's file has one class of them, a `Half`. A field that shapes its matrices is a `Dimension`: what a
problem that searches the kind may leave free, and how reports call it. All others hold for a whole lattice.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from optimizer.spec.base import Strict

Positive = Annotated[int, Field(ge=1, le=10**7)]


@dataclass(frozen=True)
class Dimension:
    """What problem files and reports say of a field, and which way it drives costs."""

    title: str
    """On an axis: Query heads."""
    short: str
    """At the head of a column: heads."""
    domain: tuple[int, ...] = ()
    """What a problem that does not say lets it be; none: it must say."""
    rises: bool | None = True
    """Whether parameters, time and memory rise with it, or fall (False), all else equal; None where they may
    do either. A bound takes the least of what rises, the most of what falls, each value of the others."""
    rank: int = 0
    """Of two plans that are otherwise equal, that with less of the lowest rank is the answer."""
    usual: tuple[int, int] | None = None
    """What published models leave, with room; beyond, a file looks like a slip."""
    usual_per_width: tuple[float, float] | None = None
    """The same in units of d_model."""


class Half(Strict):
    """One half of a layer; `kind` is the name of its file."""

    kind: str

    @property
    def ordinary(self) -> bool:
        """Whether it is a point of the lattice of its kind: no switch is on that lattices do not have."""
        return True

    @classmethod
    def dimensions(cls) -> dict[str, Dimension]:
        """Its dimensions by name."""
        found = {n: [m for m in f.metadata if isinstance(m, Dimension)] for n, f in cls.model_fields.items()}
        return {name: said[0] for name, said in found.items() if said}


def extra(usual: Any = False) -> Any:
    """A switch at its usual value, and left out of dumps, in all but a few published models."""
    return Field(default=usual, exclude_if=lambda value: value == usual)
