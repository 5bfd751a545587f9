"""What was assumed of models that their own files leave out."""

from collections.abc import Iterable

from optimizer import catalog
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture


def model_assumed(model: Architecture) -> tuple[Assumption, ...]:
    """What a model's own file, or its import, says was assumed."""
    if not model.notes:
        return ()
    source = model.source or "the model's file"
    return (Assumption(name=model.name, value=model.notes, source=source),)


def models_assumed(models: Iterable[Architecture]) -> tuple[Assumption, ...]:
    """The same of models that a problem brings along; those of the catalogue are said by `archsat models`."""
    own = (model for model in models if catalog.models().get(model.name) != model)
    return tuple(dict.fromkeys(said for model in own for said in model_assumed(model)))
