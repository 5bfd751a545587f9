"""What replicas carry of a service's traffic as a linear programme in whole numbers; what its duals say."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.questions.fleet.quality import Models
from optimizer.questions.fleet.worth import Worth, by_models, split_by_phase

SIDES = ("prefill", "decode")

Key = tuple[int, int]
"""(item, setup)."""
Triple = tuple[int, int, int]
"""(item, setup, bucket)."""
Shares = Mapping[Triple, Fraction]
"""To the share of the bucket's traffic."""


@dataclass(frozen=True)
class Carrying:
    """The programme of some replicas."""

    demand: Sequence[int]
    rates: Mapping[Key, Sequence[int]]
    phases: Mapping[Key, str]
    used: list[Key]
    models: Models | None = None

    def model(self, key: Key) -> int:
        """The model that a setup runs."""
        return self.models.of[key] if self.models else 0

    @property
    def busy(self) -> list[tuple[Key, int]]:
        """A variable for each setup and bucket that it serves."""
        return [(key, b) for key in self.used for b, r in enumerate(self.rates[key]) if r]

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """A variable for what pairs of each model carry of each bucket."""
        paired = {self.model(key) for key in self.used if self.phases[key] != "aggregated"}
        return [(m, b) for m in sorted(paired) for b in range(len(self.demand))]

    @property
    def balanced(self) -> list[int]:
        """The bucket of each row that keeps what pairs carry within what their replicas do."""
        return [b for _ in SIDES for _, b in self.pairs]

    @property
    def balances(self) -> int:
        """Rows that keep what pairs carry within what their prefill and their decode replicas do."""
        return len(self.balanced)

    @property
    def objective(self) -> list[int]:
        """What is carried, in the variables: `busy`, then `pairs`."""
        busy = [self.rates[key][b] * (self.phases[key] == "aggregated") for key, b in self.busy]
        return busy + [1] * len(self.pairs)

    def rows(self) -> list[list[int]]:
        """Replicas of each setup, then traffic of each bucket, then pairs of each, prefill and decode."""
        pairs = self.pairs
        nothing = [0] * len(pairs)
        rows = [[int(own == key) for own, _ in self.busy] + nothing for key in self.used]
        for b in range(len(self.demand)):
            rows.append(self._carried("aggregated", b, 1) + [int(b == at) for _, at in pairs])
        for phase in SIDES:
            for m, b in pairs:
                own = [int((m, b) == pair) for pair in pairs]
                rows.append(self._carried(phase, b, -1, m) + own)
        return rows

    def _carried(self, phase: str, bucket: int, sign: int, model: int | None = None) -> list[int]:
        mine = {key for key in self.used if self.phases[key] == phase and model in (None, self.model(key))}
        return [sign * self.rates[key][b] * (b == bucket and key in mine) for key, b in self.busy]

    def quality(self) -> tuple[list[list[int]], int]:
        """The row that keeps the mean quality, at most 0, in whole numbers of so small a part; or none."""
        if self.models is None or (gains := self.models.gains) is None:
            return [], 1
        part = math.lcm(*(gain.denominator for own in gains for gain in own))
        whole = [[int(gain * part) for gain in own] for own in gains]
        answered = [self.rates[key][b] * (self.phases[key] == "aggregated") for key, b in self.busy]
        row = [-whole[self.model(key)][b] * r for (key, b), r in zip(self.busy, answered, strict=True)]
        return [row + [-whole[m][b] for m, b in self.pairs]], part

    def reason(self, whole: list[Fraction], balances: Sequence[Fraction], gain: Fraction) -> Worth:
        """The worth of each bucket, answered by each model; `gain` is that of quality."""
        if self.models is None:
            return split_by_phase(whole, balances)
        pairs, buckets = self.pairs, range(len(whole))
        prefill, decode = (dict(zip(pairs, balances[at:], strict=False)) for at in (0, len(pairs)))
        nothing = Fraction(0)
        sides = [
            ([prefill.get((m, b), nothing) for b in buckets], [decode.get((m, b), nothing) for b in buckets])
            for m in range(self.models.n)
        ]
        return by_models(whole, sides, self.models.gains, gain)

    def good_enough(self, shares: Mapping[Triple, Fraction], of_each: Sequence[Fraction]) -> bool:
        """Whether the mean quality of all traffic is kept, split as these shares are."""
        if self.models is None or (gains := self.models.gains) is None:
            return True
        mean = Fraction(0)
        for (j, k, b), x in shares.items():
            if self.phases[j, k] in ("aggregated", "decode"):  # of a pair once
                mean += self.demand[b] * x / of_each[b] * gains[self.model((j, k))][b]
        return mean >= 0

    def too_few(self, reason: Worth, replicas: Mapping[Key, int]) -> bool:
        """Whether a reason says of these replicas that they carry less than everything."""
        most = reason.unserved(self.demand)
        for key, n in replicas.items():
            most += n * reason.replica(self.phases[key], self.rates[key], self.model(key))
        return most < sum(self.demand)

    def read(self, variables: Sequence[Fraction]) -> tuple[dict[Triple, Fraction], tuple[Fraction, ...]]:
        """What each setup carries of each bucket, and all together; no phase of a pair more than the pair."""
        busy, done = self.busy, dict[Triple, Fraction]()
        total: dict[tuple[str, int, int], Fraction] = {}
        for ((j, k), b), w in zip(busy, variables, strict=False):
            if w:
                at = (self.phases[j, k], self.model((j, k)), b)
                done[j, k, b] = x = self.rates[j, k][b] * w
                total[at] = total.get(at, Fraction(0)) + x
        pairs = {
            (m, b): min(pair, *(total.get((side, m, b), Fraction(0)) for side in SIDES))
            for (m, b), pair in zip(self.pairs, variables[len(busy) :], strict=True)
        }
        for j, k, b in done:
            phase, m = self.phases[j, k], self.model((j, k))
            if phase != "aggregated":
                done[j, k, b] *= pairs[m, b] / total[phase, m, b]
        whole = [Fraction(0)] * len(self.demand)
        for (phase, _, b), x in total.items():
            whole[b] += x if phase == "aggregated" else 0
        for (_, b), x in pairs.items():
            whole[b] += x
        return {key: x for key, x in done.items() if x}, tuple(whole)
