"""Families of softmax attention and dense feed-forward networks."""

from dataclasses import replace

from optimizer.hugging_face.family import Family

PARALLEL = "attention and feed-forward share one norm and run side by side; costed one after the other"

LLAMA = Family(qkv_bias="attention_bias", output_bias="attention_bias", ffn_bias="mlp_bias")
_ATTENTION_BIAS = Family(qkv_bias="attention_bias", output_bias="attention_bias")
_QWEN2 = Family(qkv_bias="qkv_bias", defaults={"qkv_bias": True}, order="switch")
QWEN3 = replace(_ATTENTION_BIAS, qk_norm="head", order="switch")
_GEMMA = replace(_ATTENTION_BIAS, order="cycle", cycle="SF", n_norms=4)
_GEMMA4 = replace(
    _GEMMA,
    qk_norm="head",
    cycle="SSSSSF",
    last="F",
    elsewhere={"full_attention": {"head_dim": "global_head_dim"}},
    defaults={"global_head_dim": 512, "enable_moe_block": False},
    kv_shared="num_kv_shared_layers",
    shared_ffn_times=("use_double_wide_mlp", 2),
    layer_input=("hidden_size_per_layer_input", "vocab_size_per_layer_input"),
    variants=(
        (
            "attention_k_eq_v",
            {
                "keys_as_values": ("full_attention",),
                "elsewhere": {
                    "full_attention": {
                        "head_dim": "global_head_dim",
                        "num_key_value_heads": "num_global_key_value_heads",
                    }
                },
            },
        ),
        (
            # Beside the dense network, which is a shared expert here; of four norms more one is a scale.
            "enable_moe_block",
            {
                "ffn": "moe",
                "shared": "one",
                "d_shared": "intermediate_size",
                "router_bias": True,
                "n_norms": 8,
            },
        ),
    ),
)
_OLMO2 = replace(_ATTENTION_BIAS, qk_norm="full")
_COHERE = replace(
    _ATTENTION_BIAS,
    n_norms=1,
    notes=(PARALLEL,),
)
_GLM = Family(qkv_bias="attention_bias")

DENSE: dict[str, Family] = {
    "llama": LLAMA,
    "mistral": Family(order="all"),
    "ministral": Family(order="all"),
    "ministral3": Family(order="all"),
    "qwen2": _QWEN2,
    "qwen3": QWEN3,
    "gemma": _ATTENTION_BIAS,
    "gemma2": _GEMMA,
    "gemma3": replace(_GEMMA, qk_norm="head", cycle="SSSSSF"),
    "gemma4": _GEMMA4,
    "gemma4_unified": _GEMMA4,
    "vaultgemma": replace(_GEMMA, n_norms=2),
    "phi3": Family(order="all"),
    "olmo2": _OLMO2,
    "olmo3": replace(_OLMO2, order="cycle", cycle="SSSF"),
    "cohere": replace(_COHERE, qk_norm="full", qk_norm_if="use_qk_norm"),
    "cohere2": replace(_COHERE, order="cycle", cycle="SSSF"),
    "cohere_compass": replace(_COHERE, order="cycle", cycle="F"),
    "glm": _GLM,
    "helium": replace(_GLM, ffn_bias="mlp_bias", square=True),
    "glm4": replace(_GLM, n_norms=4),
    "glm4v": replace(_GLM, qkv_bias=True, n_norms=4),
    "glm_ocr": Family(n_norms=4),
    "muse_glimmer": replace(_ATTENTION_BIAS, output_gate=True, order="cycle", cycle="SSSF", n_norms=4),
    "chameleon": replace(LLAMA, qk_norm="full", qk_norm_bias=True, costless=("swin_norm", "vocabulary_map")),
    "exaone4": Family(qk_norm="head", order="cycle", cycle="SSSF"),
    "ernie4_5": Family(qkv_bias="use_bias", output_bias="use_bias", ffn_bias="use_bias"),
    "hunyuan_v1_dense": replace(_ATTENTION_BIAS, qk_norm="head"),
    "hyperclovax": replace(LLAMA, variants=(("use_post_norm", {"n_norms": 4}),)),
    "seed_oss": Family(qkv_bias="attention_bias", output_bias="attention_out_bias", ffn_bias="mlp_bias"),
    "smollm3": replace(LLAMA, order="switch"),
    "arcee": replace(LLAMA, gated_ffn=False),
    "cwm": replace(_GLM, qkv_bias=False, order="cycle", cycle="FSSS"),
    "granite_swa": replace(LLAMA, order="cycle", cycle="FSSS", sinks=True),
    "nanochat": replace(_ATTENTION_BIAS, gated_ffn=False, n_norms=0, outer_norms=0),
    "olmo": replace(_ATTENTION_BIAS, n_norms=0, outer_norms=0),
    "starcoder2": Family(
        qkv_bias="use_bias",
        output_bias="use_bias",
        order="all",
        gated_ffn=False,
        ffn_bias="use_bias",
        norm_bias=True,
    ),
    "jais2": replace(LLAMA, gated_ffn=False, norm_bias=True),
    "nemotron": replace(LLAMA, gated_ffn=False, norm_bias=True),
    "minicpm3": Family(attention="mla", ffn_bias="mlp_bias"),
    "youtu": Family(attention="mla", ffn_bias="mlp_bias", defaults={"mlp_bias": False}),
    "apertus": replace(_ATTENTION_BIAS, qk_norm="head", gated_ffn=False, ffn_scalars=2),
    "bitnet": replace(_ATTENTION_BIAS, output_norm=True, ffn_norm=True),
}
