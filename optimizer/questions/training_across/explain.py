"""Why no plan will do: what the choices of the problem break, in the words of the rules."""

from collections.abc import Iterable

from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.rules import SENTENCES, kept
from optimizer.questions.training.splits import divisors
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import Cluster, Ranks, Way, setup_of
from optimizer.spec.answer import Conflict, Relaxation

_LOOKED_AT = 64


def never_kept(problem: AcrossProblem, clusters: Iterable[Cluster]) -> tuple[str, ...]:
    """Rules of divisibility that all choices of every cluster break, else all that some break."""
    broken = [rules for own in clusters for rules in _broken(problem, own)]
    every = set.intersection(*broken) if broken else set()
    return tuple(sorted(every or set().union(*broken))) or ("stages_have_layers",)


def _broken(problem: AcrossProblem, own: Cluster) -> Iterable[set[str]]:
    offer, space = own.offer, problem.setup
    for t in (offer.tensor_parallel or (1,))[:_LOOKED_AT]:
        for e in (offer.expert_parallel or (1,))[:_LOOKED_AT]:
            for d in (space.data_parallel or (1,))[:_LOOKED_AT]:
                for b in (space.microbatch or divisors(problem.global_batch))[:_LOOKED_AT]:
                    way = Way(Ranks(t, offer.context_parallel[0], e), "none", 0)
                    at = layout_of(setup_of(problem, way, d, b, min(offer.stages or (1,))))
                    yield {name for name, holds in kept(own.facts, at).items() if not bool(holds)}


def broken_choices(problem: AcrossProblem, clusters: Iterable[Cluster]) -> Conflict:
    """The conflict of a problem whose own choices leave nothing."""
    changes = [
        Relaxation(constraint=f"setup: {rule}", sentence=SENTENCES[rule], from_=None, to=None, unit="")
        for rule in never_kept(problem, clusters)
    ]
    return Conflict(constraints=tuple(c.constraint for c in changes), relaxations=tuple(changes))
