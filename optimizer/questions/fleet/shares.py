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

Where several models may answer, pairs are of one model m each, and a row more keeps the mean quality:

    sum over b, m of g_mb answered_mb  >=  0          g_mb: what a request adds to the mean above the least

Its dual l >= 0 makes a request of bucket b that model m answers worth u_b + l g_mb, up_mb + ud_mb of which is
of its prefill and its decode; u_b may be below 0, and a replica is worth no less than nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from optimizer.questions.fleet.carrying import Carrying, Key, Triple
from optimizer.questions.fleet.evenly import even
from optimizer.questions.fleet.exact import maximise
from optimizer.questions.fleet.quality import Models
from optimizer.questions.fleet.worth import Worth
from optimizer.solver.mathopt import linear
from optimizer.watch import UNWATCHED, Watch

_CLOSE = 1e-7
"""How far from all of it the share carried must be for floating point to decide."""
_EXACTLY = 60
"""Setups times buckets up to which what they carry is worked out in whole numbers alone."""


@dataclass(frozen=True)
class Carried:
    """The most that some replicas carry of a service's traffic."""

    served: Fraction
    """In the unit of the rates."""
    shares: Mapping[Triple, Fraction]
    """(item, setup, bucket) to what a setup carries of it, in the unit of the rates."""
    buckets: tuple[Fraction, ...]
    """What is carried of each bucket."""
    reasons: tuple[Worth, ...]
    """Rows that say why it is no more."""

    def of_traffic(self, demand: Sequence[int], everything: bool) -> dict[Triple, Fraction]:
        """The shares of each bucket: of all of it, or of what is carried where that must be everything."""
        whole = self.buckets if everything else demand
        return {key: x / whole[key[2]] for key, x in self.shares.items()}


def worked_out(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    everything: bool,
    watch: Watch = UNWATCHED,
    models: Models | None = None,
) -> Carried:
    """What replicas carry: in floats where there is much to add up and little doubt, else exactly.

    Floats say whether `everything` is carried, and not how much of it: where that is asked they are no help.
    """
    if everything and len(replicas) * len(demand) > _EXACTLY:
        found = carried_in_floats(demand, rates, phases, replicas, watch, models)
        if found is not None:
            return found
    return carried(demand, rates, phases, replicas, watch, models)


def carried(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    watch: Watch = UNWATCHED,
    models: Models | None = None,
) -> Carried:
    """The most that replicas carry, exactly; `rates` of one replica are by bucket, 0 where it serves none."""
    programme = Carrying(demand, rates, phases, sorted(replicas), models)
    quality, scale = programme.quality()
    limits = [*(replicas[key] for key in programme.used), *demand, *[0] * programme.balances]
    rows = [*programme.rows(), *quality]
    solved = maximise(programme.objective, rows, [*limits, *[0] * len(quality)], watch)
    shares, of_each = programme.read(solved.variables)
    left = solved.duals[len(programme.used) :]
    # At most 1: a request served is worth 1. From 0 with one model: no demand is 0.
    whole = [1 - s for s in left[: len(demand)]]
    gain = scale * solved.duals[-1] if quality else Fraction(0)
    reason = programme.reason(whole, left[len(demand) : len(demand) + programme.balances], gain)
    return Carried(solved.value, shares, of_each, (reason,))


def carried_in_floats(
    demand: Sequence[int],
    rates: Mapping[Key, Sequence[int]],
    phases: Mapping[Key, str],
    replicas: Mapping[Key, int],
    watch: Watch = UNWATCHED,
    models: Models | None = None,
) -> Carried | None:
    """Whether replicas carry all traffic, by floating point; None if that is too close to say.

    The most even share of every bucket is asked for. What carries everything does with room to spare, so that
    no rounding matters; reasons are true whatever the floats are. Of what carries less no shares are given.
    """
    programme = Carrying(demand, rates, phases, sorted(replicas), models)
    rows, limits = even(programme, replicas)
    busy, buckets = len(programme.busy), len(demand)
    size = busy + len(programme.pairs)
    found = linear([0.0] * size + [1.0], rows, limits, watch)
    if found is None or abs(found[0][size] - 1) < _CLOSE:
        return None
    variables, duals = found
    if variables[size] > 1:
        own = [Fraction(max(0.0, x)) for x in variables[:busy]]
        paired = zip(programme.pairs, variables[busy:size], strict=True)
        pairs = [demand[b] * Fraction(max(0.0, x)) for (_, b), x in paired]
        shares, of_each = programme.read([*own, *pairs])
        if not all(of_each) or not programme.good_enough(shares, of_each):
            return None
        return Carried(Fraction(sum(demand)), shares, of_each, ())
    left = [max(Fraction(0), Fraction(y)) for y in duals[len(programme.used) :]]
    each = [y / demand[b] for y, b in zip(left, [*range(buckets), *programme.balanced], strict=False)]
    after = left[len(each) :]
    if after:  # what keeps buckets even from above, and the quality
        each[:buckets] = [y - x / d for y, x, d in zip(each, after, demand, strict=False)]
    most = max(each[:buckets])
    if most <= 0:
        return None
    gain = after[buckets] / sum(demand) / most if after else Fraction(0)
    worth = [y / most for y in each]
    reason = programme.reason(worth[:buckets], worth[buckets:], gain)
    if models is not None and not programme.too_few(reason, replicas):
        return None
    return Carried(Fraction(0), {}, (), (reason,))
