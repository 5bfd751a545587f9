"""What the commands that list a catalogue share."""

import argparse
from collections.abc import Callable
from typing import Any

from optimizer.commands._output import dump, show


def catalogue_arguments(parser: argparse.ArgumentParser) -> None:
    """An optional name."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="show one of them in full")


def item(arguments: argparse.Namespace, item: Any, derived: dict[str, Any] | None = None) -> int:
    """One entry in full, and what follows from it."""
    data = item.model_dump(mode="json", exclude_unset=True) | (derived or {})
    if arguments.json:
        return dump(arguments, data)
    from optimizer.report import catalogues

    return show(arguments, catalogues.details(data))


def listing(arguments: argparse.Namespace, items: list[Any], table: Callable[..., Any]) -> int:
    """All entries, as a table."""
    if arguments.json:
        return dump(arguments, [item.model_dump(mode="json", exclude_unset=True) for item in items])
    return show(arguments, table(items))
