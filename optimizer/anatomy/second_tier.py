"""Estimates with a second tier: what does not fit waits in a slower memory and is streamed in."""

from typing import Any

from optimizer.anatomy.estimate import energy, estimate
from optimizer.anatomy.operators import operator_rows
from optimizer.cost import memory
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.overflow import in_fast_memory, placement, streamed_s
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.two_tier import Placement, hiding_tokens
from optimizer.errors import InputError
from optimizer.metrics import held, values_of
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip, SecondTier
from optimizer.spec.dtypes import BYTES
from optimizer.spec.estimate import Estimate, SecondTierUse
from optimizer.spec.setup import Setup

_RULE = "memory_capacity"


def estimate_two_tier(architecture: Architecture, chip: Chip, setup: Setup) -> Estimate:
    """The estimate with the weights and the cache that do not fit in the chip's second tier.

    All rules but the capacity of the fast memory hold as before. InputError if the chip has no second tier,
    or not enough of it, or if the layers of a replica are spread over chips.
    """
    frame = frame_of(architecture, chip, setup)
    tier = _tier(frame)
    plain = estimate(architecture, chip, setup)
    parts = memory_parts(frame, architecture)
    placed = placement(frame, architecture, tier, parts)
    broken = tuple(name for name in plain.breaks if name != _RULE)
    update: dict[str, Any] = {
        "status": "infeasible" if broken else "feasible",
        "breaks": broken,
        "memory_gib": in_fast_memory(frame, plain.memory_gib, placed),
        "second_tier": _use(frame, tier, placed),
        "assumptions": (*plain.assumptions, _assumption(chip, tier)),
    }
    if not broken:
        update["metrics"] = _metrics(frame, architecture, tier, placed)
        update["operators"] = operator_rows(frame, architecture)
    return plain.changed(**update)


def _tier(frame: Frame) -> SecondTier:
    if frame.chip.second_tier is None:
        raise InputError(
            f"second_tier: {frame.chip.name} has none; give the chip file one, such as "
            "second_tier: {capacity: 240 GiB, bandwidth: 225 GB/s, kind: lpddr}"
        )
    if frame.n_chips > frame.split.tensor_parallel:
        raise InputError("second_tier: modelled for tensor parallelism alone; use one stage and one rank")
    return frame.chip.second_tier


def _metrics(
    frame: Frame, architecture: Architecture, tier: SecondTier, placed: Placement
) -> dict[str, float]:
    totals = {name: quantity.total(frame, architecture) for name, quantity in QUANTITIES.items()}
    streams = streamed_s(frame, tier, memory_parts(frame, architecture), placed)
    for name in totals.keys() & streams.keys():
        totals[name] = max(totals[name], streams[name])
    kept = in_fast_memory(frame, memory_parts(frame, architecture), placed)
    totals["memory_bytes"] = sum(kept.values()) * memory.GIB
    found = values_of(frame, architecture.n_layers, totals)
    if architecture.family != "dense":
        found.pop("loss", None)
    return found | energy(frame, found) | held(frame, architecture)


def _use(frame: Frame, tier: SecondTier, placed: Placement) -> SecondTierUse:
    stored = placed.slow_bytes / memory.GIB
    peak = frame.chip.dense_flops[frame.chip.arithmetic(frame.formats.weight_dtype)]
    return SecondTierUse(
        kind=tier.kind,
        slow_share=placed.slow_share,
        memory_gib=stored,
        capacity_gib=tier.capacity / memory.GIB,
        streamed_ms_per_step=1e3 * placed.slow_read / tier.achieved,
        hiding_tokens=hiding_tokens(
            peak * frame.chip.gemm(frame.formats.weight_dtype).compute,
            BYTES[frame.formats.weight_dtype],
            tier.achieved,
        ),
    )


def _assumption(chip: Chip, tier: SecondTier) -> Assumption:
    value = f"{tier.achieved / 1e9:.4g} GB/s reached, streams overlap with computing, all experts streamed"
    return Assumption(name="second tier", value=value, source=chip.source("second_tier"))
