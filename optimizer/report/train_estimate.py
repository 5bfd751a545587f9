"""One training setup: rates, the step by part, memory by part."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.report.parts import assumptions_part, blank_between, cautions, titled_lines
from optimizer.spec.training_plan import TrainingEstimate

_UNITS = {
    "step_s": "s",
    "tokens_per_s": "tokens/s",
    "train_tokens_per_s_per_chip": "tokens/s",
    "train_days": "days",
    "train_usd": "USD",
}
_NAMES = {
    "mfu": "mfu, causal attention, of the bf16 peak",
    "mfu_full_attention": "mfu, full attention, of the bf16 peak",
    "hfu": "hfu, causal attention, of the bf16 peak",
    "effective_share": "effective share of a long run",
    "mfu_of_run": "mfu of a long run, causal attention, of the bf16 peak",
    "mfu_of_format_peak": "mfu, causal attention, of the format's peak",
}


def report(estimate: TrainingEstimate, verbose: bool = False) -> Group:
    """Rates, the step by part, memory by part; or what breaks."""
    shown = ", ".join(f"{name} {value}" for name, value in estimate.shown().items())
    plural = "s" if estimate.n_chips > 1 else ""
    head = Text()
    head.append(f"{estimate.model}\n", style="bold")
    head.append(f"trained on {estimate.n_chips} {estimate.chip} chip{plural}: {shown or 'all defaults'}")
    head.append_text(cautions(estimate.assumptions))
    head.append(f"\nnot modelled: {'; '.join(estimate.unmodelled)}" if estimate.unmodelled else "")
    parts: list[RenderableType] = [head]
    if estimate.breaks:
        lines = [f"{name}: {why}" for name, why in estimate.breaks.items()]
        parts += [Text("CANNOT RUN; no times given", "bold red"), titled_lines("What breaks", lines)]
    parts += body(estimate)
    if estimate.faster:
        would = "Would run" if estimate.breaks else "Faster"
        parts.append(titled_lines(f"{would} on the same split, all else as asked", _faster(estimate)))
    parts.append(assumptions_part(estimate.assumptions, verbose))
    return Group(*blank_between(iter(parts)))


def _faster(estimate: TrainingEstimate) -> list[str]:
    """Each way in words, and which lack memory."""
    usable = short(estimate.hbm_usable_gib)
    return [
        f"recompute {way.recompute}, schedule {way.schedule}: "
        f"{way.train_tokens_per_s_per_chip:,.0f} tokens/s a chip, {way.memory_gib:.1f} GiB"
        + ("" if way.fits else f" of {usable} usable: does not fit")
        for way in estimate.faster
    ]


def body(estimate: TrainingEstimate) -> list[RenderableType]:
    """Rates, the step by part, memory by part."""
    usable = f"of {short(estimate.hbm_usable_gib)} usable"
    memory = _parts("Memory on the fullest chip", "GiB", estimate.memory_gib, usable)
    if not estimate.metrics:
        return [memory]
    return [_metrics(estimate), _parts("Step", "ms", estimate.step_ms, ""), memory]


def _metrics(estimate: TrainingEstimate) -> Group:
    table = new_table("", "value", "unit")
    for name, value in estimate.metrics.items():
        share = name in _NAMES
        table.add_row(_NAMES.get(name, name), f"{value:.1%}" if share else short(value), _UNITS.get(name, ""))
    return Group(Text("Metrics", style="bold"), table)


def _parts(title: str, unit: str, parts: dict[str, float], last: str) -> Group:
    total = sum(parts.values())
    table = new_table("part", unit, "share")
    for name, value in parts.items():
        if value > 0.0005 * total:
            table.add_row(name, short(value), f"{value / total:.1%}")
    table.add_row("total", short(total), last, style="bold")
    return Group(Text(title, style="bold"), table)
