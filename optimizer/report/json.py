"""A result as JSON text: the keys of the interface, in a fixed order, the same bytes for the same input."""

import json
from typing import Any

from pydantic import BaseModel


def to_json(value: BaseModel | Any) -> str:
    """Pretty JSON with a final newline; floats print with all their digits."""
    data = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
