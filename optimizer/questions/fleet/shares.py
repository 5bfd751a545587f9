"""How much of a service's traffic some replicas can carry, its buckets split freely; and why no more.

    w_bk replicas of setup k busy with bucket b,  r_bk requests/s of one,  p_b what pairs carry
    maximise  sum over aggregated k of r_bk w_bk + p_b          over all b
    sum over b of w_bk <= n_k
    p_b <= sum over prefill k of r_bk w_bk,   p_b <= sum over decode k of r_bk w_bk
    sum over aggregated k of r_bk w_bk + p_b <= demand_b

The duals say why: for any worth 0 <= u_b = up_b + ud_b <= 1 of a request of each bucket,

    served <= sum over b of demand_b (1 - u_b) + sum over k of n_k max over b of r_bk worth_b

with worth u_b where k is aggregated, up_b where it is prefill, ud_b where it is decode. That is a row in the
numbers of replicas alone, true of all fleets (Benders 1962).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.questions.fleet.exact import maximise
from optimizer.solver.mathopt import linear
from optimizer.watch import UNWATCHED, Watch

_CLOSE = 1e-7
"""How far from all of it the share carried must be for floating point to decide."""
_EXACTLY = 60
"""Setups times buckets up to which what they carry is worked out in whole numbers alone."""

Key = tuple[int, int]
"""(item, setup)."""
Triple = tuple[int, int, int]
"""(item, setup, bucket)."""
Shares = Mapping[Triple, Fraction]
"""To the share of the bucket's traffic."""


@dataclass(frozen=True)
class Carried:
    """The most that some replicas carry of a service's traffic."""

    served: Fraction
    """In the unit of the rates."""
    shares: Mapping[Triple, Fraction]
    """(item, setup, bucket) to what a setup carries of it, in the unit of the rates."""
    buckets: tuple[Fraction, ...]
    """What is carried of each bucket."""
    reasons: tuple["Worth", ...]
    """Rows that say why it is no more."""


@dataclass(frozen=True)
class Worth:
    """What a request of each bucket is worth at most to the traffic served: its prefill, and its decode."""

    prefill: tuple[Fraction, ...]
    decode: tuple[Fraction, ...]

    def of(self, phase: str) -> list[Fraction]:
        """The worth of each bucket to replicas of a phase."""
        if phase == "aggregated":
            return [a + b for a, b in zip(self.prefill, self.decode, strict=True)]
        return list(self.prefill if phase == "prefill" else self.decode)

    def unserved(self, demand: Sequence[int]) -> Fraction:
        """Traffic that replicas need not carry to be served: what is left of each bucket."""
        return sum((d * (1 - u) for d, u in zip(demand, self.of("aggregated"), strict=True)), Fraction(0))

    def replica(self, phase: str, rates: Sequence[int]) -> Fraction:
        """What one replica adds at most."""
        return max((r * u for r, u in zip(rates, self.of(phase), strict=True)), default=Fraction(0))


def worked_out(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    everything: bool,
    watch: Watch = UNWATCHED,
) -> Carried:
    """What replicas carry: in floats where there is much to add up and little doubt, else exactly.

    Floats say whether `everything` is carried, and not how much of it: where that is asked they are no help.
    """
    if everything and len(replicas) * len(demand) > _EXACTLY:
        found = carried_in_floats(demand, rates, phases, replicas, watch)
        if found is not None:
            return found
    return carried(demand, rates, phases, replicas, watch)


def carried(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    watch: Watch = UNWATCHED,
) -> Carried:
    """The most that replicas carry, exactly; `rates` of one replica are by bucket, 0 where it serves none."""
    programme = _Programme(demand, rates, phases, sorted(replicas))
    limits = [*(replicas[key] for key in programme.used), *demand]
    solved = maximise(programme.objective, programme.rows(), [*limits, *[0] * programme.balances], watch)
    shares, of_each = programme.read(solved.variables)
    left = solved.duals[len(programme.used) :]
    # From 0 to 1: a request served is worth 1 and no demand is 0, so no optimal dual of a bucket is above 1.
    whole = [1 - s for s in left[: len(demand)]]
    return Carried(solved.value, shares, of_each, (_reason(whole, left[len(demand) :]),))


def carried_in_floats(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    watch: Watch = UNWATCHED,
) -> Carried | None:
    """Whether replicas carry all traffic, by floating point; None if that is too close to say.

    The most even share of every bucket is asked for. What carries everything does with room to spare, so that
    no rounding matters; reasons are true whatever the floats are. Of what carries less no shares are given.
    """
    programme = _Programme(demand, rates, phases, sorted(replicas))
    rows, limits = programme.even(replicas)
    size = len(programme.busy) + programme.balances // 2
    found = linear([0.0] * size + [1.0], rows, limits, watch)
    if found is None or abs(found[0][size] - 1) < _CLOSE:
        return None
    variables, duals = found
    if variables[size] > 1:
        busy = [Fraction(max(0.0, x)) for x in variables[: len(programme.busy)]]
        pairs = [d * Fraction(max(0.0, x)) for d, x in zip(demand, variables[len(busy) : size], strict=False)]
        shares, of_each = programme.read([*busy, *pairs])
        if not all(of_each):
            return None
        return Carried(Fraction(sum(demand)), shares, of_each, ())
    each = [
        max(Fraction(0), Fraction(y)) / demand[i % len(demand)]
        for i, y in enumerate(duals[len(programme.used) :])
    ]
    most = max(each[: len(demand)])
    if not most:
        return None
    worth = [y / most for y in each]
    return Carried(Fraction(0), {}, (), (_reason(worth[: len(demand)], worth[len(demand) :]),))


