"""Requests through pools of replicas, event by event: who waits how long for what.

Arrivals, and ends of events on replicas, are taken in order of time; at one instant ends come first. A
request is drawn for one of the pools that take it, by their rates, and goes to the replica of it that has the
fewest; of pools that take some kinds of requests alone to the one with the fewest for its rate. From a
prefill replica it goes on to one that decodes, after its cache has crossed the network; its first token is
seen then.
"""

from bisect import bisect_right
from collections.abc import Sequence as Several
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import accumulate
from math import inf
from typing import Any

import numpy as np

from optimizer.cost.serving import front_s
from optimizer.errors import InputError, InternalMismatch
from optimizer.simulation.batch import Sequence
from optimizer.simulation.replica import Replica, Use
from optimizer.simulation.requests import Requests
from optimizer.simulation.server import Server
from optimizer.watch import UNWATCHED, Watch


@dataclass(frozen=True)
class Station:
    """So many equal replicas."""

    server: Server
    replicas: int
    requests_per_s: float
    """Of each: what the least loaded is told by."""
    handover_s_per_token: float = 0.0
    """Of a prompt, from a prefill replica to where the answer is made."""
    front_s: float = 0.0
    """From arrival until it is in the queue where the server is idle; evenly between nothing and twice."""
    serves: frozenset[int] | None = None
    """Kinds of requests; None for all."""


@dataclass(frozen=True, eq=False)
class Clients:
    """A closed loop: each sends its next request so long after its last answer."""

    start_s: Any
    """When each begins, not falling."""
    think_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Served:
    """What became of each request, in seconds from the start; arrays in the order of the requests."""

    arrival_s: Any
    admitted_s: Any
    """When its first step began."""
    first_s: Any
    """First token."""
    finish_s: Any
    replica: Any
    """Number of the replica that answered it, those of the first station first."""
    use: tuple[Use, ...]
    """Of each replica."""
    area: float
    """Requests in the system, over time: what Little's law compares the times in it with."""
    cache: Any
    """Share of all caches in use when it came, with its own where it was let in at once."""

    @property
    def preempted(self) -> int:
        """Times that a sequence started again."""
        return sum(use.preempted for use in self.use)

    @property
    def span_s(self) -> float:
        """From the first arrival to the last token."""
        return float(np.max(self.finish_s) - np.min(self.arrival_s))


def replay(
    stations: Several[Station], requests: Requests, clients: Clients | None = None, watch: Watch = UNWATCHED
) -> Served:
    """Serve all requests to the last token.

    With `clients` the arrivals are theirs. InputError if a request has room nowhere; InternalMismatch where
    times and numbers in the system disagree (Little's law); raises Stopped.
    """
    run = _Run(stations, requests, clients)
    run.all(watch)
    served = run.served()
    spent = float(np.sum(served.finish_s - served.arrival_s))
    if abs(spent - served.area) > 1e-6 * max(1.0, spent):
        raise InternalMismatch(
            f"replay: {served.area:.6f} requests x s in the system, {spent:.6f} by their times"
        )
    return served


def _require_room(requests: Requests, kind: int, server: Server) -> None:
    """InputError for a request that a replica could not hold if it were empty."""
    room = server.blocks // server.ranks * server.block_tokens
    asked = requests.input_tokens + (server.role != "prefill") * requests.output_tokens
    asked = np.where(requests.kind == kind, asked, 0)
    at = int(np.argmax(asked))
    if asked[at] > room:
        raise InputError(
            f"requests: number {at + 1} has {int(asked[at]):,} tokens, and the cache of {server.name}"
            f" holds {room:,}; shorten it, or give a replica more room"
        )


