"""YAML files in, models out: bounded in size and depth, strict, and each mistake told in one sentence."""

from collections import Counter
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from optimizer.errors import InputError

MAX_BYTES = 1 << 20
MAX_NODES = 200_000
MAX_DEPTH = 32
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

M = TypeVar("M", bound=BaseModel)


def read_yaml(path: Path) -> Any:
    """Parse one YAML file; InputError for anything that is not a small, plain document."""
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a directory; name a YAML file in it")
        if not path.exists():
            raise InputError(f"{path}: no such file")
        if not path.is_file():
            raise InputError(f"{path}: is not a regular file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path}: {size} bytes; a file of at most {MAX_BYTES} bytes is accepted")
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML text; aliases, duplicate keys and very large documents are refused."""
    _check_depth(text, name)
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise InputError(f"{name}: is empty")
        _check_nodes(node, name)
        return loader.construct_document(node)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{name}:{where} is not valid YAML: {problem}") from None
    except (ValueError, OverflowError) as error:
        raise InputError(f"{name}: holds a value that cannot be read: {str(error)[:120]}") from None
    except RecursionError:
        raise InputError(f"{name}: is nested too deeply") from None
    finally:
        loader.dispose()


def _check_depth(text: str, name: str) -> None:
    """Refuse deep nesting before nodes are composed, which recurses, in C, without a limit."""
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_Loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise InputError(f"{name}: is nested too deeply; {MAX_DEPTH} levels are accepted")
    except (yaml.YAMLError, ValueError):
        return  # told better by the parse that follows


def _check_nodes(root: Any, name: str) -> None:
    seen: set[int] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if id(node) in seen:
            raise InputError(f"{name}: YAML aliases (&, *) are not accepted; write the value out")
        seen.add(id(node))
        if len(seen) > MAX_NODES:
            raise InputError(f"{name}: more than {MAX_NODES} values")
        if isinstance(node, yaml.MappingNode):
            keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for key, times in keys.items():
                if times > 1:
                    line = node.start_mark.line + 1
                    raise InputError(f"{name}: '{key}' is given twice in the block at line {line}")
            stack.extend(part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            stack.extend(node.value)


def validate(model: type[M], data: Any, name: str) -> M:
    """Validate data against a model; all mistakes are gathered into one InputError."""
    if not isinstance(data, dict):
        fields = ", ".join(model.model_fields)
        raise InputError(f"{name}: holds {type(data).__name__}, not fields; accepted: {fields}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InputError(_explain(error, name)) from None


def _explain(error: ValidationError, name: str) -> str:
    lines = []
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in item["loc"] if not _internal(part))
        message = item["msg"].removeprefix("Value error, ")
        shown = "" if item["type"] in ("value_error", "missing") else f" (got {_short(item['input'])})"
        lines.append(f"{name}: {path + ': ' if path else ''}{message}{shown}")
    return "\n".join(dict.fromkeys(lines))


def _internal(part: Any) -> bool:
    """Parts of a location that pydantic adds for unions and validators, meaningless to a user."""
    return isinstance(part, str) and (part in ("a model", "a lattice") or part.startswith("function-"))


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:
        return "a huge number"
    return text if len(text) <= 60 else text[:57] + "..."
