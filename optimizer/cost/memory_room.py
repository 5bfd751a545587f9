"""How much of a chip's memory an engine fills: its share of what the driver shows.

    room = memory_share x hbm_usable

What is beyond it stays free, or holds what an engine does not count. Engines call the share
gpu_memory_utilization (vLLM) or mem_fraction_static (SGLang).
"""

from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine

GIB = 2.0**30


def room_bytes(chip: Chip, engine: Engine) -> float:
    """Bytes of each chip that weights, cache, working buffers and the engine's own may take together."""
    return float(engine.memory_share * chip.hbm_usable)


def room_gib(chip: Chip, engine: Engine) -> float:
    """The same in GiB."""
    return room_bytes(chip, engine) / GIB
