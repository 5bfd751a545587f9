"""One way to run a replica: chips of a kind on offer, how it is split over them, and its formats.

What all replicas of a problem have in common (traffic, engine, drafts) is one `Setup`; a frame is the two
together, around a model.
"""

from dataclasses import dataclass, replace
from typing import Any

from optimizer import catalog
from optimizer.columns.supply import Supply
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.placement import layouts, written
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.engine import Engine
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats, Split


@dataclass(frozen=True)
class Replica:
    """Chips, split and formats."""

    supply: Supply
    chip: Chip
    split: Split
    formats: Formats

    @property
    def domain(self) -> int:
        """Chips that share scale-up links."""
        return self.supply.domain or self.chip.scaleup.domain

    def placements(self) -> dict[tuple[int, int], list[str]]:
        """The ways its chips may lie in domains, by what prices depend on: ranks together and runs of stages.

        Without a network only those that leave no domain.
        """
        found: dict[tuple[int, int], list[str]] = {}
        for layout in layouts(self.split, self.domain):
            blocks = layout.blocks(self.split, self.domain)
            if sum(blocks.values()) == 1 or self.chip.scaleout_bandwidth is not None:
                found.setdefault((layout.ranks, len(layout.runs)), []).append(written(blocks))
        return found

    def frame(self, a: Architecture, common: Setup, **own: Any) -> Frame:
        """The frame it runs a model in; `own` are fields of the setup that differ, such as the batch."""
        return frame_of(a, self.chip, replace(common, **vars(self.split), **vars(self.formats), **own))


def engine_of(space: ReplicaSpace, name: str = "") -> Engine:
    """An engine of the problem, with the figures that it gives in place of its own; '' is the only one."""
    return catalog.engine(space.engine_named(name), **space.figures)


def common(space: ReplicaSpace, traffic: Traffic, engine: str = "") -> Setup:
    """What all replicas of a problem on one engine have in common; '' is the only one there is."""
    return Setup(
        input_tokens=traffic.input_tokens,
        output_tokens=traffic.output_tokens,
        prefix_tokens=traffic.prefix_tokens,
        training_tokens=0.0,
        engine=engine_of(space, engine),
        draft_tokens=space.draft_tokens,
        draft_acceptance=space.draft_acceptance,
        draft_cost=space.draft_cost,
    )
