"""A plan when things go wrong, by replay: slower replicas, more traffic, one replica less.

Replicas whose times are all f times as long, under T times the traffic, see what the plan's own see under
f T times the traffic, with all times f times as long. So a cell is a replay of the plan's requests as much
closer together, against the bounds divided by f, and cells with the same product share one.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pydantic import BaseModel

from optimizer.errors import InputError
from optimizer.simulation import account
from optimizer.simulation.asked import Arriving
from optimizer.simulation.replay import Station, replay
from optimizer.simulation.scene import Scene
from optimizer.simulation.seen import Seen, seen
from optimizer.spec.answer import Answer
from optimizer.spec.stress import Stress, Stressed
from optimizer.studies.simulate import Replaying, coming, scene_for
from optimizer.version import VERSION
from optimizer.watch import UNWATCHED, Progress, Watch

FACTORS = (1.0, 1.1, 1.2, 1.3, 1.4, 1.5)
"""Of times, and of traffic."""


def stress(
    what: Scene | Answer | BaseModel,
    how: Replaying = Replaying(),
    delays: Sequence[float] = FACTORS,
    traffics: Sequence[float] = FACTORS,
    watch: Watch = UNWATCHED,
) -> Stress:
    """The share of requests within the bounds for each factor of times and of traffic, and a replica lost.

    One replica of each pool in turn is lost at the traffic asked for. InputError for what has no plan or no
    bound, and for clients that wait for answers; raises Stopped where the watch ends too early.
    """
    start = time.monotonic()
    scene = scene_for(what, how)
    if not any(kind.limits for kind in scene.kinds):
        raise InputError("stress: of which bound? Give ttft_ms_max, tpot_ms_max or both")
    if wrong := [f for f in (*delays, *traffics) if not 0 < f <= _MOST]:
        raise InputError(f"stress: a factor of {wrong[0]:g}; give numbers above 0, at most {_MOST:g}")
    text, come = coming(scene, how)
    if come.clients is not None:
        raise InputError("stress: clients wait for answers; give arrivals that come by themselves")
    run = _Run(scene, how, come, scene.stations(come.requests), watch)
    cells = tuple(run.cells(delays, traffics))
    return Stress(
        name=scene.name,
        plan=scene.words,
        arrivals=text,
        requests=len(come.requests),
        counted=run.counted,
        seed=how.seed,
        limits={kind.name: dict(kind.limits) for kind in scene.kinds},
        delays=tuple(delays),
        traffics=tuple(traffics),
        cells=cells,
        replays=len(run.known),
        wall_s=time.monotonic() - start,
        version=VERSION,
        problem=scene.problem,
    )


_MOST = 100.0


@dataclass(eq=False)
class _Run:
    """The replays of one plan, each made once."""

    scene: Scene
    how: Replaying
    come: Arriving
    stations: tuple[Station, ...]
    watch: Watch
    known: dict[tuple[float, int | None], Seen] = field(default_factory=dict)
    counted: int = 0

    def cells(self, delays: Sequence[float], traffics: Sequence[float]) -> Iterator[Stressed]:
        """Every cell: of the whole plan first, then with a replica of each pool lost."""
        asked: list[tuple[float, float, int | None]] = [(d, t, None) for t in traffics for d in delays]
        asked += [(d, 1.0, pool) for pool in range(len(self.stations)) for d in delays]
        for done, (slow, traffic, pool) in enumerate(asked):
            self.watch.check()
            self.watch.say(Progress("replays", done=done, left=len(asked) - done))
            yield self._cell(slow, traffic, pool)

    def _cell(self, slow: float, traffic: float, pool: int | None) -> Stressed:
        lost = "" if pool is None else self._words(pool)
        what = self._seen(slow * traffic, pool)
        if what is None:
            return Stressed(delays=slow, traffic=traffic, lost=lost, share=0.0, grows=True)
        kept = [self._kept(what, number, slow) for number in range(len(self.scene.kinds))]
        share = float(np.mean(np.concatenate(kept)))
        return Stressed(delays=slow, traffic=traffic, lost=lost, share=share, grows=what.grows)

    def _kept(self, what: Seen, number: int, slow: float) -> Any:
        """Which requests of one kind keep all bounds, times being so many times as long."""
        limits = {name: limit / slow for name, limit in self.scene.kinds[number].limits.items()}
        own = what.some(what.kind == number)
        masks = account.kept(limits, own)
        return np.logical_and.reduce([np.ones(len(own["ttft_s"]), dtype=bool), *masks.values()])

    def _words(self, pool: int) -> str:
        own = self.scene.pools[pool]
        chip = own.chip.partition("-")[2] or own.chip
        return " ".join(word for word in (own.service, own.phase, chip, f"x{own.split.chips}") if word)

    def _seen(self, factor: float, pool: int | None) -> Seen | None:
        """What requests see so many times as close together; None where nobody is left to serve them."""
        key = round(factor, 9), pool
        if key not in self.known:
            stations = self._left(pool)
            if not stations:
                return None
            requests = self.come.requests.at(self.come.requests.arrival_s / factor)
            served = replay(stations, requests, None, self.watch)
            self.known[key] = seen(served, requests, not self.come.recorded, self.how.stream_interval)
            self.counted = len(self.known[key].arrival_s)
        return self.known[key]

    def _left(self, pool: int | None) -> tuple[Station, ...]:
        """The stations with one replica of a pool less; none where requests of a kind have nowhere to go."""
        if pool is None or self.stations[pool].replicas > 1:
            less = [replace(s, replicas=s.replicas - (i == pool)) for i, s in enumerate(self.stations)]
            return tuple(less)
        left = tuple(s for i, s in enumerate(self.stations) if i != pool)
        gone = self.stations[pool]
        alike = [s for s in left if (s.server.role, s.serves) == (gone.server.role, gone.serves)]
        return left if alike else ()
