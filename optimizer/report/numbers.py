"""Numbers as people of the field write them."""

from typing import Any


def short(value: float) -> str:
    """Four significant digits; integers in full up to five digits."""
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{int(value)}"
    if abs(value) >= 1e4:
        return f"{value:,.0f}"
    digits = f"{value:.4g}"
    return digits if "e" not in digits else f"{value:.3e}"


def count(value: float) -> str:
    """8,030,261,248 as 8.030B."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:.4g}{unit}"
    return short(value)


def exact(value: float) -> str:
    """Six significant digits, counts in millions and billions: for a value beside its bound."""
    for unit, size in (("B", 1e9), ("M", 1e6)):
        if abs(value) >= size:
            return f"{value / size:.6g}{unit}"
    return f"{value:.6g}"


def signed(value: float) -> str:
    """With its sign; '=' for nothing."""
    return "=" if value == 0 else ("+" if value > 0 else "-") + short(abs(value))


def percent(value: float, base: float) -> str:
    """Relative difference, '' where the base is zero."""
    return "" if not base else f"{value / base:+.1%}"


def value_of(name: str, value: Any) -> str:
    """A metric or dimension as text."""
    if name in ("n_params", "n_active_params"):
        return count(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short(value) if isinstance(value, int | float) else str(value)
