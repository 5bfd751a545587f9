"""Models, chips and engines by the names that sources give them."""

import re
from collections.abc import Iterable
from functools import cache
from typing import TypeVar

from optimizer import catalog
from optimizer.evidence.readings import Unreadable
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.spec.setup import Setup

Item = TypeVar("Item", bound=Architecture | Chip)

_RUN = re.compile(r"runs? (\d{4}-\d{2}-\d{2})")
_IGNORED = re.compile(r"(instruct|chat|hf|it|meta|fp8|fp4|nvfp4|kv|dynamic|gb|nvidia|amd|google|intel)")


def engine_of(name: str, version: str, regime: str, when: str = "") -> str:
    """The profile of an engine by the name and version a source gives; `ideal` where there is none.

    Where it gives no version but the day of its run, the last profile since then.
    """
    spelled = word(re.sub(r"\(.*?\)", "", name) + version)
    profiles = catalog.engines()
    known = {word(alias): engine.name for engine in profiles.values() for alias in engine.aliases}
    found = max((alias for alias in known if spelled.startswith(alias)), key=len, default=None)
    if found is None:
        return "ideal"
    own = known[found]
    if not version and (day := _RUN.search(when)):
        later = [e for e in profiles.values() if e.since and e.since <= day[1] and _named(e, found)]
        own = max(later, key=lambda e: e.since or "", default=profiles[own]).name
    served = f"{own}-serve"
    return served if regime == "concurrency" and served in profiles else own


def _named(engine: Engine, beginning: str) -> bool:
    return any(word(alias).startswith(beginning) for alias in engine.aliases)


def unknown_engine(name: str, setup: Setup) -> str:
    """The name of an engine that a row gives and no profile spells."""
    spelled = word(re.sub(r"\(.*?\)", "", name))
    known = map(word, catalog.engines()["ideal"].aliases)
    return name if name.strip() and setup.engine == "ideal" and not spelled.startswith(tuple(known)) else ""


def word(name: str) -> str:
    """A name in small letters, digits and dots."""
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _key(name: str) -> str:
    """A name without its organisation, format and finish, in letters and digits."""
    words = re.split(r"[^a-z0-9.]+", name.split("/")[-1].lower())
    kept = (re.sub(r"(?<=\d)gb$", "", own) for own in words)
    return "".join(own for own in kept if own and not _IGNORED.fullmatch(own))


def model_of(name: str) -> Architecture:
    """The catalogued model that a source means. Unreadable if there is none."""
    found = _models().get(_key(name))
    if found is None:
        raise Unreadable(f"model '{name[:40]}' is not in the catalogue")
    return found


def chip_of(name: str) -> Chip:
    """The catalogued chip, likewise."""
    found = _chips().get(_key(name))
    if found is None:
        raise Unreadable(f"chip '{name[:40]}' is not in the catalogue")
    return found


def same_name(name: str, item: Architecture | Chip) -> bool:
    """Whether a source's spelling means this model or chip."""
    return _key(name) in map(_key, (item.name, *item.aliases))


def same_engine(profile: str, engine: Engine) -> bool:
    """Whether rows read with the profile of this name are of that engine, or of one spelled like it."""
    known = catalog.engines().get(profile)
    return profile == engine.name or (known is not None and bool(set(known.aliases) & set(engine.aliases)))


@cache
def _models() -> dict[str, Architecture]:
    return _spelled(catalog.models().values())


@cache
def _chips() -> dict[str, Chip]:
    return _spelled(catalog.chips().values())


def _spelled(items: Iterable[Item]) -> dict[str, Item]:
    """Items by every spelling, without organisations, formats and finishes."""
    found: dict[str, Item] = {}
    for item in items:
        names: tuple[str, ...] = (item.name, *item.aliases)
        found |= dict.fromkeys(map(_key, names), item)
    return found
