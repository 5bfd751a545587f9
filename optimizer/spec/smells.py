"""Numbers of a chip or model that are possible but look like a slip: sparse peaks, GB for GiB, both ways.

Warnings, not errors: a new part may be unlike all others. The thresholds leave every shipped chip without a
warning but for a true one. A sibling is a chip of the same vendor with as many cores, where there are many.
"""

from collections.abc import Iterable, Iterator

from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip

_GIB = 2.0**30
_MANY = 32  # fewer large cores are no fingerprint of a die
_PRINTED = 0.001  # data sheets round to four digits
_SAME = 0.02  # ratios closer than this count as equal
_MOST_FLOPS_PER_BYTE = 1200.0  # shipped chips: 37 to 560 in bf16
_LONGEST_READ_S = 2.0  # shipped chips read all their memory in 2 us to 0.7 s
_FASTEST_PCIE = 128e9  # generation 6, 16 lanes, one way


def smells(chip: Chip, known: Iterable[Chip] = ()) -> tuple[str, ...]:
    """One sentence for each number that looks wrong, naming the field and what may be meant."""
    own, known = (chip.vendor, chip.n_cores), list(known)
    siblings = [other for other in known if (other.vendor, other.n_cores) == own and chip.n_cores >= _MANY]
    return (
        *_peaks(chip, siblings),
        *_doubled(chip, siblings, known),
        *_memory(chip),
        *_links(chip, siblings),
    )


def model_smells(model: Architecture) -> tuple[str, ...]:
    """One sentence for each dimension of a model unlike all that were published."""
    found = []
    for name, value, (low, high) in _dimensions(model):
        if not low <= value <= high:
            found.append(
                f"{name} is {value:,}; published models have {low:,} to {high:,}, with room: a slip?"
            )
    return tuple(dict.fromkeys(found))


def _dimensions(model: Architecture) -> Iterator[tuple[str, int, tuple[int, int]]]:
    """Dimensions with the range that published models leave with a factor of about four to spare."""
    yield "d_model", model.d_model, (128, 65_536)
    yield "vocab_size", model.vocab_size, (1_000, 1_000_000)
    yield "n_layers", model.n_layers, (1, 512)
    for group in model.layers:
        for half in (group.block.mixer, group.block.ffn):
            for name, said in half.dimensions().items():
                if said.usual:
                    yield name, getattr(half, name), said.usual
                if said.usual_per_width:
                    low, high = (int(share * model.d_model) for share in said.usual_per_width)
                    yield name, getattr(half, name), (max(1, low), high)


def _near(value: float, target: float) -> bool:
    return abs(value / target - 1) < _SAME


def _peaks(chip: Chip, siblings: list[Chip]) -> Iterator[str]:
    peaks = chip.dense_flops
    for wide, narrow in (("bf16", "fp8"), ("fp8", "fp4")):
        if wide in peaks and narrow in peaks and _near(peaks[narrow] / peaks[wide], 4):
            yield (
                f"dense_flops.{narrow} is four times {wide}: with 2:4 sparsity? Dense, it is usually twice; "
                "data sheets print the sparse figure, marked by a footnote"
            )
    for dtype, peak in peaks.items():
        if any(_near(peak, s.dense_flops[dtype]) for s in siblings if dtype in s.dense_flops):
            continue
        twin = next(
            (s for s in siblings if dtype in s.dense_flops and _near(peak, 2 * s.dense_flops[dtype])), None
        )
        if twin is not None:
            yield (
                f"dense_flops.{dtype} {peak / 1e12:g} TFLOP/s is twice that of {twin.name}, which has as "
                "many cores: with 2:4 sparsity? Give the dense figure"
            )
    intensity = peaks["bf16"] / chip.hbm_bandwidth
    if intensity > _MOST_FLOPS_PER_BYTE:
        yield (
            f"dense_flops.bf16 is {intensity:.0f} FLOP for each byte of hbm_bandwidth; shipped chips have at "
            "most 600: a unit of a thousand too many or too few?"
        )


def _doubled(chip: Chip, siblings: list[Chip], known: list[Chip]) -> Iterator[str]:
    """Peaks that are, to the last digit printed, twice the dense peak of a chip, and no chip's own."""
    for dtype, peak in chip.dense_flops.items():
        others = [s for s in known if dtype in s.dense_flops and s not in siblings]
        if siblings or any(_near(peak, s.dense_flops[dtype]) for s in known if dtype in s.dense_flops):
            continue
        twin = next((s for s in others if abs(peak / (2 * s.dense_flops[dtype]) - 1) < _PRINTED), None)
        if twin is not None:
            yield (
                f"dense_flops.{dtype} {peak / 1e12:g} TFLOP/s is what data sheets print for {twin.name} with "
                "2:4 sparsity, twice its dense peak; give the dense figure"
            )


def _memory(chip: Chip) -> Iterator[str]:
    for name in ("hbm_capacity", "hbm_usable"):
        size: float = getattr(chip, name)
        if size % 1e9 == 0 and size % _GIB and size >= 8e9:
            yield (
                f"{name} is {size / 1e9:g} GB, which is {size / _GIB:.4g} GiB: labels of memory chips are "
                f"binary, is {size / 1e9:g} GiB meant?"
            )
    seconds = chip.hbm_capacity / chip.hbm_bandwidth
    if seconds > _LONGEST_READ_S:
        yield (
            f"hbm_bandwidth {chip.hbm_bandwidth / 1e9:g} GB/s takes {seconds:.2g} s to read the memory once; "
            "shipped chips take less than 0.7 s: GB/s for TB/s?"
        )


def _links(chip: Chip, siblings: list[Chip]) -> Iterator[str]:
    link, alone = chip.scaleup, chip.scaleup.domain == 1
    width = link.bandwidth
    own = any(_near(width, s.scaleup.bandwidth) for s in siblings)
    twin = next((s for s in siblings if not (alone or own) and _near(width, 2 * s.scaleup.bandwidth)), None)
    if twin is not None:
        yield (
            f"scaleup.bandwidth {width / 1e9:g} GB/s is twice that of {twin.name}: both directions added? "
            "Give one direction"
        )
    if width >= chip.hbm_bandwidth:
        yield (
            f"scaleup.bandwidth {width / 1e9:g} GB/s is no less than hbm_bandwidth: Gbit/s written as GB/s, "
            "or both directions added?"
        )
    if link.topology == "pcie" and width > _FASTEST_PCIE:
        yield f"scaleup.bandwidth {width / 1e9:g} GB/s: PCIe with 16 lanes has at most 128 GB/s one way"
    network = chip.scaleout_bandwidth
    fastest = 2e11 if link.topology == "pcie" or alone else width / 2
    if network is not None and network > fastest:
        yield (
            f"scaleout_bandwidth {network / 1e9:g} GB/s is more than half of the links inside the domain: "
            "Gbit/s written as GB/s? A network of 400 Gbit/s is 50 GB/s"
        )
