"""What an answer rests on that was not given: about its chips, its engine and the traffic."""

from optimizer.cost.frame import Frame
from optimizer.cost.quality import NOISE
from optimizer.spec.answer import Assumption
from optimizer.spec.chip import Chip

_LAW_RANGE = 16e9
"""Largest model behind the Chinchilla fit."""


def efficiency_of(chip: Chip) -> Assumption:
    """Whether the chip's achieved efficiencies were measured; a caveat if not."""
    measured = chip.efficiency.measured
    return Assumption(
        name=f"{chip.name} efficiency",
        value="fitted to kernels" if measured else "assumed, not measured on this chip",
        source=chip.source("efficiency"),
        caveat=not measured,
    )


def price_of(chip: Chip) -> tuple[Assumption, ...]:
    """The chip file's price and its source; nothing where it has none."""
    price = chip.usd_per_chip_hour
    if price is None:
        return ()
    source = chip.source("usd_per_chip_hour")
    return (Assumption(name=f"{chip.name} price", value=f"{price:g} USD an hour", source=source),)


def assumptions_of(given: frozenset[str], frame: Frame, metrics: dict[str, float]) -> tuple[Assumption, ...]:
    """Every value the answer rests on, the fields of deployment and problem apart that were `given`."""
    chip = frame.chip
    found = []

    def add(name: str, value: str, source: str) -> None:
        found.append(Assumption(name=name, value=value, source=source))

    engine = frame.engine
    add("engine", engine.name, "the problem's" if "engine" in given else "default of archsat")
    for name in ("host_ms", "reserve_gib"):
        if name not in given:
            add(f"{engine.name} {name}", f"{getattr(engine, name):g}", engine.source(name))
    if "training_tokens" not in given:
        add("training_tokens", f"{frame.training_tokens:.3g}", "default of archsat")
    found += [efficiency_of(chip), *price_of(chip)]
    if (
        frame.formats.weight_dtype not in ("bf16", "int8", "int4")
        and chip.arithmetic(frame.formats.weight_dtype) == "bf16"
    ):
        add(
            f"{frame.formats.weight_dtype} weights",
            "multiplied in bf16",
            f"{chip.name} has no such arithmetic",
        )
    if frame.split.tensor_parallel > 1 and frame.split.tensor_parallel not in chip.efficiency.all_reduce:
        add(
            "all-reduce",
            f"no measurement on {frame.split.tensor_parallel} chips",
            "nearest or generic constants",
        )
    add("decode context", f"{frame.decode_context:g} tokens", "prompt and half of the answer")
    add(
        "prefill chunk",
        f"{frame.step_tokens} tokens",
        engine.source("step_tokens"),
    )
    add("loss proxy", f"differences below {NOISE:.2%} are noise", "optimizer.cost.quality")
    if metrics.get("n_params", 0.0) > _LAW_RANGE:
        add("loss proxy", "beyond the 16B of its data: extrapolated", "Besiroglu et al. 2024")
    return tuple(found)