def _reason(whole: list[Fraction], balances: Sequence[Fraction]) -> Worth:
    """The worth of each bucket, split as the two phases of pairs limit them; without pairs, of prefill."""
    if not balances:
        return Worth(tuple(whole), (Fraction(0),) * len(whole))
    halves = [
        (u * p / (p + d), u * d / (p + d)) if d else (u, Fraction(0))
        for u, p, d in zip(whole, balances[: len(whole)], balances[len(whole) :], strict=True)
    ]
    return Worth(tuple(p for p, _ in halves), tuple(d for _, d in halves))


@dataclass(frozen=True)
class _Programme:
    demand: Sequence[int]
    rates: Mapping[Key, Sequence[int]]
    phases: Mapping[Key, str]
    used: list[Key]

    @property
    def busy(self) -> list[tuple[Key, int]]:
        """A variable for each setup and bucket that it serves."""
        return [(key, b) for key in self.used for b, r in enumerate(self.rates[key]) if r]

    @property
    def balances(self) -> int:
        """Rows that keep what pairs carry within what their prefill and their decode replicas do."""
        return 2 * len(self.demand) if any(self.phases[key] != "aggregated" for key in self.used) else 0

    @property
    def objective(self) -> list[int]:
        busy = [self.rates[key][b] * (self.phases[key] == "aggregated") for key, b in self.busy]
        return busy + [1] * (self.balances // 2)

    def rows(self) -> list[list[int]]:
        """Replicas of each setup, then traffic of each bucket, then pairs of each, prefill and decode."""
        buckets = range(len(self.demand))
        rows = [[int(own == key) for own, _ in self.busy] for key in self.used]
        rows += [self._carried("aggregated", b, 1) for b in buckets]
        if self.balances:
            rows += [self._carried(phase, b, -1) for phase in ("prefill", "decode") for b in buckets]
            pairs = [[0] * len(self.demand)] * len(self.used)
            pairs += [[int(b == at) for at in buckets] for b in buckets] * 3
            rows = [row + more for row, more in zip(rows, pairs, strict=True)]
        return rows

    def _carried(self, phase: str, bucket: int, sign: int) -> list[int]:
        return [
            sign * self.rates[key][b] * (b == bucket and self.phases[key] == phase) for key, b in self.busy
        ]

    def read(self, variables: Sequence[Fraction]) -> tuple[dict[Triple, Fraction], tuple[Fraction, ...]]:
        """What each setup carries of each bucket, and all together; no phase of a pair more than the pair."""
        pairs = variables[len(self.busy) :] or (Fraction(0),) * len(self.demand)
        done = {
            (*key, b): self.rates[key][b] * w for (key, b), w in zip(self.busy, variables, strict=False) if w
        }
        total: dict[tuple[str, int], Fraction] = {}
        for (j, k, b), x in done.items():
            total[self.phases[j, k], b] = total.get((self.phases[j, k], b), Fraction(0)) + x
        pairs = [
            min(pair, total.get(("prefill", b), Fraction(0)), total.get(("decode", b), Fraction(0)))
            for b, pair in enumerate(pairs)
        ]
        for j, k, b in done:
            if (phase := self.phases[j, k]) != "aggregated":
                done[j, k, b] *= pairs[b] / total[phase, b]
        whole = tuple(total.get(("aggregated", b), 0) + pair for b, pair in enumerate(pairs))
        return {key: x for key, x in done.items() if x}, whole

    def even(self, replicas: Mapping[Key, int]) -> tuple[list[dict[int, float]], list[float]]:
        """Rows and limits in floats with one more variable, the share of all buckets that is carried."""
        at = {place: i for i, place in enumerate(self.busy)}
        pairs = [len(at) + b for b in range(self.balances // 2)]
        share = len(at) + len(pairs)
        rows: list[dict[int, float]] = [
            {i: 1.0 for (own, _), i in at.items() if own == key} for key in self.used
        ]
        limits = [float(replicas[key]) for key in self.used]
        for phase in ("aggregated", "prefill", "decode") if pairs else ("aggregated",):
            for b, d in enumerate(self.demand):
                row = {
                    at[key, b]: -self.rates[key][b] / d
                    for key in self.used
                    if (key, b) in at and self.phases[key] == phase
                }
                if pairs:
                    row[pairs[b]] = -1.0 if phase == "aggregated" else 1.0
                rows.append(row | ({share: 1.0} if phase == "aggregated" else {}))
                limits.append(0.0)
        return rows, limits
