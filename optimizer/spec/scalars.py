"""Plain scalars of a YAML document, read as YAML 1.2's core schema; what YAML 1.1 reads otherwise is refused.

Readers of both versions are in use, and people know either: 010 is 8 or 10, 1:30 is 90 or text, yes is true
or text. A number that means something else to the writer than to the reader is worse than a message.
"""

import math
import re

_WORDS: dict[str, bool | None] = dict.fromkeys(("null", "Null", "NULL", "~", ""))
_WORDS |= dict.fromkeys(("true", "True", "TRUE"), True) | dict.fromkeys(("false", "False", "FALSE"), False)
_TRUE_IN_1_1 = {"y", "yes", "on"}
_FALSE_IN_1_1 = {"n", "no", "off"}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST = 64

_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_BASE = re.compile(r"[-+]?0([xX][0-9a-fA-F_]+|[oO][0-7_]+|[bB][01_]+)")
_UNDERSCORES = re.compile(r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?")
_SIXTIES = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(([Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(\.[0-9]*)?([ \t]*(Z|[-+][0-9]{1,2}(:?[0-9]{2})?))?)?"
)


def scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar. ValueError for what the two versions read differently."""
    if text in _WORDS:
        return _WORDS[text]
    first = text[0]
    if not (first.isdigit() or first in "+-.<=" or len(text) <= 3):
        return text
    if _INTEGER.fullmatch(text):
        return int(_short_enough(text))
    if trap := _trap(text):
        raise ValueError(trap)
    if _FLOAT.fullmatch(text):
        return _finite(float(_short_enough(text)), text)
    return text


def _short_enough(text: str) -> str:
    if len(text) > _LONGEST:
        raise ValueError(f"a number of {len(text)} characters; at most {_LONGEST} are read")
    return text


def _finite(value: float, text: str) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large for a number")
    return value


def _trap(text: str) -> str:
    """What is wrong with a scalar that has two readings, or ''."""
    word = text.lower()
    if word in _TRUE_IN_1_1 or word in _FALSE_IN_1_1:
        meant = "true" if word in _TRUE_IN_1_1 else "false"
        return f"{text} is {meant} in YAML 1.1 and text in YAML 1.2; write {meant}, or '{text}' for the text"
    if not text.isascii() or len(text) > _LONGEST:
        return ""
    if _LEADING_ZERO.fullmatch(text):
        old = str(int(text, 8)) if _is_octal(text) else "text"
        return f"{text} is {old} in YAML 1.1 and {int(text)} in YAML 1.2; {_write(int(text), text)}"
    if _BASE.fullmatch(text):
        return _other_base(text)
    if "_" in text and _UNDERSCORES.fullmatch(text):
        plain = text.replace("_", "")
        return f"{text} is {plain} in YAML 1.1 and text in YAML 1.2; {_write(plain, text)}"
    if _SIXTIES.fullmatch(text):
        base_60 = f"{_sixties(text):.12g}"
        return f"{text} is {base_60} in YAML 1.1 and text in YAML 1.2; {_write(base_60, text)}"
    if _DATE.fullmatch(text):
        return f"{text} is a date in YAML 1.1 and text in YAML 1.2; write '{text}' in quotes"
    if _NOT_FINITE.fullmatch(text):
        return f"{text} is no finite number; leave the field out, or give a number"
    if text in ("<<", "="):
        return f"{text} has a meaning of its own in YAML 1.1; write the fields out"
    return ""


def _write(number: object, text: str) -> str:
    return f"write {number}, or '{text}' for the text"


def _is_octal(text: str) -> bool:
    return not set(text) & set("89")


def _other_base(text: str) -> str:
    digits = text.replace("_", "")
    bits = digits.lstrip("+-")[1].lower() == "b"
    value = int(digits, 2 if bits else 0)
    readings = {
        "x": f"{value} in hexadecimal",
        "o": f"text in YAML 1.1 and {value} in YAML 1.2",
        "b": f"{value} in YAML 1.1 and text in YAML 1.2",
    }[digits.lstrip("+-")[1].lower()]
    return f"{text} is {readings}, and numbers are read in decimal; {_write(value, text)}"


def _sixties(text: str) -> float:
    sign = -1 if text.startswith("-") else 1
    total = 0.0
    for part in text.lstrip("+-").replace("_", "").split(":"):
        total = total * 60 + float(part)
    return sign * total


def decimal(text: str) -> float:
    """A number typed or in a cell, in ASCII digits: no 1_000, no other script, no inf; else ValueError."""
    if len(text) > _LONGEST or not _FLOAT.fullmatch(text.strip(" ")):
        raise ValueError(f"{text[:20]!r} is not a number")
    return _finite(float(text), text)
