"""Every class of transformers: what it saves by default is read to torch's count, or refused by name.

Guards against a row of the table that counts a bias, a norm or a matrix too many or too few, and against a
default that is not the class's. The counts were taken once (`benchmarks/classes.py --record`): no torch here.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer import InputError
from optimizer.cost.parameters import parameter_counts
from optimizer.hugging_face import import_config
from optimizer.hugging_face.classes import recorded, version
from optimizer.hugging_face.families import FAMILIES
from optimizer.hugging_face.mixers import READERS
from optimizer.hugging_face.names import COSTLESS_PATTERN, SYNONYMS
from optimizer.hugging_face.order import LETTERS, ORDERS
from optimizer.hugging_face.sparse import RULES

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "classes.json").read_text())
COUNTS: dict[str, Any] = RECORDED["classes"]


def ours(name: str) -> int:
    """Our count of what a class saves by default."""
    return parameter_counts(
        import_config(dict(COUNTS[name]["config"]), "config.json", name).architecture
    ).total


def read(name: str) -> bool:
    """Whether the default of a class is read."""
    try:
        ours(name)
    except InputError as error:
        assert "config.json: " in str(error)
        return False
    return True


@pytest.mark.parametrize("name", [name for name in COUNTS if read(name)])
def test_a_class_has_the_parameters_that_torch_counts(name: str) -> None:
    """To the last one."""
    assert ours(name) == COUNTS[name]["parameters"]


@pytest.mark.parametrize("name", [name for name in COUNTS if "layer_types" in COUNTS[name]["config"]])
def test_a_file_without_its_order_of_layers_has_that_of_its_class(name: str) -> None:
    """Windows change no count: the class's own list is the witness. So is a list of layers with experts."""
    config = dict(COUNTS[name]["config"])
    if not read(name):
        return
    listed = import_config(dict(config), "config.json", name).architecture
    for field in ("layer_types", "mlp_layer_types", "sliding_window_pattern", "_sliding_window_pattern"):
        config.pop(field, None)
    if name == "lfm2_moe":  # its class has no order of its own
        with pytest.raises(InputError, match="layer_types: is missing"):
            import_config(config, "config.json", name)
        return
    assert import_config(config, "config.json", name).architecture.layers == listed.layers


def test_most_classes_that_write_text_are_read() -> None:
    """A change that loses some is seen."""
    assert sum(map(read, COUNTS)) >= 197


def test_a_row_without_a_class_says_what_its_files_leave_out() -> None:
    """Either transformers has its defaults, or the row has, or it is like another."""
    for name, family in FAMILIES.items():
        known = recorded(name).defaults or recorded(f"{name}_text").defaults
        assert known or family.defaults or recorded(family.like).defaults, name


def test_every_row_names_what_there_is() -> None:
    """Readers of mixers, orders of layers, rules of experts and letters."""
    for name, family in FAMILIES.items():
        assert set(family.kinds.values()) <= set(READERS), name
        assert family.order in ORDERS, name
        assert set(family.sparse) <= set(RULES), name
        assert set(family.cycle + family.lead + family.last) <= set(LETTERS), name


def test_no_field_that_a_row_reads_is_thought_to_cost_nothing() -> None:
    """Nor any other name of one: it would be passed over in files of other classes."""
    rows = {
        v for f in FAMILIES.values() for v in (getattr(f, slot) for slot in f.__slots__) if isinstance(v, str)
    }
    names = {*SYNONYMS, *(other for others in SYNONYMS.values() for other in others)}
    names |= {v for v in rows if "_" in v} | {
        "qk_rope_head_dim",
        "qk_nope_head_dim",
        "kv_lora_rank",
        "v_head_dim",
    }
    passed = {name for name in names if COSTLESS_PATTERN.fullmatch(name)}
    assert passed == set()


REMOTE = {
    "internlm2-20b": (
        19_861_149_696,
        {
            "model_type": "internlm2",
            "hidden_size": 6144,
            "num_hidden_layers": 48,
            "intermediate_size": 16384,
            "num_attention_heads": 48,
            "num_key_value_heads": 8,
            "vocab_size": 92544,
        },
    ),
    "Baichuan2-7B": (
        7_505_973_248,
        {
            "model_type": "baichuan",
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "intermediate_size": 11008,
            "num_attention_heads": 32,
            "vocab_size": 125696,
        },
    ),
    "chatglm3-6b": (
        6_243_584_000,
        {
            "model_type": "chatglm",
            "hidden_size": 4096,
            "num_layers": 28,
            "ffn_hidden_size": 13696,
            "num_attention_heads": 32,
            "kv_channels": 128,
            "multi_query_group_num": 2,
            "padded_vocab_size": 65024,
            "add_qkv_bias": True,
        },
    ),
    "deepseek-moe-16b": (
        16_375_728_128,
        {
            "model_type": "deepseek",
            "hidden_size": 2048,
            "num_hidden_layers": 28,
            "intermediate_size": 10944,
            "moe_intermediate_size": 1408,
            "num_attention_heads": 16,
            "n_shared_experts": 2,
            "n_routed_experts": 64,
            "num_experts_per_tok": 6,
            "first_k_dense_replace": 1,
            "vocab_size": 102400,
        },
    ),
    "Ling-mini-2.0": (
        16_255_643_392,
        {
            "model_type": "bailing_moe",
            "hidden_size": 2048,
            "num_hidden_layers": 20,
            "intermediate_size": 5120,
            "moe_intermediate_size": 512,
            "num_attention_heads": 16,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "num_experts": 256,
            "num_shared_experts": 1,
            "num_experts_per_tok": 8,
            "first_k_dense_replace": 1,
            "use_qk_norm": True,
            "moe_router_enable_expert_bias": True,
            "vocab_size": 157184,
        },
    ),
    "MiniMax-Text-01": (
        456_089_655_296,
        {
            "model_type": "minimax_text_01",
            "hidden_size": 6144,
            "num_hidden_layers": 80,
            "intermediate_size": 9216,
            "num_attention_heads": 64,
            "head_dim": 128,
            "num_key_value_heads": 8,
            "num_local_experts": 32,
            "num_experts_per_tok": 2,
            "vocab_size": 200064,
            "attn_type_list": ([0] * 7 + [1]) * 10,
        },
    ),
}


@pytest.mark.parametrize("name", REMOTE)
def test_a_class_that_comes_with_its_checkpoint_has_the_published_parameters(name: str) -> None:
    """Counts of the published checkpoints (recalled 2026-11-28; those of the catalogue say the same)."""
    parameters, config = REMOTE[name]
    assert parameter_counts(import_config(dict(config), "config.json", name).architecture).total == parameters


def test_defaults_and_counts_are_of_one_version() -> None:
    """Recorded together."""
    assert version() == RECORDED["source"]
