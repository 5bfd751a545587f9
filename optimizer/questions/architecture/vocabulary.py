"""What an architecture problem says of itself: metrics, rules, free choices; a plan priced again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from optimizer.anatomy.check import check
from optimizer.bands import Key, family_of
from optimizer.blocks import block
from optimizer.columns.rules import baseline_frame, lattice_only, split_bound
from optimizer.cost.frame import Slice
from optimizer.cost.memory_room import room_gib
from optimizer.metrics import evaluate, listed, of_architectures, sign, step_of
from optimizer.plugins import plugins
from optimizer.questions.architecture.moves import can_be_dropped, is_tighter, moves_of
from optimizer.questions.architecture.priced import PricedPlans, with_figures
from optimizer.questions.architecture.space import Space
from optimizer.questions.moves import Move
from optimizer.questions.vary import HARDWARE, number_at
from optimizer.questions.vocabulary import Priced
from optimizer.spec.architecture import Architecture
from optimizer.spec.engine import engine_name
from optimizer.spec.plan import Plan
from optimizer.spec.split import FORMATS
from optimizer.spec.studies import Aim


class ArchitectureVocabulary(PricedPlans):
    """What an architecture problem says of itself."""

    @property
    def lattice_points(self) -> int:
        """Points before any rule."""
        return self.space.lattice_points

    def identity(self) -> str:
        """The problem with its chips and baseline written out."""
        parts = [self.problem, *self.space.chips, *([self.space.baseline] if self.space.baseline else [])]
        return "\n".join(part.model_dump_json(exclude_unset=True) for part in parts)

    def usual(self) -> tuple[str, ...]:
        """The problem's first objective against the loss, or the loss against tpot_ms."""
        own = self.problem.objectives[0][0]
        others = (name for name in ("loss", "tpot_ms", "ttft_ms") if name not in self.space.uncovered)
        return own, next(name for name in others if name != own)

    def metrics(self) -> tuple[str, ...]:
        """Metrics that every plan has: those whose facts all chips state."""
        frame = next(self.space.frames())
        attention, ffn = self.space.attention.take(0), self.space.ffn.take(0)
        model = self.space.architecture_of(frame, int(self.space.depths[0]), attention, ffn)
        known = [evaluate(replace(frame, chip=chip), model) for chip in self.space.chips]
        some = tuple(name for name in known[0] if all(name in values for values in known)) + listed("holding")
        return tuple(name for name in some if name not in self.space.uncovered)

    def aim(self, metric_name: str, sense: int | None = None, step: float | None = None) -> Aim:
        """A metric as an objective; InputError if it does not exist or a chip lacks a fact for it."""
        module = of_architectures(metric_name)
        self.space.require_covered(metric_name)
        frame = replace(next(self.space.settings()), d_model=4096)
        for chip in self.space.chips if hasattr(module, "value") else ():
            module.value(Slice(replace(frame, chip=chip), 32), 1e9)
        return Aim(
            metric=metric_name,
            sense="min" if (sense or sign(metric_name)) > 0 else "max",
            unit=module.UNIT,
            step=step or step_of(metric_name),
        )

    def own_aims(self) -> tuple[Aim, ...]:
        """The problem's objectives."""
        return tuple(self.aim(name, sense) for name, sense in self.problem.objectives)

    def groups(self, plan: Plan) -> tuple[Key, ...]:
        """The group of its chip, its engine and the kind of its layers."""
        kind = "mixture" if plan.designed and plan.dimensions.shape.get("n_experts") else "dense"
        family = family_of(engine_name(self.problem.deployment.engine))
        return tuple(
            Key("tpot_ms", "load" if pool.batch > 1 else "single", kind, family, pool.chip)
            for pool in plan.pools
        )

    def rules(self) -> Mapping[str, Any]:
        """Rules in force."""
        return self.space.rules.values

    def defining(self) -> frozenset[str]:
        """The rules on shapes without which no cost is known."""
        return frozenset(rule for rule in self.rules() if not can_be_dropped(rule))

    def moves(self, rule: str, plan: Plan) -> Sequence[Move]:
        """Values near a rule's own."""
        return moves_of(rule, self.rules()[rule])

    def tighter(self, rule: str, old: Any, new: Any) -> bool:
        """Whether the new value of a rule allows no plan that the old one does not."""
        return is_tighter(rule, old, new)

    def limit(self, rule: str, plan: Plan) -> tuple[float | None, str | None]:
        """The limit nearest to the plan and the metric it limits; none for a rule on shapes."""
        value = self.rules()[rule]
        if rule == "parameter_window":
            return min(value, key=lambda edge: abs(edge - plan.metrics["n_params"])), "n_params"
        frame = self._frame(self.choices(plan))
        if rule == "memory_capacity":
            return value * room_gib(frame.chip, frame.engine), "memory_gib"
        if rule in plugins("constraints"):
            return None, None
        return self.space.rules.limit(rule, frame), split_bound(rule)[0]

    def domains(self) -> Mapping[str, tuple[Any, ...]]:
        """Dimensions and deployment choices with more than one value."""
        d, p = self.problem.deployment, self.problem
        free: dict[str, tuple[Any, ...]] = {n: self.space.domain(n) for n in self.space.dimensions}
        free |= {"hardware": tuple(chip.name for chip in self.space.chips)}
        free |= {n: getattr(d, n) for n in ("tensor_parallel", *FORMATS)}
        free |= {"batch": d.batch or (p.workload.batch,)}
        return {name: values for name, values in free.items() if len(values) > 1}

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
        space = self.space
        if not space.holds(model):
            return (layers_in_words(model),)
        own: dict[str, Any] = {"n_layers": model.n_layers, "d_model": model.d_model}
        for half, kinds in zip((model.first.mixer, model.first.ffn), space.halves, strict=True):
            own |= {name: getattr(half, name) for name in kinds.dimensions}
        found = [
            f"{n} {own[n]}, not in its domain" for n in space.dimensions if own[n] not in space.domain(n)
        ]
        return (*found, *other_shapes(model, space))

    def place(self, name: str, like: Plan) -> Priced:
        """A published model where `like` runs."""
        from optimizer import catalog

        model = catalog.model(name, self.problem.documents)
        frame = baseline_frame(self._frame(self.choices(like)), model)
        shaping = (
            []
            if self.space.holds(model)
            else [rule for rule in self.space.rules.values if lattice_only(rule)]
        )
        checked = check(frame, model, self.space.rules.without(*shaping))
        return Priced(checked.metrics, checked.broken)

    def check_constant(self, path: str) -> None:
        """InputError if neither the problem nor any of its chips has this number."""
        if path.startswith(HARDWARE):
            with_figures(self.space, {path: 1.0})
        else:
            number_at(self.problem, path)


def other_shapes(model: Architecture, space: Space) -> tuple[str, ...]:
    """What shapes the layers of a model beside their dimensions, and is not the lattice's: a window."""
    return tuple(
        f"{name} {getattr(half, name) or 'none'}"
        for half, kinds in zip((model.first.mixer, model.first.ffn), space.halves, strict=True)
        for name, own in type(half).model_fields.items()
        if name not in (*kinds.dimensions, "kind") and own.annotation is not bool
        if getattr(half, name) != getattr(kinds, name)
    )


def _named(half: Any) -> str:
    """The kind of a half, with what its file adds."""
    named = getattr(block(half), "named", None)
    return str(named(half)) if named else str(half.kind)


def layers_in_words(model: Architecture) -> str:
    """The layers of a model, group by group: 'layers: 24 x gqa with a window of 1024 and dense_ffn'."""
    groups = []
    for group in model.layers:
        mixer, ffn = (_named(half) for half in (group.block.mixer, group.block.ffn))
        groups.append(f"{group.count} x {mixer} and {ffn}")
    return "layers: " + ", ".join(groups)
