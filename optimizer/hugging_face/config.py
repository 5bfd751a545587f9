"""One config.json: reading the file, and checking its fields one by one.

A Config remembers which fields were read, to refuse the others at the end, and what was assumed.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimizer.errors import InputError
from optimizer.hugging_face.classes import Class
from optimizer.hugging_face.names import COSTLESS, COSTLESS_PATTERN, MTP, NEUTRAL, OTHER_PARTS, SYNONYMS
from optimizer.spec.loading import check_size, read_text

Fields = dict[str, Any]
Derived = tuple[int, str]
"""A value that a missing field takes, and where it is from."""

LARGEST = 10**7
MAX_BYTES, MAX_VALUES = 8 << 20, 500_000
"""Of one file: checkpoints list the formats of all their modules, a hundred thousand of some."""
_NOTHING = Class()

_MTP_NOTE = "multi-token-prediction layers are not counted: they serve only speculative decoding"


class Config:
    """The fields of one file: what was read of them, and what was assumed."""

    def __init__(self, file: str, fields: Fields, inside: str = "", own: Class = _NOTHING) -> None:
        self.file, self.fields, self.inside = file, fields, inside
        self.own = own
        """What is known of the class."""
        self.used: set[str] = set()
        self.assumptions: list[str] = []

    def refuse(self, name: str, problem: str) -> InputError:
        """The error that names file, field, value and what is wrong with it."""
        present = self.spelled(name)
        said = present[0] if present else self._own_name(name)
        given = f" {short(self.fields[said])}" if present else ""
        return InputError(f"{self.file}: {self.inside}{word(said)}{given}: {problem}")

    def assume(self, text: str) -> None:
        """Note an assumption once."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    def spellings(self, name: str) -> list[str]:
        """All names of a field, that of the class first."""
        return list(dict.fromkeys((self.own.names.get(name, name), name, *SYNONYMS.get(name, ()))))

    def _own_name(self, name: str) -> str:
        """The name of a field in its class."""
        names = self.spellings(name)
        return next((n for n in names if n in self.own.defaults), names[0])

    def spelled(self, name: str) -> list[str]:
        """The names in the file that mean a field, those with a value first."""
        present = [n for n in self.spellings(name) if n in self.fields]
        return sorted(present, key=lambda n: self.fields[n] is None)

    def get(self, name: str) -> Any:
        """A field's value, or None where it is missing or null; two names that differ are refused."""
        present = self.spelled(name)
        self.used.update((name, *present))
        values = {n: self.fields[n] for n in present if self.fields[n] is not None}
        for other, value in values.items():
            if value != values[present[0]]:
                raise self.refuse(name, f"contradicts {other} {short(value)}; one value is accepted")
        return values[present[0]] if values else None

    def missing(self, name: str) -> bool:
        """Whether a file does not say a field at all; null is said."""
        return not self.spelled(name)

    def default(self, name: str) -> Any:
        """The value that its class gives a field, or None."""
        return self.own.defaults.get(self._own_name(name))

    def _told(self, name: str) -> Any:
        """The class's value of a field that the file does not say, told as an assumption; or None."""
        value = self.default(name) if self.missing(name) else None
        if value is not None:
            said = str(value).lower() if isinstance(value, bool) else short(value)
            self.assume(f"{self._own_name(name)} is not given; taken as {said}, the default of its class")
        return value

    def size(self, name: str, derived: Derived | None = None, low: int = 1, high: int = LARGEST) -> int:
        """A whole number; where it is missing that of its class, or what is derived, as an assumption."""
        value = self.get(name)
        if value is None:
            value = self._told(name)
        if value is None:
            if derived is None:
                raise self.refuse(name, f"is missing; a whole number from {low} to {high} is accepted")
            how = "not given" if self.missing(name) else "null"
            self.assume(f"{name} is {how}; taken as {derived[1]}, {derived[0]}")
            return derived[0]
        return self.whole(name, value, low, high)

    def whole(self, name: str, value: Any, low: int = 1, high: int = LARGEST) -> int:
        """Check one value of a field."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(name, f"a whole number from {low} to {high} is accepted")
        return value

    def given(self, name: str, low: int = 1, high: int = LARGEST) -> int | None:
        """A whole number of the file, or None where it is missing or null."""
        value = self.get(name)
        return None if value is None else self.whole(name, value, low, high)

    def optional(self, name: str, low: int = 1, high: int = LARGEST) -> int | None:
        """The same, with the default of the class where it is missing."""
        value = self.given(name, low, high)
        return self._told(name) if value is None else value

    def said(self, name: str) -> Any:
        """A value of any kind, with the default of the class where it is missing."""
        value = self.get(name)
        return self._told(name) if value is None else value

    def flag(self, name: str) -> bool:
        """True or false; a missing one takes the default of its class as an assumption."""
        value = self.get(name)
        if value is None:
            value = self._told(name) if self.missing(name) else bool(self.default(name))
        if value is None:
            raise self.refuse(name, "is missing; true or false is accepted")
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false is accepted")
        return value

    def switch(self, value: bool | str) -> bool:
        """What a class fixes, or a field that says so."""
        return self.flag(value) if isinstance(value, str) else value

    def inner(self, name: str, fields: Any) -> "Config":
        """An object inside the file."""
        return Config(
            self.file, fields if isinstance(fields, dict) else {}, f"{self.inside}{name}.", self.own
        )

    def per_layer(self, name: str, n_layers: int, accepted: Sequence[Any]) -> list[Any] | None:
        """A list with one of the accepted values for every layer, or None."""
        value = self.get(name)
        if value is None or value == []:
            return None
        more = self.given("num_nextn_predict_layers", 0) or 0
        if isinstance(value, list) and len(value) == n_layers + more:
            value = value[:n_layers]  # the rest are layers of multi-token prediction
        if not isinstance(value, list) or len(value) != n_layers:
            raise self.refuse(name, f"a list of {n_layers} values, one a layer, is accepted")
        for item in value:
            if isinstance(item, bool) or item not in accepted:
                known = ", ".join(map(str, accepted))
                raise self.refuse(name, f"{short(item)} is not understood; accepted: {known}")
        return value

    def indices(self, name: str, n_layers: int) -> set[int] | None:
        """A list of layer numbers from 0, or None."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.refuse(name, "a list of layer numbers is accepted")
        return {self.whole(name, item, 0, n_layers - 1) for item in value}


