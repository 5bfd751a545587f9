"""A plan under requests that come one by one: what each sees, against what the plan claims.

What is replayed is a `simulation.scene.Scene`; kinds of problem that have one say so in their `stations.py`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any

import numpy as np
from pydantic import BaseModel

from optimizer.arrivals import arriving
from optimizer.errors import InputError
from optimizer.questions import problems
from optimizer.questions.kinds import Kind as ProblemKind
from optimizer.questions.kinds import kind_of_problem, kinds
from optimizer.simulation import account
from optimizer.simulation.asked import Arriving, Asked
from optimizer.simulation.highest import highest_rate
from optimizer.simulation.notes import notes_of
from optimizer.simulation.replay import Station, replay
from optimizer.simulation.scene import Scene
from optimizer.simulation.seen import Seen, seen
from optimizer.spec.answer import Answer
from optimizer.spec.plan import Pool
from optimizer.spec.protocol import Protocol
from optimizer.spec.replay import Claim, Holds, KindSeen, Replay, Times
from optimizer.studies.solve import solve
from optimizer.version import VERSION
from optimizer.watch import UNWATCHED, Watch

_FILE = "stations"
_LEFT_OUT = "the first and the last tenth, while the replicas fill and empty"


@dataclass(frozen=True)
class Replaying:
    """How a plan is replayed."""

    arrivals: str = ""
    """A process of `optimizer.arrivals`, such as 'gamma:2.5:3'; '' for Poisson at the rate asked for."""
    requests: int = 10_000
    range_ratio: float = 1.0
    ramp_s: float = 0.0
    think_s: float = 0.0
    stream_interval: int = 1
    seed: int = 0
    limits: Mapping[str, float] = field(default_factory=dict)
    """ttft_ms_max and tpot_ms_max, in place of the problem's own."""
    percentile: float | None = None
    """Find the highest rate at which so many of 100 requests keep each limit."""


def scene_of(problem: BaseModel, pools: tuple[Pool, ...], metrics: Mapping[str, float]) -> Scene:
    """A plan of a problem, to be replayed. InputError for kinds of problem, and plans, that cannot be."""
    found: Scene = require_replayed(problem).module(_FILE).scene(problem, pools, metrics)
    return found


def require_replayed(problem: BaseModel) -> ProblemKind:
    """The kind of a problem; InputError where plans of it serve no requests."""
    kind = kind_of_problem(problem)
    replayed = [own for own in kinds() if find_spec(f"optimizer.questions.{own}.{_FILE}")]
    if kind.name not in replayed:
        raise InputError(
            f"{getattr(problem, 'name', 'problem')}: a problem of kind {kind.name} has no requests to replay;"
            f" accepted: {', '.join(replayed)}"
        )
    return kind


def simulate(
    what: Scene | Answer | BaseModel, how: Replaying = Replaying(), watch: Watch = UNWATCHED
) -> Replay:
    """Replay requests against a plan: of an answer, of a problem, which is solved first, or a scene.

    InputError for what has no plan, arrivals that cannot be, or a request that has room nowhere;
    InternalMismatch where times and numbers disagree; raises Stopped where the watch ends too early.
    """
    start = time.monotonic()
    scene = scene_for(what, how)
    if how.percentile is not None and not any(kind.limits for kind in scene.kinds):
        raise InputError("percentile: of which bound? Give ttft_ms_max, tpot_ms_max or both")
    text, come = coming(scene, how)
    run = _Run(scene, how, come, scene.stations(come.requests), watch)
    return run.answer(text, start)


def scene_for(what: Scene | Answer | BaseModel, how: Replaying) -> Scene:
    """What is replayed, with the bounds that are asked for; InputError for what has no plan."""
    scene = what if isinstance(what, Scene) else _planned(what)
    kinds = (replace(k, limits={**k.limits, **how.limits}) for k in scene.kinds)
    return replace(scene, kinds=tuple(kinds)) if how.limits else scene


def coming(scene: Scene, how: Replaying) -> tuple[str, Arriving]:
    """How requests come, as asked for or at the rate of the plan, and these requests. InputError."""
    text = how.arrivals or _asked_for(scene)
    return text, arriving(text, _asked(scene, how))


def _planned(what: Answer | BaseModel) -> Scene:
    if isinstance(what, Answer):
        problem, answer = problems.from_answer(what.problem, "answer: problem"), what
    else:
        problem = what
        require_replayed(problem)
        answer = solve(problem)
    if answer.deployment is None:
        raise InputError(f"{problem.name}: status {answer.status}: there is no plan to replay")
    return scene_of(problem, answer.deployment.pools, answer.metrics)


def _asked_for(scene: Scene) -> str:
    if scene.rate is None:
        raise InputError("arrivals: the plan was asked for no rate; give them, such as poisson:2.5")
    return f"poisson:{scene.rate:.12g}"


def _asked(scene: Scene, how: Replaying) -> Asked:
    several = len(scene.kinds) > 1
    return Asked(
        input_tokens=scene.kinds[0].size.input_tokens,
        output_tokens=scene.kinds[0].size.output_tokens,
        prefix_tokens=scene.prefix_tokens,
        mix=tuple(kind.size for kind in scene.kinds) if several else (),
        requests=how.requests,
        range_ratio=how.range_ratio,
        ramp_s=how.ramp_s,
        think_s=how.think_s,
        stream_interval=how.stream_interval,
        seed=how.seed,
    )


