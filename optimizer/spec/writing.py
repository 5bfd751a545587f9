"""Models out as YAML files that read back as the same model; quantities keep their units."""

from typing import Any

import yaml
from pydantic import BaseModel

from optimizer.errors import InternalMismatch
from optimizer.spec.loading import parse_yaml, validate


def to_yaml(model: BaseModel) -> str:
    """The file of a chip or an engine, without the fields that were never given.

    InternalMismatch if reading it would give another model.
    """
    data = _plain(model.model_dump(exclude_unset=True, context={"units": True}))
    text = "".join(_field(key, value) for key, value in data.items())
    if validate(type(model), parse_yaml(text, "the file written"), "the file written") != model:
        raise InternalMismatch(f"the file written for {model.model_dump().get('name')} reads back otherwise")
    return text


def _field(key: str, value: Any) -> str:
    """One field: numbers that belong together in one line, sources one below the other."""
    in_line = isinstance(value, dict | list) and key != "sources"
    style = None if in_line else False
    return yaml.safe_dump(
        {key: value},
        sort_keys=False,
        allow_unicode=True,
        width=200 if in_line else 100,
        default_flow_style=style,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
