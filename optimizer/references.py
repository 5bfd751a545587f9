"""Which fields of a problem name a chip, a model, an engine or a table, and where what they name is found.

A field holds a name of the catalogue, a path, or the document itself. Documents move to the problem's
`documents` under their name, so that all fields hold names; paths are placed beside the problem's file.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from optimizer.errors import InputError

FIELDS = {
    "hardware": "chips",
    "hardware.chip": "chips",
    "training.hardware": "chips",
    "pipeline.stages.chip": "chips",
    "train_on.chip": "chips",
    "architecture": "models",
    "baseline": "models",
    "train_model": "models",
    "services.architecture": "models",
    "services.models.architecture": "models",
    "deployment.engine": "engines",
    "services.deployment.engine": "engines",
    "services.models.deployment.engine": "engines",
    "performance_table": "tables",
    "services.performance_table": "tables",
    "services.models.performance_table": "tables",
}
"""Dotted fields, which go into lists as well, and what they name."""


def is_path(name: str) -> bool:
    """Whether a name means a file of the user's."""
    return name.endswith((".yaml", ".yml", ".json", ".csv")) or name.startswith((".", "/", "~"))


def is_config(document: dict[str, Any]) -> bool:
    """Whether a document is the object of a config.json rather than a model file."""
    return "model_type" in document or "hidden_size" in document


def linked(data: Any, folder: Path | None, engines: dict[str, Any] | None = None) -> Any:
    """A problem's document with its inline documents under their names, and its paths beside `folder`.

    Without a folder no path is accepted. `engines`: engine documents by name. InputError names the field.
    """
    if not isinstance(data, dict):
        return data
    found: dict[str, dict[str, Any]] = {"chips": {}, "models": {}, "tables": {}}
    link = _Link(folder, found, engines or {})
    for field, kind in FIELDS.items():
        data = _mapped(data, field.split("."), partial(link.put, field, kind))
    if not any(found.values()):
        return data
    own = data.get("documents", {})
    if not isinstance(own, dict):
        raise InputError("documents: holds no fields; accepted: chips, models, tables")
    merged = {kind: {**own.get(kind, {}), **new} for kind, new in found.items() if new}
    return data | {"documents": own | merged}


def _mapped(node: Any, parts: list[str], change: Callable[[Any], Any]) -> Any:
    """The document with the values of one dotted field changed, copied where it differs."""
    if not parts:
        return change(node)
    if isinstance(node, list | tuple):
        return [_mapped(item, parts, change) for item in node]
    if not isinstance(node, dict) or parts[0] not in node:
        return node
    return node | {parts[0]: _mapped(node[parts[0]], parts[1:], change)}


class _Link:
    def __init__(
        self, folder: Path | None, found: dict[str, dict[str, Any]], engines: dict[str, Any]
    ) -> None:
        self.folder, self.found, self.engines = folder, found, engines

    def put(self, field: str, kind: str, value: Any) -> Any:
        """A name for what stands in a field, a path placed, or the value as it is."""
        if isinstance(value, str):
            if kind == "engines" and value in self.engines:
                return self.engines[value]
            return self._placed(field, kind, value)
        if kind == "tables":
            return self._table(field, value)
        if isinstance(value, list | tuple):
            return [self.put(field, kind, item) for item in value]
        if isinstance(value, dict) and kind in ("chips", "models") and _is_document(kind, value):
            return self._kept(field, kind, _name(field, value), value)
        return value

    def _placed(self, field: str, kind: str, name: str) -> str:
        if self.folder is None:
            if is_path(name):
                raise InputError(
                    f"{field}: '{name[:64]}' is a path, and no file is read here; {_INSTEAD[kind]}"
                )
            return name
        if name.startswith("~"):
            return name
        if is_path(name) or (kind == "models" and _is_model_folder(self.folder / name)):
            return str(self.folder / name)
        return name

    def _table(self, field: str, value: Any) -> Any:
        """Rows, or a list of names and tables of rows."""
        if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
            name = f"table {len(self.found['tables']) + 1}"
            return self._kept(field, "tables", name, value)
        if isinstance(value, list | tuple):
            return [self.put(field, "tables", item) for item in value]
        return value

    def _kept(self, field: str, kind: str, name: str, document: Any) -> str:
        if self.found[kind].setdefault(name, document) != document:
            raise InputError(f"{field}: two unlike documents have the name '{name[:64]}'; give each its own")
        return name


_INSTEAD = {
    "chips": "name a chip of the catalogue, or write the fields of yours here",
    "models": "name a model of the catalogue, or write the object of its config.json here",
    "engines": "name an engine of the catalogue, or write the fields of yours here",
    "tables": "write its rows here",
}


def _is_document(kind: str, value: dict[str, Any]) -> bool:
    """Whether an object is a chip or a model, not an offer of chips nor a lattice."""
    if kind == "chips":
        return "chip" not in value
    return is_config(value) or "name" in value


def _name(field: str, document: dict[str, Any]) -> str:
    name = document.get("name")
    if name is None and is_config(document):
        own = document.get("_name_or_path")
        return own if isinstance(own, str) and 0 < len(own) <= 120 and not is_path(own) else f"{field} given"
    if not isinstance(name, str) or not name or is_path(name):
        raise InputError(f"{field}: a document written out needs a name that is no path")
    return name


def _is_model_folder(path: Path) -> bool:
    try:
        return (path / "config.json").is_file()
    except (OSError, ValueError):
        return False
