"""Options that are given once: a second use is an error, not a silent replacement; what was typed is kept."""

import argparse
from collections.abc import Iterable, Mapping
from typing import Any

from optimizer.errors import InputError


class _Once(argparse.Action):
    def note(self, namespace: argparse.Namespace, option: str | None) -> None:
        """Remember the option as typed; refuse it the second time."""
        if option is None:
            return
        given = typed(namespace)
        if self.dest in given:
            raise InputError(f"{option}: is given twice; give it once")
        namespace.typed = given | {self.dest: self.option_strings[-1]}


class _Store(_Once):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        self.note(namespace, option)
        setattr(namespace, self.dest, values)


class _Switch(_Once):
    def __init__(self, option_strings: list[str], dest: str, default: bool = False, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=default, **more)

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option: Any = None) -> None:
        self.note(namespace, option)
        setattr(namespace, self.dest, True)


def register(parser: argparse.ArgumentParser) -> None:
    """Make these the options of a parser. Repeatable ones say action='append'."""
    for name, action in ((None, _Store), ("store", _Store), ("store_true", _Switch)):
        parser.register("action", name, action)


def typed(arguments: argparse.Namespace) -> dict[str, str]:
    """The options that were typed: the attribute they set, and their name."""
    return dict(getattr(arguments, "typed", {}))


def refuse(arguments: argparse.Namespace, options: Iterable[str], why: str) -> None:
    """InputError if one of these options was typed, because it would do nothing."""
    given = typed(arguments)
    for name in options:
        attribute = name.replace("-", "_")
        if attribute in given:
            raise InputError(f"{given[attribute]}: does nothing {why}; leave it out")


def needs(arguments: argparse.Namespace, other: Mapping[str, str]) -> None:
    """InputError for an option that does nothing without another: {'draft-cost': 'draft-tokens'}."""
    given = typed(arguments)
    for name, wanted in other.items():
        if wanted.replace("-", "_") not in given:
            refuse(arguments, [name], f"without --{wanted}")
