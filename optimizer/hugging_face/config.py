"""One config.json: reading the file, checking its fields one by one, finding its language model and family.

A Config remembers which fields were read, to refuse the others at the end, and what was assumed.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optimizer.errors import InputError
from optimizer.hugging_face.families import (
    COSTLESS,
    COSTLESS_PATTERN,
    FAMILIES,
    MTP,
    NEUTRAL,
    OTHER_PARTS,
    REFUSED,
    WRAPPED_TYPES,
    WRAPPERS,
    Family,
)
from optimizer.spec.loading import check_size, read_text

Fields = dict[str, Any]

_LARGEST = 10**7

_MTP_NOTE = "multi-token-prediction layers are not counted: they serve only speculative decoding"


class Config:
    """The fields of one file: what was read of them, and what was assumed."""

    def __init__(self, file: str, fields: Fields, inside: str = "") -> None:
        self.file, self.fields, self.inside = file, fields, inside
        self.used: set[str] = set()
        self.assumptions: list[str] = []

    def refuse(self, name: str, problem: str) -> InputError:
        """The error that names file, field, value and what is wrong with it."""
        given = f" {_short(self.fields[name])}" if name in self.fields else ""
        return InputError(f"{self.file}: {self.inside}{_word(name)}{given}: {problem}")

    def assume(self, text: str) -> None:
        """Note an assumption once."""
        if text not in self.assumptions:
            self.assumptions.append(text)

    def get(self, name: str) -> Any:
        """A field's value, or None where it is missing or null."""
        self.used.add(name)
        return self.fields.get(name)

    def size(self, name: str, default: int | None = None, low: int = 1, high: int = _LARGEST) -> int:
        """A whole number; a missing one takes the default, if there is one, as an assumption."""
        if name not in self.fields or self.fields[name] is None:
            self.used.add(name)
            if default is None:
                raise self.refuse(name, f"is missing; a whole number from {low} to {high} is accepted")
            self.assume(f"{name} is not given; taken as {default}, the default of its class")
            return default
        return self.whole(name, self.get(name), low, high)

    def whole(self, name: str, value: Any, low: int = 1, high: int = _LARGEST) -> int:
        """Check one value of a field."""
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refuse(name, f"a whole number from {low} to {high} is accepted")
        return value

    def optional(self, name: str, high: int = _LARGEST) -> int | None:
        """A whole number, or None where it is missing or null."""
        return None if self.get(name) is None else self.size(name, high=high)

    def flag(self, name: str, default: bool | None) -> bool:
        """True or false; a missing one takes the default as an assumption."""
        value = self.get(name)
        if value is None:
            if default is None:
                raise self.refuse(name, "is missing; true or false is accepted")
            self.assume(f"{name} is not given; taken as {str(default).lower()}, the default of its class")
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false is accepted")
        return value

    def agreed(self, names: Sequence[str]) -> int:
        """One number that goes by several names; two that differ are refused."""
        given = [name for name in names if self.fields.get(name) is not None]
        if not given:
            raise self.refuse(names[0], f"is missing (also known as {', '.join(names[1:])})")
        values = [self.size(name) for name in given]
        if len(set(values)) > 1:
            raise self.refuse(given[0], f"contradicts {given[1]} {values[1]}; one value is accepted")
        return values[0]

    def per_layer(self, name: str, n_layers: int, accepted: Sequence[Any]) -> list[Any] | None:
        """A list with one of the accepted values for every layer, or None."""
        value = self.get(name)
        if value is None or value == []:
            return None
        if not isinstance(value, list) or len(value) != n_layers:
            raise self.refuse(name, f"a list of {n_layers} values, one a layer, is accepted")
        for item in value:
            if isinstance(item, bool) or item not in accepted:
                known = ", ".join(map(str, accepted))
                raise self.refuse(name, f"{_short(item)} is not understood; accepted: {known}")
        return value

    def indices(self, name: str, n_layers: int) -> set[int] | None:
        """A list of layer numbers from 0, or None."""
        value = self.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.refuse(name, "a list of layer numbers is accepted")
        return {self.whole(name, item, 0, n_layers - 1) for item in value}

    def finish(self, model_type: str) -> None:
        """Refuse what nothing has read, unless it costs nothing or is switched off."""
        for name, value in self.fields.items():
            if name in self.used or _off(value) or name in COSTLESS or COSTLESS_PATTERN.fullmatch(name):
                continue
            if name == "quantization_config":
                self.assume(
                    "quantization_config is not used: weights are counted in elements, and the formats "
                    "are those of the deployment"
                )
            elif MTP.fullmatch(name):
                self.assume(_MTP_NOTE)
            elif name in OTHER_PARTS:
                self.assume(f"{name.partition('_')[0]} parts are not counted, only the language model")
            elif name in NEUTRAL and not isinstance(value, bool) and value in NEUTRAL[name]:
                continue
            else:
                known = f"only {NEUTRAL[name][0]}, null or" if name in NEUTRAL else "only null or"
                raise self.refuse(
                    name,
                    f"is not understood for model_type {model_type}, and may change the architecture; "
                    f"{known} leaving it out is accepted",
                )


