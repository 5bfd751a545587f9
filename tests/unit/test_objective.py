"""What is said of an objective: its direction, and the gap between what was reached and what was proven."""

import pytest

from optimizer.spec.answer import Objective


@pytest.mark.parametrize(
    ("sense", "value", "bound", "said"),
    [
        (1, 10.0, 8.0, ("min", 8.0, 0.2)),
        (-1, 10.0, 12.0, ("max", 12.0, 0.2)),
        (1, -10.0, -12.0, ("min", -12.0, 0.2)),
        (1, 10.0, 10.0, ("min", 10.0, 0.0)),
        (1, None, 8.0, ("min", 8.0, None)),
        (1, 10.0, None, ("min", None, None)),
        (1, 0.0, 0.0, ("min", 0.0, None)),
        (1, 10.0, float("-inf"), ("min", None, None)),
    ],
)
def test_the_gap_is_a_share_of_the_value(sense, value, bound, said) -> None:
    found = Objective.of("tpot_ms", "ms", sense, value, bound)
    assert (found.sense, found.bound) == said[:2]
    assert found.gap == (None if said[2] is None else pytest.approx(said[2]))
    assert (found.name, found.unit, found.value) == ("tpot_ms", "ms", value)
