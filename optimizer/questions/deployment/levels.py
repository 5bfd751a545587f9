"""Traffic that replicas hold whatever few of them are lost, as rows of a programme in whole numbers.

The N largest of some rates add up to the least, over all levels t, of  N t + sum_k n_k max(0, r_k - t):  each t
counts at least what the N stand for above it, and the N-th largest rate counts just that. So what is left when
any N replicas are lost is

    held = max over t of  sum_k n_k min(r_k, t) - N t                    t: one of the rates

and it reaches a demand if for some level  sum_k n_k min(r_k, t) >= demand + N t.  Each level is a yes or no,
and one is chosen: exact for every N, and for replicas as unlike as may be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from optimizer.search.programme import Programme


def held(rates: Sequence[int], counts: Sequence[int], lost: int) -> int:
    """What replicas serve together with any `lost` of them gone, in the unit of `rates`."""
    pairs = list(zip(rates, counts, strict=True))
    return max((sum(n * min(r, t) for r, n in pairs) - lost * t for t in set(rates) | {0}), default=0)


@dataclass(frozen=True)
class Levels:
    """The levels of one side of a plan: for each the variable that chooses it, and what replicas count for."""

    m: Programme
    lost: int
    terms: Mapping[int, int]
    """Variables of replicas with the rate of each."""
    chosen: Mapping[int, int]
    """Level to its variable."""

    @classmethod
    def of(cls, m: Programme, terms: Mapping[int, int], lost: int, demand: int) -> "Levels":
        """Levels at which a demand can be reached, of which a plan chooses one.

        Of the level that counts most at least N replicas are as fast, and so it is chosen; of one replica lost,
        none is faster than it.
        """
        most = {v: m.highs[v] for v in terms}
        levels = sorted(set(terms.values()))
        reached = [
            t for t in levels if sum(n * min(terms[v], t) for v, n in most.items()) >= demand + lost * t
        ]
        chosen = {t: m.variable(0, 1) for t in reached}
        m.row(dict.fromkeys(chosen.values(), 1), low=1, high=1)
        for t in reached if lost > 1 else ():
            fast = dict.fromkeys((v for v, rate in terms.items() if rate >= t), 1)
            m.row(fast | {level: -lost for own, level in chosen.items() if own >= t}, low=0)
        for v, rate in terms.items() if lost == 1 else ():
            m.row({v: 1} | {level: -most[v] for t, level in chosen.items() if t >= rate}, high=0)
        return cls(m, lost, terms, chosen)

    def reach(self, demand: int) -> None:
        """Rows: the level chosen holds the demand; and what is true of every level, which engines like to know."""
        for terms, constant in self.sums(demand):
            self.m.row(terms, low=demand - constant)
        slowest = min(self.terms.values(), default=0)
        self.m.row(self.terms, low=demand + self.lost * slowest)
        self.m.row(dict.fromkeys(self.terms, 1), low=self.lost + 1)

    def sums(self, most: int) -> list[tuple[dict[int, int], int]]:
        """Sums plus constants of which the least is what the chosen level holds, as far as that is up to `most`."""
        if self.lost == 1:  # no rate is above the level
            return [({**self.terms, **{level: -t for t, level in self.chosen.items()}}, 0)]
        return [
            ({v: min(rate, t) for v, rate in self.terms.items()} | {level: -(self.lost * t + most)}, most)
            for t, level in self.chosen.items()
        ]
