"""Problems on ranks that do not share a layer evenly: every kind, its checker, and what answers say."""

import math
from itertools import product
from typing import Any

import drawn
import pytest
import samples
from rich.console import Console

from optimizer import catalog, read_problem, solve
from optimizer.anatomy.estimate import estimate
from optimizer.columns.replica_costs import replica_columns
from optimizer.columns.supply import supplies
from optimizer.errors import InputError
from optimizer.metrics import evaluate
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import resolve
from optimizer.report import estimate as estimates
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import Offer, ReplicaSpace, Traffic
from optimizer.spec.setup import Setup

QWEN = catalog.model("Qwen/Qwen3-14B")  # 40 query heads on 8 key-value heads, d_ff 17408
H100 = catalog.chip("nvidia-h100-sxm")


@pytest.mark.parametrize("name", sorted(catalog.engines()))
def test_which_engines_refuse_three_gpus(name: str) -> None:
    """40 heads on 3 ranks: vllm-project/vllm issue 596; turboderp-org/exllamav3 pull request 141."""
    found = estimate(QWEN, H100, Setup(tensor_parallel=3, engine=name))
    if name in ("exllamav3", "llama.cpp"):
        assert found.status == "feasible"
        assert any(row.name == f"{name} pads" and row.caveat for row in found.assumptions)
    else:
        assert found.breaks == ("tensor_parallel_divisibility",)
        assert found.why == {
            "tensor_parallel_divisibility": "engines with unequal shares that run it: exllamav3, llama.cpp"
        }


LATTICE = samples.SPACE | {
    "d_model": [2048],
    "n_layers": [16, 17],
    "n_kv_heads": [4, 6, 8],
    "n_heads": [18, 20, 24],
}


@pytest.mark.parametrize("pads", drawn.PADS)
@pytest.mark.parametrize("metric", ["tpot_ms", "memory_gib"])
def test_a_lattice_on_any_number_of_ranks_by_trying_all(pads: Any, metric: str) -> None:
    """Rules written out again here, prices of each point one by one."""
    own = drawn.written(
        {"name": "own", "title": "own", "sources": {"default": "made up"}, "pads": dict(pads)}
    )
    problem = samples.problem(
        architecture=LATTICE,
        deployment={"tensor_parallel": [2, 3, 5, 7], "engine": own},
        minimize=metric,
        training=None,
        constraints={"tile_alignment": 32}
        | dict.fromkeys(("ffn_ratio", "aspect_ratio", "attention_ratio"), False),
    )
    space = resolve(problem)
    best = Search(space, space.rules, symbol(metric), 1).run().best
    assert best is not None
    assert best.key == pytest.approx(min(_by_hand(space, pads, metric)), rel=1e-12)
    assert best.frame.split.tensor_parallel == (7 if "kv_heads" in pads else 3)


def _by_hand(space: Any, pads: Any, metric: str) -> Any:
    for frame, h, kv, d_ff, layers in product(
        space.frames(), LATTICE["n_heads"], LATTICE["n_kv_heads"], LATTICE["d_ff"], LATTICE["n_layers"]
    ):
        t = frame.split.tensor_parallel
        if h % kv or (kv < 8 and h > 8 * kv):
            continue
        held_kv = kv if kv % t == 0 or kv < t or "kv_heads" not in pads else t * math.ceil(kv / t)
        held = h // kv * held_kv
        if "heads" in pads and held % t:
            held = t * pads["heads"] * math.ceil(held / t / pads["heads"])
        wide = d_ff if d_ff % t == 0 else t * pads["ffn"] * math.ceil(d_ff / t / pads["ffn"])
        if held % t or (held_kv % t and t % held_kv) or held * 128 % (32 * t) or wide % (32 * t):
            continue
        flat = {**LATTICE, "name": "one", "d_model": 2048, "n_layers": layers, "d_head": 128, "d_ff": d_ff}
        model = Architecture.model_validate(flat | {"n_heads": h, "n_kv_heads": kv})
        found = evaluate(frame, model)
        if found["memory_gib"] <= 79:
            yield found[metric]


def test_the_ranks_a_deployment_may_have() -> None:
    """Of 1 to 8, those that the engine runs; the answer says what it rounded up, and its checker agrees."""
    space = ReplicaSpace(tensor_parallel=tuple(range(1, 9)), engine="llama.cpp", batch=(8,))
    traffic = Traffic(input_tokens=1000, output_tokens=200, requests_per_s=1.0, percentile="none")
    offer = supplies([Offer(chip="nvidia-h100-sxm")])
    table, dropped = replica_columns(QWEN, offer, space, traffic)
    assert sorted({int(t) for t in table.tensor_parallel}) == list(range(1, 9))
    assert not dropped
    document = {
        "name": "three",
        "architecture": "Qwen/Qwen3-14B",
        "hardware": {"chip": "nvidia-h100-sxm", "usd_per_chip_hour": 2},
        "deployment": {"tensor_parallel": [3], "engine": "llama.cpp", "batch": [8]},
        "workload": {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 1},
        "minimize": "usd_per_hour",
    }
    answer = solve(read_problem(document))
    assert [pool.split.tensor_parallel for pool in answer.deployment.pools] == [3]
    assert "query heads from 40 to 45" in next(
        a.value for a in answer.assumptions if a.name == "llama.cpp pads"
    )
    with pytest.raises(InputError, match=r"engines with unequal shares that run it: exllamav3, llama\.cpp"):
        solve(read_problem(document | {"deployment": {"tensor_parallel": [3], "engine": "vllm"}}))


def test_stages_of_three_chips() -> None:
    asked = {
        "name": "staged",
        "architecture": "meta-llama/Llama-3.2-1B",
        "pipeline": {"stages": [{"chip": "nvidia-l40s", "chips": 3}]},
        "deployment": {"batch": [1], "engine": "llama.cpp"},
        "workload": {"input_tokens": 512, "output_tokens": 128},
        "minimize": "tpot_ms",
    }
    answer = solve(read_problem(asked))
    assert [stage.split.tensor_parallel for stage in answer.stages] == [3]
    assert any("on 3 ranks" in row.value for row in answer.assumptions)


def test_a_report_says_what_was_rounded_up(capsys: pytest.CaptureFixture[str]) -> None:
    found = estimate(QWEN, H100, Setup(tensor_parallel=3, engine="exllamav3"))
    Console(width=300).print(estimates.report(found))
    assert (
        "caution: exllamav3 pads query heads from 40 to 45, key-value heads from 8 to 9"
        in capsys.readouterr().out
    )


def test_a_conflict_names_the_engines_that_would_run_it() -> None:
    asked = {
        "name": "three",
        "architecture": "Qwen/Qwen3-14B",
        "hardware": "nvidia-h100-sxm",
        "deployment": {"tensor_parallel": 3, "engine": "vllm"},
        "workload": {"input_tokens": 1024, "output_tokens": 256, "batch": 8},
        "minimize": "tpot_ms",
    }
    conflict = solve(read_problem(asked)).conflict
    assert conflict.constraints == ("tensor_parallel_divisibility",)
    [change] = [c for c in conflict.relaxations if c.constraint == "deployment.engine"]
    assert change.sentence == "engine exllamav3 or llama.cpp would do: ranks may have unequal shares"
    answer = solve(read_problem(asked | {"deployment": {"tensor_parallel": 3, "engine": change.to}}))
    assert answer.status == "optimal"
    assert any(row.name == "exllamav3 pads" for row in answer.assumptions)
