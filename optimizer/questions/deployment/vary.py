"""A deployment with some constants scaled: figures and prices of its chips, or numbers of the problem."""

from collections.abc import Mapping
from dataclasses import replace

from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.supply import GIB, Supply
from optimizer.errors import InputError
from optimizer.questions.deployment.columns import prepare
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.questions.vary import HARDWARE, has_figure, number_at, scaled_chip, scaled_problem
from optimizer.watch import UNWATCHED, Stopped, Watch

_PRICE = "usd_per_chip_hour"
_POWER = "power_w"
"""Figures that the problem may give beside a chip."""
_TOTALS = (_PRICE, _POWER)


def check_constant(problem: DeploymentProblem, offered: tuple[Supply, ...], path: str) -> None:
    """InputError if neither the problem nor any of its chips has this number."""
    if path.startswith(HARDWARE):
        scaled_supplies(offered, {path: 1.0}, problem.performance_table is not None)
    else:
        number_at(problem, path)


def varied(
    problem: DeploymentProblem,
    columns: DeploymentColumns,
    factors: Mapping[str, float],
    watch: Watch = UNWATCHED,
) -> tuple[DeploymentProblem, DeploymentColumns]:
    """The problem and its configurations with constants times a factor, priced again if any times change.

    Raises Stopped where there is no time to price them all.
    """
    own = {path: factor for path, factor in factors.items() if not path.startswith(HARDWARE)}
    figures = {path: factor for path, factor in factors.items() if path.startswith(HARDWARE)}
    if own:
        problem = scaled_problem(problem, own)
    supplies = scaled_supplies(columns.supplies, figures, problem.performance_table is not None)
    if own or any(map(reprices, figures)):
        again = prepare(problem, supplies, watch)
        if not again.complete:
            raise Stopped
        return problem, again
    return problem, replace(columns, supplies=supplies)


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
    return replace(supply, chip=chip, usable_gib=chip.hbm_usable / GIB, node=node)
