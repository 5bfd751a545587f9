"""Whether blocks of chips fit into nodes, by putting each into a domain: for the checkers of plans.

It shares no code with `solver`, which adds up chips instead.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_TRIES = 20_000

Blocks = Mapping[int, int]
"""Chips of a block to the number of such blocks."""


def blocks_of(text: str) -> dict[int, int]:
    """Blocks as a table of replicas writes them: '8', '4+2', '2x8+4'."""
    found: dict[int, int] = {}
    for part in text.split("+"):
        count, _, size = part.rpartition("x")
        found[int(size)] = found.get(int(size), 0) + int(count or 1)
    return found


def nodes_for(blocks: Blocks, node: int, domain: int, chips: int | None) -> int | None:
    """The fewest nodes found that hold some blocks, none of which leaves a domain.

    A node has domains of `domain` chips and a smaller rest; of limited chips the last node is smaller. None
    if the blocks do not fit, or if no way was found in so many tries: that refuses a plan rather than accept
    a bad one.
    """
    left = {size: n for size, n in blocks.items() if n}
    most = sum(left.values()) if chips is None else -(-chips // node)

    def hold(n: int) -> bool:
        return place(left, _domains_of(n, node, domain, chips)) is not None

    low = n = _at_least(left, node, domain)
    step = 1
    while n <= most and not hold(n):
        low, n, step = n + 1, max(n + 1, min(n + step, most)), 2 * step
    return low + bisect_left(range(low, n), True, key=hold) if n <= most else None


def _domains_of(nodes: int, node: int, domain: int, chips: int | None) -> Blocks:
    """Domains of so many nodes by their chips."""
    full = nodes if chips is None else min(nodes, chips // node)
    found = Counter({size: full * n for size, n in _domains(node, domain).items()})
    if chips is not None and nodes > full:
        found.update(_domains(chips % node, domain))
    return +found


def _domains(chips: int, domain: int) -> Counter[int]:
    """Domains of one node of so many chips."""
    return Counter({domain: chips // domain}) + Counter({chips % domain: 1})


def _at_least(blocks: Blocks, node: int, domain: int) -> int:
    """Nodes that are needed at least: by chips, and by how many blocks of a size or larger a node holds."""
    domains = _domains(node, domain)
    needed = -(-sum(size * n for size, n in blocks.items()) // node)
    for s in blocks:
        larger = {size: n for size, n in blocks.items() if size >= s}
        fit = sum(n * (d // s) for d, n in domains.items())
        units = sum(n * (size // s if all(x % s == 0 for x in larger) else 1) for size, n in larger.items())
        needed = max(needed, -(-units // fit) if fit else needed)
    return needed


class Run(NamedTuple):
    """Domains that are filled alike."""

    domain: int
    """Chips of each."""
    blocks: tuple[int, ...]
    """How many blocks lie in each, the largest size first."""
    times: int


def place(blocks: Blocks, domains: Blocks) -> list[Run] | None:
    """How domains (chips to number) are filled so that every block lies in one; None if that was not found.

    Domains are filled one after the other, the largest first and with the largest blocks first, alike as
    often as that goes, and filled otherwise where blocks are left over at the end: in whole runs at first,
    then in runs of any length. What it takes grows with the kinds of blocks, not with their number.
    """
    sizes = sorted(blocks, reverse=True)
    start = tuple(blocks[size] for size in sizes), tuple(sorted(domains.items(), reverse=True))
    whole = _placed(sizes, start, True)
    return _placed(sizes, start, False) if whole is None else whole


_State = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Blocks left of each size, domains left of each size."""


def _placed(sizes: list[int], start: _State, whole: bool) -> list[Run] | None:
    """One search for a placement, in whole runs or in runs of any length."""
    if not any(start[0]):
        return []
    tried: set[_State] = set()
    used: list[Run] = []
    stack = [_runs(sizes, start, whole)]
    for _ in range(_TRIES):
        if not stack:
            return None
        run, state = next(stack[-1], (None, start))
        if run is None:
            stack.pop()
            used = used[: len(stack) - 1]
        elif not any(state[0]):
            return [*used, run]
        elif state not in tried:
            tried.add(state)
            used.append(run)
            stack.append(_runs(sizes, state, whole))
    return None


def _runs(sizes: list[int], state: _State, whole: bool) -> Iterator[tuple[Run, _State]]:
    """Ways to fill the next domains alike, and what is then left."""
    left, rooms = state
    if not rooms:
        return
    (room, n), *others = rooms
    for way in _fillings(sizes, left, room):
        most = min([n, *(have // take for have, take in zip(left, way, strict=True) if take)])
        for times in (most,) if whole or not any(way) else range(most, 0, -1):
            rest = tuple(have - times * take for have, take in zip(left, way, strict=True))
            yield Run(room, way, times), (rest, (*([(room, n - times)] if n > times else []), *others))


def _fillings(sizes: list[int], left: tuple[int, ...], room: int) -> Iterator[tuple[int, ...]]:
    """Ways to fill a domain with what is left, the largest blocks first; no block can be added to any."""
    if not sizes:
        yield ()
        return
    head, *rest = sizes
    most = min(left[0], room // head)
    for n in range(most, -1, -1):
        for others in _fillings(rest, left[1:], room - n * head):
            spare = room - n * head - sum(s * k for s, k in zip(rest, others, strict=True))
            if n < left[0] and spare >= head:
                continue
            yield (n, *others)
