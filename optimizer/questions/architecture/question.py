"""An architecture problem as a `Question`: re-solves share what they learn of its space.

One space is resolved once. A re-solve edits its rules; masks, shapes, floors and the columns of priced
frames stay with the space (`Space.memo`), so that only the search itself is done again: some 10 ms.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from optimizer.anatomy.check import Check, check
from optimizer.columns.rules import Reference, Rules, baseline_frame, lattice_only
from optimizer.cost.frame import Frame, Slice
from optimizer.metrics import evaluate, metric, sign
from optimizer.questions.architecture import equals
from optimizer.questions.architecture.compiled import symbol
from optimizer.questions.architecture.explain import explain_conflict
from optimizer.questions.architecture.moves import Move, can_be_dropped, is_tighter, moves_of
from optimizer.questions.architecture.outcome import plan_of
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Candidate, Search
from optimizer.questions.architecture.solve import require_metrics
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.witness import look_again
from optimizer.questions.question import Ask
from optimizer.questions.vary import HARDWARE, has_figure, number_at, scaled_chip, scaled_problem
from optimizer.solver.engine import engine_version
from optimizer.spec.answer import Conflict
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Optimum, Work
from optimizer.watch import UNWATCHED, Stopped, Watch

DIMENSIONS = ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff")
DEPLOYMENT = ("tensor_parallel", "weight_dtype", "kv_dtype", "batch")
STEPS = {
    "ms": 1e-3,
    "s": 1e-6,
    "GiB": 2.0**-10,
    "parameters": 1e6,
    "nats": 1e-5,
    "tokens/s": 0.1,
    "USD": 1e-4,
}
"""Resolution by unit: microseconds, MiB, millions of parameters; finer than the cost model is right."""
_STEP = 1e-6
_SHARED = ("parts", "touched", "masks", "shapes", "windows")
"""What spaces over one lattice that differ only in figures of their chips know in common."""
_KEPT = 32
_AGAIN = 16
"""Frames priced again after the first re-solve of a study, whose bounds the others share."""


@dataclass
class ArchitectureQuestion:
    """The `Question` of an architecture problem."""

    problem: Problem

    def __post_init__(self) -> None:
        self._others: dict[str, ArchitectureQuestion] = {}
        self._looked_again = False
        self._met: dict[str, tuple[float, Plan]] = {}

    @cached_property
    def space(self) -> Space:
        """The problem resolved; InputError for what it asks and does not exist."""
        space = resolve(self.problem)
        require_metrics(space)
        return space

    @property
    def lattice_points(self) -> int:
        """Points before any rule."""
        return self.space.lattice_points

    def unprepared(self) -> str:
        """Nothing: frames are priced as a search opens them."""
        return ""

    def at_hand(self, aim: Aim) -> Plan | None:
        """The best plan of the searches that were stopped, where they asked for no other problem's."""
        return self._met[aim.metric][1] if aim.metric in self._met else None

    def identity(self) -> str:
        """The problem with its chips and baseline written out."""
        parts = [self.problem, *self.space.chips, *([self.space.baseline] if self.space.baseline else [])]
        return "\n".join(part.model_dump_json(exclude_unset=True) for part in parts)

    def usual(self) -> tuple[str, ...]:
        """The problem's first objective against the loss, or the loss against tpot_ms."""
        own = self.problem.objectives[0][0]
        return (own, "loss" if own != "loss" else "tpot_ms")

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has: those whose facts all chips state."""
        frame = next(self.space.frames())
        attention, ffn = self.space.attention.take(0), self.space.ffn.take(0)
        model = self.space.architecture_of(frame, int(self.space.depths[0]), attention, ffn)
        known = [evaluate(replace(frame, chip=chip), model) for chip in self.space.chips]
        return tuple(name for name in known[0] if all(name in values for values in known))

    def aim(self, metric_name: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError if it does not exist or a chip lacks a fact for it."""
        module = metric(metric_name)
        frame = replace(next(self.space.settings()), d_model=4096)
        for chip in self.space.chips:
            module.value(Slice(replace(frame, chip=chip), 32), 1e9)
        return Aim(
            metric=metric_name,
            sense="min" if (sense or sign(metric_name)) > 0 else "max",
            unit=module.UNIT,
            step=step or STEPS.get(module.UNIT, _STEP),
        )

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objectives."""
        return tuple(self.aim(name, sense) for name, sense in self.problem.objectives)

    def constraints(self) -> Mapping[str, Any]:
        """Rules in force."""
        return self.space.rules.values

    def neighbours(self, constraint: str, plan: Plan) -> tuple[bool, list[Move]]:
        """Whether a rule may be switched off, and values near its own."""
        return can_be_dropped(constraint), moves_of(constraint, self.space.rules.values[constraint])

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Dimensions and deployment choices with more than one value."""
        d, p = self.problem.deployment, self.problem
        free: dict[str, tuple[Any, ...]] = {n: getattr(self.space.architecture, n) for n in DIMENSIONS}
        free |= {"hardware": tuple(chip.name for chip in self.space.chips)}
        free |= {n: getattr(d, n) for n in ("tensor_parallel", "weight_dtype", "kv_dtype")}
        free |= {"batch": d.batch or (p.workload.batch,)}
        return {name: values for name, values in free.items() if len(values) > 1}

    def choices(self, plan: Plan) -> dict[str, Any]:
        """Every dimension and deployment choice of a plan."""
        pool = plan.pools[0]
        found = {name: getattr(plan.dimensions, name) for name in DIMENSIONS}
        return found | {"hardware": pool.chip} | {name: getattr(pool, name) for name in DEPLOYMENT}

    def alone(self, plan: Plan, name: str, value: Any) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The plan with one choice changed and all else kept: its metrics, and the rules it breaks."""
        chosen = self.choices(plan) | {name: value}
        if chosen["n_heads"] % chosen["n_kv_heads"]:
            return None, ("gqa_divisibility",)
        checked = self.checked(chosen, self.space.rules)
        return checked.metrics, checked.broken

    def held(
        self, plan: Plan, scaled: Mapping[str, float], values: Mapping[str, Any] | None = None
    ) -> tuple[dict[str, float] | None, tuple[str, ...]]:
        """The same plan with constants scaled: its metrics, and the rules it breaks.

        Constraints with other `values` change no metric here.
        """
        other = self._changed(Ask(aims=(), scaled=dict(scaled)))
        checked = other.checked(other.own_choices(self.choices(plan)), other.space.rules)
        return checked.metrics, checked.broken

    def checked(self, chosen: Mapping[str, Any], rules: Rules) -> Check:
        """The metrics of the plan with these choices, and the rules that it breaks."""
        frame = self._frame(chosen)
        return check(frame, self._architecture(frame, chosen), rules)

    def own_choices(self, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """Choices of a plan in this question, whose workload may have another batch."""
        batch = {} if self.problem.deployment.batch else {"batch": self.problem.workload.batch}
        return {**chosen, **batch}

    def beside(self, names: Sequence[str]) -> tuple[str, ...]:
        """The baseline, then the models named; InputError for a model that does not exist."""
        from optimizer import catalog

        baseline = self.problem.baseline
        found = tuple(dict.fromkeys([*([baseline] if baseline else []), *names]))
        for name in found:
            catalog.model(name, self.problem.documents)
        return found

    def unlike(self, name: str) -> tuple[str, ...]:
        """Layers that the lattice has not, or dimensions outside its domains."""
        from optimizer import catalog

        model = catalog.model(name, self.problem.documents)
        if not model.plain:
            return (layers_in_words(model),)
        mixer, ffn = model.first.mixer, model.first.ffn
        own = {"d_model": model.d_model, "n_layers": model.n_layers, "d_ff": getattr(ffn, "d_ff", None)}
        own |= {n: getattr(mixer, n, None) for n in ("n_heads", "n_kv_heads", "d_head", "attention_window")}
        found = [f"{n} {own[n]}, not in its domain" for n in DIMENSIONS if own[n] not in self._domain(n)]
        if own["attention_window"] != self.space.attention.attention_window:
            found.append(f"attention_window {own['attention_window'] or 'none'}")
        return tuple(found)

    def _domain(self, name: str) -> tuple[Any, ...]:
        return tuple(getattr(self.space.architecture, name))

    def place(self, name: str, like: Plan) -> tuple[dict[str, float], tuple[str, ...]]:
        """A published model where `like` runs."""
        from optimizer import catalog

        model = catalog.model(name, self.problem.documents)
        frame = baseline_frame(self._frame(self.choices(like)), model)
        shaping = [] if model.plain else [rule for rule in self.space.rules.values if lattice_only(rule)]
        checked = check(frame, model, self.space.rules.without(*shaping))
        return checked.metrics, checked.broken

    def tighter(self, constraint: str, old: Any, new: Any) -> bool:
        """Whether the new value of a rule allows no plan that the old one does not."""
        return is_tighter(constraint, old, new)

    def keeps(self, plan: Plan, constraint: str, value: Any) -> bool:
        """Whether a plan keeps a rule at another value."""
        rules = self.space.rules.only([constraint]).with_value(constraint, value)
        return not self.checked(self.choices(plan), rules).broken

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        if path.startswith(HARDWARE):
            _with_figures(self.space, {path.removeprefix(HARDWARE): 1.0})
        else:
            number_at(self.problem, path)

    def conflict(self, watch: Watch = UNWATCHED) -> Conflict | None:
        """The smallest conflict of a problem without a plan."""
        return explain_conflict(self.space, watch)

    def witnesses(self, work: Work) -> tuple[str, ...]:
        """What confirmed the answers of a study."""
        return (
            f"{work.asked} re-solves, each an optimum proven by bounds and enumeration in numpy",
            f"{work.solves} questions to OR-Tools CP-SAT {engine_version()}, each answered with and without "
            "presolve: wherever a slice may hold something better than the plan a re-solve began with",
            f"enumeration of {work.enumerated} plans of the slices solved, in numpy",
            "all metrics and rules of every plan recomputed from the cost model",
        )

    def optimum(self, asked: Ask, watch: Watch = UNWATCHED) -> Optimum:
        """Search the space under the rules asked for; the plan is recomputed and checked."""
        other = self._changed(asked)
        space, rules = other.space, other.rules_under(asked)
        first, *later = [equals.Aim(symbol(a.metric), a.sign, a.step) for a in asked.aims]
        search = Search(
            space,
            rules,
            first.symbol,
            first.sense,
            watch=watch,
            any_plan=asked.any_plan,
            also=tuple(aim.symbol.quantity for aim in later),
            start=other.beginning(asked, rules),
        )
        outcome = search.run()
        if not outcome.finished:
            if outcome.best is not None and other is self and not (asked.without or asked.values):
                self._meet(
                    asked.aims[0].metric, outcome.best.key, plan_of(_with_rules(space, rules), outcome.best)
                )
            raise Stopped
        if not self._looked_again and not asked.any_plan:
            look_again(search, few=_AGAIN, sample=_AGAIN)
            self._looked_again = True
        best = outcome.best
        if best is not None and not asked.any_plan:
            best = equals.chosen_among_equals(search, tuple(later))
        plan = None if best is None else plan_of(_with_rules(space, rules), best)
        counts = outcome.counts
        return Optimum(plan=plan, slices=counts.slices, solves=counts.solves, enumerated=counts.enumerated)

    def beginning(self, asked: Ask, rules: Rules) -> Candidate | None:
        """The plan to begin with, if it is one of this space and keeps the rules; for a question changed."""
        if not asked.start or asked.fixed:
            return None
        chosen = self.own_choices(asked.start)
        checked = self.checked(chosen, rules)
        if checked.broken:
            return None
        a, f, aim = self.space.attention, self.space.ffn, asked.aims[0]
        same = [getattr(a, name) == chosen[name] for name in ("n_heads", "n_kv_heads", "d_head")]
        kinds = np.flatnonzero(np.logical_and.reduce(same)), np.flatnonzero(f.d_ff == chosen["d_ff"])
        key = aim.sign * checked.metrics[aim.metric]
        frame, depth = self._frame(chosen), chosen["n_layers"]
        return Candidate(aim.metric, aim.sign, key, frame, depth, int(kinds[0][0]), int(kinds[1][0]))

    def _meet(self, metric: str, key: float, plan: Plan) -> None:
        if metric not in self._met or key < self._met[metric][0]:
            self._met[metric] = key, plan

    def rules_under(self, asked: Ask) -> Rules:
        """Rules of a re-solve: some left out, some with other values, bounds on metrics added."""
        rules = self.space.rules.without(*asked.without)
        for name, value in asked.values.items():
            rules = rules.with_value(name, value)
        for name, limit in asked.bounds.items():
            rule, tighter = (f"{name}_max", min) if sign(name) > 0 else (f"{name}_min", max)
            rules = rules.with_value(rule, tighter(limit, rules.values.get(rule, limit)))
        return rules

    def _changed(self, asked: Ask) -> "ArchitectureQuestion":
        """The question with other domains or constants; kept, for it may be asked again."""
        if not asked.fixed and not asked.scaled:
            return self
        key = repr((sorted(asked.fixed.items()), sorted(asked.scaled.items())))
        if key not in self._others:
            if len(self._others) >= _KEPT:
                self._others.clear()
            own = {path: f for path, f in asked.scaled.items() if not path.startswith(HARDWARE)}
            figures = {p.removeprefix(HARDWARE): f for p, f in asked.scaled.items() if p.startswith(HARDWARE)}
            other = ArchitectureQuestion(scaled_problem(self.problem, own) if own else self.problem)
            if not own:
                other.space = self.space
            if asked.fixed:
                other.space = other.space.restricted(asked.fixed)
            if figures:
                other.space = _with_figures(other.space, figures)
            self._others[key] = other
        return self._others[key]

    def _frame(self, chosen: Mapping[str, Any]) -> Frame:
        chip = next(c for c in self.space.chips if c.name == chosen["hardware"])
        split = {name: chosen[name] for name in DEPLOYMENT}
        return replace(next(self.space.settings()), chip=chip, d_model=chosen["d_model"], **split)

    def _architecture(self, frame: Frame, chosen: Mapping[str, Any]) -> Architecture:
        space = self.space
        dims = {name: chosen[name] for name in ("n_heads", "n_kv_heads", "d_head")}
        attention = replace(space.attention, **dims)
        ffn = replace(space.ffn, d_ff=chosen["d_ff"])
        return space.architecture_of(frame, chosen["n_layers"], attention, ffn)


def _with_rules(space: Space, rules: Rules) -> Space:
    """The space under other rules, for a check; it learns nothing."""
    return replace(space, rules=rules)


def _with_figures(space: Space, figures: Mapping[str, float]) -> Space:
    """The space on chips with some figures scaled; those a chip does not state stay as they are."""
    if not any(has_figure(chip, path) for chip in space.chips for path in figures):
        scaled_chip(space.chips[0], figures)  # says what is wrong
    chips = tuple(
        scaled_chip(chip, {path: f for path, f in figures.items() if has_figure(chip, path)})
        for chip in space.chips
    )
    rules = replace(space.rules, reference=Reference(space.rules.reference.baseline))
    changed = replace(space, chips=chips, rules=rules)
    changed.memo.update({name: space.memo[name] for name in _SHARED})
    return changed


def layers_in_words(model: Architecture) -> str:
    """The layers of a model, group by group: 'layers: 24 x gqa with a window of 1024 and dense_ffn'."""
    groups = []
    for group in model.layers:
        mixer, ffn = group.block.mixer, group.block.ffn
        window = getattr(mixer, "attention_window", None)
        windowed = f" with a window of {window}" if window else ""
        groups.append(f"{group.count} x {mixer.kind}{windowed} and {ffn.kind}")
    return "layers: " + ", ".join(groups)
