"""YAML files in, models out: bounded in size and depth, strict, and each mistake told in one sentence.

There is one reader for all YAML: files, values typed at the command line, documents of a service.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from optimizer.errors import InputError
from optimizer.spec.scalars import scalar

MAX_BYTES = 1 << 20
MAX_VALUES = 20_000
MAX_DEPTH = 32
MAX_MISTAKES = 8
"""Mistakes of one document that are told; the others are counted."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

M = TypeVar("M", bound=BaseModel)


def read_text(path: Path, kind: str = "YAML file", most: int = MAX_BYTES, encoding: str = "utf-8") -> str:
    """The text of a regular file of at most `most` bytes in UTF-8; InputError for anything else.

    All files of a user's are read here, so that all are refused alike.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a {kind} in it")
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file")
        size = path.stat().st_size
        if size > most:
            raise InputError(f"{path}: {size} bytes; a file of at most {most} bytes is accepted")
        return path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{str(path)[:200]}: {error.strerror or error}") from None
    except ValueError:  # a null byte in the name
        raise InputError(f"{str(path)[:200]}: no such file") from None


def read_yaml(path: Path) -> Any:
    """Parse one YAML file; InputError for anything that is not a small, plain document."""
    return parse_yaml(read_text(path), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML text, scalars as in YAML 1.2; tags, aliases, duplicate keys, large documents are refused."""
    if len(text) > MAX_BYTES:
        raise InputError(f"{name}: {len(text)} characters; at most {MAX_BYTES} are accepted")
    reader = _Reader(name, "\n" in text)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            reader.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{name}:{where} is not valid YAML: {problem}") from None
    except ValueError as error:  # of the YAML library, for a character that no text holds
        raise InputError(f"{name}: holds a value that cannot be read: {str(error)[:120]}") from None
    return reader.document()


class _Reader:
    """Builds a document from the parser's events, so that every limit is kept before memory is spent."""

    def __init__(self, name: str, lines: bool) -> None:
        self.name, self.lines = name, lines
        self.values = 0
        self.roots: list[Any] = []
        self.open: list[Any] = []
        self.keys: list[Any] = []
        """The key of each open mapping whose value comes next; `_NONE` where a key comes next."""

    def document(self) -> Any:
        """The one document read."""
        if not self.roots:
            raise InputError(f"{self.name}: is empty")
        return self.roots[0]

    def take(self, event: Any) -> None:
        """One event of the parser."""
        if isinstance(event, yaml.DocumentStartEvent) and self.roots:
            raise self._error(event, "is not valid YAML: a second document begins; one is accepted")
        if isinstance(event, yaml.CollectionEndEvent):
            self.open.pop()
            self.keys.pop()
        elif isinstance(event, yaml.NodeEvent):
            self._count(event)
            if isinstance(event, yaml.ScalarEvent):
                self._put(event, self._scalar(event))
            else:
                self._enter(event, {} if isinstance(event, yaml.MappingStartEvent) else [])

    def _count(self, event: Any) -> None:
        self.values += 1
        if self.values > MAX_VALUES:
            raise InputError(f"{self.name}: more than {MAX_VALUES} values")
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise self._error(event, "YAML aliases (&, *) are not accepted; write the value out")
        if event.tag is not None:
            raise self._error(event, "YAML tags (!) are not accepted; write the plain value")

    def _enter(self, event: Any, collection: Any) -> None:
        if len(self.open) >= MAX_DEPTH:
            raise InputError(f"{self.name}: is nested too deeply; {MAX_DEPTH} levels are accepted")
        self._put(event, collection)
        self.open.append(collection)
        self.keys.append(_NONE)

    def _scalar(self, event: Any) -> Any:
        if not event.implicit[0]:
            return event.value
        try:
            return scalar(event.value)
        except ValueError as error:
            raise self._error(event, str(error)) from None

    def _put(self, event: Any, value: Any) -> None:
        if not self.open:
            self.roots.append(value)
        elif isinstance(self.open[-1], list):
            self.open[-1].append(value)
        elif self.keys[-1] is _NONE:
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise self._error(event, "is not valid YAML here: a key is text or a whole number")
            if value in self.open[-1]:
                raise self._error(event, f"'{str(value)[:64]}' is given twice in one block")
            self.keys[-1] = value
        else:
            self.open[-1][self.keys[-1]] = value
            self.keys[-1] = _NONE

    def _error(self, event: Any, problem: str) -> InputError:
        line = f"line {event.start_mark.line + 1}: " if self.lines else ""
        key = next((str(k)[:64] for k in reversed(self.keys) if k is not _NONE), "")
        return InputError(f"{self.name}: {line}{key + ': ' if key else ''}{problem}")


_NONE = object()


def check_size(data: Any, name: str, most: int = MAX_VALUES) -> None:
    """The same limits for a document that another parser has read."""
    for count, (depth, _) in enumerate(_walk(data), 1):
        if count > most:
            raise InputError(f"{name}: more than {most} values")
        if depth > MAX_DEPTH:
            raise InputError(f"{name}: is nested too deeply; {MAX_DEPTH} levels are accepted")


def _walk(data: Any) -> Iterator[tuple[int, Any]]:
    """Every value below `data` and how deep it lies, without recursion."""
    stack = [(0, data)]
    while stack:
        depth, value = stack.pop()
        yield depth, value
        inner = (
            value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
        )
        stack.extend((depth + 1, item) for item in inner)


def validate(model: type[M], data: Any, name: str) -> M:
    """Validate data against a model; all mistakes are gathered into one InputError."""
    if not isinstance(data, dict):
        fields = ", ".join(model.model_fields)
        raise InputError(f"{name}: holds {_KINDS.get(type(data), 'a value')}, not fields; accepted: {fields}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(error, name)) from None


_KINDS: dict[type, str] = {
    str: "text",
    list: "a list",
    int: "a number",
    float: "a number",
    bool: "true or false",
}
_KINDS[type(None)] = "nothing"


def _explain(error: ValidationError, name: str) -> str:
    lines: dict[str, None] = {}
    for item in error.errors(include_url=False):
        path = ".".join(str(part)[:64] for part in item["loc"] if not _internal(part))
        message = item["msg"].removeprefix("Value error, ")
        shown = "" if item["type"] in ("value_error", "missing") else f" (got {_short(item['input'])})"
        lines[f"{name}: {path + ': ' if path else ''}{message}{shown}"] = None
    told = list(lines)[:MAX_MISTAKES]
    more = len(lines) - len(told)
    return "\n".join([*told, f"{name}: and {more} more mistakes"] if more else told)


def _internal(part: Any) -> bool:
    """Parts of a location that pydantic adds for unions and validators, meaningless to a user."""
    return isinstance(part, str) and (
        part in ("a model", "a lattice", "a name", "an engine") or part.startswith("function-")
    )


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    try:
        text = repr(value)
    except ValueError:
        return "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."