@dataclass(frozen=True, eq=False)
class _Run:
    """One replay."""

    scene: Scene
    how: Replaying
    come: Arriving
    stations: tuple[Station, ...]
    watch: Watch

    def answer(self, text: str, start: float) -> Replay:
        """Everything that is said of it."""
        scene, how, come = self.scene, self.how, self.come
        served = replay(self.stations, come.requests, come.clients, self.watch)
        edges = come.clients is None and not come.recorded
        what = seen(served, come.requests, edges, how.stream_interval)
        held = self._holds(edges) if how.percentile is not None else None
        pools, cache = account.pool_uses(scene.pools, self.stations, served)
        limits = scene.kinds[0].limits if len(scene.kinds) == 1 else {}
        counted = len(what.arrival_s)
        return Replay(
            name=scene.name,
            plan=scene.words,
            arrivals=text,
            requests=len(come.requests),
            counted=counted,
            left_out=_LEFT_OUT if counted < len(come.requests) else "",
            seed=how.seed,
            stream_interval=how.stream_interval,
            span_s=served.span_s,
            offered_requests_per_s=come.rate,
            requests_per_s=what.requests_per_s,
            output_tokens_per_s=what.tokens_per_s,
            ttft_ms=_some(what.ttft_s, account.MS),
            tpot_ms=account.times(what.tpot_s, account.MS),
            end_to_end_s=_some(what.whole_s),
            queue_ms=_some(what.queue_s, account.MS),
            in_system=served.area / served.span_s,
            cache_mean=cache,
            cache_peak=max(pool.cache_peak for pool in pools),
            preempted=served.preempted,
            within=account.within(limits, account.kept(limits, what.some(slice(None)))),
            holds=held,
            claims=self._claims(what, held),
            pools=pools,
            kinds=self._kinds(what) if len(scene.kinds) > 1 else (),
            notes=notes_of(scene, come, self.stations, what, edges),
            over_time=account.over_time(served, come.requests, what.ttft_s, what.arrival_s),
            wall_s=time.monotonic() - start,
            version=VERSION,
            problem=scene.problem,
        )

    def _kinds(self, what: Seen) -> tuple[KindSeen, ...]:
        found = []
        for number, kind in enumerate(self.scene.kinds):
            own = what.some(what.kind == number)
            if len(own["ttft_s"]):
                found.append(
                    KindSeen(
                        name=kind.name,
                        requests=len(own["ttft_s"]),
                        ttft_ms=_some(own["ttft_s"], account.MS),
                        tpot_ms=account.times(own["tpot_s"], account.MS),
                        within=account.within(kind.limits, account.kept(kind.limits, own)),
                        claims=account.claims(kind.claims, own, kind.percentile),
                    )
                )
        return tuple(found)

    def _claims(self, what: Seen, held: Holds | None) -> tuple[Claim, ...]:
        """The claims of the plan, or of so many clients, beside what came of them."""
        scene, come = self.scene, self.come
        if come.recorded and scene.rate is None:
            return ()  # what was claimed is of other requests
        said = dict(scene.claims)
        if come.clients is not None:
            n = len(come.clients.start_s)
            asked = Protocol(n, len(come.requests) / n, self.how.range_ratio, self.how.stream_interval)
            said = scene.at_clients(asked) if scene.at_clients else said
        most = said.pop("requests_per_s", None)
        near = come.rate and scene.rate and abs(come.rate - scene.rate) < 0.02 * scene.rate
        said = {name: value for name, value in said.items() if near or "at_demand" not in name}
        rows = account.claims(said, what.some(slice(None)), scene.percentile)
        if most and held is not None and held.requests_per_s:
            of = f"holds at p{held.percentile:g}"
            rows += (account.claim("requests_per_s", "requests/s", most, held.requests_per_s, of),)
        elif most and (come.clients is not None or what.grows):
            rows += (account.claim("requests_per_s", "requests/s", most, what.requests_per_s, "served"),)
        return rows

    def _holds(self, edges: bool) -> Holds | None:
        """The highest rate at which the percentile keeps the bounds: the same requests, faster or slower."""
        come, percentile = self.come, float(self.how.percentile or 0)
        requests, own = come.requests, come.rate
        if come.clients is not None or own is None:
            gaps = np.random.default_rng([self.how.seed, 1]).exponential(1.0, len(requests))
            requests, own, edges = requests.at(gaps.cumsum()), 1.0, True
        unit = requests.arrival_s * own

        def keeps(rate: float) -> bool:
            at = requests.at(unit / rate)
            served = replay(self.stations, at, None, self.watch)
            what = seen(served, at, edges, self.how.stream_interval)
            return not what.grows and all(
                account.holds(kind.limits, what.some(what.kind == number), percentile)
                for number, kind in enumerate(self.scene.kinds)
            )

        begin = self.scene.claims.get("requests_per_s") or come.rate or 1.0
        found = highest_rate(keeps, begin)
        if found is None:
            return None
        rate, fails, n = found
        return Holds(
            percentile=percentile,
            requests_per_s=rate,
            fails_at=fails,
            arrivals="as given, faster or slower" if come.clients is None else "poisson",
            replays=n,
        )


def _some(values: Any, factor: float = 1.0) -> Times:
    """Times that every request has."""
    found = account.times(values, factor)
    if found is None:
        raise InputError("requests: none is left to count; give more of them")
    return found
