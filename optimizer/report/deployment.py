"""The report of a solved deployment for a person at a terminal; good in 80 columns."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from optimizer.anatomy.losses import any_of, left
from optimizer.questions.deployment.answer import DeploymentAnswer
from optimizer.questions.fleet.answer import FleetWitnesses
from optimizer.report.at_demand import at_demand, known_at_demand
from optimizer.report.fitting import new_table
from optimizer.report.numbers import exact, short
from optimizer.report.parts import (
    assumptions_part,
    binding_part,
    blank_between,
    conflict_part,
    ends,
    grounds,
    headline,
    titled_lines,
)
from optimizer.report.robustness import robustness_part
from optimizer.spec.answer import Witnesses
from optimizer.spec.plan import Pool
from optimizer.spec.split import DEGREES


def report(result: DeploymentAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: DeploymentAnswer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result, "deployment")
    if result.deployment:
        yield _pools(result, result.deployment.pools)
        yield _totals(result)
        if rows := [pool for pool in result.deployment.pools if known_at_demand(pool)]:
            yield at_demand(rows)
        if result.robustness is not None:
            yield from robustness_part(result.robustness, result.objective, verbose)
        yield _binding(result)
    if result.conflict:
        yield conflict_part(result.conflict)
    elif result.status == "infeasible":
        yield Text("stopped before the conflict was found")
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


def _pools(result: DeploymentAnswer, pools: tuple[Pool, ...]) -> Group:
    high = "" if result.percentile is None else f"\np{result.percentile:g}"
    columns = ("pool", "of", "n", "split", "batch", "formats", "GiB", f"TTFT{high}", f"TPOT{high}", "used")
    table = new_table(*columns)
    for pool in pools:
        memory = "-" if pool.memory_gib is None else f"{pool.memory_gib:.0f}"
        if pool.memory_gib is not None and pool.hbm_usable_gib is not None:
            memory += f"/{pool.hbm_usable_gib:.0f}"
        table.add_row(
            pool.phase,
            _short_name(pool.chip),
            str(pool.replicas),
            split(pool),
            f"{pool.in_flight:.3g}/{pool.batch}" if pool.in_flight else str(pool.batch),
            formats(pool),
            memory,
            *(("-" if value is None else short(value)) for value in (pool.ttft_ms, pool.tpot_ms)),
            f"{pool.utilisation:.0%}",
        )
        _second_row(table, pool)
    model = f"{result.architecture} on " if result.architecture else ""
    kinds: dict[str, int] = {}
    for pool in pools:
        kinds[pool.chip] = kinds.get(pool.chip, 0) + pool.chips
        if pool.expert_chip:
            kinds[pool.expert_chip] = kinds.get(pool.expert_chip, 0) + pool.expert_chips
    chips = ", ".join(f"{n} {name}" for name, n in kinds.items())
    return Group(Text(f"{model}{chips}", style="bold"), table)


def _second_row(table: Any, pool: Pool) -> None:
    """Experts that lie apart, and what waits in slower memory, below the pool they belong to."""
    if pool.expert_chip:
        held = "-" if pool.expert_memory_gib is None else f"{pool.expert_memory_gib:.0f}"
        parts = f"1/{pool.microbatches}" if pool.microbatches > 1 else ""
        row = (
            "  experts",
            _short_name(pool.expert_chip),
            "",
            f"ep{pool.split.expert_parallel}",
            parts,
            "",
            held,
        )
        table.add_row(*row, "", "", "")
    if pool.second_tier_gib:
        table.add_row("  slow tier", "", "", "", "", "", f"{pool.second_tier_gib:.0f}", "", "", "")


def _short_name(chip: str) -> str:
    return chip.partition("-")[2] or chip


def split(pool: Pool) -> str:
    """Parallel degrees above one, in short, not of experts that lie apart; domains if they are several."""
    degrees = vars(pool.split)
    if pool.expert_chip:
        degrees = {name: n for name, n in degrees.items() if name != "expert_parallel"}
    parts = [f"{DEGREES[name].short}{n}" for name, n in degrees.items() if n > 1]
    lies = pool.domains
    parts += [f"in {lies}"] if not lies.isdigit() and len(parts) > 1 else []
    parts += [pool.engine] if pool.engine else []
    return " ".join(parts) or "-"


def formats(pool: Pool) -> str:
    """Number formats in short: weights, then cache."""
    return "/".join(map(str, pool.formats.chosen().values()))


def _totals(result: DeploymentAnswer) -> Group:
    m = result.metrics
    bounds = result.problem.get("constraints", {})
    items = []
    for name in ("ttft_ms", "tpot_ms"):
        if name in m:
            limit = bounds.get(f"{name}_max")
            high = "" if result.percentile is None else f" p{result.percentile:g}"
            said = f"{name}{high} {exact(m[name])}{ends(result.bands, name)} ms"
            items.append(said + (f" of at most {exact(limit)} ms" if limit else ""))
    if spare := _to_spare(result):
        items.append(f"to spare: {spare}")
    demand = result.problem.get("workload", {}).get("requests_per_s")
    wanted = f" for {demand:g} asked" if demand else ""
    whole = m.get("requests_per_s_whole", m["requests_per_s"])
    held = "requests_per_s_whole" in m  # which ends are of, where something is lost or goes wrong
    rate = f"{exact(whole)}{'' if held else ends(result.bands, 'requests_per_s')}"
    items.append(f"{rate} requests/s of capacity{wanted}, {m['utilisation']:.1%} used")
    items += _when_lost(result)
    if "max_context_tokens" in m:
        room = f"caches hold {m['kv_cache_tokens']:,.0f} tokens" if "kv_cache_tokens" in m else ""
        longest = f"the longest request that fits is {m['max_context_tokens']:,.0f} tokens"
        items.append("; ".join(said for said in (room, longest) if said))
    money = [f"{short(m['usd_per_hour'])} USD/h"] if "usd_per_hour" in m else []
    if "usd_per_million_tokens" in m:
        money.append(f"{short(m['usd_per_million_tokens'])} USD per million output tokens")
    if "power_w" in m:
        money.append(f"{short(m['power_w'] / 1e3)} kW")
    if "nodes" in m:
        money.append(f"{short(m['nodes'])} node{'s' if m['nodes'] != 1 else ''}")
    items += [", ".join(money)] if money else []
    shown = (result.bands[name] for name in ("ttft_ms", "tpot_ms", "requests_per_s") if name in result.bands)
    return titled_lines("Totals", [*items, *grounds(shown)])


def _when_lost(result: DeploymentAnswer) -> list[str]:
    """What is held with the spares lost; how busy each phase is when its largest replicas are, or one is."""
    pools = result.deployment.pools if result.deployment else ()
    spares = int(result.problem.get("constraints", {}).get("spares") or 0)
    lost = spares or 1
    found = []
    for phase in dict.fromkeys(pool.phase for pool in pools):
        own = [pool for pool in pools if pool.phase == phase]
        counts = {i: pool.replicas for i, pool in enumerate(own)}
        each = {i: pool.requests_per_s / pool.replicas for i, pool in enumerate(own)}
        busy = own[0].utilisation * sum(pool.requests_per_s for pool in own)
        rate = sum(each[i] * n for i, n in left(counts, each, lost).items())
        found.append(f"{phase} {busy / rate:.0%} used" if rate else f"{phase} gone")
    said = [f"with {'one replica' if lost == 1 else f'{lost} replicas'} lost: {', '.join(found)}"]
    holds = exact(result.metrics["requests_per_s"]) if found else ""
    kept = f"{spares} spare{'s' * (spares > 1)}: holds {holds} requests/s with {any_of(spares)} lost"
    return [*([kept] if spares else []), *said] if found else []


def _to_spare(result: DeploymentAnswer) -> str:
    """How far the plan is from each limit, the nearest first: what a drift of the traffic would meet."""
    bounds = result.problem.get("constraints", {})
    left: dict[str, float] = {
        name: 1 - result.metrics[name] / bounds[f"{name}_max"]
        for name in ("ttft_ms", "tpot_ms")
        if name in result.metrics and bounds.get(f"{name}_max")
    }
    if result.problem.get("workload", {}).get("requests_per_s") and result.deployment:
        for pool in result.deployment.pools:
            key = f"the {pool.phase} pools' traffic"
            left[key] = min(left.get(key, 1.0), 1 - pool.utilisation)
    return ", ".join(f"{share:.1%} of {name}" for name, share in sorted(left.items(), key=lambda row: row[1]))


def _binding(result: DeploymentAnswer) -> Group:
    part = binding_part(result, "no bound: the traffic and the configurations do")
    more = [Padding(Text(result.next_better), (0, 0, 0, 2))] if result.next_better else []
    return Group(part, *more)


def grouped(dropped: Mapping[str, int]) -> dict[str, int]:
    """Reasons that differ only in their numbers taken together: the rule, and how many it left out."""
    found: dict[str, int] = {}
    for why, n in dropped.items():
        rule = re.sub(r" \d+$", "", why.partition(":")[0])
        rule = "a better configuration" if rule == "dominated" else rule
        found[rule] = found.get(rule, 0) + n
    return found


def _witnesses(seen: Witnesses | None) -> Iterator[str]:
    """What a fleet's programme left out and was looked at all the same."""
    if not isinstance(seen, FleetWitnesses):
        return
    which = "all" if seen.setups_looked_at == seen.setups_left_out else f"{seen.setups_looked_at}"
    yield (
        f"looked at again: {which} of the {seen.setups_left_out} setups left out, and {seen.plans} plans "
        "made otherwise; none is better"
    )


def proof(result: Any) -> Group:
    """Why a deployment of any kind can be believed."""
    c = result.certificate
    dropped = ", ".join(f"{n} by {why}" for why, n in grouped(c.counts["dropped"]).items())
    o = result.objective
    items = [f"{c.counts['columns']} configurations, {c.counts['columns_solved']} left to choose from"]
    if dropped:
        items.append(f"left out: {dropped}")
    if o.value is not None and o.bound is not None:
        items.append(f"value {exact(o.value)}, proven bound {exact(o.bound)} {o.unit}")
    items += [
        f"{c.engine} {c.engine_version}, seed {c.seed}: {c.solves} solves",
        *(f"confirmed by {line}" for line in c.confirmed_by),
        *_witnesses(getattr(c, "witnesses", None)),
        f"checker: {c.checker}",
        f"{result.wall_s:.2f} s, archsat {result.version}",
    ]
    return titled_lines("Proof", items)