def view(config: Config, own: Fields) -> Config:
    """The same file with some fields otherwise."""
    names = {n for name in own for n in config.spellings(name)}
    rest = {name: value for name, value in config.fields.items() if name not in names}
    return Config(config.file, rest | own, config.inside, config.own) if own else config


def take(config: Config, seen: Config) -> None:
    """What was read and assumed through another view of the file."""
    config.used |= seen.used
    for text in seen.assumptions:
        config.assume(text)


def finish(config: Config, model_type: str) -> None:
    """Refuse what nothing has read, unless it costs nothing, is switched off or is as the class has it."""
    for name, value in config.fields.items():
        if name in config.used or _harmless(config, name, value) or _told_apart(config, name):
            continue
        known = f"only {NEUTRAL[name][0]}, null or" if name in NEUTRAL else "only null or"
        raise config.refuse(
            name,
            f"is not understood for model_type {model_type}, and may change the architecture; "
            f"{known} leaving it out is accepted",
        )


def finish_whole(whole: Config, inner: Config) -> None:
    """Refuse a field of a model of several parts that its language model has otherwise."""
    for name, value in whole.fields.items():
        if name in whole.used or _harmless(whole, name, value) or _told_apart(whole, name):
            continue
        theirs = name in inner.own.defaults or name in inner.fields or name in SYNONYMS
        if theirs and inner.fields.get(name) != value:
            raise whole.refuse(name, f"is not the one under {inner.inside[:-1]}; give it there alone")


def _told_apart(config: Config, name: str) -> bool:
    """Whether a field is of something that is left out, which is told."""
    if MTP.fullmatch(name):
        config.assume(_MTP_NOTE)
    elif OTHER_PARTS.fullmatch(name):
        config.assume(f"{name.partition('_')[0]} parts are not counted, only the language model")
    else:
        return False
    return True


def _harmless(config: Config, name: str, value: Any) -> bool:
    """Whether a field that nothing has read changes nothing."""
    if name in COSTLESS or COSTLESS_PATTERN.fullmatch(name):
        return True
    if name in config.own.defaults and _off(value) and not _off(config.own.defaults[name]):
        return False  # the class is built with it on
    if _off(value) or (name in NEUTRAL and not isinstance(value, bool) and value in NEUTRAL[name]):
        return True
    if name in config.own.defaults:
        return bool(config.own.defaults[name] == value)
    return name in config.own.whole  # of another part of the model


def read_fields(place: Path) -> tuple[Fields, Path]:
    """The fields of a config.json, given by its path or its folder, and the file they are from."""
    try:
        file = place / "config.json" if place.is_dir() else place
        if place.is_dir() and not file.exists():
            raise InputError(f"{place}: is a directory without a config.json")
    except OSError as error:
        raise InputError(f"{str(place)[:200]}: {error.strerror or error}") from None
    return parse_fields(read_text(file, "config.json", most=MAX_BYTES, encoding="utf-8-sig"), str(file)), file


def parse_fields(text: str, name: str) -> Fields:
    """The fields of the text of a config.json; `name` begins messages."""
    try:
        data = json.loads(text, object_pairs_hook=_no_twins)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{name}: {where} is not valid JSON: {error.msg}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply") from None
    except ValueError as error:
        raise InputError(f"{name}: holds a value that cannot be read: {str(error)[:120]}") from None
    check_size(data, name, MAX_VALUES)
    if not isinstance(data, dict):
        raise InputError(
            f"{name}: holds a {type(data).__name__}, not an object with fields such as hidden_size"
        )
    return data


def _no_twins(pairs: list[tuple[str, Any]]) -> Fields:
    """An object of the file; a name that is given twice is an error."""
    fields: Fields = {}
    for name, value in pairs:
        if name in fields:
            raise ValueError(f"'{word(name)}' is given twice")
        fields[name] = value
    return fields


def _off(value: Any) -> bool:
    """Whether a field is null, false, zero or empty."""
    return value is None or (isinstance(value, bool | int | float | str | list | dict) and not value)


def word(name: str) -> str:
    """A name that can be printed."""
    return json.dumps(name[:64])[1:-1]


def short(value: Any) -> str:
    """A value that can be printed."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return "a huge value"
    return text if len(text) <= 60 else text[:57] + "..."
