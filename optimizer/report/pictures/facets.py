"""A sweep: the objective over the first field, a line for each value of the second, a panel for the rest."""

from itertools import product
from typing import Any

from optimizer.plugins import plugins
from optimizer.report.numbers import count, short
from optimizer.report.pictures.scene import Axis, Panel, Picture, Series
from optimizer.report.pictures.style import looks
from optimizer.report.pictures.write import save
from optimizer.report.plans import names_of
from optimizer.report.words import chip_title, measured_in, plain, scaled, title_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Sweep, SweepRow

_COLUMNS = 3


def draw(found: Sweep, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Sweep) -> Picture:
    """A panel for each combination of the fields after the second; all share their axes."""
    aim = found.objective
    panels = list(found.over)[2:]
    facets = [dict(zip(panels, values, strict=True)) for values in product(*(found.over[n] for n in panels))]
    x, y = _axes(found)
    columns = min(_COLUMNS, len(facets))
    drawn = tuple(Panel(x, y, tuple(_lines(found, at)), _named(at)) for at in facets)
    solved = sum(row.plan is not None for row in found.rows)
    return Picture(
        title=plain(f"{found.problem['name']}: best {title_of(aim.metric).lower()} over {x.title.lower()}"),
        subtitle=f"{solved} of {len(found.rows)} problems have a plan",
        panels=drawn,
        columns=columns,
        width=max(1000, 460 * columns),
        height=max(650, 380 * -(-len(facets) // columns)),
    )


def _axes(found: Sweep) -> tuple[Axis, Axis]:
    name, values = next(iter(found.over.items()))
    factor, unit = scaled(found.objective.metric, found.objective.unit)
    reached = [factor * row.plan.metrics[found.objective.metric] for row in found.rows if row.plan]
    low, high = (min(reached), max(reached)) if reached else (0.0, 1.0)
    room = 0.06 * (high - low or abs(high) or 1.0)
    titles = title_of(name), measured_in(found.objective.metric, unit)
    y = Axis(titles[1], limits=(low - room, high + room))
    if all(_is_number(value) for value in values):
        wide = 0.05 * (max(values) - min(values) or 1.0)
        return Axis(titles[0], limits=(min(values) - wide, max(values) + wide)), y
    return Axis(titles[0], categories=tuple(_text(name, value) for value in values)), y


def _lines(found: Sweep, facet: dict[str, Any]) -> list[Series]:
    """The points of one panel, a series for each value of the second field."""
    first, *second = list(found.over)[:2]
    values = found.over[second[0]] if second else (None,)
    labels = [_named({second[0]: value}) if second else "" for value in values]
    look = looks(labels)
    factor, _ = scaled(found.objective.metric, found.objective.unit)
    lines = []
    for label, value in zip(labels, values, strict=True):
        at = facet | ({second[0]: value} if second else {})
        own = [row for row in found.rows if row.plan and all(row.at[n] == v for n, v in at.items())]
        lines.append(
            Series(
                label,
                tuple(_place(row.at[first], found.over[first]) for row in own),
                tuple(factor * row.plan.metrics[found.objective.metric] for row in own if row.plan),
                *look[label],
                line="straight",
                hover=tuple(_hover(found, row) for row in own),
                listed=bool(label),
            )
        )
    return lines


def _place(value: Any, values: tuple[Any, ...]) -> float:
    """Where a value lies: itself if all are numbers, else its place in the list."""
    return float(value) if all(map(_is_number, values)) else float(values.index(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _named(at: dict[str, Any]) -> str:
    return plain(", ".join(f"{title_of(name)} {_text(name, value)}" for name, value in at.items()))


def _text(name: str, value: Any) -> str:
    if name == "hardware" and isinstance(value, str):
        return plain(chip_title(value), 30)
    return plain(count(value) if _is_number(value) else str(value), 30)


def _decided(plan: Plan) -> tuple[str, ...]:
    """What the plan decides, in a line or two."""
    if not plan.designed:
        return tuple(
            plain(f"{name}: {text}".replace("\n", ", "), 160) for name, text in names_of(plan).items()
        )
    a, pool = plan.dimensions, plan.pools[0]
    shapes = (plugins("blocks")[kind].FIELDS.dimensions().items() for kind in (a.ffn, a.mixer))
    name, own = next(said for shape in shapes for said in shape)
    return (
        f"{a.n_layers} layers, model width {a.d_model}, {own.title.lower()} {getattr(a, name)}",
        plain(f"{chip_title(pool.chip)}, tensor parallel {pool.split.tensor_parallel}"),
    )


def _hover(found: Sweep, row: SweepRow) -> tuple[str, ...]:
    if row.plan is None:
        return ()
    aim = found.objective
    return (
        plain(", ".join(f"{title_of(name)} {_text(name, value)}" for name, value in row.at.items()), 160),
        f"{title_of(aim.metric)}: {short(row.plan.metrics[aim.metric])} {aim.unit}",
        *_decided(row.plan),
    )
