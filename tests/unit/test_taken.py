"""What a lattice leaves out it has of its baseline, and answers say so; models leave out no vocabulary."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import samples
import small_problems

from optimizer import catalog, read_problem, solve
from optimizer.errors import InputError
from optimizer.questions.architecture.lattice import ArchitectureSpace
from optimizer.questions.architecture.space import resolve
from optimizer.questions.architecture.taken import taken, with_baseline

MINE = {
    "name": "mine", "n_layers": 16, "d_model": 1024, "d_ff": 4096, "n_heads": 16, "n_kv_heads": 8,
    "d_head": 64,
}  # fmt: skip
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 1024,
    "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8, "intermediate_size": 4096,
}  # fmt: skip


def test_a_lattice_has_its_baselines_layers_unless_it_says() -> None:
    """What all layers of the baseline agree on, by name; else the default, which the answer names."""
    lattice: dict[str, Any] = {k: v for k, v in samples.SPACE.items() if k != "vocab_size"}

    def own(name: str, **fields: Any) -> Any:
        return resolve(samples.problem(architecture=lattice | fields, baseline=name)).architecture

    assert own("qwen3-8b").qk_norm
    assert not own("qwen3-8b", qk_norm=False).qk_norm
    assert own("qwen2.5-7b").qkv_bias
    assert own("mistralai/Mistral-7B-v0.1").attention_window == 4096
    assert own("mistralai/Mistral-7B-v0.1", attention_window=None).attention_window is None
    gemma = own("google/gemma-3-27b-it")  # five windows, one without
    assert (gemma.attention_window, gemma.n_norms, gemma.qk_norm) == (None, 4, True)
    gpt3 = own("gpt3-175b")
    assert (gpt3.gated_ffn, gpt3.position_embeddings, gpt3.norm_bias) == (False, 2048, True)
    apart = own("deepseek-v3")  # neither grouped queries nor dense networks alone: what has the same name
    assert (apart.gated_ffn, apart.qk_norm, apart.n_norms) == (True, False, 2)


def test_an_answer_says_what_its_lattice_left_out() -> None:
    lattice = ArchitectureSpace.model_validate({k: v for k, v in samples.SPACE.items() if k != "vocab_size"})
    qwen, gemma = catalog.model("qwen3-8b"), catalog.model("google/gemma-3-27b-it")
    vocabulary, layers = taken(lattice, qwen)
    assert (vocabulary.value, vocabulary.source) == (
        "151936 tokens, a table for each end",
        "the baseline's, Qwen/Qwen3-8B",
    )
    assert (layers.name, layers.source) == ("layers", "the baseline's, Qwen/Qwen3-8B")
    assert layers.value == (
        "gated_ffn, n_norms 2, qk_norm; "
        "no attention_window, ffn_bias, norm_bias, output_bias, position_embeddings, qkv_bias"
    )
    *_, theirs, usual = taken(lattice, gemma)
    assert "n_norms 4" in theirs.value
    assert (usual.value, usual.source) == (
        "no attention_window",
        "default of archsat; google/gemma-3-27b-it has no one value",
    )
    _, alone = taken(lattice, None)
    assert "no attention_window, ffn_bias" in alone.value
    assert alone.source == "default of archsat"
    everything = ("vocab_size", "tied_embeddings", "gated_ffn", "n_norms", "qk_norm", "attention_window")
    rest = ("ffn_bias", "norm_bias", "output_bias", "position_embeddings", "qkv_bias")
    full = lattice.changed(**{name: getattr(lattice, name) for name in (*everything, *rest)})
    assert taken(full, qwen) == ()
    assert with_baseline(full, qwen) == full


@pytest.mark.parametrize("kind", ["pipeline", "fleet", "deployment"])
def test_a_model_that_a_problem_brings_along_has_its_vocabulary_or_the_answer_says_whose(kind: str) -> None:
    """A file without one is refused; a config.json has its class's, and answers say so."""
    asked: dict[str, Any] = copy.deepcopy(small_problems.PROBLEMS["fleet" if kind == "fleet" else "pipeline"])
    if kind == "fleet":
        del (
            asked["services"][1],
            asked["services"][0]["performance_table"],
            asked["services"][0]["constraints"],
        )
        where = asked["services"][0]
    else:
        where = asked
    if kind != "pipeline":
        asked |= {
            "hardware": [{"chip": "nvidia-h100-sxm", "usd_per_chip_hour": 2.0}],
            "deployment": {"batch": [8]},
        }
    if kind == "deployment":
        workload = {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 1}
        asked = where = {
            "name": "own", "hardware": asked["hardware"], "deployment": asked["deployment"],
            "workload": workload, "minimize": "usd_per_hour",
        }  # fmt: skip
    where["architecture"] = "mine"
    with pytest.raises(InputError, match="vocab_size: Field required"):
        solve(read_problem(asked | {"documents": {"models": {"mine": MINE}}}))
    answer = solve(read_problem(asked | {"documents": {"models": {"mine": CONFIG}}}))
    assert any("vocab_size is not given; taken as 32000" in row.value for row in answer.assumptions)
    told = solve(read_problem(asked | {"documents": {"models": {"mine": CONFIG | {"vocab_size": 50_000}}}}))
    assert not any("vocab_size" in row.value for row in told.assumptions)


def test_an_estimate_of_a_file_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(MINE), encoding="utf-8")
    with pytest.raises(InputError, match="vocab_size: Field required"):
        catalog.model(str(path))
