"""Rows of a table that no plan needs: another is as good in all that a plan counts."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from optimizer.columns.replicas import Replicas
from optimizer.cost.placement import lies_within, read


def undominated(
    r: Replicas, used: Sequence[Any], rows: Any, capacity: Any, lying: Any, held: Sequence[Any] = ()
) -> Any:
    """Rows that no other of the same mode, chips, cache format and `used` sets is as good as.

    Such another has fewer or equal chips of each kind, blocks (`lying`) that find room wherever the row's
    blocks do, and at least the rate and the tokens `held`.
    """
    group = np.zeros(len(rows), dtype=np.int64)
    wanted = [mask[rows] for mask in used]
    for names in (r.mode[rows], r.chip[rows], r.expert_chip[rows], r.kv_dtype[rows], *wanted):
        distinct, codes = _numbered(names)
        group = group * len(distinct) + codes
    apart = r.expert_chips[rows]
    texts, own = _numbered(lying)
    largest = np.array([read(str(text))[0][0] for text in texts], dtype=np.int64)
    order = np.lexsort((-capacity, r.chips[rows], apart, largest[own], group))
    kept: list[int] = []
    kept_by_group: dict[int, list[int]] = {}
    best: dict[tuple[int, ...], int] = {}
    for i in order.tolist():
        key = (int(group[i]), int(own[i]), int(apart[i]), *(int(tokens[i]) for tokens in held))
        if capacity[i] <= best.get(key, 0):
            continue
        best[key] = int(capacity[i])
        others = kept_by_group.setdefault(key[0], [])
        if not any(
            capacity[j] >= capacity[i]
            and all(tokens[j] >= tokens[i] for tokens in held)
            and _fewer(r, rows[j], rows[i])
            and lies_within(lying[j], lying[i])
            for j in others
        ):
            others.append(i)
            kept.append(i)
    return rows[np.sort(np.array(kept, dtype=np.int64))]


def _fewer(r: Replicas, a: int, b: int) -> bool:
    return bool(r.chips[a] <= r.chips[b] and r.expert_chips[a] <= r.expert_chips[b])


def _numbered(names: Any) -> tuple[Any, Any]:
    """The distinct names, ascending, and which of them each is: of few distinct ones among many, quickly."""
    distinct = np.array(sorted(set(names.tolist())), dtype=names.dtype)
    return distinct, np.searchsorted(distinct, names)
