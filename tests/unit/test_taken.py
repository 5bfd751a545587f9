"""What a lattice leaves out it has of its baseline, and answers say so; models leave out no vocabulary."""

import json
from pathlib import Path
from typing import Any

import pytest
import samples

from optimizer import catalog
from optimizer.errors import InputError
from optimizer.questions.architecture.lattice import ArchitectureSpace
from optimizer.questions.architecture.space import resolve
from optimizer.questions.architecture.taken import taken, with_baseline
from optimizer.spec.documents import Documents

MINE = {
    "name": "mine", "d_model": 64, "n_layers": 8, "n_heads": 4, "n_kv_heads": 2, "d_head": 16, "d_ff": 128,
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


CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 8,
    "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 128,
}  # fmt: skip


@pytest.mark.parametrize("document", [MINE, CONFIG], ids=["file", "config"])
def test_a_model_without_a_vocabulary_is_refused(document: dict[str, Any], tmp_path: Path) -> None:
    """Written out in a problem of any kind, or as a file of estimate: no default beside another tokenizer."""
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    own = Documents(models={"mine": document})
    with pytest.raises(InputError, match="vocab_size"):
        catalog.model("mine", own)
    if document is CONFIG:
        with pytest.raises(InputError, match="vocab_size"):
            catalog.model(str(path))
    kept = Documents(models={"mine": document | {"vocab_size": 1000}})
    assert catalog.model("mine", kept).vocab_size == 1000
