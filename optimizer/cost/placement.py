"""Which chips of a replica share a scale-up domain: what exchanges are priced by, and what is then placed.

A replica has stages of attention ranks of some chips (`Split.rank`). The ranks of a stage are spread evenly
over domains, so many in each; stages that follow each other lie in runs, and from one run to the next
activations cross the network. A replica is then a set of blocks, each inside one domain:

    block = chips of a rank in one domain x ranks of a stage in one domain x stages of a run

Prices depend on the ranks together and on the number of runs. How long each run is only decides how well the
blocks fill domains.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from optimizer.spec.split import Split

MOST_CUT = 8
"""Stages of a pipeline that is cut into runs in every way; a longer one into equal runs, the last shorter."""
WIDE = 256
"""Chips of a domain from which on pipelines are cut into equal runs only: little is left over there."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How one replica lies in scale-up domains."""

    ranks: int
    """Attention ranks of each stage that share a domain."""
    runs: tuple[int, ...]
    """Stages that follow each other in a domain, longest run first; they sum to the pipeline's stages."""

    def blocks(self, split: Split, domain: int) -> dict[int, int]:
        """How many blocks there are of each number of chips."""
        part = chips_of_a_rank(split, domain)
        sets = split.rank // part * split.data_parallel // self.ranks
        return {part * self.ranks * run: n * sets for run, n in Counter(self.runs).items()}


def chips_of_a_rank(split: Split, domain: int) -> int:
    """Chips of an attention rank in each domain: all, or the largest equal part that fits.

    Ranks that share a sequence lie together as far as whole ones fit; a part of one is alone.
    """
    one = most_together(split.tensor_parallel, 1, domain)
    return one * most_together(split.sequence_ranks, split.tensor_parallel, domain)


@cache
def most_together(n: int, width: int, domain: int) -> int:
    """The most of n parts of so many chips in each domain, spread evenly; one that does not fit is alone."""
    return _largest_divisor(n, max(1, domain // width))


def fewest_runs(width: int, stages: int, domain: int) -> int:
    """The fewest runs of a pipeline of which so many chips of each stage lie together."""
    return -(-stages // max(1, domain // width))


def layouts(split: Split, domain: int) -> Iterator[Layout]:
    """Every way a replica may lie in domains of so many chips, the closest first."""
    stages = split.pipeline_parallel
    for ranks in range(most_together(split.data_parallel, split.rank, domain), 0, -1):
        if split.data_parallel % ranks == 0:
            longest = min(stages, max(1, domain // (split.rank * ranks)))
            for runs in cuts(stages, longest):
                if domain < WIDE or len(set(runs)) == 1:
                    yield Layout(ranks, runs)


@cache
def cuts(stages: int, longest: int) -> tuple[tuple[int, ...], ...]:
    """The ways to cut a pipeline into runs of at most so many stages, up to their order."""
    if stages > MOST_CUT:
        return tuple(
            (each,) * (stages // each) + ((stages % each,) if stages % each else ())
            for each in range(longest, 0, -1)
        )
    return tuple(_partitions(stages, longest))


def _partitions(stages: int, longest: int) -> Iterator[tuple[int, ...]]:
    if stages == 0:
        yield ()
    for first in range(min(stages, longest), 0, -1):
        for rest in _partitions(stages - first, first):
            yield (first, *rest)


def _largest_divisor(number: int, at_most: int) -> int:
    return max(part for part in range(1, min(number, at_most) + 1) if number % part == 0)


def written(blocks: Mapping[int, int]) -> str:
    """Numbers of blocks by their chips as text, the largest first: '8', '4+2', '2x8+4'."""
    return "+".join(str(size) if n == 1 else f"{n}x{size}" for size, n in sorted(blocks.items())[::-1])


@cache
def read(text: str) -> tuple[tuple[int, int], ...]:
    """(size, how many) of each kind of block, from text that `written` wrote; the largest first.

    ValueError for any other text.
    """
    found = Counter[int]()
    for part in text.split("+"):
        count, times, size = part.rpartition("x")
        if not (part.isascii() and size.isdecimal() and (count.isdecimal() or not times) and int(size)):
            raise ValueError(text)
        found[int(size)] += int(count) if times else 1
    return tuple(sorted((+found).items(), reverse=True))


@cache
def lies_within(blocks: str, others: str) -> bool:
    """Whether some blocks can take the place of others, each inside one of them.

    Tried is the largest first, each into the fullest of the others that holds it: what that does not find
    counts as no.
    """
    free = Counter(dict(read(others)))
    for size, n in read(blocks):
        while n:
            room = min((r for r, m in free.items() if m and r >= size), default=None)
            if room is None:
                return False
            each = min(n, room // size)
            taken = min(n // each, free[room])
            free[room] -= taken
            free[room - each * size] += taken
            n -= taken * each
    return True
