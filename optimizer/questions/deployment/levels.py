"""Traffic that replicas hold whichever few of them are lost, as rows of a programme in whole numbers.

Of N lost replicas z_t are as fast as level t, one of the rates. For every level either all N are at least as
fast, or all replicas of the plan that are as fast are lost:

    sum_t z_t = N;    sum_{s >= t} z_s = N   or   sum_{s >= t} z_s >= sum_{r_k >= t} n_k       for every t
    held = sum_k r_k n_k - sum_t t z_t

So no choice of N replicas takes more than the z say, whatever the mix, and the N fastest take just that: the
rows are exact for every N. Each `or` is a yes or no; of one replica the z are that themselves.

Once more without a programme: the N largest rates add up to the least, over all levels t, of
N t + sum_k n_k max(0, r_k - t): every t counts at least what the N stand for above it, and the N-th largest
rate just that. Hence  held = max over t of  sum_k n_k min(r_k, t) - N t.
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
    """The replicas that one side of a plan loses, by level."""

    m: Programme
    lost: int
    terms: Mapping[int, int]
    """Variables of replicas with the rate of each."""
    taken: Mapping[int, int]
    """Level to the variable for how many of the lost are as fast."""

    @classmethod
    def of(cls, m: Programme, terms: Mapping[int, int], lost: int) -> "Levels":
        """Variables and rows for what is lost of some replicas, one at least."""
        taken = {t: m.variable(0, lost) for t in sorted(set(terms.values()))}
        m.row(dict.fromkeys(taken.values(), 1), low=lost, high=lost)
        for t in sorted(taken)[1:]:
            as_fast = {z: 1 for own, z in taken.items() if own >= t}
            if lost == 1:
                for v in (v for v, rate in terms.items() if rate == t):
                    m.row({v: 1} | dict.fromkeys(as_fast, -m.highs[v]), high=0)
                continue
            all_of_them = m.variable(0, 1)
            most = {v: m.highs[v] for v, rate in terms.items() if rate >= t}
            m.row(as_fast | {all_of_them: -lost}, low=0)
            m.row(
                dict.fromkeys(most, 1) | dict.fromkeys(as_fast, -1) | {all_of_them: -sum(most.values())},
                high=0,
            )
        return cls(m, lost, terms, taken)

    @property
    def held(self) -> dict[int, int]:
        """What is held, as a linear row."""
        return {**self.terms, **{z: -t for t, z in self.taken.items()}}

    def reach(self, demand: int) -> None:
        """Rows: a demand is held. The others follow from it, and tell engines early."""
        self.m.row(self.held, low=demand)
        self.m.row(self.terms, low=demand + self.lost * min(self.terms.values(), default=0))
        self.m.row(dict.fromkeys(self.terms, 1), low=self.lost + 1)
