"""How long work may go on, who may stop it, and who is told how far it is: arguments, never globals.

A study makes one `Watch` and hands it down. Every loop whose length a problem decides calls `check`; what
cannot be interrupted (a solver's own search) is given `left` seconds and looked at again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any


class Stopped(Exception):
    """The deadline passed or the work was cancelled. What was found so far is kept by whoever catches it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is; a field is None where it is not known (yet)."""

    phase: str
    """What is being done, in a few words."""
    metric: str = ""
    """The metric that `incumbent` and `bound` are values of."""
    unit: str = ""
    incumbent: float | None = None
    """The metric of the best plan so far."""
    bound: float | None = None
    """No plan is better than this."""
    points: int | None = None
    """Plans, points or answers found so far."""
    done: int | None = None
    """Steps done."""
    left: int | None = None
    """Steps that are known to be left; more may turn up where `more` says so."""
    more: bool = False
    pace_s: float | None = None
    """Seconds that a step has taken so far, on average."""

    @property
    def gap(self) -> float | None:
        """|incumbent - bound| / |incumbent|."""
        if self.incumbent is None or self.bound is None:
            return None
        if self.incumbent == self.bound:
            return 0.0
        return abs(self.incumbent - self.bound) / abs(self.incumbent) if self.incumbent else None


Tell = Callable[[Progress], None]


def never() -> bool:
    """Nobody cancels."""
    return False


@dataclass(frozen=True, slots=True)
class Watch:
    """The end of the time allowed, a way to cancel, and a listener."""

    deadline: float | None = None
    """On the clock of `time.monotonic`; None is no limit."""
    cancelled: Callable[[], bool] = never
    """Asked often, so it must be quick: `threading.Event().is_set` is one."""
    tell: Tell | None = None

    @classmethod
    def within(
        cls, seconds: float | None, cancelled: Callable[[], bool] = never, tell: Tell | None = None
    ) -> "Watch":
        """A watch that ends so many seconds from now."""
        return cls(None if seconds is None else time.monotonic() + seconds, cancelled, tell)

    @property
    def over(self) -> bool:
        """Whether to stop now."""
        return self.cancelled() or (self.deadline is not None and time.monotonic() >= self.deadline)

    def check(self) -> None:
        """Raise Stopped once the time is over or the work is cancelled."""
        if self.over:
            raise Stopped

    def left(self) -> float | None:
        """Seconds left, at least a hundredth: a solver takes no limit of zero. None is no limit."""
        return None if self.deadline is None else max(0.01, self.deadline - time.monotonic())

    def __reduce__(self) -> Any:
        """What crosses to another process or machine is the time left: nobody there can cancel or listen."""
        return _elsewhere, (self.left(), None if self.deadline is None else time.time() + (self.left() or 0))

    def at_most(self, seconds: float) -> "Watch":
        """The watch with a deadline no later than so many seconds from now, for a part of the work."""
        end = time.monotonic() + seconds
        return replace(self, deadline=end if self.deadline is None else min(end, self.deadline))

    def part(self, share: float) -> "Watch":
        """The watch with a share of the time that is left, for a part of the work."""
        left = self.left()
        return self if left is None else self.at_most(share * left)

    def say(self, progress: Progress) -> None:
        """Tell whoever listens."""
        if self.tell is not None:
            self.tell(progress)


def _elsewhere(left: float | None, end: float | None) -> Watch:
    """A watch that was sent here: `left` when it was sent, until `end` on the clock of the world."""
    if left is None or end is None:
        return Watch()
    return Watch.within(max(0.0, min(left, end - time.time())))


UNWATCHED = Watch()
"""No limit, no cancel, no listener."""
