"""Import of config.json: exact dimensions and counts, every default told, and nothing guessed.

Guards against an importer that reads a hybrid as a dense model, takes a default of the wrong class in
silence, passes over a field that changes the count, or ends in a traceback on a strange file.
"""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import InputError, catalog
from optimizer.cost.parameters import parameter_counts
from optimizer.hugging_face import Imported, read_config
from optimizer.hugging_face.config import MAX_BYTES

CONFIGS = Path(__file__).parent.parent / "data" / "configs"

# Counts are those of the published checkpoints where the file describes one (llama, qwen, mixtral, gemma,
# gpt-oss, OLMo-2: exact), without multi-token prediction and vision parts.
SAMPLES: dict[str, tuple[int, int, tuple[tuple[int, str, str], ...]]] = {
    "meta-llama--Meta-Llama-3.1-8B": (8_030_261_248, 4096, ((32, "gqa", "dense_ffn"),)),
    "Qwen--Qwen2-7B-Instruct": (7_615_616_512, 3584, ((28, "gqa", "dense_ffn"),)),
    "Qwen--Qwen3-32B-FP8": (32_762_123_264, 5120, ((64, "gqa", "dense_ffn"),)),
    "Qwen--Qwen3-30B-A3B": (30_532_122_624, 2048, ((48, "gqa", "moe"),)),
    "Qwen--Qwen3-VL-4B-Instruct": (4_022_468_096, 2560, ((36, "gqa", "dense_ffn"),)),
    "mistralai--Mixtral-8x7B-v0.1": (46_702_792_704, 4096, ((32, "gqa", "moe"),)),
    "openai--gpt-oss-20b": (20_914_757_184, 2880, ((1, "gqa", "moe"),) * 24),
    "google--gemma-2-2b-it": (2_614_341_888, 2304, ((1, "gqa", "dense_ffn"),) * 26),
    "google--gemma-3-1b-it": (999_885_952, 1152, ((5, "gqa", "dense_ffn"), (1, "gqa", "dense_ffn")) * 4),
    "allenai--OLMo-2-1124-7B": (7_298_617_344, 4096, ((32, "gqa", "dense_ffn"),)),
    "bigcode--starcoder2": (7_173_923_840, 4608, ((32, "gqa", "dense_ffn"),)),
    "deepseek-ai--DeepSeek-V3": (671_026_419_200, 7168, ((3, "mla", "dense_ffn"), (58, "mla", "moe"))),
    "google--gemma-3-27b-it": (27_009_346_304, 5376, ((5, "gqa", "dense_ffn"), (1, "gqa", "dense_ffn")) * 10),
    "Qwen--Qwen2.5-VL-7B-Instruct": (7_615_616_512, 3584, ((28, "gqa", "dense_ffn"),)),
    "LGAI-EXAONE--EXAONE-4.0-32B": (
        32_003_216_384,
        5120,
        ((3, "gqa", "dense_ffn"), (1, "gqa", "dense_ffn")) * 16,
    ),
    "allenai--Olmo-3.1-32B": (32_233_522_176, 5120, ((3, "gqa", "dense_ffn"), (1, "gqa", "dense_ffn")) * 16),
    "zai-org--GLM-4.7-Flash": (29_943_393_920, 2048, ((1, "mla", "dense_ffn"), (46, "mla", "moe"))),
    "LiquidAI--LFM2.5-VL-1.6B": (
        1_170_340_608,
        2048,
        ((2, "short_conv", "dense_ffn"), (1, "gqa", "dense_ffn"), (2, "short_conv", "dense_ffn")),
    ),
    "moonshotai--Kimi-K3": (
        2_779_481_795_168,
        7168,
        ((1, "kda", "dense_ffn"), (2, "kda", "latent_moe"), (1, "mla", "latent_moe")),
    ),
    "nvidia--NVIDIA-Nemotron-3-Super-120B-A12B-FP8": (
        120_668_707_840,
        4096,
        ((1, "mamba2", "no_ffn"), (1, "no_mixer", "latent_moe"), (1, "mamba2", "no_ffn")),
    ),
    "deepseek-ai--DeepSeek-V4-Flash": (284_332_240_471, 4096, ((2, "csa", "moe"), (1, "csa", "moe"))),
    "zai-org--GLM-5": (743_911_218_432, 6144, ((3, "dsa", "dense_ffn"), (75, "dsa", "moe"))),
    "zai-org--GLM-5.2": (
        743_377_019_904,
        6144,
        ((3, "dsa", "dense_ffn"), (3, "dsa", "moe"), (1, "dsa", "moe")),
    ),
    "XiaomiMiMo--MiMo-V2-Flash": (308_778_780_864, 4096, ((1, "gqa", "dense_ffn"), (4, "gqa", "moe"))),
    "google--gemma-4-26B-A4B": (25_233_141_760, 2816, ((5, "gqa", "moe"), (1, "gqa", "moe")) * 5),
    "MiniMaxAI--MiniMax-M3": (426_174_572_928, 6144, ((3, "gqa", "dense_ffn"), (57, "msa", "moe"))),
    "MiniMaxAI--MiniMax-M2.5": (228_689_764_864, 3072, ((62, "gqa", "moe"),)),
}


