"""Checkpoints in the formats of each quantiser: which component has which, what it takes, what is refused.

Guards that nothing that a config.json says of its formats is dropped: memory and times follow from it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer import InputError, catalog, estimate, solve
from optimizer.hugging_face import import_config
from optimizer.hugging_face.modules import Patterns, share_meant
from optimizer.hugging_face.quantisers import METHODS
from optimizer.questions.problems import load
from optimizer.spec.architecture import Architecture
from optimizer.spec.checkpoint import COMPONENTS, Checkpoint, Storage
from optimizer.spec.setup import Setup

DENSE: dict[str, Any] = {
    "model_type": "qwen3", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 10_000,
    "tie_word_embeddings": False, "attention_bias": False,
}  # fmt: skip
MOE: dict[str, Any] = {
    "model_type": "deepseek_v3", "hidden_size": 1024, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 8, "q_lora_rank": 512, "kv_lora_rank": 256, "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "intermediate_size": 3072, "moe_intermediate_size": 512,
    "n_routed_experts": 16, "num_experts_per_tok": 4, "n_shared_experts": 1, "first_k_dense_replace": 1,
    "vocab_size": 10_000, "tie_word_embeddings": False,
}  # fmt: skip
LINEAR = {"targets": ["Linear"]}


def read(section: Any, base: dict[str, Any] = DENSE, **fields: Any) -> Architecture:
    own = base | fields | {"quantization_config": section}
    return import_config(own, "config.json", "own").architecture


def checkpoint(section: Any, base: dict[str, Any] = DENSE, **fields: Any) -> Checkpoint:
    found = read(section, base, **fields).checkpoint
    assert found is not None
    return found


def bits(found: Checkpoint) -> dict[str, float]:
    """Bits an element of what is not 16 bit, scales included."""
    each = {name: 8 * found.stored(name).bytes for name in COMPONENTS}
    return {name: value for name, value in each.items() if value != 16}


def groups(own: dict[str, Any], layout: str = "pack-quantized", **beside: Any) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int", "group_size": 128, "symmetric": True} | own
    return {
        "quant_method": "compressed-tensors", "format": layout, "ignore": ["lm_head"],
        "config_groups": {"group_0": LINEAR | {"weights": weights}},
    } | beside  # fmt: skip


# A section, the format of its layers, and their bits an element with scales and zero points.
PLAIN: list[tuple[dict[str, Any], str, float]] = [
    ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, "int4", 4 + 20 / 128),
    ({"quant_method": "awq", "w_bit": 4, "q_group_size": 64, "zero_point": False}, "int4", 4.25),
    ({"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, "int4", 4 + 20 / 128),
    ({"quant_method": "gptq", "bits": 3, "group_size": 64}, "int4", 3 + 19 / 64),
    ({"quant_method": "gptq", "bits": 8, "group_size": -1}, "int8", 8.0),
    ({"quant_method": "auto-round", "bits": 2, "group_size": 32}, "int4", 2 + 18 / 32),
    ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", 8 + 32 / 128**2),
    ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8", 8.0),
    ({"quant_method": "fbgemm_fp8", "activation_scale_ub": 1200.0}, "fp8", 8.0),
    ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "int4", 4.5),
    (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_use_double_quant": True},
        "int4", 4 + (8 + 32 / 256) / 64,
    ),
    ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8", 8.0),
    (groups({}), "int4", 4.125),
    (groups({"symmetric": False, "group_size": 32}), "int4", 4 + 20 / 32),
    (groups({"num_bits": 8, "group_size": None}), "int8", 8.0),
    (groups({"num_bits": 8, "type": "float", "group_size": None}, "float-quantized"), "fp8", 8.0),
    (groups({"type": "float", "group_size": 16}, "nvfp4-pack-quantized"), "nvfp4", 4.5),
    (groups({"type": "float", "group_size": 32}, "mxfp4-pack-quantized"), "mxfp4", 4.25),
    ({"quant_method": "modelopt", "quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}, "nvfp4", 4.5),
    ({"quant_algo": "FP8", "producer": {"name": "modelopt"}, "ignore": ["lm_head"]}, "fp8", 8.0),
    ({"quant_method": "modelopt", "quant_algo": "W4A16_AWQ", "group_size": 128}, "int4", 4.125),
    (
        {
            "quant_method": "quark", "exclude": ["lm_head"],
            "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}},
        },
        "fp8", 8.0,
    ),
    ({"quant_method": "torchao", "quant_type": "int4_weight_only"}, "int4", 4 + 20 / 128),
    ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Float8WeightOnlyConfig"}}}, "fp8", 8.0),
    ({"quant_method": "hqq", "quant_config": {"weight_quant_params": {"nbits": 4}}}, "int4", 4.5),
    ({"quant_method": "quanto", "weights": "int8"}, "int8", 8.0),
    ({"quant_method": "eetq"}, "int8", 8.0),
    (
        {"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 16, "in_group_size": 8},
        "int4", 2.0,
    ),
    ({"quant_method": "bitnet"}, "int4", 2.0),
    ({"quant_method": "fp_quant", "forward_dtype": "mxfp4"}, "mxfp4", 4.25),
]  # fmt: skip


@pytest.mark.parametrize(("section", "dtype", "each"), PLAIN)
def test_linear_layers_have_the_format_and_tables_stay(section: Any, dtype: str, each: float) -> None:
    found = checkpoint(section)
    assert (found.weight_dtype, found.ffn and found.ffn.dtype) == (dtype, dtype)
    assert bits(found) == pytest.approx({"attention": each, "ffn": each})
    assert "embeddings and head bf16" in found.in_words()


def test_every_method_has_a_file_that_names_it() -> None:
    asked = {s.get("quant_method") for s, _, _ in PLAIN} | {"mxfp4", "mlx"}
    same = {"awq_marlin", "gptq_marlin", "gptqmodel", "intel/auto-round", "auto_round", "inc"}
    same |= {"compressed_tensors", "modelopt_fp4", "modelopt_mixed"}
    assert set(METHODS) == asked - {None} | same


def test_eight_bit_products_are_told_from_eight_bit_weights() -> None:
    acts = {"num_bits": 8, "type": "int", "dynamic": True}
    section = groups({"num_bits": 8, "group_size": None}, "int-quantized")
    section["config_groups"]["group_0"]["input_activations"] = acts
    assert checkpoint(section).weight_dtype == "w8a8"
    model, chip = read(section), catalog.chip("a100")
    fast, slow = (
        estimate(m, chip, Setup(batch=64, input_tokens=4096)).metrics["ttft_ms"]
        for m in (model, read({"quant_method": "bitsandbytes", "load_in_8bit": True}))
    )
    assert fast < 0.8 * slow


def test_mlx_quantises_the_tables_too_and_some_modules_apart() -> None:
    own = {"group_size": 64, "bits": 4}
    for fields in ({"quantization": own}, {"quantization": own, "quantization_config": own}):
        found = import_config(DENSE | fields, "config.json", "own").architecture.checkpoint
        assert found is not None
        assert bits(found) == dict.fromkeys(("attention", "ffn", "embeddings", "head"), 4.5)
    mixed = own | {f"model.layers.{i}.mlp.down_proj": {"bits": 8, "group_size": 64} for i in range(4)}
    found = checkpoint(mixed | {"lm_head": False})
    assert bits(found)["ffn"] == pytest.approx((2 * 4.5 + 8.5) / 3)
    assert found.head is None
    assert bits(checkpoint(own, tie_word_embeddings=True))["head"] == 4.5


# Which modules: names, prefixes, wildcards, regular expressions.


@pytest.mark.parametrize(
    ("ignored", "left"),
    [
        (["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|down)_proj.*"], {"experts"}),
        (["model.layers.0*", *(f"model.layers.{i}.self_attn*" for i in (1, 2, 3))], {"experts"}),
        (["mlp.shared_experts.up_proj"], {"attention", "ffn", "experts"}),
        (["*.self_attn.*", "*.mlp.shared_experts.*"], {"ffn", "experts"}),
        (["re:.*experts.*"], {"attention", "ffn"}),
        (["model.layers.1.mlp.gate", "model.layers.2.mlp.gate", "lm_head"], {"attention", "ffn", "experts"}),
        (["re:model.layers.*"], set()),
    ],
)  # fmt: skip
def test_modules_that_stay_sixteen_bit(ignored: list[str], left: set[str]) -> None:
    found = bits(checkpoint(groups({"group_size": 32}, ignore=[*ignored, "lm_head"]), MOE))
    assert {name for name in found if found[name] == 4.5} - {"shared_experts"} == left - {"shared_experts"}
    if any("shared_experts.up_proj" in name for name in ignored):
        assert found["shared_experts"] == pytest.approx((2 * 4.5 + 16) / 3)


def test_some_layers_apart_count_by_their_share() -> None:
    found = checkpoint(groups({}, ignore=["lm_head", "re:model.layers.0.mlp.*"]))
    assert found.ffn is not None
    assert (found.ffn.share, bits(found)["ffn"]) == (0.75, pytest.approx(0.75 * 4.125 + 0.25 * 16))
    assert "in 75 %" in found.in_words()


def test_groups_of_modules_have_formats_of_their_own() -> None:
    weights = {"num_bits": 8, "type": "float"}
    names = [f"model.layers.{i}.self_attn.{p}_proj" for i in range(4) for p in "qkvo"]
    section = {
        "quant_method": "modelopt", "ignore": [],
        "config_groups": {
            "group_0": {"weights": weights, "targets": names},
            "group_1": {"weights": {"num_bits": 4, "type": "float", "group_size": 16},
                        "targets": ["re:.*mlp.*", "lm_head"]},
        },
        "kv_cache_scheme": {"num_bits": 8, "type": "float"},
    }  # fmt: skip
    found = checkpoint(section)
    assert bits(found) == {"attention": 8, "ffn": 4.5, "head": 4.5}
    assert (found.weight_dtype, found.kv_dtype) == ("nvfp4", "fp8")


def test_layers_listed_by_algorithm_lie_over_the_rest() -> None:
    listed = {f"model.layers.{i}.mlp.experts": {"quant_algo": "NVFP4", "group_size": 16} for i in (1, 2, 3)}
    section = {"quant_method": "fp8", "weight_block_size": [128, 128], "quantized_layers": listed}
    found = bits(checkpoint(section, MOE))
    assert (found["experts"], round(found["attention"])) == (4.5, 8)


def test_gptq_leaves_out_and_changes_what_its_patterns_name() -> None:
    section = {
        "quant_method": "gptq", "bits": 4, "group_size": 128,
        "dynamic": {"-:.*self_attn.*": {}, "+:.*mlp.*": {"bits": 8, "group_size": 64}},
    }  # fmt: skip
    assert bits(checkpoint(section)) == {"ffn": 8 + 24 / 64}


def test_experts_lie_beside_a_dense_network_in_some_families() -> None:
    """A wildcard on the dense network is none on experts; a whole layer's is."""
    layers = range(4)
    dense = Patterns(tuple(f"model.layers.{i}.mlp*" for i in layers))
    whole = Patterns(tuple(f"model.layers.{i}.*" for i in layers))
    assert [share_meant(p, "experts", layers) for p in (dense, whole)] == [0.0, 1.0]


