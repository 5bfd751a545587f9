"""From a search's outcome to the parts of a result: the plan, its baseline, what the lattice assumes."""

from optimizer.anatomy.check import check
from optimizer.anatomy.estimate import family_assumptions
from optimizer.anatomy.replica import deployment
from optimizer.columns.rules import baseline_frame, lattice_only, split_bound
from optimizer.cost.frame import Frame
from optimizer.cost.parameters import parameter_counts
from optimizer.cost.quantities import (
    QUANTITIES,
)
from optimizer.errors import InternalMismatch
from optimizer.metrics import metric
from optimizer.questions.architecture.answer import Baseline, NearTiesShown
from optimizer.questions.architecture.near_ties import NearTies
from optimizer.questions.architecture.slice_search import Candidate
from optimizer.questions.architecture.space import Space
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Dimensions, Plan

_SAME = 1e-9


def architecture_of(space: Space, best: Candidate) -> Architecture:
    """The architecture a candidate stands for."""
    attention, ffn = space.attention.take(best.attention), space.ffn.take(best.ffn)
    return space.architecture_of(best.frame, best.n_layers, attention, ffn)


def plan_of(space: Space, best: Candidate) -> Plan:
    """A candidate as a plan, recomputed and checked by `check`; a plan that fails is no answer."""
    architecture = architecture_of(space, best)
    checked = check(best.frame, architecture, space.rules, room=True)
    if checked.broken:
        raise InternalMismatch(
            f"the plan found breaks {', '.join(checked.broken)} when recomputed; no answer is given"
        )
    value = best.sense * best.key
    if abs(checked.metrics[best.metric] - value) > _SAME * abs(value):
        raise InternalMismatch(
            f"the search found {best.metric} {value:.9g}, the cost model "
            f"{checked.metrics[best.metric]:.9g} for the same plan; no answer is given"
        )
    dims = dimensions(best.frame, architecture)
    metrics = {name: own for name, own in checked.metrics.items() if name not in space.uncovered}
    return Plan(architecture=dims, deployment=deployment(best.frame), metrics=metrics)


def dimensions(frame: Frame, architecture: Architecture) -> Dimensions:
    """The dimensions of an architecture with one kind of layer."""
    own = architecture.first
    shape = {name: getattr(half, name) for half in (own.mixer, own.ffn) for name in half.dimensions()}
    return Dimensions(
        n_layers=architecture.n_layers,
        d_model=architecture.d_model,
        mixer=own.mixer.kind,
        ffn=own.ffn.kind,
        shape=shape,
        vocab_size=architecture.vocab_size,
        tied_embeddings=architecture.tied_embeddings,
        n_params=round(QUANTITIES["n_params"].total(frame, architecture)),
        n_active_params=parameter_counts(architecture).active,
    )


def baseline_of(space: Space, frame: Frame, metrics: dict[str, float]) -> Baseline | None:
    """The baseline in the plan's place: same chip, split, formats and traffic."""
    model = space.baseline
    if model is None:
        return None
    own = baseline_frame(frame, model)
    shaping = [] if space.holds(model) else [name for name in space.rules.values if lattice_only(name)]
    checked = check(own, model, space.rules.without(*shaping), room=True)
    return Baseline(
        name=model.name,
        dimensions=dimensions(own, model) if space.holds(model) else None,
        metrics=checked.metrics,
        difference={
            name: metrics[name] - value for name, value in checked.metrics.items() if name in metrics
        },
        keeps_constraints=not checked.broken,
        breaks=checked.broken,
    )


def unseen_by_the_loss(space: Space) -> tuple[Assumption, ...]:
    """The free dimensions that the loss proxy cannot see, where the loss decides anything."""
    asked = {name for name, _ in space.problem.objectives} | {split_bound(r)[0] for r in space.rules.values}
    free = [n for half in space.halves for n in half.dimensions if len(space.domain(n)) > 1]
    if "loss" not in asked or not free:
        return ()
    return (
        Assumption(
            name="loss proxy",
            value=f"does not see {', '.join(free)} but by their parameters: speed and rules chose them",
            source="docs/quality.md",
            caveat=True,
        ),
    )


def about_the_kinds(space: Space, architecture: Architecture) -> tuple[Assumption, ...]:
    """What is not known, or not asked, of the kinds of layer: costs, quality, rules."""
    uncovered = [
        Assumption(
            name=name,
            value=f"no law covers {space.family} layers: speed, memory and rules chose this plan",
            source="docs/quality.md",
            caveat=True,
        )
        for name in sorted(space.uncovered)
    ]
    silent = [
        Assumption(name=rule, value=f"not applied to {why}", source="optimizer/blocks", caveat=True)
        for rule, why in sorted(space.silent.items())
    ]
    return (*uncovered, *family_assumptions(architecture), *silent)


def unit(name: str) -> str:
    """Unit of a metric."""
    return str(metric(name, "UNIT").UNIT)


def ties_of(space: Space, near: NearTies) -> NearTiesShown:
    """The near-ties as the answer shows them."""
    return NearTiesShown(
        within=space.problem.near_ties,
        plans=near.count,
        complete=near.complete,
        conventional=plan_of(space, near.conventional),
    )
