"""What the replicas of a plan rest on that their problem did not say, each said once."""

from collections.abc import Iterable

from optimizer.anatomy.blocks_assumed import blocks_assumed
from optimizer.anatomy.shares_assumed import shares_assumed
from optimizer.columns.deployment import DeploymentColumns
from optimizer.columns.replica import Replica, common
from optimizer.spec.answer import Assumption
from optimizer.spec.plan import Pool


def pools_assumed(columns: DeploymentColumns, pools: Iterable[Pool]) -> tuple[Assumption, ...]:
    """Caveats of the blocks of their weights and of their ranks' shares; none of a table's replicas."""
    by, supplies = columns.priced_by, {s.name: s for s in columns.supplies}
    if by is None:
        return ()
    found: dict[str, Assumption] = {}
    for pool in pools:
        supply = supplies[pool.chip]
        frame = Replica(supply, supply.known, pool.split, pool.formats).frame(
            by.architecture, common(by.space, by.traffic, pool.engine)
        )
        said = (*blocks_assumed(frame, by.architecture), *shares_assumed(frame, by.architecture))
        found |= {one.value: one for one in said}
    return tuple(found.values())