def read_fields(place: Path) -> tuple[Fields, Path]:
    """The fields of a config.json, given by its path or its folder, and the file they are from."""
    try:
        file = place / "config.json" if place.is_dir() else place
        if place.is_dir() and not file.exists():
            raise InputError(f"{place}: is a directory without a config.json")
    except OSError as error:
        raise InputError(f"{str(place)[:200]}: {error.strerror or error}") from None
    return parse_fields(read_text(file, "config.json", encoding="utf-8-sig"), str(file)), file


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
    check_size(data, name)
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
            raise ValueError(f"'{_word(name)}' is given twice")
        fields[name] = value
    return fields


def language_model(outer: Config) -> Config:
    """The fields of the language model: the file's own, or those it nests."""
    nested = [name for name in WRAPPERS if outer.fields.get(name) is not None]
    if not nested:
        return outer
    if len(nested) > 1:
        raise outer.refuse(nested[1], f"is given beside {nested[0]}; one is accepted")
    name, inner = nested[0], outer.get(nested[0])
    if not isinstance(inner, dict):
        raise outer.refuse(name, "an object with fields such as hidden_size is accepted")
    config = Config(outer.file, dict(inner), f"{name}.")
    config.assume(f"only the language model under {name} is counted")
    tied = outer.get("tie_word_embeddings")
    if tied is not None and config.fields.setdefault("tie_word_embeddings", tied) != tied:
        raise outer.refuse("tie_word_embeddings", f"contradicts the one under {name}")
    return config


def family_of(config: Config, outer: Config) -> tuple[str, Family]:
    """The model type, as the file gives it, and what it means."""
    wrapper = outer.get("model_type")
    given = config.get("model_type") if config is not outer else wrapper
    source = config if given is not None else outer
    if given is None and config is not outer and isinstance(wrapper, str):
        given = WRAPPED_TYPES.get(wrapper, wrapper)
        config.assume(f"the language model names no model_type; taken as {_word(given)}, after the whole")
    known = f"accepted: {', '.join(FAMILIES)}"
    if not isinstance(given, str):
        raise source.refuse("model_type", f"a known model type is needed; {known}")
    family = FAMILIES.get(given.removesuffix("_text"))
    if family is None:
        why = REFUSED.get(given.removesuffix("_text"))
        has = f"has {why}, which " if why else ""
        raise source.refuse("model_type", f"{has}is not understood; {known}")
    return given, family


def _off(value: Any) -> bool:
    """Whether a field is null, false, zero or empty."""
    return value is None or (isinstance(value, bool | int | float | str | list | dict) and not value)


def _word(name: str) -> str:
    """A name that can be printed."""
    return json.dumps(name[:64])[1:-1]


def _short(value: Any) -> str:
    """A value that can be printed."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return "a huge value"
    return text if len(text) <= 60 else text[:57] + "..."
