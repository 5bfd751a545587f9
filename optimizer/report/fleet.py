"""The report of a solved fleet for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.fleet.answer import FleetAnswer
from optimizer.report.deployment import formats, proof, split
from optimizer.report.fitting import new_table
from optimizer.report.numbers import exact, short
from optimizer.report.parts import (
    assumptions_part,
    binding_part,
    blank_between,
    conflict_part,
    headline,
    titled_lines,
)
from optimizer.report.robustness import robustness_part
from optimizer.spec.plan import Pool

_SHOWN = 30


def report(result: FleetAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: FleetAnswer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result, "fleet")
    if result.deployment:
        yield _pools(result, result.deployment.pools, verbose)
        yield _totals(result)
        if seen := list(_latencies(result, result.deployment.pools)):
            rest = len(seen) - _SHOWN
            more = [f"{rest} more services (-v shows them)"] if rest > 0 and not verbose else []
            yield titled_lines("What requests see at most", (seen if verbose else seen[:_SHOWN]) + more)
        if result.robustness:
            yield from robustness_part(result.robustness, result.objective, verbose)
        yield binding_part(result, "no bound: the traffic and the setups do")
    if result.conflict:
        yield conflict_part(result.conflict)
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


def _pools(result: FleetAnswer, pools: tuple[Pool, ...], verbose: bool) -> Group:
    several = any(pool.model for pool in pools)
    first = ["service", *["model"] * several]
    table = new_table(*first, "phase", "of", "n", "split", "formats", "req/s", "used")
    shown = pools if verbose else pools[:_SHOWN]
    for pool in shown:
        table.add_row(
            pool.service,
            *[pool.model.rpartition("/")[2]] * several,
            pool.phase,
            pool.chip.partition("-")[2] or pool.chip,
            str(pool.replicas),
            split(pool),
            formats(pool),
            short(sum(part.requests_per_s for part in pool.parts)),
            f"{pool.utilisation:.0%}",
        )
    rest = len(pools) - len(shown)
    chips = ", ".join(f"{n} {name}" for name, n in result.chips.items())
    more = [Text(f"{rest} more pools (-v shows them)", style="dim")] if rest else []
    return Group(Text(chips, style="bold"), table, *more)


def _latencies(result: FleetAnswer, pools: tuple[Pool, ...]) -> Iterator[str]:
    """The longest latencies of each service, of which requests they are, and the bounds on them."""
    for service in result.problem["services"]:
        name, bounds = service["name"], service.get("constraints", {})
        parts = [part for pool in pools if pool.service == name for part in pool.parts]
        said = []
        for metric, title in (("ttft_ms", "TTFT"), ("tpot_ms", "TPOT")):
            if known := [value for part in parts if (value := getattr(part, metric)) is not None]:
                limit = bounds.get(f"{metric}_max")
                said.append(f"{title} {short(max(known))}{f' of at most {short(limit)}' if limit else ''} ms")
        if said:
            percentile = result.percentile.get(name)
            yield f"{name}{'' if percentile is None else f' p{percentile:g}'}: {', '.join(said)}"


def _totals(result: FleetAnswer) -> Group:
    m = result.metrics
    items = [f"{exact(m['requests_per_s'])} of {exact(m['requests_per_s_asked'])} requests/s served"]
    money = [f"{short(m['usd_per_hour'])} USD/h"] if "usd_per_hour" in m else []
    money += [f"{short(m['power_w'] / 1e3)} kW"] if "power_w" in m else []
    means = ", ".join(f"{exact(mean)} {name}" for name, mean in result.quality.items())
    good = [f"mean quality {means}"] if means else []
    return titled_lines("Totals", [*items, ", ".join([f"{short(m['chips'])} chips", *money]), *good])
