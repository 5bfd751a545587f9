"""How much of a chip's memory an engine fills, and what of it the engine keeps for itself.

    room    = memory_share x hbm_for_programs           all of it where the engine leaves a headroom
    reserve = reserve_gib + collective_gib (several chips on a switch) + what is left of the headroom

What is beyond the room stays free, or holds what an engine does not count. Engines call the share
gpu_memory_utilization (vLLM) or mem_fraction_static (SGLang): the latter is of weights and cache alone, the
rest of the card a headroom, in which working buffers lie.
"""

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.spec.split import Split

GIB = 2.0**30
_GIVEN = "memory_share"


def room_bytes(chip: Chip, engine: Engine) -> float:
    """Bytes of each chip that weights, cache, working buffers and the engine's own may take together."""
    return float(filled_share(engine) * chip.hbm_for_programs)


def filled_share(engine: Engine) -> float:
    """Share of what the driver leaves programs that an engine fills: all where it leaves a headroom."""
    return 1.0 if engine.headroom else engine.memory_share


def room_gib(chip: Chip, engine: Engine) -> float:
    """The same in GiB."""
    return room_bytes(chip, engine) / GIB


def reserve_bytes(chip: Chip, engine: Engine, split: Split, working: Number) -> Number:
    """Bytes of the runtime, the collective library and the headroom beside `working` bytes of buffers."""
    together = split.rank * split.data_parallel > 1 and chip.scaleup.topology == "switch"
    own = (engine.reserve_gib + engine.collective_gib * together) * GIB
    if engine.headroom is None:
        return own
    return own + np.maximum(0.0, headroom_bytes(chip, engine, split, own) - working)


def headroom_bytes(chip: Chip, engine: Engine, split: Split, own: float) -> float:
    """Bytes that an engine leaves beside weights and cache, of a chip that has lost `own` to it already."""
    if engine.headroom is None:
        return 0.0
    if _GIVEN in engine.model_fields_set:
        return float((1 - engine.memory_share) * (chip.hbm_for_programs - own))
    rule, card = engine.headroom, engine.headroom.card(chip.hbm_usable / GIB)
    tokens = engine.step_tokens if "step_tokens" in engine.model_fields_set else card.tokens
    buffers = (tokens * rule.per_token_mib + card.sequences * rule.per_sequence_mib) / 1024
    chips = split.tensor_parallel * split.pipeline_parallel
    return float(max(card.least_gib, card.fixed_gib + buffers + chips * rule.per_chip_gib) * GIB)
