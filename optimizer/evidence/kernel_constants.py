"""The constants of a chip that a kernel's rows can tell, and the chip with other values of them."""

from typing import Any

from optimizer.cost.collectives import all_reduce_fit
from optimizer.evidence.fitting import Constant, Values
from optimizer.evidence.kernels import Part
from optimizer.spec.chip import Chip
from optimizer.spec.links import Shot

_SHOTS = ("one_shot", "two_shot", "large")


def _share(name: str, old: float) -> Constant:
    """A share of a peak or a bandwidth, which may be all of it."""
    return Constant(name, "", old, 0.02, 1.0, 0.3, (False, True))


def _us(name: str, old: float) -> Constant:
    """A time, fitted in microseconds: the unit it is written in."""
    return Constant(name, "us", float(f"{old * 1e6:.12g}"), 0.01, 2000.0, 1.0, (True, False))


def constants_of(part: Part, chip: Chip) -> list[Constant]:
    """The constants of a part, at the values the chip has for it now."""
    fits = chip.efficiency
    match part.operator:
        case "gemm":
            gemm = chip.gemm(str(part.key))
            compute, memory = _share("compute", gemm.compute), _share("memory", gemm.memory)
            return [compute, memory, _us("overhead", gemm.overhead)]
        case "copy":
            return [_share("memory", fits.elementwise.memory), _us("overhead", fits.elementwise.overhead)]
        case "decode_attention":
            table: dict[Any, Any] = fits.attention_decode
            own = table.get(part.key, table["bf16"])
            return [_share("memory", own.memory), _us("overhead", own.overhead)]
        case "prefill_attention":
            width = max((w for w in fits.attention_prefill if w <= int(part.key)), default=None)
            curve = fits.attention_prefill[min(fits.attention_prefill) if width is None else width]
            half = Constant("half", "tokens", curve.half, 0.0, 50_000.0, 100.0, (True, False))
            return [_share("peak", curve.peak), half]
    shots = all_reduce_fit(chip, int(part.key))
    return [
        constant
        for name in _SHOTS
        if (shot := getattr(shots, name)) is not None
        for constant in (
            _us(f"{name}.latency", shot.latency),
            Constant(f"{name}.link", "", shot.link, 0.005, 1.0, 0.2, (False, True)),
        )
    ]


def with_constants(part: Part, chip: Chip, values: Values) -> Chip:
    """The chip with these values of a part's constants."""
    fits = chip.efficiency
    values = {
        name: value * 1e-6 if name.endswith(("overhead", "latency")) else value
        for name, value in values.items()
    }
    table: dict[Any, Any]
    match part.operator:
        case "gemm":
            key = {"nvfp4": "fp4"}.get(str(part.key), part.key)
            table = {"gemm": fits.gemm | {key: chip.gemm(str(part.key)).changed(**values)}}
        case "copy":
            table = {"elementwise": fits.elementwise.changed(**values)}
        case "decode_attention":
            own = fits.attention_decode["bf16"].changed(**values)
            table = {"attention_decode": {**fits.attention_decode, part.key: own}}
        case "prefill_attention":
            curve = next(iter(fits.attention_prefill.values())).changed(**values)
            curves = fits.attention_prefill | {int(part.key): curve}
            table = {"attention_prefill": {width: curves[width] for width in sorted(curves)}}
        case _:
            shots = all_reduce_fit(chip, int(part.key)).changed(**_shots(values))
            tables = {**fits.all_reduce, int(part.key): shots}
            table = {"all_reduce": {n: tables[n] for n in sorted(tables)}}
    return chip.with_efficiency(fits.changed(**table, measured=True))


def _shots(values: Values) -> dict[str, Shot]:
    """'one_shot.latency' and 'one_shot.link' as the algorithm one_shot, and so on."""
    named = {name.partition(".")[0] for name in values}
    return {
        name: Shot.model_construct(latency=values[f"{name}.latency"], link=values[f"{name}.link"])
        for name in _SHOTS
        if name in named
    }
