"""Defaults of the configuration classes of transformers, as `benchmarks/classes.py` recorded them."""

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).parent / "classes.json"


@dataclass(frozen=True, slots=True)
class Class:
    """The fields of one class: their defaults, and the other names that some go by."""

    defaults: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """Own name by the name that other code may use."""
    whole: frozenset[str] = frozenset()
    """Fields of the class of several parts that this is the language model of, where a file mixes both."""
    text: str = ""
    """Of a class of several parts: the model type of its language model."""


@cache
def _recorded() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_FILE.read_text(encoding="utf-8"))
    return data


def version() -> str:
    """What was recorded, and when."""
    return str(_recorded()["source"])


@cache
def recorded(model_type: str) -> Class:
    """What is known of a class; nothing, if it is none of transformers."""
    found = _recorded()["classes"].get(model_type, {})
    return Class(found.get("defaults", {}), found.get("names", {}), text=found.get("text", ""))


def wholes() -> tuple[str, ...]:
    """Model types of several parts whose language model is known."""
    return tuple(name for name, own in _recorded()["classes"].items() if own.get("text"))
