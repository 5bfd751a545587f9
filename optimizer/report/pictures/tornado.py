"""A perturbation as a tornado: one bar a change, the largest effect on top."""

from optimizer.report.numbers import short, signed, value_of
from optimizer.report.pictures.scene import Axis, Bars, Panel, Picture
from optimizer.report.pictures.style import COLOURS
from optimizer.report.pictures.write import save
from optimizer.report.words import measured_in, plain, scaled, title_of
from optimizer.spec.studies import Change, Perturbation

SHOWN = 25
_KINDS = {
    "constraint": ("A rule moved or dropped", COLOURS[0]),
    "dimension": ("A choice held at another value", COLOURS[1]),
    "constant": ("A constant changed", COLOURS[2]),
    "band": ("The cost model at the end of its bands", COLOURS[3]),
}


def draw(found: Perturbation, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Perturbation) -> Picture:
    """A bar for each change that moves the optimum, as far as there is room; the subtitle says how many."""
    moved = [change for change in found.changes if change.difference]
    shown = moved[:SHOWN]
    aim, names = found.objective, [name_of(change) for change in shown]
    factor, unit = scaled(aim.metric, aim.unit)
    last = len(shown) - 1
    marks = []
    for kind, (label, colour) in _KINDS.items():
        rows = [i for i, change in enumerate(shown) if change.kind == kind]
        if rows:
            lengths = tuple(factor * (shown[i].difference or 0.0) for i in rows)
            hover = tuple(_hover(found, shown[i], names[i]) for i in rows)
            texts = tuple(map(signed, lengths))
            marks.append(Bars(label, tuple(last - i for i in rows), lengths, colour, texts, hover))
    better = "left" if aim.sense == "min" else "right"
    number = f"{len(shown)} of {len(moved)} changes" if len(moved) > SHOWN else f"{len(moved)} changes"
    start = "none" if found.value is None else f"{value_of(aim.metric, found.value)} {aim.unit}"
    ends = [0.0, *(length for mark in marks for length in mark.lengths)]
    room = 0.14 * (max(ends) - min(ends)) or 1.0  # for the numbers beside the bars
    axis = Axis(
        f"Change: {measured_in(aim.metric, unit)}, better to the {better}",
        limits=(min(ends) - room, max(ends) + room),
    )
    return Picture(
        title=plain(f"{found.problem['name']}: what moves the {title_of(aim.metric).lower()}"),
        subtitle=f"{number} that move the optimum, which is {start}",
        panels=(Panel(axis, Axis("", categories=tuple(reversed(names))), tuple(marks)),),
        width=1100,
        height=max(380, 190 + 26 * len(shown)),
    )


def name_of(change: Change) -> str:
    """What was changed and to what, in words: 'Query heads per key-value head: 16'."""
    move = change.move.removeprefix("= ")
    if change.move == "dropped":
        return plain(f"{title_of(change.name)}: rule dropped")
    if move.startswith(("low ", "high ")):
        end, _, by = move.partition(" ")
        move = f"{'least' if end == 'low' else 'most'} {by}"
    return plain(f"{title_of(change.name)}: {move}".replace(" %", "%"))


def _hover(found: Perturbation, change: Change, name: str) -> tuple[str, ...]:
    aim = found.objective
    becomes = "" if change.objective is None else f"{value_of(aim.metric, change.objective)} {aim.unit}"
    values = ((field, (_text(a), _text(b))) for field, (a, b) in change.plan.items())
    moved = [plain(f"{title_of(field)}: {old} to {new}") for field, (old, new) in values]
    return (name, f"{title_of(aim.metric)}: {becomes}", *(moved or ["The same plan"]))


def _text(value: object) -> str:
    return short(value) if isinstance(value, int | float) else str(value)
