"""How much of a wide space the first looks take: a few round values of every dimension, then more.

Guards the size of the parts. A part that is the whole space is no early look; one that has a single value of
a dimension, or that leaves a dimension out, seldom holds a plan.
"""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import samples

from optimizer.questions.architecture.early import coarse, ends, spread
from optimizer.questions.architecture.space import Space, resolve

CHIPS = ["nvidia-h100-sxm", "nvidia-a100-80-sxm", "nvidia-b200-sxm", "nvidia-l40s", "amd-mi300x"]
WIDE: dict[str, Any] = {
    "architecture": samples.SPACE
    | {
        "d_model": [64 * i for i in range(16, 60)],
        "n_layers": list(range(10, 90)),
        "n_heads": list(range(8, 80)),
        "n_kv_heads": list(range(1, 21)),
        "d_head": [8 * i for i in range(4, 24)],
        "d_ff": [16 * i for i in range(100, 1300)],
    },
    "constraints": {"gqa_divisibility": False},
    "deployment": {
        "tensor_parallel": [1, 2, 4, 8],
        "weight_dtype": ["bf16", "fp8", "int8", "int4"],
        "kv_dtype": ["bf16", "fp8"],
        "batch": [1, 2, 3, 4, 5, 6, 7, 8],
    },
    "workload": {"input_tokens": 1024, "output_tokens": 256},
    "hardware": CHIPS,
}


@pytest.fixture(scope="module")
def space() -> Space:
    return resolve(samples.problem(**WIDE))


def domains(space: Space) -> dict[str, list[Any]]:
    """The values of every dimension."""
    a, d = space.attention, space.problem.deployment
    kinds = {name: np.unique(getattr(a, name)).tolist() for name in ("n_heads", "n_kv_heads", "d_head")}
    split = {name: list(getattr(d, name)) for name in WIDE["deployment"]}
    widths = {"d_model": list(space.architecture.d_model), "n_layers": space.depths.tolist()}
    return kinds | split | widths | {"d_ff": space.ffn.d_ff.tolist(), "chips": [c.name for c in space.chips]}


def test_every_dimension_begins_small_and_grows(space: Space) -> None:
    whole = domains(space)
    parts = [domains(part.space) for part in coarse(space)]
    assert len(parts) > 1
    for name, values in whole.items():
        sizes = [len(part[name]) for part in parts]
        assert all(set(part[name]) <= set(values) for part in parts), name
        assert 2 <= sizes[0] <= max(2, len(values) / 2), name
        assert all(a < b < len(values) or b == len(values) for a, b in pairwise(sizes)), name
        assert sizes[-1] == len(values) or sizes[-1] >= 2 * sizes[0], name


def test_a_part_has_all_kinds_of_its_values(space: Space) -> None:
    for part in coarse(space):
        own = domains(part.space)
        kinds = [own[name] for name in ("n_heads", "n_kv_heads", "d_head")]
        assert len(part.attention) == len(part.space.attention) == np.prod([len(v) for v in kinds])
        assert list(part.space.architecture.n_layers) == part.space.depths.tolist()
        assert [type(depth) for depth in part.space.architecture.n_layers[:1]] == [int]


def test_a_batch_that_is_given_stays_so() -> None:
    fixed = resolve(samples.problem())
    for part in coarse(fixed):
        assert part.space.problem.deployment.batch == fixed.problem.deployment.batch
        assert list(part.space.batches) == list(fixed.batches)


@pytest.mark.parametrize("n", [40, 100])
def test_where_no_kind_has_round_values_only_some_kinds_are_looked_at(n: int) -> None:
    """Heads and key-value heads that are never both even."""
    space = resolve(samples.problem())
    rows = np.zeros(n, dtype=np.int64)
    own = replace(
        space.attention.take(rows), n_heads=np.arange(1, n + 1), n_kv_heads=np.arange(2, n + 2)
    )  # fmt: skip
    for part in list(coarse(replace(space, attention=own)))[:1]:
        assert part.attention.tolist() == list(range(min(n, 64)))


def test_ends_are_evenly_spread_from_the_first_to_the_last() -> None:
    assert ends((1, 2, 4, 8, 16), 4) == (1, 2, 4, 16)
    assert ends((1, 2, 4, 8, 16, 32, 64), 3) == (1, 8, 64)
    assert ends("abc", 3) == ("a", "b", "c")
    assert ends("ab", 3) == ("a", "b")


def test_the_roundest_of_each_part() -> None:
    assert spread([3, 4, 6, 12, 20, 24], 2) == (4, 24)
    assert spread(np.array([5, 7, 10, 11, 12, 13]), 3) == (5, 10, 12)
    assert spread([1, 2, 3], 3) == (1, 2, 3)
    assert spread(["fp8", "bf16", "int4"], 2) == ("fp8", "bf16")  # of words the first
    assert all(type(value) is int for value in spread(np.arange(9), 9))
