"""From a file or a document to a problem of its kind.

Two ways in: `load` reads the user's own files; `read` opens none, then or later.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optimizer import catalog
from optimizer.errors import InputError
from optimizer.questions.kinds import kind_of
from optimizer.references import linked
from optimizer.spec.loading import check_size, read_yaml, validate


def load(name: str, overrides: dict[str, Any] | None = None) -> Any:
    """A problem that ships, by name, or a problem file by path, with some fields overridden.

    The keys of the file say what kind of problem it is (`optimizer.questions.kinds`). `overrides` maps dotted
    field names ('workload.batch') to values. Files that the problem names are found beside it, files that an
    override names beside the caller. InputError names what is wrong.
    """
    path = catalog.problem_file(name)
    data = linked(read_yaml(path), path.parent)
    for key, value in (overrides or {}).items():
        _override(data, key, value)
    return _problem(linked(_marked(data, overrides or {}), Path()), str(path))


def from_answer(document: Any, name: str) -> Any:
    """The problem that an answer carries, whose paths were placed when it was asked. InputError as `load`."""
    return _problem(linked(document, Path()), name)


def read(document: Any, documents: Mapping[str, Any] | None = None, name: str = "problem") -> Any:
    """A problem from a document, of the catalogue and of documents alone: no file of the user's is opened.

    `documents` maps 'chips', 'models', 'engines' and 'tables' to documents by name; the problem's fields may
    hold documents themselves: a chip's fields, the object of a config.json, an engine's fields, the rows of
    a table. What is read never opens a file later either. InputError names what is wrong.
    """
    given = dict(documents or {})
    check_size(document, name)
    check_size(given, name)
    engines = given.pop("engines", {})
    if not isinstance(document, dict) or not isinstance(engines, dict):
        raise InputError(f"{name}: holds no fields")
    own = document.get("documents", {})
    if not isinstance(own, dict):
        raise InputError(f"{name}: documents: holds no fields; accepted: chips, models, tables")
    data = linked(document | {"documents": own | given}, None, engines)
    return _problem(data | {"documents": data["documents"] | {"files": False}}, name)


def _problem(data: Any, name: str) -> Any:
    """The problem of a document whose fields hold names."""
    found: Any = validate(kind_of(data).load(), data, name)
    catalog.require_new_names(found.documents, name)
    return found


def _marked(data: Any, overrides: Mapping[str, Any]) -> Any:
    """The question in words, with what was changed of it."""
    if not overrides or "question" in overrides or not isinstance(data, dict) or not data.get("question"):
        return data
    changed = ", ".join(f"{key}={json.dumps(value, default=str)}" for key, value in overrides.items())
    return data | {"question": f"{data['question']} (asked with {changed[:400]})"}


def _override(data: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        if not isinstance(place, dict):
            raise InputError(f"{key[:64]}: '{parent[:64]}' is inside a value that has no fields")
        place = place.setdefault(parent, {})
    if not isinstance(place, dict) or not last:
        raise InputError(f"{key[:64]}: names no field")
    place[last] = value
