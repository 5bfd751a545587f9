"""The report of a solved pipeline for a person at a terminal; good in 80 columns."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.pipeline.answer import PipelineAnswer
from optimizer.report.deployment import proof
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


def report(result: PipelineAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    return Group(*blank_between(_sections(result, verbose)))


def _sections(result: PipelineAnswer, verbose: bool) -> Iterator[RenderableType]:
    yield headline(result, "split")
    if result.stages:
        yield _stages(result)
        yield _totals(result)
        yield binding_part(result, "no bound: the layers and the chips do")
    if result.conflict:
        yield conflict_part(result.conflict)
    yield proof(result)
    if result.assumptions:
        yield assumptions_part(result.assumptions, verbose)


def _stages(result: PipelineAnswer) -> Group:
    title = f"{result.architecture}, {result.batch} sequences in each stage"
    return Group(Text(title, style="bold"), stage_table(result.stages))


def _totals(result: PipelineAnswer) -> Group:
    m = result.metrics
    items = [f"{exact(m['output_tokens_per_s'])} tokens/s, {exact(m['requests_per_s'])} requests/s"]
    items.append(f"tpot_ms {exact(m['tpot_ms'])}, ttft_ms {exact(m['ttft_ms'])}")
    if "usd_per_hour" in m:
        cost = f"{short(m['usd_per_million_tokens'])} USD per million output tokens"
        items.append(f"{short(m['usd_per_hour'])} USD/h, {cost}")
    if result.equal_split:
        gain = m["output_tokens_per_s"] / result.equal_split["output_tokens_per_s"] - 1
        items.append(f"{gain:.1%} more than with equal numbers of layers in each stage")
    return titled_lines("Totals", items)
