"""Finds chips, systems, models, engines and problem files by name or alias, as a path, or inline.

What may be read is an argument: `Documents`. With `files` false nothing but the catalogue's data is opened.
"""

import contextlib
import os
import warnings
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from optimizer.errors import InputError, OddInput, nearest
from optimizer.references import is_config, is_path
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip, System
from optimizer.spec.documents import CATALOGUE, USERS_FILES, Documents
from optimizer.spec.engine import Engine
from optimizer.spec.loading import read_yaml, validate
from optimizer.spec.products import key, near, without_sizes
from optimizer.spec.smells import model_smells, smells

M = TypeVar("M", bound=BaseModel)
Item = TypeVar("Item", Chip, Architecture)


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


def _by_name(folder: str, model: type[M], name: str) -> M | None:
    """The item of this full name, reading no other file."""
    file = f"{name.strip().replace('/', '--')}.yaml"
    return _item(folder, model, file) if file in _files(folder) else None


@cache
def _item(folder: str, model: type[M], file: str) -> M:
    """What a file of the catalogue holds; only names that it has come here."""
    return validate(model, _data(folder, file), file)


@cache
def _data(folder: str, file: str) -> Any:
    """A file of the catalogue; only names that it has come here."""
    return read_yaml(data_folder(folder) / file)


@cache
def _files(folder: str) -> frozenset[str]:
    """The files of a data folder."""
    return frozenset(os.listdir(data_folder(folder)))


def _exactly(name: str, spellings: dict[Hashable, Any]) -> Any:
    return spellings.get(name.lower())


def _near_spellings(name: str, known: dict[str, list[str]]) -> str:
    return nearest(name, [spelling for spellings in known.values() for spelling in spellings])


@dataclass(frozen=True)
class _Kind:
    """A kind of thing that has names: how it is called, kept and listed."""

    word: str
    folder: str
    listing: str
    load: Callable[[], dict[str, Any]]
    model: type[Any]
    key: Callable[[str], Hashable] = str.lower
    find: Callable[[str, dict[Hashable, Any]], Any] = _exactly
    hint: Callable[[str, dict[str, list[str]]], str] = _near_spellings


def _chip_spelled(name: str, spellings: dict[Hashable, Chip]) -> Chip | None:
    """A chip by any spelling; 'RTX 3090 24GB' names the memory that is on the label as well."""
    if (found := spellings.get(key(name))) is not None:
        return found
    plain, sizes = without_sizes(name)
    found = spellings.get(key(plain)) if sizes else None
    return found if found is not None and sizes == {round(found.hbm_capacity / 2**30)} else None


def _near_products(name: str, known: dict[str, list[str]]) -> str:
    found = near(name, known)
    return f" Did you mean {', '.join(found)}?" if found else ""


_CHIP = _Kind("chip", "hardware/chips", "chips", chips, Chip, key, _chip_spelled, _near_products)
_MODEL = _Kind("model", "models", "models", models, Architecture)
_ENGINE = _Kind("engine", "engines", "engines", engines, Engine)


def _find(name: str, kind: _Kind, documents: Documents) -> Any:
    """What has this name: a file of the user's where files may be read, else of the catalogue."""
    if is_path(name):
        if documents.files:
            path = Path(os.path.expanduser(name))
            return validate(kind.model, read_yaml(path), str(path))
        raise InputError(f"unknown {kind.word} '{name[:64]}': it is a path, and no file is read here")
    found = _known(name, kind)
    if found is not None:
        return found
    hint = kind.hint(name, {item.name: _spellings(item) for item in kind.load().values()})
    raise InputError(f"unknown {kind.word} '{name[:64]}'.{hint} `archsat {kind.listing}` lists them.")


def _known(name: str, kind: _Kind) -> Any:
    """What the catalogue keeps under this name or another spelling of it; None if nothing."""
    named = _by_name(kind.folder, kind.model, name)
    if named is not None:
        return named
    return kind.find(name.strip(), _by_spelling(kind))


@cache
def _by_spelling(kind: _Kind) -> dict[Hashable, Any]:
    """Everything of a kind by the keys of its names and aliases."""
    return {kind.key(s): item for item in kind.load().values() for s in _spellings(item)}


def _spellings(item: Any) -> list[str]:
    return [item.name, *getattr(item, "aliases", ())]


def chip(name: str, documents: Documents = USERS_FILES) -> Chip:
    """A chip, or the chip of a system as it is wired there, by name, alias or path, or of `documents`."""
    if name in documents.chips:
        return _odd(name, validate(Chip, documents.chips[name], f"chip {name[:64]}"))
    known_system = system(name)
    if known_system is None:
        found: Chip = _find(name, _CHIP, documents)
        return _odd(name, found) if is_path(name) else found
    part: Chip = _find(known_system.chip, _CHIP, CATALOGUE)
    return known_system.wired(part)


def system(name: str) -> System | None:
    """The system of the catalogue that a name means; None where it means a chip, a path, or nothing."""
    if is_path(name):
        return None
    exact = _by_name("hardware/systems", System, name.lower())
    if exact is not None or _known(name, _CHIP) is not None:
        return exact
    return {key(s): item for item in systems().values() for s in _spellings(item)}.get(key(name))


def _odd(name: str, own: Item) -> Item:
    """A chip or model of the user's, with a warning for what looks wrong; Python shows the same one once."""
    for smell in smells(own, chips().values()) if isinstance(own, Chip) else model_smells(own):
        warnings.warn(f"{name[:200]}: {smell}", OddInput, stacklevel=2)
    return own


def model(name: str, documents: Documents = USERS_FILES) -> Architecture:
    """A published architecture by name, alias or path; also a config.json, or the folder that holds one."""
    if name in documents.models:
        document = documents.models[name]
        if is_config(document):
            from optimizer.hugging_face import import_config  # costs time to import, and most models are ours

            return _odd(name, import_config(document, f"model {name[:64]}", name).architecture)
        return _odd(name, validate(Architecture, document, f"model {name[:64]}"))
    if documents.files and (name.endswith(".json") or (_is_folder(name) and name not in models())):
        from optimizer.hugging_face import read_config

        return _odd(name, read_config(os.path.expanduser(name)).architecture)
    found: Architecture = _find(name, _MODEL, documents)
    return _odd(name, found) if is_path(name) else found


def _is_folder(name: str) -> bool:
    """Whether a name is a folder: by a path, or with a config.json."""
    path = os.path.expanduser(name)
    try:
        return os.path.isdir(path) and (is_path(name) or os.path.isfile(os.path.join(path, "config.json")))
    except ValueError:
        return False


def engine(name: str | Engine, documents: Documents = USERS_FILES, **changes: float | None) -> Engine:
    """An engine profile by name or path, or as it is, with some figures replaced; None keeps its own."""
    found: Engine = name if isinstance(name, Engine) else _find(name, _ENGINE, documents)
    given = {key: value for key, value in changes.items() if value is not None}
    return found.changed(**given) if given else found


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


def require_new_names(documents: Documents, name: str) -> None:
    """InputError if a document of the problem `name` has the name of something in the catalogue."""
    for kind, items in ((_CHIP, documents.chips), (_MODEL, documents.models)):
        known = {s.lower() for item in kind.load().values() for s in _spellings(item)} if items else set()
        if taken := next((own for own in items if own.lower() in known), None):
            raise InputError(
                f"{name}: the catalogue has a {kind.word} '{taken[:64]}'; give yours another name"
            )
