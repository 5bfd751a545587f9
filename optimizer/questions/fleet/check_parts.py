"""What the cost model said of the parts of a fleet's pools, asked again for the checker."""

import numpy as np

from optimizer.questions.deployment.check_prices import Prices
from optimizer.questions.fleet.columns import FleetColumns
from optimizer.questions.fleet.wrong import SETUP

_SAME = 1e-9


def differs(columns: FleetColumns, key: tuple[int, int, int]) -> bool:
    """Whether a bucket's row is of another setup than its pool's, is planned beyond, or has other figures."""
    j, k, b = key
    item = columns.items[j]
    if not columns.priced_by or (by := columns.priced_by[item.service][item.model][b]) is None:
        return False  # a table states them
    index = int(item.rows[b, k])
    row = columns.tables[item.service][item.model][b].row(index)
    other = any(np.asarray(getattr(item.setups, name))[k] != row[name] for name in SETUP)
    if other or item.rates[b, k] > row["requests_per_s"] * (1 + _SAME):
        return True
    at = item.service, item.model, b, index
    if at not in columns.asked:
        columns.asked[at] = Prices(by, columns.supplies).differs(row)
    return columns.asked[at]
