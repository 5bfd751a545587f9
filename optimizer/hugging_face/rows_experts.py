"""Families with mixtures of experts."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_dense import LLAMA, PARALLEL, QWEN3

DEEPSEEK = Family(
    attention="mla",
    ffn="moe",
    sparse=("first_k_dense_replace",),
    shared="n_shared_experts",
    router_bias=True,
)
_QWEN_SPARSE = ("decoder_sparse_step", "mlp_only_layers")
_MIXTRAL = Family(order="all", ffn="moe", d_expert="intermediate_size")
_GLM4 = Family(
    qkv_bias="attention_bias",
    qk_norm="head",
    qk_norm_if="use_qk_norm",
    ffn="moe",
    sparse=("first_k_dense_replace",),
    shared="n_shared_experts",
    router_bias=True,
    rough_heads=True,
)
_GRANITE = replace(
    LLAMA,
    ffn_bias=False,
    ffn="moe",
    d_expert="intermediate_size",
    shared="one",
    d_shared="shared_intermediate_size",
)
_QWEN3 = replace(QWEN3, ffn="moe", sparse=_QWEN_SPARSE)

EXPERTS: dict[str, Family] = {
    "mixtral": _MIXTRAL,
    "minimax_m2": Family(
        qk_norm="full",
        qk_norm_if="use_qk_norm",
        defaults={"use_qk_norm": True, "use_routing_bias": True},
        ffn="moe",
        d_expert="intermediate_size",
        router_bias="use_routing_bias",
    ),
    "qwen2_moe": Family(
        qkv_bias="qkv_bias",
        order="switch",
        ffn="moe",
        sparse=_QWEN_SPARSE,
        shared="one",
        d_shared="shared_expert_intermediate_size",
        shared_gate=True,
    ),
    "qwen3_moe": _QWEN3,
    "qwen3_omni_moe": replace(_QWEN3, rough_heads=True),
    "olmoe": replace(LLAMA, ffn_bias=False, qk_norm="full", ffn="moe", d_expert="intermediate_size"),
    "flex_olmo": replace(LLAMA, ffn_bias=False, qk_norm="full", ffn="moe", d_expert="intermediate_size"),
    "gpt_oss": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        order="cycle",
        cycle="SF",
        ffn="moe",
        d_expert="intermediate_size",
        expert_bias=True,
        router_bias=True,
        sinks=True,
    ),
    "deepseek_v2": replace(
        DEEPSEEK, router_bias="topk_method", sparse=("first_k_dense_replace", "moe_layer_freq")
    ),
    "deepseek_v3": replace(
        DEEPSEEK, router_bias="topk_method", sparse=("first_k_dense_replace", "moe_layer_freq")
    ),
    "axk1": replace(DEEPSEEK, dense_layers=1, sparse_norms=1),
    "glm4_moe_lite": replace(DEEPSEEK, dense_layers=1),
    "mistral4": replace(DEEPSEEK, router_bias=False),
    "glm4_moe": _GLM4,
    "glm4v_moe": replace(_GLM4, qk_norm="no", qk_norm_if=""),
    "solar_open": Family(
        qkv_bias="attention_bias",
        ffn="moe",
        shared="n_shared_experts",
        router_bias=True,
    ),
    "dots1": replace(_GLM4, output_bias="attention_bias", qk_norm_if="", order="switch", rough_heads=False),
    "exaone_moe": Family(
        qk_norm="head",
        order="cycle",
        cycle="SSSF",
        ffn="moe",
        sparse=("first_k_dense_replace",),
        shared="n_shared_experts",
        router_bias=True,
    ),
    "llama4": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        order="chunks",
        ffn="moe",
        d_expert="intermediate_size",
        d_dense="intermediate_size_mlp",
        sparse=("interleave_moe_layer_step",),
        shared="one",
        costless=("use_qk_norm",),
        notes=("query and key norms of llama4 hold no weights",),
    ),
    "ernie4_5_moe": Family(
        ffn="moe",
        sparse=("moe_layer_interval",),
        shared="n_shared_experts",
        router_bias=True,
    ),
    "hunyuan_v1_moe": replace(
        LLAMA, ffn_bias=False, qk_norm="head", ffn="moe", d_expert="intermediate_size", shared="one"
    ),
    "hy_v3": replace(
        LLAMA,
        ffn_bias=False,
        qk_norm="head",
        ffn="moe",
        dense_layers=1,
        sparse=("first_k_dense_replace",),
        shared="n_shared_experts",
        router_bias=True,
    ),
    "granitemoe": replace(_GRANITE, shared=False),
    "granitemoeshared": _GRANITE,
    "granitemoe_swa": replace(_GRANITE, order="cycle", cycle="FSSS", sinks=True),
    "phimoe": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        order="all",
        ffn="moe",
        d_expert="intermediate_size",
        norm_bias=True,
        head_bias="lm_head_bias",
    ),
    "aria": replace(
        LLAMA, ffn="moe", d_expert="intermediate_size", shared="n_shared_experts", ffn_bias=False
    ),
    "cohere2_moe": replace(
        LLAMA,
        ffn_bias=False,
        order="cycle",
        cycle="SSSF",
        ffn="moe",
        d_expert="intermediate_size",
        d_dense="prefix_dense_intermediate_size",
        sparse=("first_k_dense_replace",),
        shared="n_shared_experts",
        n_norms=1,
        notes=(PARALLEL,),
    ),
    "mellum": replace(QWEN3, order="cycle", cycle="F", ffn="moe"),
    "flint": replace(
        QWEN3,
        order="cycle",
        cycle="SFSS",
        lead="FF",
        last="F",
        dense_layers=2,
        sinks=True,
        ffn="moe",
        sparse=_QWEN_SPARSE,
        shared="one",
        d_shared="shared_expert_intermediate_size",
    ),
    "kolibri1": Family(
        qk_norm="head",
        order="cycle",
        cycle="SSSSF",
        ffn="moe",
        shared="one",
        d_shared="shared_expert_intermediate_size",
        router_bias=True,
        n_norms=4,
    ),
    "afmoe": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        output_gate=True,
        order="cycle",
        cycle="SSSF",
        ffn="moe",
        sparse=("first_k_dense_replace",),
        shared="n_shared_experts",
        router_bias=True,
        n_norms=4,
    ),
    "dbrx": Family(
        ffn="moe",
        d_expert="intermediate_size",
        inside={
            "attn_config": {"kv_n_heads": "num_key_value_heads"},
            "ffn_config": {
                "ffn_hidden_size": "intermediate_size",
                "moe_num_experts": "num_experts",
                "moe_top_k": "num_experts_per_tok",
                "hidden_size": "expert_hidden_size",
            },
        },
        same={"expert_hidden_size": "hidden_size"},
        defaults={
            "num_key_value_heads": 1,
            "num_experts": 4,
            "num_experts_per_tok": 1,
            "intermediate_size": 3584,
        },
    ),
}
