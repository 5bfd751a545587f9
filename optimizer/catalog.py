"""Finds chips, systems, models and problems by name or alias, or as the path of a user's own file."""

import contextlib
import logging
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from optimizer.errors import InputError, nearest
from optimizer.hugging_face import read_config
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip, System
from optimizer.spec.engine import Engine
from optimizer.spec.kinds import kind_of
from optimizer.spec.loading import read_yaml, validate
from optimizer.spec.smells import smells

M = TypeVar("M", bound=BaseModel)


def data_folder(name: str) -> Path:
    """A data folder: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parent
    for root in (package.parent, package / "data"):
        if (root / name).is_dir() and (root / "hardware" / "chips").is_dir():
            return root / name
    raise InputError(f"the data folder '{name}' is missing from this installation")


def _load_all(folder: str, model: type[M]) -> dict[str, M]:
    found = {}
    for path in sorted(data_folder(folder).glob("*.yaml")):
        item: Any = validate(model, read_yaml(path), str(path.name))
        if item.name in found:
            raise InputError(f"{path.name}: the name {item.name} is taken by another file")
        found[item.name] = item
    return found


@cache
def chips() -> dict[str, Chip]:
    """All chips of the catalogue by name."""
    return _load_all("hardware/chips", Chip)


@cache
def systems() -> dict[str, System]:
    """All systems of the catalogue by name."""
    return _load_all("hardware/systems", System)


@cache
def models() -> dict[str, Architecture]:
    """All published architectures of the catalogue by name."""
    return _load_all("models", Architecture)


@cache
def engines() -> dict[str, Engine]:
    """All engine profiles of the catalogue by name."""
    return _load_all("engines", Engine)


@cache
def problem_files() -> dict[str, Path]:
    """The problems that ship, by name."""
    return {path.stem: path for path in sorted(data_folder("problems").glob("*.yaml"))}


def is_path(name: str) -> bool:
    """Whether a name means a file of the user's."""
    return name.endswith((".yaml", ".yml", ".json", ".csv")) or name.startswith((".", "/", "~"))


def _by_name(folder: str, model: type[M], name: str) -> M | None:
    """The item of this full name, reading no other file."""
    file = f"{name.strip().replace('/', '--')}.yaml"
    if file not in _files(folder):
        return None
    return validate(model, read_yaml(data_folder(folder) / file), file)


@cache
def _files(folder: str) -> frozenset[str]:
    """The files of a data folder."""
    return frozenset(os.listdir(data_folder(folder)))


def _find(
    name: str, kind: str, folder: str, listing: str, load: Callable[[], dict[str, M]], model: type[M]
) -> M:
    if is_path(name):
        path = Path(os.path.expanduser(name))
        return validate(model, read_yaml(path), str(path))
    wanted = name.strip().lower()
    named = _by_name(folder, model, name)
    if named is not None:
        return named
    known = load()
    spellings = {spelling.lower(): item for item in known.values() for spelling in _spellings(item)}
    if wanted in spellings:
        return spellings[wanted]
    hint = nearest(name, [s for item in known.values() for s in _spellings(item)])
    raise InputError(f"unknown {kind} '{name[:64]}'.{hint} `archsat {listing}` lists them.")


def _spellings(item: Any) -> list[str]:
    return [item.name, *getattr(item, "aliases", ())]


def chip(name: str) -> Chip:
    """A chip, or the chip of a system with the system's domain, by name, alias or path."""
    known_system = _by_name("hardware/systems", System, name.lower()) if not is_path(name) else None
    if known_system is None:
        found = _find(name, "chip", "hardware/chips", "chips", chips, Chip)
        if is_path(name):
            _warn(name, found)
        return found
    part = _find(known_system.chip, "chip", "hardware/chips", "chips", chips, Chip)
    wiring = part.scaleup.model_copy(update={"domain": known_system.scaleup_domain})
    return part.model_copy(update={"scaleup": wiring})


def _warn(path: str, chip: Chip) -> None:
    """Say what looks wrong in a user's own file; the logger prints to stderr unless told otherwise."""
    for smell in smells(chip, chips().values()):
        logging.getLogger("archsat").warning("archsat: warning: %s: %s", path, smell)


def model(name: str) -> Architecture:
    """A published architecture by name, alias or path; also a config.json, or the folder that holds one."""
    path = os.path.expanduser(name)
    folder = os.path.isdir(path) and (is_path(name) or os.path.isfile(os.path.join(path, "config.json")))
    if name.endswith(".json") or (folder and name not in models()):
        return read_config(path).architecture
    return _find(name, "model", "models", "models", models, Architecture)


def engine(name: str, **changes: float | None) -> Engine:
    """An engine profile by name or path, with some figures replaced; None keeps the engine's own."""
    found = _find(name, "engine", "engines", "engines", engines, Engine)
    return found.model_copy(update={key: value for key, value in changes.items() if value is not None})


def problem_file(name: str) -> Path:
    """The file of a problem that ships, by name, or of the user's by path; InputError if there is none."""
    path, shipped = Path(os.path.expanduser(name)), problem_files()
    if is_path(name):
        return path
    if name in shipped:
        return shipped[name]
    with contextlib.suppress(OSError, ValueError):
        if path.exists():
            return path
    hint = nearest(name, list(shipped)) or " `archsat problems` lists them."
    raise InputError(f"{name[:200]}: no such file, and no problem of that name ships.{hint}")


def problem(name: str, overrides: dict[str, Any] | None = None) -> Any:
    """A problem that ships, by name, or a problem file by path, with some fields overridden.

    The keys of the file say what kind of problem it is (`optimizer.spec.kinds`). `overrides` maps dotted
    field names ('workload.batch') to values. InputError names what is wrong.
    """
    path = problem_file(name)
    data = _beside(read_yaml(path), path.parent)
    for key, value in (overrides or {}).items():
        _override(data, key, value)
    return validate(kind_of(data).load(), data, str(path))


def _beside(data: Any, folder: Path) -> Any:
    """Read relative paths of files as relative to the problem file that names them."""
    if not isinstance(data, dict):
        return data

    def place(value: Any) -> Any:
        if isinstance(value, list):
            return [place(item) for item in value]
        if isinstance(value, dict):
            return value | {"chip": place(value["chip"])} if "chip" in value else value
        known = isinstance(value, str) and is_path(value) and (folder / value).exists()
        return str(folder / value) if known else value

    named = ("hardware", "architecture", "baseline", "performance_table")
    found = {key: place(value) if key in named else value for key, value in data.items()}
    deployment = found.get("deployment")
    if isinstance(deployment, dict) and "engine" in deployment:
        found["deployment"] = deployment | {"engine": place(deployment["engine"])}
    return found


def _override(data: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    place = data
    for parent in parents:
        if not isinstance(place, dict):
            raise InputError(f"--set {key}: '{parent}' is inside a value that has no fields")
        place = place.setdefault(parent, {})
    if not isinstance(place, dict) or not last:
        raise InputError(f"--set {key}: names no field")
    place[last] = value
