"""A result as JSON text: the keys of the interface, in a fixed order, the same bytes for the same input."""

import json
import re
from typing import Any

from pydantic import BaseModel

_UNSEEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What steers a terminal, hides text or is no character, beyond what JSON itself spells out."""


def to_json(value: BaseModel | Any) -> str:
    """Pretty JSON with a final newline; floats print with all their digits."""
    data = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else value
    text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text) + "\n"
