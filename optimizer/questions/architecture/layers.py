"""The layers of a problem's architectures: one kind of mixer, one of feed-forward network, at some depths."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from optimizer.blocks import block
from optimizer.cost.frame import Frame
from optimizer.errors import InputError
from optimizer.questions.architecture.kinds import Kinds
from optimizer.questions.architecture.lattice import Lattice
from optimizer.questions.architecture.problem import Problem
from optimizer.spec.architecture import Architecture, Block, family_of_layers


@dataclass(frozen=True)
class Layers:
    """What the layers may be; the names of their dimensions come from the block files alone."""

    problem: Problem
    architecture: Lattice
    depths: np.ndarray
    attention: Kinds
    """Kinds of mixer."""
    ffn: Kinds
    """Kinds of feed-forward network."""

    @property
    def halves(self) -> tuple[Kinds, Kinds]:
        """The kinds of mixer and of feed-forward network."""
        return self.attention, self.ffn

    @property
    def dimensions(self) -> tuple[str, ...]:
        """What an architecture of the space is told by."""
        return ("n_layers", "d_model", *(name for half in self.halves for name in half.dimensions))

    def domain(self, name: str) -> tuple[Any, ...]:
        """What the problem lets a dimension be."""
        return tuple(getattr(self.architecture, name))

    def chosen(self, values: Mapping[str, Any]) -> tuple[Kinds, Kinds]:
        """The halves with these dimensions, whether the lattice has them or not."""
        attention, ffn = (replace(h, **{n: values[n] for n in h.dimensions}) for h in self.halves)
        return attention, ffn

    def illegal(self, attention: Kinds, ffn: Kinds) -> str:
        """The rule, or else the kind, that says why one of two halves means nothing; '' if both do."""
        wrong = [half for half in (attention, ffn) if not half.legal]
        return str(getattr(block(wrong[0]), "LEGAL_BY", wrong[0].kind)) if wrong else ""

    def holds(self, model: Architecture) -> bool:
        """Whether all layers of a model are of the kinds of the lattice, and alike."""
        own = tuple(half.kind for half in self.halves)
        return model.plain and (model.first.mixer.kind, model.first.ffn.kind) == own

    @property
    def uncovered(self) -> frozenset[str]:
        """Metrics that nobody has a law of for these kinds of layer."""
        return frozenset() if self.family == "dense" else frozenset({"loss"})

    def require_covered(self, metric: str) -> None:
        """InputError for a metric that nobody has a law of for these kinds of layer."""
        if metric in self.uncovered:
            raise InputError(f"{metric}: no law covers {self.family} layers; ask for another metric")

    @property
    def family(self) -> str:
        """The family of its architectures."""
        return family_of_layers([self.attention], [self.ffn])

    def architecture_of(self, frame: Frame, n_layers: int, a: Kinds, f: Kinds) -> Architecture:
        """The architecture of one mixer and one feed-forward network (0-d arrays)."""
        own = self.architecture
        block = Block(mixer=a.half(), ffn=f.half(), n_norms=own.n_norms, norm_bias=own.norm_bias)
        return Architecture(
            name=self.problem.name,
            d_model=frame.d_model,
            vocab_size=frame.vocab_size,
            tied_embeddings=frame.tied_embeddings,
            position_embeddings=frame.position_embeddings,
            layers=({"block": block, "count": n_layers},),
        )
