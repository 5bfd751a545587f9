"""A replay over time: requests running and waiting, the cache in use, and first tokens with their bound."""

from optimizer.report.numbers import short
from optimizer.report.pictures.scene import Axis, Mark, Panel, Picture, Series
from optimizer.report.pictures.style import COLOURS, INK
from optimizer.report.pictures.write import save
from optimizer.report.words import plain
from optimizer.spec.replay import Replay


def draw(found: Replay, plot: str) -> None:
    """Write the picture."""
    save(picture(found), plot)


def picture(found: Replay) -> Picture:
    """Three panels over one time; the subtitle says how requests came and what was served."""
    offered = found.offered_requests_per_s
    asked = "" if offered is None else f", {short(offered)} requests/s offered"
    served = f"{found.requests:,} requests, {found.arrivals}{asked}, {short(found.requests_per_s)} served"
    return Picture(
        title=plain(f"{found.name}: requests over time"),
        subtitle=plain(served),
        panels=(_requests(found), _cache(found), _first_tokens(found)),
        width=1100,
        height=1000,
    )


def _time(found: Replay) -> Axis:
    return Axis("Time (s)", limits=(0.0, found.over_time.time_s[-1]))


def _requests(found: Replay) -> Panel:
    over = found.over_time
    marks = tuple(
        _line(label, over.time_s, tuple(map(float, numbers)), colour)
        for label, numbers, colour in (
            ("Requests that run", over.running, COLOURS[0]),
            ("Requests that wait", over.waiting, COLOURS[1]),
        )
    )
    return Panel(_time(found), Axis("Requests"), marks)


def _cache(found: Replay) -> Panel:
    over = found.over_time
    known = [(t, 100 * share) for t, share in zip(over.time_s, over.cache, strict=True) if share is not None]
    times, shares = tuple(t for t, _ in known), tuple(share for _, share in known)
    mark = _line("Cache in use", times, shares, COLOURS[2])
    return Panel(_time(found), Axis("Cache in use (%)", limits=(0.0, 105.0)), (mark,))


def _first_tokens(found: Replay) -> Panel:
    over = found.over_time
    marks: list[Mark] = [
        Series(
            "First token of a request",
            over.arrival_s,
            over.ttft_ms,
            COLOURS[0],
            size=3.5,
            hover=tuple(
                (f"arrived at {short(t)} s", f"first token after {short(ms)} ms")
                for t, ms in zip(over.arrival_s, over.ttft_ms, strict=True)
            ),
        )
    ]
    bounds = {row.bound: row.limit for row in found.within}
    if (limit := bounds.get("ttft_ms_max")) is not None:
        ends = (0.0, over.time_s[-1])
        marks.append(Series("Bound", ends, (limit, limit), INK, marker="", line="dashed"))
    high = max(over.ttft_ms) > 20 * found.ttft_ms.p50.value and min(over.ttft_ms) > 0
    return Panel(_time(found), Axis("Time to first token (ms)", log=high), tuple(marks))


def _line(label: str, x: tuple[float, ...], y: tuple[float, ...], colour: str) -> Series:
    hover = tuple((label, f"{short(at)} s: {short(value)}") for at, value in zip(x, y, strict=True))
    return Series(label, x, y, colour, marker="", line="steps", hover=hover)
