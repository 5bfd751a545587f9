"""--explain of operators of parallel forms, chunks and prefixes: the shown numbers give the value."""

import pytest

from optimizer import Setup, catalog
from optimizer.anatomy.derivation import derive
from optimizer.cost.frame import frame_of

OWN = catalog.model("qwen3-235b-a22b")
SETUP = Setup(
    data_parallel=8,
    expert_parallel=8,
    pipeline_parallel=2,
    tensor_parallel=2,
    context_parallel=4,
    batch=64,
    input_tokens=20000,
    prefix_tokens=500,
)
FRAME = frame_of(OWN, catalog.chip("h200"), SETUP)


@pytest.mark.parametrize(
    ("operator", "phase", "figure"),
    [
        ("expert dispatch", "decode", "link bytes"),
        ("expert combine", "prefill", "link bytes"),
        ("stage hand-over", "decode", "link bytes"),
        ("keys and values gathered", "prefill", "link bytes"),
        ("queries gathered", "decode", "link bytes"),
        ("partial results", "decode", "link bytes"),
        ("attention", "prefill", "FLOP"),
        ("attention", "prefill", "bytes"),
    ],
)
def test_the_numbers_shown_give_the_value(operator: str, phase: str, figure: str) -> None:
    found = derive(FRAME, OWN, operator, phase)
    shown = eval(found.numbers[figure].replace(" x ", " * "))  # figures to six digits
    assert shown == pytest.approx(found.values[figure], rel=1e-4)
    assert found.values["seconds"] > 0
    assert found.sources
