"""What replicas carry of a service's traffic, and why no more, by linear programmes solved by hand.

Guards the shares that a plan is printed with and the worth of each bucket, from which fleets get their rows:
a worth that is off makes a row that refuses a good plan, or one that refuses too little to end the search.
"""

from collections.abc import Sequence
from fractions import Fraction as F
from itertools import product
from random import Random

import pytest

from optimizer.questions.fleet import shares
from optimizer.questions.fleet.carrying import Carrying
from optimizer.questions.fleet.shares import carried, carried_in_floats
from optimizer.questions.fleet.worth import Worth, split_by_phase

A, P, D = (0, 0), (1, 0), (2, 0)
PHASES = {A: "aggregated", P: "prefill", D: "decode"}


def test_a_worth_to_each_phase() -> None:
    worth = Worth((F(1, 2), F(1, 4)), (F(1, 3), F(0)))
    assert worth.of("aggregated") == [F(5, 6), F(1, 4)]
    assert (worth.of("prefill"), worth.of("decode")) == ([F(1, 2), F(1, 4)], [F(1, 3), F(0)])
    assert worth.unserved([12, 8]) == 12 * F(1, 6) + 8 * F(3, 4)
    assert [worth.replica(phase, [6, 8]) for phase in PHASES.values()] == [5, 3, 2]
    assert worth.replica("decode", [0, 8]) == 0
    nothing = Worth((), ())
    assert (nothing.unserved([]), nothing.replica("prefill", [])) == (0, 0)


def test_one_bucket_on_replicas_of_one_setup() -> None:
    """Two replicas of 4 carry 8 of 10; three carry all of it."""
    found = carried([10], {A: [4]}, PHASES, {A: 2})
    assert (found.served, found.shares, found.buckets) == (8, {(*A, 0): 8}, (8,))
    assert found.reasons == (Worth((F(1),), (F(0),)),)
    assert carried([10], {A: [4]}, PHASES, {A: 3}).served == 10
    assert carried([10], {A: [4]}, PHASES, {A: 0}).served == 0


def test_the_faster_bucket_goes_first() -> None:
    """Two replicas: one is busy with all 4 of the first bucket, one with 2 of the second."""
    found = carried([4, 4], {A: [4, 2]}, PHASES, {A: 2})
    assert (found.served, found.shares) == (6, {(*A, 0): 4, (*A, 1): 2})
    assert found.buckets == (4, 2)
    assert found.reasons == (Worth((F(1, 2), F(1)), (F(0), F(0))),)


def test_a_bucket_that_is_not_served_has_no_share() -> None:
    found = carried([4, 4], {A: [0, 2]}, PHASES, {A: 1})
    assert (found.served, found.shares, found.buckets) == (2, {(*A, 1): 2}, (0, 2))


def test_a_pair_carries_what_its_thinner_pool_does() -> None:
    rates = {A: [1], P: [4], D: [2]}
    found = carried([6], rates, PHASES, {A: 2, P: 1, D: 1})
    assert (found.served, found.shares) == (4, {(*A, 0): 2, (*P, 0): 2, (*D, 0): 2})
    assert found.reasons == (Worth((F(0),), (F(1),)),)
    found = carried([6], {P: [2], D: [4]}, PHASES, {P: 1, D: 1})
    assert (found.served, found.reasons) == (2, (Worth((F(1),), (F(0),)),))


def test_two_pools_that_trade_buckets() -> None:
    """p + q/8 <= 1 and p/8 + q <= 1: 8/9 of each bucket, and each pool is worth 8/9."""
    found = carried([8, 8], {P: [1, 8], D: [8, 1]}, PHASES, {P: 1, D: 1})
    assert (found.served, found.buckets) == (F(16, 9), (F(8, 9), F(8, 9)))
    assert found.shares == {(*key, b): F(8, 9) for key in (P, D) for b in (0, 1)}
    assert found.reasons == (Worth((F(8, 9), F(1, 9)), (F(1, 9), F(8, 9))),)


