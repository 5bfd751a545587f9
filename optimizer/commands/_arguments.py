"""Types and options that several commands take."""

import argparse
import contextlib
from typing import Any

from optimizer.errors import InputError


def positive(text: str) -> float:
    """A positive number."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")


def natural(text: str) -> int:
    """A whole number from 0."""
    if text.isascii() and text.isdigit() and int(text[:12]) < 2**31 and len(text) < 11:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0")


def whole(text: str) -> int:
    """A whole number from 1."""
    if (value := natural(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")


def share(text: str) -> float:
    """A percentage, as a share."""
    with contextlib.suppress(ValueError):
        value = float(text.removesuffix("%")) / 100
        if 0 <= value <= 10:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a percentage such as 1%")


def overrides(pairs: list[str]) -> dict[str, Any]:
    """KEY=VALUE pairs as a dictionary; InputError for anything else."""
    from optimizer.spec.loading import parse_yaml

    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair[:60]}: write KEY=VALUE, such as workload.batch=64")
        found[key.strip()] = parse_yaml(text, f"--set {key}") if text.strip() else None
    return found
