"""A frontier: two objectives as axes, a third as colour, a look a chip; what was not searched is shaded."""

from collections.abc import Iterable, Sequence

from optimizer.report.numbers import value_of
from optimizer.report.pictures.scene import Axis, Line, Mark, Panel, Picture, Region, Scale, Series
from optimizer.report.pictures.style import ALIEN, SOFT, looks
from optimizer.report.pictures.write import save
from optimizer.report.plans import names_of
from optimizer.report.words import chip_title, measured_in, plain, scaled, title_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Frontier, Gap

_PHASE = {"prefill": "prefill", "decode": "decode", "aggregated": ""}
GAP = "not searched"
_SAYS = {
    "complete": "complete: no plan of the lattice is missing",
    "partial": "partial: what was not searched is shaded",
    "infeasible": "no plan keeps every rule",
    "unknown": "stopped before any point was found",
}


def draw(found: Frontier, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Frontier) -> Picture:
    """The objectives against each other; beside them what users and chips get, where plans say."""
    first, second, *third = found.objectives
    both = _serves(found)
    panels = (_trade(found), *([_service(found)] if both else []))
    noun = "point" if len(found.points) == 1 else "points"
    return Picture(
        title=plain(
            f"{found.problem['name']}: {title_of(first.metric)} against {title_of(second.metric).lower()}"
        ),
        subtitle=f"Frontier, {len(found.points)} {noun}, {_SAYS[found.status]}",
        panels=panels,
        columns=len(panels),
        width=1400 if both else 1000,
        scale=_scale(third[0], found.points) if third and found.points else None,
    )


def pools_of(plan: Plan) -> str:
    """The chips of a plan, by phase where phases differ: what its colour and label stand for."""
    pools = plan.pools
    if plan.designed:
        return chip_title(pools[0].chip)
    chips: dict[str, list[str]] = {}
    for pool in plan.pools:
        kinds = chips.setdefault(_PHASE[pool.phase], [])
        kinds += [chip_title(pool.chip)] if chip_title(pool.chip) not in kinds else []
    named = {phase: " + ".join(sorted(kinds)) for phase, kinds in chips.items()}
    if len(named) == 2 and len(set(named.values())) == 1:
        return f"{named['prefill']}, prefill and decode apart"
    return ", ".join(f"{kinds} {phase}".strip() for phase, kinds in named.items())


def _trade(found: Frontier) -> Panel:
    """The first two objectives, points and models beside them."""
    first, second, *third = found.objectives
    where = [(_at(first, plan.metrics), _at(second, plan.metrics)) for plan in found.points]
    beside = [(_at(first, row.metrics), _at(second, row.metrics)) for row in found.placed]
    every = range(len(found.points))
    wide = [[end for pair in _ends(found, aim, every) for end in pair] for aim in (first, second)]
    x = Axis(_label(first), _limits([x for x, _ in where + beside], wide[0]))
    y = Axis(_label(second), _limits([y for _, y in where + beside], [*wide[1], *_edges(second, found.gaps)]))
    line = [] if third or not where else [_line(where, SOFT, "steps")]
    colours = [_at(third[0], plan.metrics) for plan in found.points] if third else []
    shades = _shades(second, found.gaps, y)
    points = _by_chip(found, where, colours, (first, second))
    marks: tuple[Mark, ...] = (*shades, *line, *points, *_placed(found, beside))
    return Panel(x, y, marks, "Objectives" if _serves(found) else "")


def _service(found: Frontier) -> Panel:
    """Tokens a second of each chip against tokens a second of each user; a curve a chip."""
    where = [served for plan in found.points if (served := _served(plan))]
    x = Axis("Tokens/s of each user", _limits([x for x, _ in where], ()))
    y = Axis("Output tokens/s of each chip", _limits([y for _, y in where], ()))
    lines = []
    for label, (colour, _) in _looks(found).items():
        own = [place for place, plan in zip(where, found.points, strict=True) if pools_of(plan) == label]
        lines.append(_line(_upper(own), colour, "straight"))
    timed = [aim for aim in found.objectives[1:] if aim.metric == "tpot_ms"]
    shades = [shade for aim in timed for shade in _slow(aim, found.gaps, x)]
    return Panel(x, y, (*shades, *lines, *_by_chip(found, where, [])), "Throughput over interactivity")


def _slow(aim: Aim, gaps: Iterable[Gap], axis: Axis) -> list[Region]:
    """Gaps in the time of a token as gaps in the tokens of a second."""
    assert axis.limits is not None
    fast, slow = axis.limits[1], max(axis.limits[0], 1e-3)
    return [
        Region(GAP, "x", 1e3 / high, 1e3 / low) for low, high in _spans(aim, gaps, (1e3 / fast, 1e3 / slow))
    ]


