"""Engines of proposing fleets: when an answer is an optimum, what is kept when the time ends, who is told.

Guards the order of proposals, shares and proofs, with engines and shares that answer as they are told to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from test_fleet_rows import columns, item

from optimizer.questions.fleet import rounds as fleet_module
from optimizer.questions.fleet import whole
from optimizer.questions.fleet.programme import FleetProgramme
from optimizer.questions.fleet.rounds import FleetPlan, Rounds
from optimizer.questions.fleet.whole import _together, plan_fleet
from optimizer.search.programme import Proved
from optimizer.solver.cp_sat_twice import SolveSettings
from optimizer.watch import Progress, Stopped, Watch


def proved(status: str, objective: int | None = None, bound: int | None = None, solves: int = 1) -> Proved:
    said = (f"who said {status}",) if status in ("optimal", "infeasible") else ()
    return Proved(status, () if objective is None else (objective,), objective, bound, solves, said)


# Services planned apart.


def plan(of: Proved, service: int) -> FleetPlan:
    return FleetPlan(of, {(service, 0): 3}, {(service, 0, 0): 1}) if of.values else FleetPlan(of, {}, {})


@pytest.mark.parametrize(
    ("parts", "status", "objective", "bound"),
    [
        ([proved("optimal", 5, 5), proved("optimal", 7, 7)], "optimal", 12, 12),
        ([proved("optimal", 0, 0), proved("optimal", 0, 0)], "optimal", 0, 0),
        ([proved("feasible", 5, 3), proved("optimal", 7, 7)], "feasible", 12, 10),
        ([proved("optimal", 7, 7), proved("feasible", 5, None)], "feasible", 12, None),
        ([proved("optimal", 7, 7), proved("unknown", None, 4)], "unknown", None, 11),
        ([proved("unknown", None, 4), proved("infeasible")], "infeasible", None, None),
        ([proved("infeasible"), proved("optimal", 7, 7)], "infeasible", None, None),
    ],
)
def test_a_fleet_is_as_good_as_all_its_parts(
    parts: list[Proved], status: str, objective: int | None, bound: int | None
) -> None:
    found = _together([plan(part, service) for service, part in enumerate(parts)])
    own = found.proved
    assert (own.status, own.objective, own.bound, own.solves) == (status, objective, bound, 2)
    assert own.confirmed_by == tuple(dict.fromkeys(said for part in parts for said in part.confirmed_by))
    whole = objective is not None
    assert found.replicas == ({(0, 0): 3, (1, 0): 3} if whole else {})
    assert found.shares == ({(0, 0, 0): 1, (1, 0, 0): 1} if whole else {})


@pytest.mark.parametrize(
    ("bounds", "services", "planned"),
    [
        ({}, None, [{0}, {1}, {2}]),
        ({}, frozenset({0, 2}), [{0}, {2}]),
        ({}, frozenset({1}), [{1}]),
        ({"chips_max": 9.0}, None, [{0, 1, 2}]),
        ({"chips_max": 9.0}, frozenset({0, 2}), [{0, 2}]),
    ],
)
def test_services_that_share_nothing_are_planned_apart(
    monkeypatch: pytest.MonkeyPatch, bounds: dict[str, float], services: Any, planned: list[set[int]]
) -> None:
    seen = []

    class Seen(FleetProgramme):
        def __post_init__(self) -> None:
            seen.append((set(self.services), self.limits))
            super().__post_init__()

    monkeypatch.setattr(whole, "FleetProgramme", Seen)
    of = columns([(1.0,)] * 3, [item(j, "aggregated", [("red", 1, "bf16")], [[1.0]]) for j in range(3)])
    found = plan_fleet(of, ("chips", 1), bounds, services)
    assert seen == [(own, bounds) for own in planned]
    assert found.proved.objective == sum(map(len, planned)) == len(found.replicas)


# Engines.


@dataclass
class Scripted:
    """A fleet of which each plan carries what it claims, or not; an answer of shares may be an exception."""

    carries: Sequence[Any]
    goal: tuple[str, int] = ("chips", 1)
    partial: bool = False
    m: Any = None
    asked: list[tuple[int, ...]] = field(default_factory=list)
    columns: Any = field(default_factory=lambda: columns([(1.0,)], [], (True,)))

    def shares(self, values: tuple[int, ...], watch: Watch) -> Any:
        self.asked.append(values)
        said = self.carries[len(self.asked) - 1]
        if isinstance(said, Exception):
            raise said
        return {(0, 0, 0): 1} if said else None

    def replicas(self, values: tuple[int, ...]) -> dict[tuple[int, int], int]:
        return {(0, 0): values[0]}


@dataclass
class Engines:
    """Engines that answer in turn; what was asked of them and what was told."""

    answers: Sequence[Proved]
    confirmed: list[bool] = field(default_factory=list)
    told: list[Progress] = field(default_factory=list)

    def prove(self, m: Any, settings: Any, watch: Any, confirm: bool) -> Proved:
        self.confirmed.append(confirm)
        return self.answers[len(self.confirmed) - 1]


def run(
    monkeypatch: pytest.MonkeyPatch, answers: Sequence[Proved], carries: Sequence[Any], over_after: int = 99,
    goal: tuple[str, int] = ("chips", 1),
) -> tuple[FleetPlan, Engines]:  # fmt: skip
    """The answer; the watch is over after so many proposals."""
    rounds = Engines(answers)
    monkeypatch.setattr(fleet_module, "prove", rounds.prove)
    watch = Watch(cancelled=lambda: len(rounds.confirmed) >= over_after, tell=rounds.told.append)
    fleet: Any = Scripted(carries, goal)
    return Rounds(fleet, SolveSettings(), watch).run(), rounds


def test_an_optimum_is_proven_once_its_plan_carries_what_it_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first plan carries too little, the second does and is then confirmed."""
    answers = [proved("feasible", 5, 5), proved("feasible", 7, 7, 2), proved("optimal", 7, 7, 3)]
    found, rounds = run(monkeypatch, answers, [False, True, True])
    assert rounds.confirmed == [False, False, True]
    assert (found.proved.status, found.proved.objective, found.proved.solves) == ("optimal", 7, 6)
    assert found.proved.confirmed_by == ("who said optimal",)
    assert (found.replicas, found.shares) == ({(0, 0): 7}, {(0, 0, 0): 1})


