"""Stages of one pipeline as a table: where each runs, its layers, its turn, and its memory."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.spec.plan import Pool


def stage_table(stages: Sequence[Pool], more: Mapping[str, str] = {}) -> Table:
    """One row a stage; `more` are columns beside the usual ones, each with the field of a stage it shows."""
    table = new_table("stage", "chip", "tp", "layers", "ms", "busy", "GiB", *more)
    for number, stage in enumerate(stages, 1):
        table.add_row(
            str(number),
            stage.chip,
            str(stage.split.tensor_parallel),
            " + ".join(map(str, stage.layers)),
            short(stage.ms or 0.0),
            f"{stage.utilisation:.0%}",
            f"{stage.memory_gib:.1f}/{stage.hbm_usable_gib:.0f}",
            *(str(getattr(stage, field)) for field in more.values()),
        )
    return table