def _upper(places: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places with none above and to the right of them, from the left."""
    kept: list[tuple[float, float]] = []
    for x, y in sorted(places, reverse=True):
        if not kept or y > kept[-1][1]:
            kept.append((x, y))
    return kept[::-1]


def _line(places: Sequence[tuple[float, float]], colour: str, line: Line) -> Series:
    return Series("", *_columns(places), colour, marker="", line=line, listed=False)


def _serves(found: Frontier) -> bool:
    """Whether users and chips have rates to draw, and these are what the study is about."""
    asked = {aim.metric for aim in found.objectives}
    about = "tpot_ms" in asked and bool(asked & {"output_tokens_per_s", "output_tokens_per_s_per_chip"})
    deployed = not any(plan.designed for plan in found.points)
    return bool(found.points) and (deployed or about) and all(map(_served, found.points))


def _served(plan: Plan) -> tuple[float, float] | None:
    """Tokens a second of one user and of one chip."""
    m = plan.metrics
    rate, chips = m.get("output_tokens_per_s"), m.get("chips")
    each = m.get("output_tokens_per_s_per_chip", rate / chips if rate and chips else None)
    return (1e3 / m["tpot_ms"], each) if m.get("tpot_ms") and each else None


def _by_chip(
    found: Frontier,
    where: Sequence[tuple[float, float]],
    colours: Sequence[float],
    aims: Sequence[Aim] = (),
) -> list[Series]:
    """A series for each mix of chips, in the same look everywhere; bars where `aims` are axes with bands."""
    labels = [pools_of(plan) for plan in found.points]
    marks, look = [], _looks(found)
    for label, (colour, marker) in look.items():
        rows = [i for i, own in enumerate(labels) if own == label]
        series = Series(
            plain(label),
            *_columns([where[i] for i in rows]),
            colour,
            marker,
            hover=tuple(_hover(found, i) for i in rows),
            values=tuple(colours[i] for i in rows) if colours else (),
            x_ends=_ends(found, aims[0], rows) if aims else (),
            y_ends=_ends(found, aims[1], rows) if aims else (),
            size=9,
            listed=not colours or len(look) > 1,
        )
        marks.append(series)
    return marks


def _ends(found: Frontier, aim: Aim, rows: Sequence[int]) -> tuple[tuple[float, float], ...]:
    """What points may turn out to be in a metric, as its axis shows it; nothing where one has no band."""
    bands = [found.bands[row].get(aim.metric) for row in rows] if found.bands else [None]
    factor = scaled(aim.metric, aim.unit)[0]
    known = tuple((band.low * factor, band.high * factor) for band in bands if band is not None)
    return known if len(known) == len(bands) else ()


def _looks(found: Frontier) -> dict[str, tuple[str, str]]:
    return looks(sorted({pools_of(plan) for plan in found.points}))


def _placed(found: Frontier, where: Sequence[tuple[float, float]]) -> list[Series]:
    """Published models beside the frontier: crosses, named in the legend."""
    return [
        Series(
            plain(f"{row.name.rsplit('/', 1)[-1]}: {row.verdict}"),
            *_columns([place]),
            ALIEN[i % len(ALIEN)],
            "x",
            hover=((plain(f"{row.name}: {row.verdict}"),),),
            size=12,
        )
        for i, (row, place) in enumerate(zip(found.placed, where, strict=True))
    ]


def _shades(aim: Aim, gaps: Iterable[Gap], axis: Axis) -> list[Region]:
    assert axis.limits is not None
    factor = scaled(aim.metric, aim.unit)[0]
    ends = (axis.limits[0] / factor, axis.limits[1] / factor)
    return [Region(GAP, "y", low * factor, high * factor) for low, high in _spans(aim, gaps, ends)]


def _spans(aim: Aim, gaps: Iterable[Gap], ends: tuple[float, float]) -> list[tuple[float, float]]:
    """Stretches of a metric with a gap, those that overlap as one, within the ends of the axis."""
    best, worst = ends if aim.sense == "min" else ends[::-1]
    spans = []
    for gap in gaps:
        one, other = gap.beyond.get(aim.metric, best), gap.bounds.get(aim.metric, worst)
        spans.append((max(min(one, other), ends[0]), min(max(one, other), ends[1])))
    merged: list[tuple[float, float]] = []
    for low, high in sorted(span for span in spans if span[0] < span[1]):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _at(aim: Aim, metrics: dict[str, float]) -> float:
    return metrics[aim.metric] * scaled(aim.metric, aim.unit)[0]


def _label(aim: Aim) -> str:
    better = "lower" if aim.sense == "min" else "higher"
    return f"{measured_in(aim.metric, scaled(aim.metric, aim.unit)[1])}, {better} is better"


def _edges(aim: Aim, gaps: Iterable[Gap]) -> list[float]:
    factor, _ = scaled(aim.metric, aim.unit)
    sides = [side for gap in gaps for side in (gap.bounds, gap.beyond)]
    return [factor * side[aim.metric] for side in sides if aim.metric in side]


def _limits(values: Sequence[float], edges: Iterable[float]) -> tuple[float, float]:
    """Ends of an axis with some room around the values, and around ends of gaps that lie near them."""
    if not values:
        return (0.0, 1.0)
    room = max(values) - min(values) or abs(values[0]) or 1.0
    near = [v for v in edges if min(values) - room <= v <= max(values) + room]
    low, high = min([*values, *near]), max([*values, *near])
    return (low - 0.06 * room, high + 0.06 * room)


def _scale(aim: Aim, points: Sequence[Plan]) -> Scale:
    values = [_at(aim, plan.metrics) for plan in points]
    return Scale(_label(aim), min(values), max(values), reverse=aim.sense == "min")


def _columns(pairs: Iterable[tuple[float, float]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    listed = list(pairs)
    return tuple(x for x, _ in listed), tuple(y for _, y in listed)


def _hover(found: Frontier, row: int) -> tuple[str, ...]:
    plan = found.points[row]
    named = [f"{name} {value}".replace("\n", ", ") for name, value in names_of(plan).items()]
    values = [f"{title_of(name)}: {value_of(name, value)}" for name, value in plan.metrics.items()]
    return (f"Point {row + 1}", *map(plain, values), *map(plain, named))