def import_(fields: Any) -> Imported:
    """Import fields through a file of their own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(fields if isinstance(fields, str) else json.dumps(fields))
        return read_config(file)


def fields_of(name: str) -> dict[str, Any]:
    """The fields of a sample."""
    found: dict[str, Any] = json.loads((CONFIGS / f"{name}.json").read_text())
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_its_dimensions_and_its_exact_count(name: str) -> None:
    """Names, width, runs of equal layers and the total."""
    total, d_model, runs = SAMPLES[name]
    architecture = read_config(CONFIGS / f"{name}.json").architecture
    assert architecture.name == name.replace("--", "/")
    assert architecture.d_model == d_model
    found = tuple((g.count, g.block.mixer.kind, g.block.ffn.kind) for g in architecture.layers)
    assert found[: len(runs)] == runs
    assert parameter_counts(architecture).total == total


def test_a_hybrid_of_mamba_keeps_its_pattern() -> None:
    """Nemotron-3-Nano: 23 Mamba-2, 23 expert and 6 attention layers of one norm each; 31.6B."""
    architecture = read_config(CONFIGS / "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16.json").architecture
    kinds = [(g.block.mixer.kind, g.block.ffn.kind) for g in architecture.layers for _ in range(g.count)]
    assert kinds.count(("mamba2", "no_ffn")) == 23
    assert kinds.count(("no_mixer", "moe")) == 23
    assert kinds.count(("gqa", "no_ffn")) == 6
    assert kinds[5] == ("gqa", "no_ffn")
    assert {g.block.n_norms for g in architecture.layers} == {1}
    assert parameter_counts(architecture).total == pytest.approx(31.578e9, rel=1e-4)


def test_a_hybrid_of_delta_nets_keeps_its_interval() -> None:
    """Qwen3.5-27B: three gated delta nets, then attention whose output is gated."""
    architecture = read_config(CONFIGS / "Qwen--Qwen3.5-27B.json").architecture
    assert [(g.count, g.block.mixer.kind) for g in architecture.layers] == [
        (3, "gated_deltanet"),
        (1, "gqa"),
    ] * 16
    assert getattr(architecture.layers[1].block.mixer, "output_gate", None) is True
    assert parameter_counts(architecture).total == pytest.approx(26.896e9, rel=1e-4)


def test_a_pruned_model_loses_attention_layers() -> None:
    """Nemotron-Super-49B: 49 of 80 layers keep attention; widths differ; 49.87B published."""
    architecture = read_config(CONFIGS / "nvidia--Llama-3_3-Nemotron-Super-49B-v1.json").architecture
    assert architecture.n_layers == 80
    kept = sum(g.count for g in architecture.layers if g.block.mixer.kind == "gqa")
    assert kept == 49
    assert parameter_counts(architecture).total == pytest.approx(49.867e9, rel=1e-4)


def test_every_second_expert_layer_of_llama_4() -> None:
    """Maverick: dense layers of their own width between mixtures, and full attention in every fourth."""
    layers = read_config(CONFIGS / "meta-llama--Llama-4-Maverick-17B-128E-Instruct.json").architecture.layers
    assert [g.block.ffn.kind for g in layers] == ["dense_ffn", "moe"] * 24
    assert getattr(layers[0].block.ffn, "d_ff", 0) == 16384
    windows = [getattr(g.block.mixer, "attention_window", 0) for g in layers]
    assert windows == [8192, 8192, 8192, None] * 12


def test_groups_of_experts_are_read() -> None:
    """DeepSeek-V3: n_group 8, topk_group 4. One group is none."""
    for name, groups in (
        ("deepseek-ai--DeepSeek-V3", (8, 4)),
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", (None, None)),
    ):
        layers = read_config(CONFIGS / f"{name}.json").architecture.layers
        ffn = next(g.block.ffn for g in layers if g.block.ffn.kind == "moe")
        assert (ffn.n_expert_groups, ffn.n_active_expert_groups) == groups


def test_windows_alternate() -> None:
    """Gemma 2 and 3: windows first, the last layer of a period attends to everything."""
    for name, period, width in (("google--gemma-2-2b-it", 2, 4096), ("google--gemma-3-1b-it", 6, 512)):
        layers = read_config(CONFIGS / f"{name}.json").architecture.layers
        windows = [getattr(g.block.mixer, "attention_window", 0) for g in layers for _ in range(g.count)]
        assert windows == [width if (i + 1) % period else None for i in range(26)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("meta-llama--Meta-Llama-3.1-8B", ["head_dim is not given"]),
        ("Qwen--Qwen2-7B-Instruct", ["qkv_bias is not given; taken as true", "head_dim is not given"]),
        ("Qwen--Qwen3-32B-FP8", []),
        ("Qwen--Qwen3-30B-A3B", []),
        ("google--gemma-2-2b-it", ["tie_word_embeddings is not given; taken as true", "layer_types is not"]),
        ("deepseek-ai--DeepSeek-V3", ["multi-token-prediction"]),
        ("Qwen--Qwen3-VL-4B-Instruct", ["only the language model under text_config", "vision parts"]),
        (
            "google--gemma-3-27b-it",
            [
                "only the language model under text_config",
                "vocab_size is not given; taken as 262208, the default of its class",
                "layer_types is not given",
                "attention_bias is not given; taken as false",
                "tie_word_embeddings is not given; taken as true",
                "vision parts",
            ],
        ),
        ("Qwen--Qwen2.5-VL-7B-Instruct", ["qkv_bias is not given", "head_dim is not given", "vision parts"]),
    ],
)
def test_assumptions_are_told_and_no_others(name: str, told: list[str]) -> None:
    """One sentence for each default or simplification, in the notes of the architecture too."""
    imported = read_config(CONFIGS / f"{name}.json")
    assert len(imported.assumptions) == len(told)
    for text in told:
        assert any(text in assumption for assumption in imported.assumptions)
    assert imported.architecture.notes == "; ".join(imported.assumptions)


def test_layers_may_have_fields_of_their_own() -> None:
    """By number in per_layer_config, in a list, whatever all layers have."""
    fields = fields_of("meta-llama--Meta-Llama-3.1-8B") | {"num_hidden_layers": 3}
    own = {"01": {"num_key_value_heads": 4}, "2": {"head_dim": 64}}
    layers = import_(fields | {"per_layer_config": own}).architecture.layers
    found = [
        (g.count, getattr(g.block.mixer, "n_kv_heads", 0), getattr(g.block.mixer, "d_head", 0))
        for g in layers
    ]
    assert found == [(1, 8, 128), (1, 4, 128), (1, 8, 64)]
    layers = import_(
        fields | {"num_attention_heads_per_layer": [32, 16, 16], "head_dim": 128}
    ).architecture.layers
    assert [(g.count, getattr(g.block.mixer, "n_heads", 0)) for g in layers] == [(1, 32), (2, 16)]


def test_layers_with_a_window_may_have_heads_of_their_own() -> None:
    """Gemma 4: wider heads without values of their own where all is attended to. MiMo: values of 128."""
    layers = read_config(CONFIGS / "google--gemma-4-26B-A4B.json").architecture.layers
    names = ("n_kv_heads", "d_head", "kv_from", "attention_window")
    assert [[getattr(g.block.mixer, name) for name in names] for g in layers[:2]] == [
        [8, 256, "projections", 1024],
        [2, 512, "keys", None],
    ]
    layers = read_config(CONFIGS / "XiaomiMiMo--MiMo-V2-Flash.json").architecture.layers
    names = ("n_kv_heads", "d_head", "d_head_value", "sinks", "attention_window")
    assert [[getattr(g.block.mixer, name) for name in names] for g in layers[:2]] == [
        [4, 192, 128, False, None],
        [8, 192, 128, True, 128],
    ]


def test_layers_may_share_keys_and_have_embeddings_of_their_own() -> None:
    """Gemma-4 E2B: the last 20 of 35 layers read earlier keys, in networks twice as wide."""
    fields = {
        "model_type": "gemma4_text", "hidden_size": 1536, "num_hidden_layers": 35, "intermediate_size": 6144,
        "num_attention_heads": 8, "num_key_value_heads": 1, "head_dim": 256, "global_head_dim": 512,
        "num_kv_shared_layers": 20, "use_double_wide_mlp": True, "hidden_size_per_layer_input": 256,
        "layer_types": [*["sliding_attention"] * 4, "full_attention"] * 7,
    }  # fmt: skip
    architecture = import_(fields).architecture
    each = [g.block for g in architecture.layers for _ in range(g.count)]
    assert [b.ffn.kind for b in each] == ["dense_ffn", "ple"] * 35
    shared = [getattr(b.mixer, "kv_from", "") == "earlier_layer" for b in each[::2]]
    assert shared == [False] * 15 + [True] * 20
    assert [getattr(b.ffn, "d_ff", 0) for b in each[::2]] == [6144] * 15 + [12288] * 20
    catalogued = parameter_counts(catalog.model("google/gemma-4-E2B-it")).total
    assert parameter_counts(architecture).total == catalogued + 256  # and the norm of their projection


def test_entries_of_few_tokens_are_picked_and_a_table_chooses_the_first_experts() -> None:
    """DeepSeek-V4: windows alone, then entries of 4 and 128 tokens in turn; three routers without bias."""
    layers = read_config(CONFIGS / "deepseek-ai--DeepSeek-V4-Flash.json").architecture.layers
    each = [g.block for g in layers for _ in range(g.count)]
    mixers = [(getattr(b.mixer, "compression", 0), getattr(b.mixer, "n_index_heads", 0)) for b in each]
    assert mixers[:5] == [(None, 0), (None, 0), (4, 64), (128, 0), (4, 64)]
    assert [getattr(b.ffn, "router_bias", None) for b in each[:4]] == [False, False, False, True]
    assert {b.n_streams for b in each} == {4}


def test_a_layer_may_take_over_the_selection_of_another() -> None:
    """GLM-5.2: indexer_types says which of its layers have an index."""
    layers = read_config(CONFIGS / "zai-org--GLM-5.2.json").architecture.layers
    owners = [getattr(g.block.mixer, "own_index", None) for g in layers for _ in range(g.count)]
    assert owners[:8] == [True, True, True, False, False, False, True, False]
    assert sum(map(bool, owners)) == 21


def test_step_3_says_what_its_class_leaves_open() -> None:
    """Heads of windows in an object of their own, experts in a text of layer numbers."""
    fields = {
        "model_type": "step3p5", "hidden_size": 4096, "num_hidden_layers": 5, "num_attention_heads": 64,
        "num_attention_groups": 8, "layer_types": ["full_attention", *["sliding_attention"] * 4],
        "sliding_window": 512, "moe_layers_enum": "3,4", "moe_num_experts": 288, "moe_top_k": 8,
        "attention_other_setting": {"num_attention_heads": 96, "num_attention_groups": 8, "head_dim": 128},
    }  # fmt: skip
    layers = import_(fields).architecture.layers
    found = [(g.count, getattr(g.block.mixer, "n_heads", 0), g.block.ffn.kind) for g in layers]
    assert found == [(1, 64, "dense_ffn"), (2, 96, "dense_ffn"), (2, 96, "moe")]
    del fields["attention_other_setting"]
    with pytest.raises(InputError, match="num_sliding_attention_heads: is missing; layers of sliding"):
        import_(fields)


def test_the_rank_of_step_sizes_says_nothing_of_mamba_2() -> None:
    """Files of Nemotron-H have it all the same."""
    fields = {"model_type": "nemotron_h", "hybrid_override_pattern": "M-M*", "time_step_rank": 512}
    assert import_(fields).architecture.n_layers == 4


def test_leading_layers_without_experts_are_those_of_the_class() -> None:
    """A file of glm4_moe_lite that says nothing has one dense layer, as its class has."""
    layers = import_({"model_type": "glm4_moe_lite", "q_lora_rank": 768}).architecture.layers
    assert [(g.count, g.block.ffn.kind) for g in layers] == [(1, "dense_ffn"), (46, "moe")]


def test_falcon_has_as_many_norms_as_its_order_asks_for() -> None:
    """One in parallel layers, two in others and in those of the new decoder, whose heads are its own."""
    norms = {
        1: {},
        2: {"parallel_attn": False},
    }
    for n_norms, change in norms.items():
        assert import_({"model_type": "falcon"} | change).architecture.first.n_norms == n_norms
    new = {
        "model_type": "falcon",
        "new_decoder_architecture": True,
        "hidden_size": 8192,
        "num_attention_heads": 128,
        "num_kv_heads": 8,
        "num_hidden_layers": 60,
    }
    assert parameter_counts(import_(new).architecture).total == 41_303_293_952
    assert import_(new | {"num_ln_in_parallel_attn": 1}).architecture.first.n_norms == 1


def test_a_class_default_is_told() -> None:
    """Llama has as many key-value heads as heads where the field is missing, Mixtral 8."""
    for name, value in (("meta-llama--Meta-Llama-3.1-8B", 32), ("mistralai--Mixtral-8x7B-v0.1", 8)):
        fields = fields_of(name)
        del fields["num_key_value_heads"]
        imported = import_(fields)
        assert getattr(imported.architecture.first.mixer, "n_kv_heads", 0) == value
        assert any("num_key_value_heads is not given" in text for text in imported.assumptions)


def test_a_file_written_again_by_transformers_5_is_read() -> None:
    """New fields that change no size: swiglu_alpha, the period of layer_types, rope_parameters."""
    assert read_config(CONFIGS / "resaved--gpt-oss.json").architecture.n_layers == 2
    gemma = read_config(CONFIGS / "resaved--gemma3.json").architecture
    assert [(g.count, getattr(g.block.mixer, "attention_window", 0)) for g in gemma.layers] == [
        (5, 4096),
        (1, None),
    ]


def test_a_language_model_is_found_three_parts_down() -> None:
    """An omni model keeps its own under thinker_config.text_config, which may name no type."""
    inner = fields_of("Qwen--Qwen2-7B-Instruct")
    del inner["model_type"]
    thinker = {"model_type": "qwen2_5_omni_thinker", "text_config": inner, "audio_config": {"d_model": 1}}
    imported = import_({"model_type": "qwen2_5_omni", "thinker_config": thinker, "talker_config": {"x": 1}})
    assert parameter_counts(imported.architecture).total == 7_615_616_512
    assert any("names no model_type; taken as qwen2_5_omni_text" in text for text in imported.assumptions)


@pytest.mark.parametrize(("version", "tied"), [("5.24.0", True), ("4.57.1", False), ("3.0", None)])
def test_the_whole_says_whether_tables_are_tied_since_transformers_5(version: str, tied: bool | None) -> None:
    """Earlier classes went by the language model, and wrote true for the whole; of no version: refused."""
    inner = fields_of("meta-llama--Meta-Llama-3.1-8B") | {"tie_word_embeddings": False}
    fields = {"model_type": "llava", "text_config": inner, "tie_word_embeddings": True}
    if tied is None:
        with pytest.raises(InputError, match="contradicts the one under text_config"):
            import_(fields | {"transformers_version": version})
        return
    assert import_(fields | {"transformers_version": version}).architecture.tied_embeddings is tied


def test_a_field_of_the_whole_must_be_that_of_its_language_model() -> None:
    """Files of some versions say sizes twice; two sizes are no answer. Fields of other parts say nothing."""
    inner = fields_of("meta-llama--Meta-Llama-3.1-8B")
    fields = {"model_type": "llava", "text_config": inner, "hidden_size": 4096, "a_field_of_the_projector": 7}
    assert import_(fields).architecture.d_model == 4096
    with pytest.raises(InputError, match="hidden_size 4097: is not the one under text_config"):
        import_(fields | {"hidden_size": 4097})


def test_two_names_of_a_field_must_agree() -> None:
    """A file may say hidden_size and n_embd."""
    fields = {"model_type": "gpt2", "n_embd": 768, "hidden_size": 768}
    assert import_(fields).architecture.d_model == 768
    with pytest.raises(InputError, match="n_embd 768: contradicts hidden_size 769"):
        import_(fields | {"hidden_size": 769})


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"model_type": "mixtrall"}, "Did you mean mixtral"),
        ({"model_type": "mpt", "no_bias": False}, "no_bias false: is not understood"),
        ({"model_type": "opt", "word_embed_proj_dim": 512}, "word_embed_proj_dim 512: is understood only"),
        ({"model_type": "llama", "a_new_field": 3}, "a_new_field 3: is not understood"),
        ({"model_type": "exaone4", "sliding_window_pattern": "LLXG"}, 'sliding_window_pattern "LLXG"'),
        ({"model_type": "jamba", "attn_layer_offset": 8}, "attn_layer_offset 8"),
        ({"model_type": "bamba", "mamba_conv_bias": False}, "mamba_conv_bias false"),
        ({"model_type": "mamba", "intermediate_size": 7}, "intermediate_size 7: contradicts"),
        ({"model_type": "gpt_neo", "attention_types": [[["near"], 24]]}, "orders of global and local"),
        ({"model_type": "falcon", "bias": 1}, "bias 1"),
        ({"model_type": "helium", "num_attention_heads": 40}, "40 heads must be hidden_size 2560 wide"),
        ({"model_type": "llama", "per_layer_config": {"40": {}}}, "objects by number of layer, below 32"),
        ({"model_type": "llama", "num_attention_heads_per_layer": [32]}, "a list of 32 values"),
        ({"model_type": "gemma4_text", "num_kv_shared_layers": 31}, "num_kv_shared_layers 31"),
        (
            {"model_type": "deepseek_v4", "compress_ratios": [5]},
            "a list of 43 numbers is accepted: 0, 4, 128",
        ),
        ({"model_type": "deepseek_v4", "compress_ratios": [4]}, "a list of 43 numbers, one a layer"),
        ({"model_type": "deepseek_v4", "compress_ratios": [4] * 43, "num_key_value_heads": 2}, "accepted: 1"),
        ({"model_type": "step3p5", "moe_layers_enum": "3;4"}, "layer numbers with commas"),
        (
            {"model_type": "glm_moe_dsa", "q_lora_rank": 2048, "indexer_types": ["half"] * 78},
            "accepted: full, shared",
        ),
        ({"model_type": "lfm2", "conv_dim": 7}, "conv_dim 7: is understood only where it is hidden_size"),
    ],
)
def test_what_a_class_is_not_built_for_is_refused(fields: dict[str, Any], named: str) -> None:
    """By name, with what is accepted, or the nearest that is known."""
    with pytest.raises(InputError) as caught:
        import_(fields)
    assert named in str(caught.value)


def test_an_unknown_kind_is_refused_with_its_reason() -> None:
    """JetMoE has experts in its attention."""
    with pytest.raises(InputError, match=r"model_type \"jetmoe\": has experts in its .*accepted: llama"):
        import_({"model_type": "jetmoe"})


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("meta-llama--Meta-Llama-3.1-8B", {"num_key_value_heads": 5}, "num_key_value_heads 5: does not div"),
        ("meta-llama--Meta-Llama-3.1-8B", {"hidden_size": -1}, "hidden_size -1"),
        ("meta-llama--Meta-Llama-3.1-8B", {"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000"),
        ("meta-llama--Meta-Llama-3.1-8B", {"vocab_size": "128256"}, 'vocab_size "128256"'),
        ("meta-llama--Meta-Llama-3.1-8B", {"vocab_size": True}, "vocab_size true"),
        ("meta-llama--Meta-Llama-3.1-8B", {"intermediate_size": None}, "intermediate_size null: is missing"),
        ("meta-llama--Meta-Llama-3.1-8B", {"num_experts": 8}, "num_experts 8: is not understood"),
        ("meta-llama--Meta-Llama-3.1-8B", {"sliding_window": 4096}, "sliding_window 4096"),
        ("meta-llama--Meta-Llama-3.1-8B", {"model_type": "lama"}, 'model_type "lama"'),
        ("meta-llama--Meta-Llama-3.1-8B", {"model_type": None}, "model_type"),
        ("meta-llama--Meta-Llama-3.1-8B", {"hidden_size": 4095}, "head_dim: is missing, and hidden_size"),
        ("meta-llama--Meta-Llama-3.1-8B", {"text_config": []}, "text_config []"),
        ("mistralai--Mixtral-8x7B-v0.1", {"num_experts": 4}, "num_local_experts 8: contradicts num_experts"),
        ("mistralai--Mixtral-8x7B-v0.1", {"num_experts_per_tok": 9}, "is more than the 8 experts"),
        ("Qwen--Qwen3-30B-A3B", {"mlp_only_layers": [48]}, "mlp_only_layers [48]"),
        ("Qwen--Qwen3-30B-A3B", {"decoder_sparse_step": 0}, "decoder_sparse_step 0"),
        ("Qwen--Qwen3-30B-A3B", {"shared_expert_intermediate_size": 9}, "shared_expert_intermediate_size 9"),
        ("openai--gpt-oss-20b", {"layer_types": ["full_attention"]}, "a list of 24 values"),
        ("openai--gpt-oss-20b", {"sliding_window": None}, "sliding_window null: is needed"),
        ("google--gemma-2-2b-it", {"sliding_window_size": 1}, "contradicts sliding_window_size 1"),
        ("deepseek-ai--DeepSeek-V3", {"index_topk": 2048}, "index_topk 2048: is not understood"),
        ("deepseek-ai--DeepSeek-V3", {"first_k_dense_replace": 62}, "first_k_dense_replace 62"),
        ("Qwen--Qwen3-VL-4B-Instruct", {"tie_word_embeddings": False}, "contradicts the one under"),
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"num_hidden_layers": 51}, "num_hidden_layers 51"),
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"hybrid_override_pattern": "MX"}, "one letter"),
        ("nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", {"moe_latent_size": -1}, "moe_latent_size -1"),
        ("nvidia--Llama-3_3-Nemotron-Super-49B-v1", {"num_key_value_heads": 8}, "num_key_value_heads 8"),
    ],
)
def test_a_wrong_field_is_named(name: str, change: dict[str, Any], named: str) -> None:
    """File, field, value and what is wrong with it."""
    with pytest.raises(InputError) as caught:
        import_(fields_of(name) | change)
    assert "config.json: " in str(caught.value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[1, 2]", "holds a list"),
        ("", "not valid JSON"),
        ("{'a': 1}", "line 1, column 2 is not valid JSON"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "cannot be read"),
        ("{}", "model_type"),
        ('{"\\ud800": 1, "\\ud800": 1}', "ud800' is given twice"),
        (" " * (MAX_BYTES + 1), "bytes is accepted"),
    ],
)
def test_a_file_that_is_no_config_is_refused(text: str, named: str) -> None:
    """Not JSON, not an object, too deep, too large."""
    with pytest.raises(InputError, match=r"config\.json") as caught:
        import_(text)
    assert named in str(caught.value)


def test_places_that_hold_no_config(tmp_path: Path) -> None:
    """A folder without one, a missing file, bytes that are no text."""
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00{")
    for place, named in (("", "without a config.json"), ("no.json", "no such"), ("binary.json", "UTF-8")):
        with pytest.raises(InputError, match=named):
            read_config(tmp_path / place)


def test_the_catalogue_reads_a_file_and_a_folder(tmp_path: Path) -> None:
    """By the path of a .json, or of a folder that holds config.json."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(fields_of("Qwen--Qwen3-30B-A3B")))
    assert catalog.model(str(folder)).name == "mine"
    assert catalog.model(str(folder / "config.json")).d_model == 2048
    with pytest.raises(InputError, match="without a config"):
        catalog.model(str(tmp_path))
    with pytest.raises(InputError, match="no such file"):
        catalog.model("nowhere.json")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70),
    st.sampled_from(
        [10**9, 10**400, 1.5, float("inf"), float("nan"), "", "x", "7", [], [1], ["x"], {}, "\x00"]
    ),
    st.lists(st.integers(-1, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
STEM = st.sampled_from(sorted(path.stem for path in CONFIGS.glob("*.json")))


@settings(max_examples=400, deadline=None)
@given(name=STEM, data=st.data())
def test_a_damaged_config_imports_or_is_refused(name: str, data: st.DataObject) -> None:
    """Fields deleted or replaced: one InputError, or a countable architecture."""
    fields = copy.deepcopy(fields_of(name))
    inner = fields.get("text_config", fields)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.sampled_from([fields, inner]))
        key = data.draw(st.sampled_from([*sorted(place), "layer_types", "sliding_window", "moe_layer_freq"]))
        if data.draw(st.booleans()):
            place.pop(key, None)
        else:
            place[key] = data.draw(JUNK)
    try:
        imported = import_(fields)
    except InputError as error:
        assert "config.json: " in str(error)
        assert len(str(error)) < 2000
        return
    assert parameter_counts(imported.architecture).total > 0
    assert sum(group.count for group in imported.architecture.layers) == imported.architecture.n_layers
