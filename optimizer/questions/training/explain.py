"""Why no setting will do: what the choices of the setup break, the nearest value of a rule that would."""

from optimizer.cost.training.rules import SENTENCES
from optimizer.questions.training.broken import broken_everywhere
from optimizer.questions.training.metrics import metric_of_rule
from optimizer.questions.training.vocabulary import TrainingVocabulary
from optimizer.spec.answer import Conflict, Relaxation

MORE_CHIPS = (2, 4, 8)
"""How many times the chips are tried where they are part of a conflict."""


def never_kept(asked: TrainingVocabulary) -> tuple[str, ...]:
    """Rules of divisibility that the choices of the setup leave no way to keep, on more chips neither."""
    return broken_everywhere(asked.problem, asked.lattice(asked.problem.chips * MORE_CHIPS[-1]))


def broken_choices(asked: TrainingVocabulary) -> Conflict:
    """The conflict of a setup whose own choices leave nothing."""
    changes = [
        Relaxation(constraint=f"setup: {rule}", sentence=SENTENCES[rule], from_=None, to=None, unit="")
        for rule in never_kept(asked)
    ]
    return Conflict(constraints=tuple(c.constraint for c in changes), relaxations=tuple(changes))


def relaxed(asked: TrainingVocabulary, rule: str, to: float | None) -> Relaxation:
    """The value at which the other rules leave a setting, in words; None where no value does."""
    before, metric = asked.rules()[rule], asked.table[metric_of_rule(rule)]
    sentence = "no value is enough by itself"
    if to is not None:
        least = "at most" if metric.more else "at least"
        sentence = f"{least} {to:g} {metric.unit} instead of {before:g}".replace("  ", " ")
    return Relaxation(constraint=rule, sentence=sentence, from_=before, to=to, unit=metric.unit)