_END, _LEAVES, _HANDED, _QUEUED, _ARRIVAL = range(5)
_GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, whole parts left out, fill 0 to 1 evenly in any order of requests."""


class _Run:
    """The state of a replay."""

    def __init__(self, stations: Several[Station], requests: Requests, clients: Clients | None) -> None:
        self.requests, self.clients, n = requests, clients, len(requests)
        self.inputs, self.outputs = requests.input_tokens.tolist(), requests.output_tokens.tolist()
        self.prefixes, self.kinds = requests.prefix_tokens.tolist(), requests.kind.tolist()
        self.stations = [station for station in stations for _ in range(station.replicas)]
        self.replicas = [Replica(station.server) for station in self.stations]
        self.doors, self.decoders = self._by_kind(decode=False), self._by_kind(decode=True)
        self.drawn = np.random.default_rng(n).random((2, n)).tolist()
        for groups in (self.doors, self.decoders):
            for kind, pools in groups.items():
                servers = [self.replicas[i].server for pool in pools for i in pool]
                for server in {id(server): server for server in servers}.values():
                    _require_room(requests, kind, server)
        self.arrival, self.admitted, self.first, self.finish = ([float("nan")] * n for _ in range(4))
        self.answered_by, self.cache = [-1] * n, [0.0] * n
        starts = (requests.arrival_s if clients is None else clients.start_s[:n]).tolist()
        self.events = [(time, _ARRIVAL, number) for number, time in enumerate(starts)]
        heapify(self.events)
        self.sent = len(starts)
        self.inside, self.area, self.last = 0, 0.0, 0.0
        self.held, self.room = 0, sum(r.server.blocks * r.server.block_tokens for r in self.replicas)

    def _by_kind(self, decode: bool) -> dict[int, list[list[int]]]:
        """Pools that a kind of request may go to: those where it comes in, or those that only decode."""
        own = [i for i, station in enumerate(self.stations) if (station.server.role == "decode") == decode]
        found: dict[int, list[list[int]]] = {}
        for kind in set(self.kinds):
            pools: dict[int, list[int]] = {}
            for i in own:
                station = self.stations[i]
                if station.serves is None or kind in station.serves:
                    pools.setdefault(id(station) if station.serves is None else 0, []).append(i)
            found[kind] = list(pools.values())
        return found

    def all(self, watch: Watch) -> None:
        events, replicas = self.events, self.replicas
        count = 0
        while events:
            time, kind, which = heappop(events)
            if kind == _END and replicas[which].ends != time:
                continue  # it was planned anew
            count += 1
            if count % 4096 == 0:
                watch.check()
            self.area += self.inside * (time - self.last)
            self.last = time
            if kind == _END:
                self._ended(time, which)
            elif kind == _ARRIVAL:
                self._arrives(time, which)
            elif kind == _QUEUED:
                own = Sequence(which, self.inputs[which], self.outputs[which], self.prefixes[which])
                self._send(own, self.doors[self.kinds[which]], time, decode=False)
                self.cache[which] = self.held / self.room
            elif kind == _LEAVES:
                self._leaves(time, which)
            else:
                own = Sequence(which, self.inputs[which], self.outputs[which] - 1, self.inputs[which])
                self._send(own, self.decoders[self.kinds[which]], time, decode=True)

    def _arrives(self, time: float, number: int) -> None:
        self.inside += 1
        self.arrival[number] = time
        at = self._least_loaded(self.doors[self.kinds[number]], number, decode=False)
        idle_s = self.stations[at].front_s
        mean_s = front_s(idle_s, self.replicas[at].batch.server_busy) if idle_s else 0.0
        heappush(self.events, (time + mean_s * 2 * ((number + 0.5) * _GOLDEN % 1.0), _QUEUED, number))

    def _least_loaded(self, pools: list[list[int]], number: int, decode: bool) -> int:
        """The replica with the fewest requests for its rate, of the pool that a request is drawn for."""
        among = pools[0]
        if len(pools) > 1:
            rates = [sum(self.stations[i].requests_per_s for i in own) for own in pools]
            shares = list(accumulate(rates))
            among = pools[bisect_right(shares, self.drawn[decode][number] * shares[-1])]
        if len(among) == 1:
            return among[0]
        return min(among, key=lambda i: (self.replicas[i].in_system + 1) / self.stations[i].requests_per_s)

    def _send(self, sequence: Sequence, pools: list[list[int]], time: float, decode: bool) -> None:
        """To the replica that is loaded least."""
        at = self._least_loaded(pools, sequence.number, decode)
        replica = self.replicas[at]
        before, held = replica.ends, replica.held
        replica.receive(sequence, time)
        self.held += replica.held - held
        if replica.ends != before:
            heappush(self.events, (replica.ends, _END, at))

    def _ended(self, time: float, which: int) -> None:
        replica, station = self.replicas[which], self.stations[which]
        held = replica.held
        event = replica.finish()
        self.held += replica.held - held
        for number in event.admitted:
            if self.admitted[number] != self.admitted[number]:
                self.admitted[number] = event.began
        for number, later in event.first:
            if self.first[number] != self.first[number]:
                self.first[number] = time + later
        for number, later in event.finished:
            self.answered_by[number] = which
            if station.server.role == "prefill" and self.outputs[number] > 1:
                after = time + later + station.handover_s_per_token * self.inputs[number]
                self.first[number] = after
                heappush(self.events, (after, _HANDED, number))
            elif later:
                heappush(self.events, (time + later, _LEAVES, number))
            else:
                self._leaves(time, number)
        if replica.ends < inf:
            heappush(self.events, (replica.ends, _END, which))

    def _leaves(self, time: float, number: int) -> None:
        self.inside -= 1
        self.finish[number] = time
        if self.clients is not None and self.sent < len(self.requests):
            heappush(self.events, (time + self.clients.think_s, _ARRIVAL, self.sent))
            self.sent += 1

    def served(self) -> Served:
        """What became of each request."""
        return Served(
            arrival_s=np.array(self.arrival),
            admitted_s=np.array(self.admitted),
            first_s=np.array(self.first),
            finish_s=np.array(self.finish),
            replica=np.array(self.answered_by),
            use=tuple(replica.use for replica in self.replicas),
            area=self.area,
            cache=np.array(self.cache),
        )
