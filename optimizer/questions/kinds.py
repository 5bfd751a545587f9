"""The kinds of problem: the folders beside this file, each known by keys of its problem files.

A folder's `kind.py` says KEYS (dotted keys, any of which marks a file as of this kind), PROBLEM and QUESTION
(the model that reads such a file and the class that answers studies of it, as 'file:Class'), and may have
`claims(data)`. What it names is imported when it is asked for, so that a command loads only what it needs.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem."""

    name: str
    """What a person calls it: that of its folder."""
    declared: ModuleType

    @property
    def keys(self) -> tuple[str, ...]:
        """Dotted keys, any of which marks a file as of this kind; dots go into lists as well."""
        found: tuple[str, ...] = self.declared.KEYS
        return found

    def load(self) -> type[BaseModel]:
        """The pydantic model of such a file."""
        found: type[BaseModel] = self._named(self.declared.PROBLEM)
        return found

    def question(self) -> Any:
        """The class that answers every study of such a problem."""
        return self._named(self.declared.QUESTION)

    def claims(self, data: dict[str, Any]) -> bool:
        """Whether a file is of this kind whatever its keys."""
        return bool(getattr(self.declared, "claims", lambda data: False)(data))

    def module(self, file: str) -> ModuleType:
        """A file of its folder."""
        return import_module(f"{__package__}.{self.name}.{file}")

    def _named(self, what: str) -> Any:
        file, _, name = what.partition(":")
        return getattr(self.module(file), name)


@cache
def kinds() -> dict[str, Kind]:
    """Every kind by name."""
    folders = sorted(path.parent.name for path in Path(__file__).parent.glob("[a-z]*/kind.py"))
    return {name: Kind(name, import_module(f"{__package__}.{name}.kind")) for name in folders}


def kind_of(data: Any) -> Kind:
    """The kind of a problem file by its keys: one of the file itself says more than one inside a part of it.

    Of kinds with a key alike, the one with fewer keys; the kind without keys is for all other files.
    """
    found = list(kinds().values())
    if isinstance(data, dict):
        claimed = [kind for kind in found if kind.claims(data)]
        if claimed:
            return claimed[0]
        marked = [
            (key.count("."), len(kind.keys), kind.name)
            for kind in found
            for key in kind.keys
            if _has(data, key)
        ]
        if marked:
            return kinds()[min(marked)[2]]
    return next(kind for kind in found if not kind.keys)


def kind_of_problem(problem: BaseModel) -> Kind:
    """The kind of a problem that was read."""
    return kinds()[type(problem).__module__.removeprefix(f"{__package__}.").partition(".")[0]]


def _has(data: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    if isinstance(data, list):
        return any(_has(item, key) for item in data)
    return isinstance(data, dict) and first in data and (not rest or _has(data[first], rest))
