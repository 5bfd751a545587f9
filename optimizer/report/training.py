"""The report of a training problem: the setting, its step and memory, what binds, the proof."""

from rich.console import Group, RenderableType
from rich.text import Text

from optimizer.questions.training.answer import TrainingAnswer
from optimizer.report import train_estimate
from optimizer.report.numbers import short
from optimizer.report.parts import (
    assumptions_part,
    bands_part,
    binding_part,
    blank_between,
    conflict_part,
    headline,
    titled_lines,
)


def report(result: TrainingAnswer, verbose: bool = False) -> Group:
    """The whole report of one result."""
    unmodelled = result.estimate.unmodelled if result.estimate else ()
    parts: list[RenderableType] = [headline(result, unmodelled=unmodelled)]
    if result.estimate:
        parts.append(Text(_setup(result)))
        parts += train_estimate.body(result.estimate)
        parts += [Group(*bands_part(result.bands, result.metrics))] if result.bands else []
        parts.append(binding_part(result, "no bound: the lattice itself"))
    if result.conflict:
        parts.append(conflict_part(result.conflict))
    parts.append(proof(result))
    parts.append(assumptions_part(result.assumptions, verbose))
    return Group(*blank_between(iter(parts)))


def _setup(result: TrainingAnswer) -> str:
    if result.estimate is None:
        return ""
    e, s = result.estimate, result.estimate.setup
    shards = f"ZeRO {s.zero_stage} over {s.zero_group}" if s.zero_group else f"ZeRO {s.zero_stage}"
    chunks = f" x {s.pipeline_interleave} chunks" if s.pipeline_interleave > 1 else ""
    more = f", context_parallel {s.context_parallel}" if s.context_parallel > 1 else ""
    more += f", expert_parallel {s.expert_parallel}" if s.expert_parallel > 1 else ""
    sequence = " with sequence parallelism" if s.sequence_parallel and s.tensor_parallel > 1 else ""
    schedule = {"1f1b": "", "zero_bubble": ", zero-bubble schedule", "dualpipe": ", DualPipe"}[s.schedule]
    return (
        f"{e.model} on {e.n_chips} of {result.problem['chips']} {e.chip} chips: tensor_parallel "
        f"{s.tensor_parallel}{sequence}, pipeline_parallel {s.pipeline_parallel}{chunks}, data_parallel "
        f"{s.data_parallel}{more}, microbatch {s.microbatch} ({s.n_microbatches} in a step), "
        f"recompute {s.recompute}, {shards}{schedule}, {s.dtype}"
    )


def proof(result: TrainingAnswer) -> Group:
    """Why the setting can be believed."""
    c = result.certificate
    n = c.counts
    items = [
        f"{n['settings']:,} settings in {n['splits']:,} splits (degrees and microbatch), in "
        f"{n['cells_opened']:,} of {n['cells']:,} cells; the others cannot win at their best",
        f"{n['splits_without_memory']:,} splits need too much memory at their least, "
        f"{n['splits_by_bound']:,} cannot win at their best, {n['splits_priced']:,} priced in full "
        f"({n['settings_priced']:,} settings)",
        *(f"confirmed by {line}" for line in c.confirmed_by),
        f"checker: {c.checker}",
        f"{short(result.wall_s)} s, archsat {result.version}",
    ]
    return titled_lines("Proof", items)