@pytest.mark.parametrize(
    ("lone", "lacking"),
    [(P, Worth((F(0), F(0)), (F(1), F(1)))), (D, Worth((F(1), F(1)), (F(0), F(0))))],
)
def test_half_a_pair_carries_nothing_for_want_of_the_other(lone: tuple[int, int], lacking: Worth) -> None:
    for find in (carried, carried_in_floats):
        found = find([5, 5], {A: [2, 2], lone: [9, 9]}, PHASES, {A: 1, lone: 3})
        assert found is not None
        assert found.reasons == (lacking,)
    found = carried([5, 5], {A: [2, 2], lone: [9, 9]}, PHASES, {A: 1, lone: 3})
    assert (found.served, {key[:2] for key in found.shares}) == (2, {A})


def test_a_setup_without_replicas_lacks_like_one_that_is_not_there() -> None:
    for find in (carried, carried_in_floats):
        found = find([5], {A: [2], P: [9], D: [9]}, PHASES, {A: 1, P: 0, D: 3})
        assert found is not None
        assert found.reasons == (Worth((F(1),), (F(0),)),)


def test_the_worth_of_a_pair_is_split_as_its_phases_limit_it() -> None:
    whole = [F(1, 2), F(0), F(1), F(1, 5), F(1, 3)]
    balances = [F(3, 4), F(0), F(1), F(0), F(2), F(1, 4), F(0), F(2), F(0), F(2)]
    worth = split_by_phase(whole, balances)
    assert worth.prefill == (F(3, 8), F(0), F(1, 3), F(1, 5), F(1, 6))
    assert worth.decode == (F(1, 8), F(0), F(2, 3), F(0), F(1, 6))


def test_of_a_pair_no_phase_carries_more_than_the_other() -> None:
    """Two setups prefill 6 and 3 of the first bucket; of the others one pool lacks the other."""
    other = (1, 1)
    rates = {A: [4, 2, 0], P: [6, 3, 0], other: [2, 0, 0], D: [5, 0, 4]}
    programme = Carrying([20, 20, 20], rates, PHASES | {other: "prefill"}, [A, P, other, D])
    busy = [F(1, 2), F(1), F(1), F(1, 3), F(3, 2), F(2), F(1, 2)]
    whole_replicas = {(*A, 0): 2, (*A, 1): 2}
    done, whole = programme.read([*busy, F(5), F(7), F(7)])
    assert done == whole_replicas | {(*P, 0): F(10, 3), (*other, 0): F(5, 3), (*D, 0): 5}
    assert whole == (2 + 5, 2, 0)
    done, whole = programme.read([*busy, F(12), F(7), F(7)])
    assert done == whole_replicas | {(*P, 0): 6, (*other, 0): 3, (*D, 0): 9}
    assert whole == (2 + 9, 2, 0)


# In floats.


def near(found: Sequence[F], wanted: Sequence[F]) -> bool:
    return [float(x) for x in found] == pytest.approx([float(x) for x in wanted], abs=1e-6)


def test_floats_refuse_what_carries_two_thirds_of_each_bucket() -> None:
    found = carried_in_floats([4, 4], {A: [4, 2]}, PHASES, {A: 2})
    assert found is not None
    assert (found.served, found.shares, found.buckets) == (0, {}, ())
    (worth,) = found.reasons
    assert near(worth.prefill, (F(1, 2), F(1))) and near(worth.decode, (F(0), F(0)))


def test_floats_leave_what_just_carries_all_to_whole_numbers() -> None:
    assert carried_in_floats([4, 4], {A: [4, 2]}, PHASES, {A: 3}) is None


@pytest.mark.parametrize("n", [4, 5, 7])
def test_floats_share_out_what_carries_more_than_all(n: int) -> None:
    """Three replicas carry both buckets, n carry n/3 of them."""
    found = carried_in_floats([4, 4], {A: [4, 2]}, PHASES, {A: n})
    assert found is not None
    assert (found.served, found.reasons) == (8, ())
    assert near(found.buckets, (F(4 * n, 3), F(4 * n, 3)))
    assert near([found.shares[*A, b] for b in (0, 1)], found.buckets)


def test_floats_know_pairs_beside_whole_replicas() -> None:
    """Two of 1 and a pair of 2 carry 4: of 6 too little, for want of decode; of 3 a third more than all."""
    rates, replicas = {A: [1], P: [4], D: [2]}, {A: 2, P: 1, D: 1}
    few = carried_in_floats([6], rates, PHASES, replicas)
    assert few is not None and few.served == 0
    assert near(few.reasons[0].prefill, (F(0),)) and near(few.reasons[0].decode, (F(1),))
    found = carried_in_floats([3], rates, PHASES, replicas)
    assert found is not None and found.served == 3
    assert near(found.buckets, (F(4),))
    assert near([found.shares[*key, 0] for key in (A, P, D)], (F(2), F(2), F(2)))


