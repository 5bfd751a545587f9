"""Brute force over replica counts: the same question as `solver.deployment`, with none of its models.

Every combination of counts is tried, rates are added as fractions of the table's decimals, and blocks are
put into domains one by one in every way.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from typing import Any

from optimizer.columns.deployment import DeploymentColumns

_LATENCY = {"ttft_ms": "decode", "tpot_ms": "prefill"}


def brute_force(
    columns: DeploymentColumns, name: str, sense: int, bounds: Mapping[str, float], most: int
) -> Fraction | None:
    """The best value of an objective over all plans with at most `most` replicas of a row; None if none."""
    best: Fraction | None = None
    for counts in _plans(columns, bounds, most):
        value = _value(columns, counts, name, bounds)
        if value is not None and (best is None or sense * value < sense * best):
            best = value
    return best


def _plans(columns: DeploymentColumns, bounds: Mapping[str, float], most: int) -> Iterator[dict[int, int]]:
    rows = [columns.replicas.row(i) for i in range(len(columns.replicas))]
    usable = [i for i, row in enumerate(rows) if _keeps(row, columns, bounds)]
    for numbers in product(range(most + 1), repeat=len(usable)):
        counts = {i: n for i, n in zip(usable, numbers, strict=True) if n}
        if _allowed(columns, rows, counts, bounds):
            yield counts


def _keeps(row: Mapping[str, Any], columns: DeploymentColumns, bounds: Mapping[str, float]) -> bool:
    for name, without in _LATENCY.items():
        if row["mode"] != without and row[name] > bounds.get(f"{name}_max", float("inf")):
            return False
    share = bounds.get("memory_capacity", float("inf"))
    for s in columns.supplies:
        usable = s.usable_gib or float("inf")
        if row["chip"] == s.name and row["memory_gib"] > share * usable:
            return False
        if row["expert_chip"] == s.name and row["expert_memory_gib"] > share * usable:
            return False
    return True


def _allowed(
    columns: DeploymentColumns,
    rows: list[dict[str, Any]],
    counts: dict[int, int],
    bounds: Mapping[str, float],
) -> bool:
    phases = [rows[i]["mode"] for i in counts]
    if columns.same and (len(phases) > len(set(phases)) or ("aggregated" in phases and len(phases) > 1)):
        return False
    formats = {rows[i]["kv_dtype"] for i in counts if rows[i]["mode"] != "aggregated"}
    if len(formats) > 1:
        return False
    if "requests_per_s" in bounds and _served(columns, rows, counts, bounds) < _f(bounds["requests_per_s"]):
        return False
    for quantity in ("chips", "usd_per_hour", "power_w", "nodes"):
        if f"{quantity}_max" in bounds:
            value = _value(columns, counts, quantity, bounds)
            if value is None or value > _f(bounds[f"{quantity}_max"]):
                return False
    return all(_stocked(rows, counts, s, bounds.get(f"inventory:{s.name}")) for s in columns.supplies)


def _stocked(rows: list[dict[str, Any]], counts: dict[int, int], supply: Any, stock: float | None) -> bool:
    if stock is None:
        return True
    groups = _groups(rows, counts, supply.name)
    if sum(groups) > stock or supply.node is None:
        return sum(groups) <= stock
    full, rest = divmod(int(stock), supply.node)
    return _fit(groups, tuple(d for node in [supply.node] * full + [rest] for d in _domains(supply, node)))


def _domains(supply: Any, node: int) -> list[int]:
    """The domains of a node of so many chips."""
    size = min(supply.node, supply.chip.scaleup.domain) if supply.chip else supply.node
    return [min(size, node - at) for at in range(0, node, size)]


def _groups(rows: list[dict[str, Any]], counts: dict[int, int], chip: str) -> tuple[int, ...]:
    sizes = [
        int(block.split("x")[-1])
        for i, n in counts.items()
        if rows[i]["chip"] == chip
        for block in rows[i]["domains"].split("+")
        for _ in range(n * int(block.split("x")[0] if "x" in block else 1))
    ]
    for i, n in counts.items():
        if rows[i]["expert_chip"] == chip:
            sizes += [1] * (n * rows[i]["expert_chips"])
    return tuple(sorted(sizes, reverse=True))


def _fit(groups: tuple[int, ...], free: tuple[int, ...]) -> bool:
    """Whether groups fit into what is free of each node, trying every place for each."""
    if not groups:
        return True
    head, rest = groups[0], groups[1:]
    return any(
        _fit(rest, tuple(sorted((*free[:j], f - head, *free[j + 1 :]))))
        for j, f in enumerate(free)
        if f >= head and f not in free[:j]
    )


def _served(
    columns: DeploymentColumns,
    rows: list[dict[str, Any]],
    counts: dict[int, int],
    bounds: Mapping[str, float],
) -> Fraction:
    """Of the traffic asked for, with everything wrong that may be at once, each way tried."""
    share = _f(bounds.get("utilisation_max", 1.0))
    each = {i: _f(rows[i]["requests_per_s"]) * _f(columns.factors.get(rows[i]["mode"], 1.0)) for i in counts}
    found = []
    for slow, rate, traffic, lost in _cases(columns, bounds):
        worth = {
            i: min(own, max(_as_slow(columns, rows, bounds, i, slow, rate), default=Fraction(0)))
            * share
            / traffic
            for i, own in each.items()
        }
        found.append(_with_lost(rows, counts, worth, lost))
    return min(found)


def _cases(columns: DeploymentColumns, bounds: Mapping[str, float]) -> Iterator[tuple[Fraction, ...]]:
    """Factors of times, rates and traffic, and replicas lost."""
    own = columns.robust
    parts = [part for part in ("latency", "rate", "traffic", "losses") if f"robust.{part}" in bounds]
    for wrong in product((False, True), repeat=len(parts)):
        if own is not None and own.at_once is not None and sum(wrong) > own.at_once:
            continue
        on = {part: _f(bounds[f"robust.{part}"]) for part, is_on in zip(parts, wrong, strict=True) if is_on}
        hours = [(on.get("traffic", Fraction(1)), Fraction(1))]
        if own is not None and "traffic" in own.by_share and "traffic" in on:
            hours = [(_f(factor), _f(slow)) for factor, slow in own.hours]
        for traffic, slow in hours:
            lost = max(on.get("losses", Fraction(0)), _f(bounds.get("spares", 0)))
            yield slow * on.get("latency", 1), on.get("rate", Fraction(1)), traffic, lost


def _as_slow(
    columns: DeploymentColumns,
    rows: list[dict[str, Any]],
    bounds: Mapping[str, float],
    i: int,
    slow: Fraction,
    rate: Fraction,
) -> Iterator[Fraction]:
    """Rates of the rows that a replica can run as, its times so many times as long."""
    figures = ("batch", "label", "requests_per_s", "ttft_ms", "tpot_ms", "memory_gib")
    for j, row in enumerate(rows):
        alike = all(row[name] == rows[i][name] for name in row if name not in figures)
        fewer = i == j or (alike and row["batch"] < rows[i]["batch"])
        late = {**row, **{name: float(_f(row[name]) * slow) for name in _LATENCY}}
        if fewer and _keeps(late, columns, bounds):
            share = min(rate, 1 / slow)
            yield _f(row["requests_per_s"]) * _f(columns.factors.get(row["mode"], 1.0)) * share


def _with_lost(
    rows: list[dict[str, Any]], counts: dict[int, int], worth: dict[int, Fraction], most: Fraction
) -> Fraction:
    """With the replicas lost that hurt most: every choice of replicas to lose is tried."""
    lost = min(int(most), sum(counts.values()))
    ways = product(*(range(min(n, lost) + 1) for n in counts.values()))
    return min(
        _carried(rows, {i: n - gone for (i, n), gone in zip(counts.items(), way, strict=True)}, worth)
        for way in ways
        if sum(way) == lost
    )


def _carried(rows: list[dict[str, Any]], counts: dict[int, int], worth: dict[int, Fraction]) -> Fraction:
    pool = dict.fromkeys(("aggregated", "prefill", "decode"), Fraction(0))
    for i, n in counts.items():
        pool[rows[i]["mode"]] += n * worth[i]
    return pool["aggregated"] + min(pool["prefill"], pool["decode"])


def _value(
    columns: DeploymentColumns, counts: dict[int, int], name: str, bounds: Mapping[str, float]
) -> Fraction | None:
    rows = [columns.replicas.row(i) for i in range(len(columns.replicas))]
    if name == "requests_per_s":
        return _served(columns, rows, counts, bounds)
    used = {j: sum(_groups(rows, counts, s.name)) for j, s in enumerate(columns.supplies)}
    if name == "nodes":
        return _nodes(columns, rows, counts)
    return sum((used[j] * _f(s.each(name)) for j, s in enumerate(columns.supplies) if used[j]), Fraction(0))


def _nodes(columns: DeploymentColumns, rows: list[dict[str, Any]], counts: dict[int, int]) -> Fraction | None:
    total = 0
    for s in columns.supplies:
        groups = _groups(rows, counts, s.name)
        if groups and s.node is None:
            return None
        domains = _domains(s, s.node) if groups else []
        total += next((n for n in range(len(groups) + 1) if _fit(groups, tuple(domains * n))), 0)
    return Fraction(total)


def _f(number: float) -> Fraction:
    return Fraction(repr(float(number)))
