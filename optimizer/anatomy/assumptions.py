"""What an answer rests on that was not given: about its chips, its engine and the traffic."""

from optimizer.blocks import n_experts
from optimizer.catalog import chips
from optimizer.cost.frame import Frame
from optimizer.cost.memory import GIB
from optimizer.cost.quality import NOISE
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import UNMEASURED_EXPERTS, Chip
from optimizer.spec.estimate import OperatorRow

_MOST = 0.5
"""Share of a step from which its fixed overheads are named."""
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


def memory_of(chip: Chip) -> tuple[Assumption, ...]:
    """A caveat where nobody read the chip's memory off a device; nothing where somebody did."""
    source = chip.source("hbm_usable")
    if not source.startswith("assumed"):
        return ()
    value = f"{chip.hbm_usable / GIB:.4g} GiB, assumed, not read from a device"
    return (Assumption(name=f"{chip.name} usable memory", value=value, source=source, caveat=True),)


def has_experts(architecture: Architecture) -> bool:
    """Whether any layer routes tokens to experts."""
    return any(n_experts(group.block.ffn) for group in architecture.layers)


def kernels_of(chip: Chip, weight_dtype: str, tensor_parallel: int, experts: bool) -> tuple[Assumption, ...]:
    """Caveats for what a plan uses of a measured chip and nobody measured; other chips say so of all."""
    own, found = chip.efficiency, {}
    if not own.measured:
        return ()
    if (dtype := chip.arithmetic(weight_dtype)) not in own.gemm:
        found[f"{dtype} products"] = "assumed to reach the share of bf16, not measured"
    if experts and chip.experts(weight_dtype) == UNMEASURED_EXPERTS:
        found["expert kernels"] = "assumed, slower than those measured on other chips"
    if tensor_parallel > 1 and not own.all_reduce and not chip.scaleup.topology.startswith("torus"):
        found["exchanges"] = "assumed from the links of other chips, not measured"
    source = "fallback, optimizer/spec"
    return tuple(
        Assumption(name=f"{chip.name} {what}", value=how, source=source, caveat=True)
        for what, how in found.items()
    )


def overheads_of(chip: Chip, operators: tuple[OperatorRow, ...]) -> tuple[Assumption, ...]:
    """A caveat where most of a decode step is overheads of kernels that nobody measured on this chip."""
    rows = [row for row in operators if row.phase == "decode"]
    fixed = sum(row.time_ms for row in rows if row.bound_by == "overhead")
    share = fixed / sum(row.time_ms for row in rows) if rows else 0.0
    if chip.efficiency.measured or share < _MOST:
        return ()
    own = "gemm" in chip.efficiency.model_fields_set
    how = (
        "set in the chip's file"
        if own
        else "assumed to be those of a GPU; where nothing launches kernels one"
    )
    more = "" if own else " by one, give each overhead in efficiency of the chip's file, such as 0 us"
    value = f"are {share:.0%} of the decode step, {how}{more}"
    source = chip.source("efficiency") if own else "fallback, optimizer/spec/chip.py"
    return (Assumption(name=f"{chip.name} kernel overheads", value=value, source=source, caveat=True),)


def price_of(chip: Chip, decides: bool = False) -> tuple[Assumption, ...]:
    """The chip file's price and its source; a caveat where the catalogue's `decides`. Nothing without one."""
    price = chip.usd_per_chip_hour
    if price is None:
        return ()
    kept = chips().get(chip.name)
    assumed = decides and kept is not None and kept.usd_per_chip_hour == price
    value = f"{price:g} USD an hour" + (", assumed, the catalogue's" if assumed else "")
    source = chip.source("usd_per_chip_hour")
    return (Assumption(name=f"{chip.name} price", value=value, source=source, caveat=assumed),)


def assumptions_of(
    given: frozenset[str],
    frame: Frame,
    metrics: dict[str, float],
    experts: bool = False,
    price_decides: bool = False,
) -> tuple[Assumption, ...]:
    """Every value the answer rests on, the fields of deployment and problem apart that were `given`."""
    chip, ranks = frame.chip, frame.split.tensor_parallel
    found = []

    def add(name: str, value: str, source: str) -> None:
        found.append(Assumption(name=name, value=value, source=source))

    engine = frame.engine
    add("engine", engine.name, "the problem's" if "engine" in given else "default of archsat")
    for name in ("host_ms", "reserve_gib", "memory_share", "cache_share"):
        if name not in given:
            add(f"{engine.name} {name}", f"{getattr(engine, name):g}", engine.source(name))
    if "training_tokens" not in given:
        add("training_tokens", f"{frame.training_tokens:.3g}", "default of archsat")
    found += [efficiency_of(chip), *kernels_of(chip, frame.formats.weight_dtype, ranks, experts)]
    found += [*memory_of(chip), *price_of(chip, price_decides)]
    if (
        frame.formats.weight_dtype not in ("bf16", "int8", "int4")
        and chip.arithmetic(frame.formats.weight_dtype) == "bf16"
    ):
        add(
            f"{frame.formats.weight_dtype} weights",
            "multiplied in bf16",
            f"{chip.name} has no such arithmetic",
        )
    if ranks > 1 and ranks not in chip.efficiency.all_reduce:
        add("all-reduce", f"no measurement on {ranks} chips", "nearest or generic constants")
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
