"""One model on one replica: metrics, memory by part, operators."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.metrics import unit
from optimizer.report.fitting import new_table
from optimizer.report.numbers import short, value_of
from optimizer.report.parts import (
    assumptions_part,
    blank_between,
    cautions,
    ends,
    grounds,
    operators_part,
    stored,
)
from optimizer.spec.band import Around
from optimizer.spec.estimate import Estimate

_SERVED = {
    "ttft_ms": "ms",
    "tpot_ms": "ms",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "tokens/s",
}


def report(estimate: Estimate, verbose: bool = False) -> Group:
    """One model on one replica: metrics, memory by part, operators."""
    pool = estimate.deployment.pools[0]
    plural = "s" if pool.chips > 1 else ""
    degrees = [f"{name} {value}" for name, value in vars(pool.split).items() if value > 1]
    split = ", ".join(degrees or ["one rank"])
    head = Text()
    head.append(f"{estimate.model}\n", style="bold")
    head.append(
        f"on {pool.chips} {pool.chip} chip{plural}, {split},"
        f" batch {pool.batch}, {pool.formats.weight_dtype} weights, {pool.formats.kv_dtype} cache"
    )
    head.append(stored([pool]))
    head.append_text(cautions(estimate.assumptions))
    parts: list[RenderableType] = [head]
    if estimate.breaks:
        reasons = "".join(f"\n{name}: {why}" for name, why in estimate.why.items())
        broken = f"CANNOT RUN: breaks {', '.join(estimate.breaks)}; no times given{reasons}"
        parts.append(Text(broken, "bold red"))
    parts += [_metrics(estimate), *_served(estimate), _memory(estimate)]
    if estimate.operators:
        parts += [operators_part(estimate.operators, phase, verbose) for phase in ("decode", "prefill")]
    parts.append(assumptions_part(estimate.assumptions, verbose))
    return Group(*blank_between(iter(parts)))


def _metrics(estimate: Estimate) -> Group:
    table = new_table("", "value", "ends", "unit")
    for name, value in sorted(estimate.metrics.items()):
        own = "J" if name == "joules_per_output_token" else unit(name)
        table.add_row(
            name, value_of(name, value), _ends(estimate.bands, name), "" if name == "n_params" else own
        )
    return Group(Text("Metrics", style="bold"), table, *_grounds(estimate.bands))


def _served(estimate: Estimate) -> list[RenderableType]:
    if not estimate.served:
        return []
    table = new_table("", "value", "ends", "unit")
    for name, value in estimate.served.items():
        table.add_row(name, value_of(name, value), _ends(estimate.served_bands, name), _SERVED.get(name, ""))
    title = Text("Seen by clients, each sending its next request when answered", style="bold")
    return [Group(title, table, *([] if estimate.bands else _grounds(estimate.served_bands)))]


def _ends(bands: dict[str, Around], name: str) -> str:
    return ends(bands, name).removeprefix(", ")


def _grounds(bands: dict[str, Around]) -> list[Text]:
    return [Text(line, style="dim") for line in grounds(bands.values())]


def _memory(estimate: Estimate) -> Group:
    total = sum(estimate.memory_gib.values())
    table = new_table("part", "GiB", "share")
    for name, value in estimate.memory_gib.items():
        table.add_row(name, short(value), f"{value / total:.1%}")
    usable, room = short(estimate.hbm_usable_gib), short(estimate.room_gib)
    of = f"of {usable} usable" if room == usable else f"of {room} that the engine fills, {usable} usable"
    table.add_row("total", short(total), of, style="bold")
    if estimate.cache:
        table.add_row("KiB a token", short(estimate.cache["kib_of_a_token"]), "")
        table.add_row("requests that fit", short(estimate.cache["requests"]), "")
    use = estimate.second_tier
    if use is not None:
        table.add_row(f"second tier, {use.kind}", short(use.memory_gib), f"of {short(use.capacity_gib)}")
        for name, share in use.slow_share.items():
            table.add_row(f"  of the {name}", "", f"{share:.1%}")
        table.add_row("  streamed, ms a decode step", short(use.streamed_ms_per_step), "")
    return Group(Text("Memory on each chip", style="bold"), table)
