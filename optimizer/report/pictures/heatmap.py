"""A lattice as a heat map: the best objective at each pair of values of two dimensions."""

from typing import Any

from optimizer.report.pictures.scene import Axis, Cells, Panel, Picture, Scale, Series
from optimizer.report.pictures.write import save
from optimizer.report.plans import value_at
from optimizer.report.words import chip_title, measured_in, plain, scaled, title_of
from optimizer.spec.answer import Answer


def draw(result: Answer, names: tuple[str, str], plot: str) -> None:
    """Write the picture of plans that are distinct in two dimensions."""
    save(picture(result, names), plot)


def picture(result: Answer, names: tuple[str, str]) -> Picture:
    """A cell for each pair that has a plan, and a star on the optimum; cells without a plan stay empty."""
    aim = result.objective
    factor, unit = scaled(aim.name, aim.unit or "")
    best = {
        (value_at(plan, names[0]), value_at(plan, names[1])): factor * plan.metrics[aim.name]
        for plan in reversed(result.plans)
    }
    xs = sorted({x for x, _ in best}, key=_order)
    ys = sorted({y for _, y in best}, key=_order)
    cells = Cells(tuple(tuple(best.get((x, y)) for x in xs) for y in ys))
    axes = [
        Axis(title_of(name), categories=tuple(plain(_text(name, v), 30) for v in values))
        for name, values in zip(names, (xs, ys), strict=True)
    ]
    star: list[Series] = []
    if result.plans:
        first = result.plans[0]
        at = (xs.index(value_at(first, names[0])), ys.index(value_at(first, names[1])))
        says = f"Optimum: {best[value_at(first, names[0]), value_at(first, names[1])]:.6g} {unit}"
        look = {"colour": "white", "marker": "star", "size": 20, "edge": True}
        star.append(Series("Optimum", (at[0],), (at[1],), hover=((says,),), **look))  # type: ignore[arg-type]
    low, high = (min(best.values()), max(best.values())) if best else (0.0, 1.0)
    return Picture(
        title=plain(f"{result.problem['name']}: best {title_of(aim.name).lower()}"),
        subtitle=f"At each {' and '.join(axis.title.lower() for axis in axes)}, of the plans listed",
        panels=(Panel(axes[0], axes[1], (cells, *star)),),
        height=max(650, 200 + 26 * len(ys)),
        scale=Scale(measured_in(aim.name, unit), low, high, reverse=aim.sense == "min"),
    )


def _text(name: str, value: Any) -> str:
    return chip_title(value) if name in ("hardware", "chip") else str(value)


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value