def test_a_better_plan_that_carries_too_little_is_refused_and_the_search_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [
        proved("feasible", 7, 6),
        proved("optimal", 6, 6),
        proved("feasible", 7),
        proved("optimal", 7, 7),
    ]
    found, rounds = run(monkeypatch, answers, [True, False, True, True])
    assert rounds.confirmed == [False, True, False, True]
    assert (found.proved.status, found.proved.objective, found.proved.solves) == ("optimal", 7, 4)


def test_no_plan_is_believed_when_it_is_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    found, rounds = run(monkeypatch, [proved("unknown"), proved("infeasible", None, None, 4)], [])
    assert rounds.confirmed == [False, True]
    assert (found.proved.status, found.proved.solves) == ("infeasible", 5)
    assert found.proved.confirmed_by == ("who said infeasible",)
    assert (found.replicas, found.shares) == ({}, {})


def test_what_nobody_confirms_is_no_optimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best plan, and the highest bound that any round reached."""
    answers = [proved("feasible", 9, 5), proved("feasible", 9, 4, 2)]
    found, _ = run(monkeypatch, answers, [True, True])
    own = found.proved
    assert (own.status, own.objective, own.bound, own.solves) == ("feasible", 9, 5, 3)
    assert own.confirmed_by == ()
    assert (found.replicas, found.shares) == ({(0, 0): 9}, {(0, 0, 0): 1})
    found, _ = run(monkeypatch, [proved("unknown", None, 2), proved("unknown", None, 3)], [])
    assert found == FleetPlan(Proved("unknown", (), None, 3, 2, ()), {}, {})


def test_the_best_plan_is_kept_when_the_time_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is found in the last moment; one that carries too little is none."""
    for over_after, objective in ((1, 9), (2, 8)):
        answers = [proved("feasible", 9, 5), proved("feasible", 8, 6), proved("optimal", 8, 8)]
        found, rounds = run(monkeypatch, answers, [True, True, True], over_after)
        assert len(rounds.confirmed) == over_after
        assert (found.proved.status, found.proved.objective) == ("feasible", objective)
        assert found.replicas == {(0, 0): objective}
    found, _ = run(monkeypatch, [proved("feasible", 9, 5)], [False], 1)
    assert (found.proved.status, found.proved.bound) == ("unknown", 5)
    found, _ = run(monkeypatch, [proved("feasible", 9, 5), proved("feasible", 8, 6)], [True, Stopped()])
    assert (found.proved.status, found.proved.objective, found.proved.bound) == ("feasible", 9, 6)


def test_what_is_proven_is_so_after_the_time_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = run(monkeypatch, [proved("unknown"), proved("infeasible")], [], 2)
    assert found.proved.status == "infeasible"
    found, _ = run(monkeypatch, [proved("feasible", 9, 9), proved("optimal", 9, 9)], [True, True], 2)
    assert found.proved.status == "optimal"


