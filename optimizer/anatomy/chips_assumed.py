"""What is assumed of the chips that a deployment is offered."""

import contextlib
from collections.abc import Iterable, Mapping

from optimizer import catalog
from optimizer.anatomy.assumptions import efficiency_of, has_experts, kernels_of, memory_of, price_of
from optimizer.anatomy.models_assumed import models_assumed
from optimizer.columns.supply import Supply
from optimizer.errors import InputError
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.documents import CATALOGUE
from optimizer.spec.plan import Plan, Pool


def chips_assumed(
    supplies: Iterable[Supply],
    pools: Iterable[Pool],
    models: Mapping[str, Architecture],
    price_decides: bool = False,
    weight_dtype: str = "",
) -> tuple[Assumption, ...]:
    """Efficiency and price of every chip on offer, where the problem does not say; caveats of those in pools.

    `models`: by what pools run the models whose rates are predicted; where tables state all rates no
    efficiency is involved. `price_decides`: whether an objective or a bound is in money. `weight_dtype`: of
    pools that do not say theirs, as stages of a pipeline. What a model's own file leaves out is said first.
    """
    pools, found = tuple(pools), dict[str, Assumption]()
    used = {name for pool in pools for name in (pool.chip, pool.expert_chip)}
    for supply in supplies:
        chip = supply.chip
        if chip is None:
            continue
        said: list[Assumption] = []
        if models:
            said.append(efficiency_of(chip))
        if models and supply.name in used:
            said += (row for pool in pools for row in _of_pool(supply, pool, models, weight_dtype))
            said += memory_of(chip)
        if supply.usd_per_hour == chip.usd_per_chip_hour:
            said += price_of(chip, price_decides)
        found |= {row.name: row if supply.name in used else row.changed(caveat=False) for row in said}
    return (*models_assumed(models.values()), *found.values())


def pools_of(plans: Iterable[Plan]) -> tuple[Pool, ...]:
    """The pools of some plans together."""
    return tuple(pool for plan in plans for pool in plan.pools)


def named(names: Iterable[str]) -> tuple[Assumption, ...]:
    """What nobody measured of chips of the catalogue, each once; names that it does not know say nothing."""
    found: dict[str, Assumption] = {}
    for name in names:
        with contextlib.suppress(InputError):
            chip = catalog.chip(name, CATALOGUE)
            found |= {row.name: row for row in (efficiency_of(chip), *memory_of(chip)) if row.caveat}
    return tuple(found.values())


def _of_pool(
    supply: Supply, pool: Pool, models: Mapping[str, Architecture], weight_dtype: str
) -> tuple[Assumption, ...]:
    """What the kernels of one pool on this chip rest on."""
    model = models.get(pool.runs)
    if supply.chip is None or model is None or supply.name not in (pool.chip, pool.expert_chip):
        return ()
    ranks, dtype = pool.split.tensor_parallel, pool.formats.weight_dtype or weight_dtype
    return kernels_of(supply.chip, dtype, ranks, has_experts(model))
