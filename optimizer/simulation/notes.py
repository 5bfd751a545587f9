"""What a reader of a replay must know beside its figures, in sentences."""

from collections.abc import Iterator, Sequence

from optimizer.simulation.asked import Arriving
from optimizer.simulation.replay import Station
from optimizer.simulation.scene import Scene
from optimizer.simulation.seen import Seen


def notes_of(
    scene: Scene, come: Arriving, stations: Sequence[Station], what: Seen, edges: bool
) -> tuple[str, ...]:
    """How requests were spread and prompts scheduled, and what makes the figures less than they look."""
    return (*_cautions(come, stations, what, edges), *_how(stations), *scene.notes)


def _cautions(come: Arriving, stations: Sequence[Station], what: Seen, edges: bool) -> Iterator[str]:
    if come.clients is None and what.grows:
        yield "requests come faster than they are served: times grow with the length of the run"
    elif edges and what.whole_s.mean() > (warm := what.arrival_s[0]):
        yield (
            f"a request takes {what.whole_s.mean():.3g} s and only the first {warm:.3g} s are left out: ask"
            " for more requests"
        )
    room = sum(s.replicas * s.server.slots for s in stations if s.server.role != "prefill")
    if come.clients is not None and (n := len(come.clients.start_s)) > room:
        yield f"{n:,} clients share replicas that run {room:,} requests together at most: the others queue"


def _how(stations: Sequence[Station]) -> Iterator[str]:
    if sum(station.replicas for station in stations) > 1:
        yield "each request goes to the replica with the fewest requests for its rate"
    servers = [station.server for station in stations]
    mixed = [server for server in servers if server.role == "aggregated"]
    if any(server.prompts_alone for server in mixed):
        yield "prompts have steps of their own, which go first"
    if any(not server.prompts_alone for server in mixed):
        yield "prompts share steps with sequences that decode"
    if any(server.whole_requests for server in servers):
        yield "a request is let in with room in the cache for its whole answer"
    if any(not server.whole_requests for server in servers):
        yield "a request is let in with room for its prompt; where the cache runs short the last starts again"
    if any(server.role == "prefill" for server in servers):
        yield "a first token is seen when its prompt's cache has crossed the network"
