"""The estimate: parts add up, what cannot run has no times, every derivation recomputes its number."""

import pytest

from optimizer import catalog
from optimizer.anatomy.derivation import derive
from optimizer.anatomy.estimate import estimate
from optimizer.cost.frame import frame_of
from optimizer.cost.quantities import layer_operators, shared_operators
from optimizer.errors import InputError
from optimizer.metrics import evaluate
from optimizer.spec.setup import Setup

LLAMA = "meta-llama/Llama-3.1-8B"


def operator_names(frame, model, phase):
    parts = [part for g in model.layers for part in (g.block.mixer, g.block.ffn)]
    layers = [op.name for part in parts for op in layer_operators(frame, part, phase)]
    return [*layers, *(op.name for op in shared_operators(frame, phase))]


def test_an_estimate_agrees_with_the_metrics_and_its_parts_add_up():
    model, chip = catalog.model(LLAMA), catalog.chip("h100")
    setup = Setup(tensor_parallel=2, batch=16, input_tokens=2048, output_tokens=512)
    answer = estimate(model, chip, setup)
    expected = evaluate(frame_of(model, chip, setup), model)
    assert {name: answer.metrics[name] for name in expected} == expected
    assert sum(answer.memory_gib.values()) == pytest.approx(answer.metrics["memory_gib"], rel=1e-12)
    for phase, metric in (("decode", "tpot_ms"), ("prefill", "ttft_ms")):
        rows = [row.time_ms for row in answer.operators if row.phase == phase]
        assert sum(rows) == pytest.approx(answer.metrics[metric], rel=1e-12)


def test_energy_is_power_over_rate():
    chip = catalog.chip("h100")
    answer = estimate(catalog.model(LLAMA), chip, Setup(batch=8))
    rate = answer.metrics["output_tokens_per_s"]
    assert answer.metrics["joules_per_output_token"] == pytest.approx(chip.power / rate)


def test_what_does_not_fit_has_no_times():
    """An earlier tool showed 9.2 tokens/s for a 132 GB model on an 80 GB chip."""
    answer = estimate(catalog.model("meta-llama/Llama-3.3-70B-Instruct"), catalog.chip("h100"))
    assert answer.status == "infeasible"
    assert answer.breaks == ("memory_capacity",)
    assert set(answer.metrics) == {"memory_gib", "n_params", "kv_cache_tokens", "max_context_tokens"}
    assert not answer.operators
    assert answer.memory_gib["weights"] == pytest.approx(131.4, abs=0.05)


def test_an_illegal_split_has_no_times():
    """Three ranks cannot share 64 query heads."""
    setup = Setup(tensor_parallel=3)
    answer = estimate(catalog.model("meta-llama/Llama-3.3-70B-Instruct"), catalog.chip("b200"), setup)
    assert "tensor_parallel_divisibility" in answer.breaks
    assert "tpot_ms" not in answer.metrics


@pytest.mark.parametrize("phase", ["decode", "prefill", "mixed"])
@pytest.mark.parametrize("kv_dtype", ["bf16", "fp8"])
def test_the_numbers_of_a_derivation_give_its_values(phase, kv_dtype):
    """The formula printed is the formula computed: evaluate the text."""
    model = catalog.model(LLAMA)
    setup = Setup(tensor_parallel=2, batch=24, input_tokens=3000, output_tokens=100, kv_dtype=kv_dtype)
    frame = frame_of(model, catalog.chip("h100"), setup)
    for name in dict.fromkeys(operator_names(frame, model, phase)):
        shown = derive(frame, model, name, phase)
        for key in ("FLOP", "bytes", "link bytes"):
            if key in shown.numbers:
                value = eval(shown.numbers[key].replace(" x ", " * "), {"__builtins__": {}})
                assert value == pytest.approx(shown.values[key], rel=1e-4), (name, key)
        if shown.numbers["seconds"].startswith("max(FLOP"):
            text = shown.numbers["seconds"].replace(" x ", " * ")
            names = {"FLOP": shown.values["FLOP"], "bytes": shown.values["bytes"], "max": max}
            assert eval(text, {"__builtins__": {}}, names) == pytest.approx(shown.values["seconds"], rel=1e-4)
        longest = max(shown.terms_us[k] for k in ("compute", "memory", "link"))
        assert longest + shown.terms_us["overhead"] == pytest.approx(1e6 * shown.values["seconds"], rel=1e-9)
        assert all(shown.sources.values())


def test_an_unknown_operator_names_the_nearest():
    model = catalog.model(LLAMA)
    frame = frame_of(model, catalog.chip("h100"), Setup())
    with pytest.raises(InputError, match=r"atention.*Did you mean attention"):
        derive(frame, model, "atention", "decode")


@pytest.mark.parametrize("name", sorted(catalog.models()))
def test_no_model_runs_on_a_split_that_divides_nothing(name):
    """Seventeen ranks: the rules must find something to refuse in every kind of layer."""
    chip = catalog.chip("gb200")
    assert "tensor_parallel_divisibility" in estimate(catalog.model(name), chip, Setup(17)).breaks


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("deepseek-ai/DeepSeek-V3", 8),
        ("openai/gpt-oss-120b", 8),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", 8),
        ("nvidia/Nemotron-H-8B-Base-8K", 4),
        ("ai21labs/Jamba-v0.1", 8),
        ("state-spaces/mamba2-2.7b", 2),
    ],
)
def test_splits_that_engines_run_are_kept(name, ranks):
    setup = Setup(tensor_parallel=ranks, weight_dtype="fp8")
    assert estimate(catalog.model(name), catalog.chip("b200"), setup).breaks == ()


def test_a_state_is_a_part_of_its_own():
    """170,524,672 bytes a sequence on one chip; it once counted as weights."""
    model = catalog.model("state-spaces/mamba2-2.7b")
    one, ten = (estimate(model, catalog.chip("h100"), Setup(batch=n)).memory_gib for n in (1, 10))
    assert one["state"] * 2**30 == pytest.approx(170_524_672)
    assert ten["state"] == pytest.approx(10 * one["state"])
    assert ten["weights"] == pytest.approx(one["weights"])
    assert "state" not in estimate(catalog.model(LLAMA), catalog.chip("h100")).memory_gib
