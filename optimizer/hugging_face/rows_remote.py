"""Families whose classes come with the checkpoint, not with transformers: their defaults are told here.

Fields and shapes are those of the modelling files beside the checkpoints, as recalled on 2026-11-28; they
give the counts that are published (tests/unit/test_classes.py).
"""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_dense import LLAMA

_UNTIED = {"tie_word_embeddings": False}
_BAILING = Family(
    qkv_bias="use_qkv_bias",
    output_bias="use_bias",
    qk_norm="head",
    qk_norm_if="use_qk_norm",
    ffn="moe",
    sparse=("first_k_dense_replace",),
    shared="n_shared_experts",
    router_bias="moe_router_enable_expert_bias",
    defaults={
        **_UNTIED,
        "use_qkv_bias": False,
        "use_bias": False,
        "use_qk_norm": False,
        "moe_router_enable_expert_bias": False,
        "first_k_dense_replace": 0,
        "n_shared_experts": 0,
    },
    same={"moe_shared_expert_intermediate_size": "moe_intermediate_size"},
    costless=("norm_head", "norm_softmax", "output_dropout", "attn_pdrop"),
)

REMOTE: dict[str, Family] = {
    "mimo": Family(
        qkv_bias="attention_bias",
        order="switch",
        like="qwen2",
        defaults={"attention_bias": True},
    ),
    "nemotron-nas": replace(
        LLAMA,
        layout="blocks",
        defaults={"attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False},
    ),
    "internlm2": Family(
        qkv_bias="bias",
        output_bias="bias",
        defaults={**_UNTIED, "bias": False},
    ),
    "baichuan": Family(defaults=_UNTIED, costless=("gradient_checkpointing", "z_loss_weight")),
    "chatglm": Family(
        qkv_bias="add_qkv_bias",
        names={
            "num_hidden_layers": "num_layers",
            "head_dim": "kv_channels",
            "num_key_value_heads": "multi_query_group_num",
            "intermediate_size": "ffn_hidden_size",
            "vocab_size": "padded_vocab_size",
        },
        defaults={**_UNTIED, "add_qkv_bias": False},
        costless=(
            "apply_query_key_layer_scaling",
            "apply_residual_connection_post_layernorm",
            "bias_dropout_fusion",
            "classifier_dropout",
            "fp32_residual_connection",
            "layernorm_epsilon",
            "multi_query_attention",
            "original_rope",
            "post_layer_norm",
            "rmsnorm",
        ),
    ),
    "minicpm": Family(defaults={"tie_word_embeddings": True}),
    "deepseek": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        ffn="moe",
        sparse=("first_k_dense_replace", "moe_layer_freq"),
        shared="n_shared_experts",
        defaults={**_UNTIED, "attention_bias": False},
    ),
    "bailing_moe": _BAILING,
    "minimax_text_01": Family(
        kinds={"full_attention": "full", "linear_attention": "lightning"},
        order="attn_types",
        ffn="moe",
        d_expert="intermediate_size",
        defaults=_UNTIED,
        costless=("postnorm", "shared_moe_mode", "layernorm_mlp_alpha"),
    ),
}
