"""Whether 8-bit weights that nobody described would run if they had the blocks that most checkpoints have."""

from collections.abc import Iterable

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import keeps
from optimizer.cost.frame import Frame
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.plan import Pool

USUAL = 128
"""Rows and columns that share a scale in DeepSeek-V3 and in what followed it."""


def blocks_assumed(frame: Frame, architecture: Architecture) -> tuple[Assumption, ...]:
    """A caveat where fp8 was asked of a model that says no format, on ranks that would cut such blocks."""
    plain = frame.formats.weight_dtype == "fp8" and frame.formats.checkpoint is None
    if not plain or keeps("quantisation_blocks", USUAL, architecture, frame):
        return ()
    value = (
        f"are taken to have a scale a row: a checkpoint in blocks of {USUAL} x {USUAL} does not run at "
        f"tensor_parallel {frame.split.tensor_parallel}, which cuts them; expert_parallel keeps experts whole"
    )
    return (Assumption(name="fp8 weights", value=value, source="vllm-project/vllm issue 25292", caveat=True),)


def blocks_assumed_of(columns: DeploymentColumns, pools: Iterable[Pool]) -> tuple[Assumption, ...]:
    """The same of the pools of a plan, each said once."""
    by, supplies = columns.priced_by, {s.name: s for s in columns.supplies}
    if by is None:
        return ()
    found: dict[str, Assumption] = {}
    for pool in pools:
        supply = supplies[pool.chip]
        frame = Replica(supply, supply.known, pool.split, pool.formats).frame(
            by.architecture, common(by.space, by.traffic, pool.engine)
        )
        found |= {said.value: said for said in blocks_assumed(frame, by.architecture)}
    return tuple(found.values())
