"""What a reader should know of a frontier before believing its shape."""

from optimizer.spec.studies import Aim, AnyPlan

_SAME = 1e-12


def notes_of(aims: tuple[Aim, ...], points: tuple[AnyPlan, ...]) -> tuple[str, ...]:
    """Objectives that do not trade against each other, and why."""
    if len(points) != 1:
        return ()
    names = " and ".join(aim.metric for aim in aims)
    return (
        f"one plan is best in {names}: they are constant here, copies of each other, or improve together "
        f"(to within the steps)",
    )
