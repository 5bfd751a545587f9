"""Whether blocks of chips fit into nodes, by putting each into a domain: for the checkers of plans.

It shares no code with `solver`, which adds up chips instead.
"""

from collections.abc import Iterator, Mapping

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


def nodes_for(blocks: Blocks, node: int, domain: int, chips: int | None) -> list[int] | None:
    """Chips used in each of the fewest nodes found that hold some blocks, none of which leaves a domain.

    A node has domains of `domain` chips and a smaller rest; of limited chips the last node is smaller. None
    if the blocks do not fit, or if no way was found in so many tries: that refuses a plan rather than accept
    a bad one.
    """
    left = {size: n for size, n in blocks.items() if n}
    most = None if chips is None else -(-chips // node)
    n = _at_least(left, node, domain)
    while most is None or n <= most:
        sizes = [node] * n if chips is None else [min(node, chips - node * i) for i in range(n)]
        domains = [(i, d) for i, size in enumerate(sizes) for d in _domains(size, domain)]
        domains.sort(key=lambda at: -at[1])
        used = place(left, [d for _, d in domains])
        if used is not None:
            found = [0] * n
            for (i, _), u in zip(domains, used, strict=True):
                found[i] += u
            return found
        if most is None and n > sum(left.values()):
            return None  # a block is larger than a domain
        n += 1
    return None


def _domains(chips: int, domain: int) -> list[int]:
    return [domain] * (chips // domain) + ([chips % domain] if chips % domain else [])


def _at_least(blocks: Blocks, node: int, domain: int) -> int:
    """Nodes that are needed at least: by chips, and by how many blocks of a size or larger a node holds."""
    domains = _domains(node, domain)
    needed = -(-sum(size * n for size, n in blocks.items()) // node)
    for s in blocks:
        larger = {size: n for size, n in blocks.items() if size >= s}
        fit = sum(d // s for d in domains)
        units = sum(n * (size // s if all(x % s == 0 for x in larger) else 1) for size, n in larger.items())
        needed = max(needed, -(-units // fit) if fit else needed)
    return needed


def place(blocks: Blocks, domains: list[int]) -> list[int] | None:
    """Chips used in each domain once every block lies in one; None if that was not found.

    Domains are filled one after the other, the largest blocks first, and filled otherwise where blocks are
    left over at the end.
    """
    sizes = sorted(blocks, reverse=True)
    left = tuple(blocks[size] for size in sizes)
    used: list[int] = []
    tried: set[tuple[int, tuple[int, ...]]] = set()
    stack = [_fillings(sizes, left, domains[0])] if domains and any(left) else []
    lefts = [left]
    for _ in range(_TRIES + len(domains)):
        if not any(lefts[-1]):
            return used + [0] * (len(domains) - len(used))
        if not stack:
            return None
        way = next(stack[-1], None)
        if way is None:
            stack.pop()
            if used:
                used.pop()
                lefts.pop()
            continue
        rest = tuple(n - w for n, w in zip(lefts[-1], way, strict=True))
        at = len(used) + 1
        if (at, rest) in tried or (at == len(domains) and any(rest)):
            continue
        tried.add((at, rest))
        used.append(sum(size * w for size, w in zip(sizes, way, strict=True)))
        lefts.append(rest)
        stack.append(_fillings(sizes, rest, domains[at] if at < len(domains) else 0))
    return None


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
