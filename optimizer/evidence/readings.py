"""Cells of a row of points; one that cannot be read says why its row is not scored."""

from optimizer.spec.cells import number, whole


class Unreadable(Exception):
    """Why a row is not scored."""


def number_of(row: dict[str, str], name: str) -> float:
    """A positive number."""
    try:
        return number(row.get(name, ""))
    except ValueError as error:
        raise Unreadable(f"{name} is {error}") from None


def count_of(row: dict[str, str], name: str) -> int:
    """A whole number from 1."""
    try:
        return whole(row.get(name, ""))
    except ValueError as error:
        raise Unreadable(f"{name} is {error}") from None
