"""Chips on offer with some figures times a factor: of their files, or given beside a chip."""

from collections.abc import Mapping
from dataclasses import replace

from optimizer.columns.supply import GIB, Supply
from optimizer.errors import InputError
from optimizer.questions.vary import HARDWARE, has_figure, scaled_chip

_PRICE = "usd_per_chip_hour"
_POWER = "power_w"
"""Figures that the problem may give beside a chip."""
_TOTALS = (_PRICE, _POWER)


def reprices(path: str) -> bool:
    """Whether a figure of a chip changes times, and not only totals."""
    return path.rpartition(".")[2] not in _TOTALS


def scaled_supplies(
    supplies: tuple[Supply, ...], figures: Mapping[str, float], tabled: bool
) -> tuple[Supply, ...]:
    """The chips on offer with some figures times a factor; `tabled`: rates are stated, not predicted."""
    for path, factor in figures.items():
        chip, figure = _parts(path, supplies)
        meant = [s for s in supplies if chip in (None, s.name)]
        if figure not in _TOTALS and tabled:
            raise InputError(f"{path}: rates are read from performance_table; {', '.join(_TOTALS)} can vary")
        if not any(_has(s, figure) for s in meant):
            _refuse(path, figure, meant[0])
        named = {s.name for s in meant if _has(s, figure)}
        supplies = tuple(_scaled(s, figure, factor) if s.name in named else s for s in supplies)
    return supplies


def _parts(path: str, supplies: tuple[Supply, ...]) -> tuple[str | None, str]:
    """'hardware.hbm_bandwidth' is of every chip, 'hardware.nvidia-h100-sxm.hbm_bandwidth' of one."""
    rest = path.removeprefix(HARDWARE)
    for s in supplies:
        if rest.startswith(f"{s.name}."):
            return s.name, rest.removeprefix(f"{s.name}.")
    return None, rest


def _refuse(path: str, figure: str, supply: Supply) -> None:
    if figure in _TOTALS or supply.chip is None:
        raise InputError(f"{path}: {supply.name} has none; give it beside the chip")
    scaled_chip(supply.chip, {figure: 1.0})  # says what is wrong


def _has(supply: Supply, figure: str) -> bool:
    if figure in _TOTALS:
        return (supply.usd_per_hour if figure == _PRICE else supply.power_w) is not None
    return supply.chip is not None and has_figure(supply.chip, figure)


def _scaled(supply: Supply, figure: str, factor: float) -> Supply:
    if figure == _PRICE:
        return replace(supply, usd_per_hour=(supply.usd_per_hour or 0.0) * factor)
    if figure == _POWER:
        return replace(supply, power_w=(supply.power_w or 0.0) * factor)
    if supply.chip is None:
        return supply
    chip = scaled_chip(supply.chip, {figure: factor})
    whole = supply.node == supply.chip.scaleup.domain  # then a node is a domain, of whatever size
    node = chip.scaleup.domain if whole else supply.node
    return replace(supply, chip=chip, usable_gib=chip.hbm_for_programs / GIB, node=node)
