"""A small chart in characters: enough to see a shape in a terminal."""

from collections.abc import Mapping, Sequence

from optimizer.report.numbers import short

WIDTH, HEIGHT = 60, 14


def scatter(marked: Mapping[str, Sequence[tuple[float, float]]], title: str = "") -> str:
    """Points by mark; later marks are drawn over earlier ones. Axes show their ends."""
    points = [point for group in marked.values() for point in group]
    if not points:
        return title
    xs, ys = [x for x, _ in points], [y for _, y in points]
    left, right, low, high = min(xs), max(xs), min(ys), max(ys)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for mark, group in marked.items():
        for x, y in group:
            column = _place(x, left, right, WIDTH)
            row = HEIGHT - 1 - _place(y, low, high, HEIGHT)
            grid[row][column] = mark
    labels = {0: short(high), HEIGHT - 1: short(low)}
    margin = max(len(text) for text in labels.values())
    lines = [f"{labels.get(i, ''):>{margin}} |{''.join(row).rstrip()}" for i, row in enumerate(grid)]
    ends = short(left) + short(right).rjust(WIDTH - len(short(left)))
    return "\n".join([title, *lines, f"{'':>{margin}} +{'-' * WIDTH}", f"{'':>{margin}}  {ends}"])


def bars(values: Mapping[str, float], unit: str = "", width: int = 30) -> str:
    """Horizontal bars around zero: what raises on the right, what lowers on the left."""
    if not values:
        return ""
    most = max(abs(value) for value in values.values()) or 1.0
    name = max(len(key) for key in values)
    lines = []
    for key, value in values.items():
        bar = "#" * max(1 if value else 0, round(abs(value) / most * width))
        left, right = (bar, "") if value < 0 else ("", bar)
        lines.append(f"{key:<{name}} {left:>{width}}|{right:<{width}} {value:+.4g} {unit}".rstrip())
    return "\n".join(lines)


def _place(value: float, low: float, high: float, cells: int) -> int:
    return round((value - low) / (high - low) * (cells - 1)) if high > low else 0