@pytest.mark.parametrize(("goal", "sign"), [(("chips", 1), 1), (("requests_per_s", -1), -1)])
def test_progress_is_told_in_the_sense_of_the_goal(
    monkeypatch: pytest.MonkeyPatch, goal: tuple[str, int], sign: int
) -> None:
    answers = [proved("unknown"), proved("feasible", 9, 5), proved("unknown", None, 4, 2)]
    monkeypatch.setattr(fleet_module.Rounds, "_first", lambda self: None)
    _, rounds = run(monkeypatch, [*answers[1:2], *answers[1:]], [False, True], goal=goal)
    assert [(p.incumbent, p.bound, p.done) for p in rounds.told] == [
        (None, sign * 5, 1),
        (None, sign * 5, 2),
        (sign * 9, sign * 5, 4),
    ]
    assert {(p.phase, p.metric, p.more) for p in rounds.told} == {("fleet", goal[0], True)}
    _, rounds = run(monkeypatch, [answers[0], proved("infeasible")], [])
    assert [(p.incumbent, p.bound) for p in rounds.told] == [(None, None)] * 2


def test_of_two_plans_the_cheaper_is_kept_and_of_equals_the_first() -> None:
    fleet: Any = Scripted([])
    rounds = Rounds(fleet, SolveSettings(), Watch())
    nine, other_nine, eight = (
        FleetPlan(proved("feasible", n), {(0, 0): m}, {}) for n, m in ((9, 1), (9, 2), (8, 3))
    )
    for found, kept in ((nine, nine), (other_nine, nine), (eight, eight), (nine, eight)):
        rounds._better(found)
        assert rounds.best is kept


def test_the_best_of_some_setups_is_no_optimum_of_all() -> None:
    """An early plan may have been proven, among plans of one setup a phase."""
    fleet: Any = Scripted([])
    rounds = Rounds(fleet, SolveSettings(), Watch(), solves=4, bound=3)
    rounds.best = FleetPlan(proved("optimal", 9, 9), {(0, 0): 9}, {(0, 0, 0): 1})
    found = rounds._stopped()
    assert found.proved == Proved("feasible", (9,), 9, 3, 4, ())
    assert (found.replicas, found.shares) == (rounds.best.replicas, rounds.best.shares)


# A plan early on.

TWO = [
    item(0, "aggregated", [("red", 1, "bf16"), ("blue", 4, "bf16")], [[1.0, 7.0]]),
    item(1, "aggregated", [("red", 1, "bf16")], [[1.0]]),
]


def early(
    same: tuple[bool, bool], goal: tuple[str, int] = ("chips", 1), limits: dict[str, float] | None = None,
) -> Rounds:  # fmt: skip
    of = columns([(8.0,), (1.0,)], TWO, same)
    return Rounds(FleetProgramme.of(of, goal, limits or {}, frozenset({0, 1})), SolveSettings(), Watch())


@pytest.mark.parametrize("same", [(False, False), (True, False), (False, True)])
def test_one_setup_a_phase_is_a_plan_early_on(same: tuple[bool, bool]) -> None:
    """Eight of one chip each, beside one: four chips that serve 7, and one, would be fewer."""
    rounds = early(same)
    rounds._first()
    assert rounds.best is not None
    assert (rounds.best.proved.objective, rounds.solves) == (9, 1)
    assert rounds.best.replicas == {(0, 0): 8, (1, 0): 1}
    assert rounds.best.shares == {(0, 0, 0): 1, (1, 0, 0): 1}


def test_where_there_is_one_already_or_it_would_be_the_same_no_plan_is_looked_for() -> None:
    for rounds in (early((True, True)), early((False, False), ("requests_per_s", -1))):
        rounds._first()
        assert (rounds.best, rounds.solves) == (None, 0)
    rounds = early((False, False))
    known = FleetPlan(proved("feasible", 99), {}, {})
    rounds.best = known
    rounds._first()
    assert (rounds.best, rounds.solves) == (known, 0)


def test_a_first_look_keeps_the_limits_and_may_find_nothing() -> None:
    rounds = early((False, False), limits={"inventory:red": 8.0, "inventory:blue": 8.0})
    rounds._first()
    assert rounds.best is not None
    assert rounds.best.replicas == {(0, 1): 2, (1, 0): 1}
    rounds = early((False, False), limits={"chips_max": 6.0})
    rounds._first()
    assert rounds.best is None


def test_a_first_look_that_is_stopped_or_carries_too_little_is_no_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: Any) -> None:
        raise Stopped

    for own in (stopped, lambda *_: None):
        monkeypatch.setattr(FleetProgramme, "shares", own)
        rounds = early((False, False))
        rounds._first()
        assert (rounds.best, rounds.solves) == (None, 1)


def test_the_first_plan_that_carries_too_little_is_followed_by_an_early_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time ends with it: the answer is that plan."""
    rounds = early((False, False))
    honest, asked = FleetProgramme.shares, []

    def shares(self: FleetProgramme, *rest: Any) -> Any:
        asked.append(self)
        if len(asked) > 2:
            raise Stopped
        return None if len(asked) == 1 else honest(self, *rest)

    monkeypatch.setattr(FleetProgramme, "shares", shares)
    found = rounds.run()
    assert (found.proved.status, found.proved.objective) == ("feasible", 9)
