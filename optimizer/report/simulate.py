"""The report of a replay for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.report.parts import blank_between, titled_lines
from optimizer.spec.replay import Claim, Holds, Measured, Replay, Times, Within

_UNITS = {"ttft_ms": "TTFT ms", "tpot_ms": "TPOT ms", "end_to_end_s": "end to end s", "queue_ms": "queue ms"}

_NOISE = 1e-6
"""Margins below this share of a figure are of its last digits."""


def report(found: Replay) -> Group:
    """The whole report of one replay."""
    return Group(*blank_between(_sections(found)))


def _sections(found: Replay) -> Iterator[RenderableType]:
    yield _head(found)
    yield _times(found)
    yield from _bounds(found)
    if found.claims:
        yield Group(Text("What the plan claims", style="bold"), _claims(found.claims))
    yield _pools(found)
    if found.kinds:
        yield _kinds(found)
    yield titled_lines("How it was replayed", list(found.notes))


def _head(found: Replay) -> Text:
    text = Text()
    text.append(f"{found.name}\n", style="bold")
    text.append(f"{found.plan}\n")
    counted = f", {found.counted:,} of them counted (not {found.left_out})" if found.left_out else ""
    text.append(f"{found.requests:,} requests, {found.arrivals}, seed {found.seed}{counted}\n")
    offered = found.offered_requests_per_s
    asked = "" if offered is None else f"{short(offered)} requests/s offered, "
    text.append(f"{asked}{short(found.requests_per_s)} served", style="bold")
    text.append(f", {short(found.output_tokens_per_s)} output tokens/s over {short(found.span_s)} s\n")
    text.append(
        f"{short(found.in_system)} requests in the system in the mean; cache {found.cache_mean:.1%} in use,"
        f" {found.cache_peak:.1%} at most; {found.preempted:,} started again"
    )
    if found.stream_interval > 1:
        text.append(f"\ntokens are seen {found.stream_interval} at a time")
    return text


def _times(found: Replay) -> Group:
    seen = {title: own for name, title in _UNITS.items() if (own := getattr(found, name)) is not None}
    table = new_table("", *seen)
    for of in Times.model_fields:
        table.add_row(of, *(_cell(getattr(times, of)) for times in seen.values()))
    known = any(own.margin is not None for own in _all(found.ttft_ms))
    said = "± half of the 95 % interval" if known else "too few for intervals"
    return Group(Text(f"What requests see ({said})", style="bold"), table)


def _all(times: Times) -> list[Measured]:
    return [getattr(times, name) for name in Times.model_fields]


def _cell(own: Measured) -> str:
    if own.margin is None:
        return short(own.value)
    margin = own.margin if own.margin > _NOISE * abs(own.value) else 0.0
    return f"{short(own.value)} ±{short(float(f'{margin:.2g}'))}"


def _bounds(found: Replay) -> Iterator[RenderableType]:
    lines = [_within(row) for row in found.within]
    if found.holds is not None:
        lines.append(_holds(found.holds))
    if lines:
        yield titled_lines("What is kept", lines)


def _within(row: Within) -> str:
    limit = "" if row.limit is None else f" {short(row.limit)}"
    return f"{row.bound}{limit}: {row.share:.1%} of requests"


def _holds(held: Holds) -> str:
    at = f"holds at p{held.percentile:g}"
    if not held.requests_per_s:
        return f"{at} at no rate: requests that come alone are late"
    end = "" if held.fails_at is None else f", no more at {short(held.fails_at)}"
    return (
        f"{at} up to {short(held.requests_per_s)} requests/s{end} (arrivals {held.arrivals};"
        f" {held.replays} replays)"
    )


def _claims(claims: tuple[Claim, ...]) -> RenderableType:
    table = new_table("", "claimed", "replayed", "difference", "unit", "of")
    for row in claims:
        table.add_row(
            row.name,
            short(row.claimed),
            short(row.replayed),
            f"{row.difference:+.1%}",
            row.unit,
            row.of,
        )
    return table


def _pools(found: Replay) -> Group:
    table = new_table("pool", "chip", "n", "slots", "cache", "requests", "busy", "in use", "peak", "again")
    for pool in found.pools:
        table.add_row(
            f"{pool.service} {pool.phase}".strip(),
            pool.chip.partition("-")[2] or pool.chip,
            str(pool.replicas),
            str(pool.slots),
            f"{pool.cache_tokens:,}",
            f"{pool.requests:,}",
            f"{pool.busy:.0%}",
            f"{pool.cache_mean:.0%}",
            f"{pool.cache_peak:.0%}",
            f"{pool.preempted:,}",
        )
    return Group(Text("What replicas did (slots and tokens of cache are of each)", style="bold"), table)


def _kinds(found: Replay) -> Group:
    table = new_table("of", "requests", "TTFT", "p95", "TPOT", "p95", "claimed", "kept")
    for kind in found.kinds:
        said = {row.name: short(row.claimed) for row in kind.claims}
        claimed = "/".join(said.get(name, "-") for name in ("ttft_ms", "tpot_ms"))
        tpot = ("-", "-") if kind.tpot_ms is None else _mean_and_p95(kind.tpot_ms)
        kept = f"{kind.within[-1].share:.1%}" if kind.within else "-"
        table.add_row(kind.name, f"{kind.requests:,}", *_mean_and_p95(kind.ttft_ms), *tpot, claimed, kept)
    of = "/".join(dict.fromkeys(row.of for kind in found.kinds for row in kind.claims))
    title = f"By size of request, tokens in/out (ms; claimed: TTFT/TPOT, {of}; kept: all bounds)"
    return Group(Text(title, style="bold"), table)


def _mean_and_p95(times: Times) -> tuple[str, str]:
    return short(times.mean.value), short(times.p95.value)
