"""A plan under slower replicas, more traffic and a replica less: the share of requests within the bounds."""

from typing import Any

from optimizer.spec.base import Strict
from optimizer.spec.shown import Shown


class Stressed(Strict):
    """One cell: times so many times as long, so many times the traffic, perhaps a replica less."""

    delays: float
    traffic: float
    lost: str = ""
    """The pool that has one replica less, in words; '' where none is lost."""
    share: float
    """Of the requests that count, within every bound on them."""
    grows: bool
    """Whether they wait ever longer, so that the share falls with the length of the run."""


class Stress(Shown):
    """What a replay of requests shows of a plan when things go wrong. `wall_s` alone differs between runs."""

    name: str
    plan: str
    """What is replayed, in words."""
    arrivals: str
    requests: int
    counted: int
    seed: int
    limits: dict[str, dict[str, float]]
    """What requests must keep, by kind of request."""
    delays: tuple[float, ...]
    traffics: tuple[float, ...]
    cells: tuple[Stressed, ...]
    replays: int
    wall_s: float
    version: str
    problem: dict[str, Any]

    def at(self, delays: float, traffic: float, lost: str = "") -> Stressed:
        """One cell; KeyError for one that is not there."""
        for cell in self.cells:
            if (cell.delays, cell.traffic, cell.lost) == (delays, traffic, lost):
                return cell
        raise KeyError((delays, traffic, lost))

    def headline(self) -> str:
        """The worst cell in which no replica is lost."""
        worst = min((cell for cell in self.cells if not cell.lost), key=lambda cell: cell.share)
        return f"{self.name}: {worst.share:.1%} at delays x{worst.delays:g}, traffic x{worst.traffic:g}"

    def table(self) -> list[dict[str, Any]]:
        """One row a cell."""
        return [cell.model_dump() for cell in self.cells]