def test_mxfp4_is_of_experts_alone() -> None:
    section = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
    found = checkpoint(section, MOE)
    assert bits(found) == {"experts": 4.25}
    assert found.weight_dtype == "bf16"


# What contradicts itself, or nobody knows.


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"quant_method": "awq", "bits": 16}, "config.bits 16: bits of a weight are accepted: 4, 8"),
        ({"quant_method": "gptq", "bits": True}, "bits true"),
        ({"quant_method": "gptq", "group_size": 128}, "bits"),
        ({"quant_method": "fp8", "bits": 4}, "contradicts quant_method fp8"),
        ({"quant_method": "fp8", "fmt": "int8"}, "contradicts quant_method fp8"),
        ({"quant_method": "fp8", "weight_block_size": [128]}, "two whole numbers"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "a list of module names"),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": True},
            "contradicts load_in_4bit",
        ),
        ({"quant_method": "bitsandbytes"}, "load_in_4bit"),
        (groups({"num_bits": 4}, "int-quantized"), "contradicts the format int-quantized"),
        (groups({"type": "float"}, "float-quantized"), "contradicts the format float-quantized"),
        (groups({"type": "complex"}), "int or float"),
        (groups({}, ignore=["re:("]), "no regular expression"),
        (groups({"group_size": 100}), "groups of 100 do not divide the 1024 of attention"),
        ({"quant_method": "awq", "bits": 4, "group_size": 2048}, "groups of 2048 do not divide"),
        ({"quant_method": "awq", "bits": 4, "group_size": "128"}, "a number of elements"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP3"}, "quant_algo \"NVFP3\": is not understood"),
        ({"quant_method": 4}, "a name is accepted"),
        ({"bits": 4}, "quant_method: is missing; accepted: awq"),
        ("int4", "an object with a quant_method"),
        ({"quant_method": "torchao", "quant_type": "int3"}, "quant_type"),
        (
            {"quant_method": "aqlm", "num_codebooks": 1, "nbits_per_codebook": 16, "in_group_size": "8"},
            "in_group_size",
        ),
        ({"quant_method": "aqlm", "num_codebooks": 60, "nbits_per_codebook": 60}, "less than or equal to 16"),
        ({"quant_method": "fp8", "weight_block_size": [2**30, 1]}, "less than or equal to"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"-:(": {}}}, "no regular expression"),
        ({"quant_method": "gptq", "bits": 4, "dynamic": {"+:.*": 8}}, "an object with bits"),
        ({"quant_method": "auto-round", "extra_config": {"lm_head": {"bits": "4"}}}, "extra_config.bits"),
        ({"quant_method": "auto-round", "extra_config": {"lm_head": 16}}, "an object with bits"),
        ({"quant_method": "quanto", "weights": "int3"}, "int2, int4, int8 or float8"),
        ({"group_size": 64, "bits": 7}, "2, 3, 4, 5, 6, 8"),
    ],
)  # fmt: skip
def test_contradictions_are_refused_by_name(section: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        read(section)
    assert words in str(error.value)
    assert "config.json" in str(error.value)


def test_two_sections_must_agree() -> None:
    fields = {
        "quantization": {"group_size": 64, "bits": 4},
        "quantization_config": {"group_size": 64, "bits": 8},
    }
    with pytest.raises(InputError, match="contradicts"):
        import_config(DENSE | fields, "config.json", "own")


def test_a_method_that_nobody_knows_is_sixteen_bit_and_said_so(tmp_path: Path) -> None:
    model = read({"quant_method": "vptq", "config_for_layers": {}})
    said = estimate(model, catalog.chip("h100"))
    words = said.deployment.pools[0].checkpoint
    assert words.startswith("vptq: not read, counted as bf16")
    assert said.memory_gib["weights"] == estimate(read({}), catalog.chip("h100")).memory_gib["weights"]


# What follows from it.


def test_a_deployment_of_a_checkpoint_is_priced_in_its_formats(tmp_path: Path) -> None:
    """By default; another format may be asked for. The headline says which it was."""
    own = DENSE | {"quantization_config": PLAIN[0][0] | {"kv_cache_scheme": None}}
    (tmp_path / "config.json").write_text(json.dumps(own), encoding="utf-8")
    fields = {
        "name": "own", "architecture": str(tmp_path / "config.json"),
        "hardware": [{"chip": "h100", "max_count": 1}],
        "workload": {"input_tokens": 500, "output_tokens": 100}, "maximize": "requests_per_s",
    }  # fmt: skip
    place = tmp_path / "problem.yaml"

    def pool(**space: Any) -> Any:
        place.write_text(json.dumps(fields | {"deployment": {"tensor_parallel": 1, "batch": 8} | space}))
        answer = solve(load(str(place)))
        assert answer.deployment is not None
        return answer.deployment.pools[0]

    asis, wide, coarse = pool(), pool(weight_dtype="bf16"), pool(weight_dtype="int8")
    assert (asis.weight_dtype, wide.weight_dtype, coarse.weight_dtype) == ("int4", "bf16", "int8")
    assert asis.checkpoint.startswith("awq: attention and ffn int4 in groups of 128")
    assert not wide.checkpoint and not coarse.checkpoint
    assert asis.memory_gib < coarse.memory_gib < wide.memory_gib


def test_blocks_must_stay_whole_on_every_rank() -> None:
    """Experts of 512 in blocks of 128: whole on four ranks, cut on eight; whole again as whole experts."""
    model = read({"quant_method": "fp8", "weight_block_size": [128, 128]}, MOE)
    chip = catalog.chip("h100")

    def breaks(**split: Any) -> tuple[str, ...]:
        return estimate(model, chip, Setup(**split)).breaks

    assert breaks(tensor_parallel=4) == ()
    assert "quantisation_blocks" in breaks(tensor_parallel=8)
    assert breaks(tensor_parallel=8, expert_parallel=8) == ()
    assert breaks(tensor_parallel=8, weight_dtype="bf16") == ()


def test_published_weights_of_known_checkpoints() -> None:
    """GiB of the files as published: Qwen3-32B-AWQ 18.0 (19.3e9 B), DeepSeek-V3 without its MTP layer 625."""
    qwen = DENSE | {
        "hidden_size": 5120, "num_hidden_layers": 64, "num_attention_heads": 64, "num_key_value_heads": 8,
        "intermediate_size": 25_600, "vocab_size": 151_936,
    }  # fmt: skip
    found = estimate(read(PLAIN[0][0], qwen), catalog.chip("h200"))
    assert found.memory_gib["weights"] == pytest.approx(19.3e9 / 2**30, rel=0.01)


def test_storage_has_one_grid() -> None:
    with pytest.raises(ValueError, match="not both"):
        Storage(dtype="fp8", bits=8, group=128, block=(128, 128))


def test_experts_are_padded_where_a_chip_lacks_their_arithmetic() -> None:
    """gpt-oss-120b loads 65.97 GiB on an H100 (vllm-project/vllm issue 23278); a B200 needs no padding."""
    model = catalog.model("gpt-oss-120b")
    wide, native = (estimate(model, catalog.chip(c)).memory_gib["weights"] for c in ("h100", "b200"))
    assert wide == pytest.approx(65.97, rel=0.005)
    experts = model.n_layers * 128 * 3 * 2880**2 * 4.25 / 8 / 2**30
    assert wide - native == pytest.approx(experts * (3072 * 2944 / 2880**2 - 1), rel=1e-3)
