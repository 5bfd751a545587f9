"""The formula of an operator, with its numbers, and the source of each constant."""

from rich.console import Group

from optimizer.report.numbers import short
from optimizer.report.parts import titled_lines
from optimizer.spec.estimate import Derivation


def report(d: Derivation) -> Group:
    """The formula of an operator, the formula with its numbers, and the source of each constant."""
    lines = []
    for key, formula in d.formulas.items():
        lines += [f"{key} = {formula}", f"  = {d.numbers[key]}", f"  = {d.values[key]:.6g}"]
    terms = ", ".join(f"{name} {short(value)} us" for name, value in d.terms_us.items() if value)
    return Group(
        titled_lines(f"{d.operator}, {d.phase} step, one layer", lines),
        titled_lines("Terms", [f"{terms}; bound by {d.bound_by}"]),
        titled_lines("Sources", [f"{name}: {source}" for name, source in d.sources.items()]),
    )