def test_floats_know_which_of_two_pools_is_short() -> None:
    """9 of a pool carry 8 of each bucket: of 16 half, of 4 twice as much; ten of the other are no help."""
    rates = {P: [1, 8], D: [8, 1]}
    for few, prefill, decode in (
        ({P: 9, D: 10}, (F(1), F(1, 8)), (F(0), F(0))),
        ({P: 10, D: 9}, (F(0), F(0)), (F(1, 8), F(1))),
    ):
        found = carried_in_floats([16, 16], rates, PHASES, few)
        assert found is not None and found.served == 0
        assert near(found.reasons[0].prefill, prefill) and near(found.reasons[0].decode, decode)
        found = carried_in_floats([4, 4], rates, PHASES, few)
        assert found is not None and found.served == 8
        assert near(found.buckets, (F(8), F(8)))
        assert near([found.shares[*key, b] for key in (P, D) for b in (0, 1)], [F(8)] * 4)


def test_floats_weigh_buckets_of_unlike_demand() -> None:
    """12 and 2 on three replicas of 4 or 1, which would take five: a request of the second is worth four."""
    found = carried_in_floats([12, 2], {A: [4, 1]}, PHASES, {A: 3})
    assert found is not None
    assert near(found.reasons[0].prefill, (F(1, 4), F(1)))
    paired = carried_in_floats([12, 2], {P: [4, 1], D: [40, 40]}, PHASES, {P: 3, D: 1})
    assert paired is not None
    assert near(paired.reasons[0].prefill, (F(1, 4), F(1)))
    assert near(paired.reasons[0].decode, (F(0), F(0)))


@pytest.mark.parametrize("seed", range(20))
def test_a_reason_is_true_whatever_an_engine_says(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Duals out of the air, some below zero, still make a row that every choice of replicas keeps."""
    draw = Random(seed)
    demand, keys = [6, 9], [A, P, D]
    rates = {key: [draw.randint(0, 5), draw.randint(1, 5)] for key in keys}

    def says(objective: Sequence[float], rows: Sequence[object], *_: object) -> object:
        return [0.5] * len(objective), [draw.choice((-0.1, 0.0, 0.3, 1.0, 7.0)) for _ in rows]

    monkeypatch.setattr(shares, "linear", says)
    found = carried_in_floats(demand, rates, PHASES, dict.fromkeys(keys, 1))
    for worth in found.reasons if found else ():
        both = [p + d for p, d in zip(worth.prefill, worth.decode, strict=True)]
        assert min(*worth.prefill, *worth.decode) >= 0 and max(both) == 1
        for counts in product(range(3), repeat=3):
            replicas = dict(zip(keys, counts, strict=True))
            most = sum(n * worth.replica(PHASES[key], rates[key]) for key, n in replicas.items())
            assert carried(demand, rates, PHASES, replicas).served <= worth.unserved(demand) + most


@pytest.mark.parametrize(
    "said",
    [
        None,
        ([0.0, 0.0, 2.0], [0.0, 0.0, 0.0]),  # all and more, by setups that do nothing
        ([1.0, 0.0, 2.0], [0.0, 0.0, 0.0]),  # nothing of one bucket
        ([0.0, 0.0, 0.5], [1.0, 0.0, -0.1]),  # too little, and no bucket is why
    ],
)
def test_an_engine_that_makes_no_sense_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, said: object
) -> None:
    monkeypatch.setattr(shares, "linear", lambda *_: said)
    assert carried_in_floats([4, 4], {A: [4, 2]}, PHASES, {A: 9}) is None


def test_a_little_below_zero_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole replicas carry all; the pair's figures are what an engine makes of zero."""
    said = ([8.0, -1e-17, -1e-17, -1e-17, 2.0], [0.0] * 6)
    monkeypatch.setattr(shares, "linear", lambda *_: said)
    found = carried_in_floats([4], {A: [1], P: [1], D: [1]}, PHASES, {A: 8, P: 1, D: 1})
    assert found is not None
    assert (found.shares, found.buckets) == ({(*A, 0): 8}, (8,))
