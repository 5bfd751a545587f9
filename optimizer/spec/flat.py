"""Fields declared elsewhere, flat among a model's own: degrees of parallelism and number formats.

Files, JSON and tables know `tensor_parallel` and `kv_dtype` beside their other fields; the code asks for
`split` and `formats`, which carry them all.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, create_model

from optimizer.spec.split import Formats, Split, formats_of, split_of

Model = TypeVar("Model", bound=BaseModel)


def flat(declared: Mapping[str, Any], after: str | None = None) -> Callable[[type[Model]], type[Model]]:
    """A decorator that gives a model more fields behind one of its own, or in front of all.

    `declared`: (type, default) by name.
    """

    def extended(model: type[Model]) -> type[Model]:
        found = dict(model.__pydantic_fields__)
        new = create_model("Declared", **declared).__pydantic_fields__
        place = 0 if after is None else list(found).index(after) + 1
        names = list(found)
        order = [*names[:place], *new, *names[place:]]
        model.__pydantic_fields__ = {name: (found | new)[name] for name in order}
        model.__annotations__ = {name: field.annotation for name, field in model.__pydantic_fields__.items()}
        model.model_rebuild(force=True)
        return model

    return extended


class HasSplit:
    """A model with a field for each degree."""

    @property
    def split(self) -> Split:
        """All degrees."""
        return split_of(self)


class HasFormats:
    """A model with a field for each format."""

    @property
    def formats(self) -> Formats:
        """All formats."""
        return formats_of(self)
