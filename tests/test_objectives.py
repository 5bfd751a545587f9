"""Each metric file keeps its form and says truly how its value moves with its quantity.

Guards RISES: bounds and cut-offs of the solver follow from it, so a wrong sign loses the optimum.
"""

import numpy as np
import pytest
import samples

from optimizer import InputError, catalog
from optimizer.cost.frame import Slice
from optimizer.cost.quantities import QUANTITIES
from optimizer.metrics import evaluate, having, metric, sign
from optimizer.solver.cp_sat_twice import engine_version

METRICS = sorted(having("value"))
RANGE = {"parameters": (1e8, 1e12), "bytes": (1e8, 1e12), "s": (1e-4, 1e3)}


def at() -> Slice:
    frame = samples.frame(
        "meta-llama/Llama-3.1-8B", batch=16, output_tokens=256, tensor_parallel=2, requests_per_s=1e5
    )
    return Slice(frame, 32)


@pytest.mark.parametrize("name", METRICS)
def test_file_has_its_form(name: str) -> None:
    module = metric(name)
    sentence, *rest = (module.__doc__ or "").strip().splitlines()
    assert sentence.endswith(".")
    assert any(line.strip().startswith(f"{name} =") for line in rest), "the formula is of something else"
    assert module.QUANTITY in QUANTITIES
    assert module.UNIT
    assert module.BETTER in ("lower", "higher")
    assert module.RISES in (True, False, None)
    assert module.value.__doc__
    assert sign(name) == (1 if module.BETTER == "lower" else -1)


@pytest.mark.parametrize("name", METRICS)
def test_value_moves_as_declared(name: str) -> None:
    module = metric(name)
    low, high = RANGE[QUANTITIES[module.QUANTITY].unit]
    value = np.asarray(module.value(at(), np.geomspace(low, high, 400)))
    assert np.isfinite(value).all()
    slope = np.diff(value)
    if module.RISES is None:
        assert (slope > 0).any() and (slope < 0).any(), "RISES could be stated"
    else:
        assert (slope >= 0).all() if module.RISES else (slope <= 0).all()  # whole chips rise in steps
        assert value[0] != value[-1]


@pytest.mark.parametrize("name", METRICS)
def test_arrays_and_numbers_give_the_same(name: str) -> None:
    module = metric(name)
    quantities = np.geomspace(*RANGE[QUANTITIES[module.QUANTITY].unit], 5)
    many = np.asarray(module.value(at(), quantities))
    assert many.tolist() == pytest.approx([float(module.value(at(), q)) for q in quantities], rel=1e-13)


def test_metrics_of_one_plan_agree_with_each_other() -> None:
    model = catalog.model("meta-llama/Llama-3.1-8B")
    frame = samples.frame(
        model, batch=16, output_tokens=256, tensor_parallel=2, host_ms=1.0, requests_per_s=20.0
    )
    m = evaluate(frame, model)
    assert sorted(m) == METRICS
    assert m["chips"] == 2 * np.ceil(20 * 256 / m["output_tokens_per_s"])
    assert m["usd_per_hour"] == pytest.approx(m["chips"] * frame.chip.usd_per_chip_hour)
    assert m["power_w"] == pytest.approx(m["chips"] * frame.chip.power)
    assert m["tpot_steady_ms"] == pytest.approx(16 / m["output_tokens_per_s"] * 1e3)
    apart = 16 * 256 / (16 * m["ttft_ms"] + 256 * m["tpot_ms"]) * 1e3  # prompts and answers in turn
    assert apart <= m["output_tokens_per_s"] <= 16 / m["tpot_ms"] * 1e3
    assert m["output_tokens_per_s_per_chip"] == pytest.approx(m["output_tokens_per_s"] / 2)
    hourly = frame.chip.usd_per_chip_hour * 2
    assert m["usd_per_million_tokens"] == pytest.approx(hourly / 3600 / m["output_tokens_per_s"] * 1e6)
    assert m["n_params"] == 8_030_261_248


def test_a_chip_without_a_price_has_no_cost_and_all_else() -> None:
    model = catalog.model("meta-llama/Llama-3.1-8B")
    frame = samples.frame(model, samples.chip())
    known = set(evaluate(frame, model))
    assert known == set(METRICS) - {"usd_per_million_tokens", "chips", "usd_per_hour", "power_w"}
    with pytest.raises(InputError, match="usd_per_chip_hour"):
        metric("usd_per_million_tokens").value(Slice(frame, 32), 1.0)


def test_unknown_metric_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean tpot_ms"):
        metric("tpot")


def test_engine_version_is_the_pinned_one() -> None:
    """The defects that the proofs work around were seen in this one."""
    assert engine_version().startswith("9.")
