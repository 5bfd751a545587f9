"""The report of training over clusters: the stages, what waits, the step, what binds, the proof."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.training_across.answer import AcrossAnswer
from optimizer.report.numbers import exact, short
from optimizer.report.parts import (
    assumptions_part,
    binding_part,
    blank_between,
    conflict_part,
    headline,
    titled_lines,
)
from optimizer.report.stages import stage_table


def report(result: AcrossAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: AcrossAnswer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result, "plan", unmodelled=result.unmodelled)
    if result.stages:
        yield _stages(result)
        yield _step(result)
        yield _totals(result)
        yield binding_part(result, "no bound: the layers and the chips do")
    if result.conflict:
        yield conflict_part(result.conflict)
    yield proof(result)
    yield assumptions_part(result.assumptions, verbose)


def _stages(result: AcrossAnswer) -> Group:
    first, shared = result.stages[0], result.setups[0]
    many = "s" * (len(result.stages) > 1)
    title = (
        f"{result.architecture}: {len(result.stages)} stage{many}, "
        f"data_parallel {first.split.data_parallel}, "
        f"microbatch {first.batch} ({shared.n_microbatches} in a step), {shared.dtype}"
    )
    return Group(
        Text(title, style="bold"), stage_table(result.stages, {"again": "recompute", "ZeRO": "zero_stage"})
    )


def _step(result: AcrossAnswer) -> Group:
    total = sum(result.step_ms.values())
    parts = sorted(result.step_ms.items(), key=lambda row: -row[1])
    said = [f"{name} {ms / total:.1%}" for name, ms in parts if ms / total > _SMALL]
    return titled_lines(f"Step, {short(total)} ms", [", ".join(said)])


_SMALL = 5e-4


def _totals(result: AcrossAnswer) -> Group:
    items = [", ".join(f"{name} {exact(value)}" for name, value in result.metrics.items())]
    for chip, n in result.used.items():
        items.append(f"{chip}: {n} chips, which wait {result.waiting[chip]:.1%} of the step for other stages")
    name = result.objective.name
    for chip, value in result.alone.items():
        items.append(f"{chip} alone: {'no plan' if value is None else f'{name} {exact(value)}'}")
    return titled_lines("Totals", items)


def proof(result: AcrossAnswer) -> Group:
    """Why the plan can be believed."""
    c = result.certificate
    n = c.counts
    items = [
        f"{n['structures']:,} structures (ranks, ways and stages of each cluster) in {n['cells_opened']:,} "
        f"cells opened; the others cannot win at their best",
        f"{n['structures_without_memory']:,} structures have no room for all layers at their least, layers "
        f"of {n['structures_placed']:,} placed",
        *(f"confirmed by {line}" for line in c.confirmed_by),
        f"checker: {c.checker}",
        f"{short(result.wall_s)} s, archsat {result.version}",
    ]
    return titled_lines("Proof", items)
