"""Types and options that several commands take."""

import argparse
import contextlib
from typing import Any

from optimizer.errors import InputError
from optimizer.spec.scalars import decimal


def option(field: str) -> str:
    """The option that gives a field, without its dashes."""
    return field.replace("_", "-")


def positive(text: str) -> float:
    """A positive number."""
    with contextlib.suppress(ValueError):
        if (value := decimal(text)) > 0:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a positive number")


def amount(text: str) -> float:
    """A number from 0."""
    with contextlib.suppress(ValueError):
        if (value := decimal(text)) >= 0:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0")


def seconds(text: str) -> float:
    """A positive time: a number of seconds, or one with a unit, such as 1.5h."""
    from optimizer.spec.quantity import parse_time

    with contextlib.suppress(argparse.ArgumentTypeError):
        return positive(text)
    with contextlib.suppress(ValueError, argparse.ArgumentTypeError):
        return positive(repr(parse_time(text, "s")))
    raise argparse.ArgumentTypeError(
        f"{text[:40]!r} is not a positive number of seconds, nor a time with a unit, such as 30min or 1.5h"
    )


def natural(text: str) -> int:
    """A whole number from 0."""
    if text.isascii() and text.isdigit() and int(text[:12]) < 2**31 and len(text) < 11:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0{_spelling(text)}")


def whole(text: str) -> int:
    """A whole number from 1."""
    with contextlib.suppress(argparse.ArgumentTypeError):
        if (value := natural(text)) > 0:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1{_spelling(text)}")


def count(text: str) -> int:
    """A whole number from 0, also as 64k, 64Ki, 8.03B."""
    from optimizer.spec.quantity import parse_count

    try:
        return parse_count(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def tokens(text: str) -> int:
    """A count from 1."""
    if (value := count(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1")


def _spelling(text: str) -> str:
    from optimizer.spec.quantity import spelling

    return spelling(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    with contextlib.suppress(ValueError):
        if 0 <= decimal(text) <= 1:
            return decimal(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 0 to 1")


def share(text: str) -> float:
    """A percentage, as a share."""
    with contextlib.suppress(ValueError):
        value = decimal(text.removesuffix("%")) / 100
        if 0 <= value <= 10:
            return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a percentage such as 1%")


def overrides(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as a dictionary; InputError for anything else."""
    from optimizer.spec.loading import parse_yaml

    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair[:60]}: write KEY=VALUE, such as workload.batch=64")
        if key.strip() in found:
            raise InputError(f"--set {key.strip()[:60]}: is given twice; give it once")
        found[key.strip()] = parse_yaml(text, f"--set {key.strip()[:200]}") if text.strip() else None
    return found
