"""Families whose layers, some or all, keep a state of fixed size."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_dense import LLAMA

_QWEN_DELTA = Family(
    qk_norm="head",
    output_gate=True,
    kinds={"linear_attention": "delta", "full_attention": "full"},
    order="cycle",
    cycle="LLLF",
)
_QWEN_EXPERTS = replace(
    _QWEN_DELTA, ffn="moe", shared="one", d_shared="shared_expert_intermediate_size", shared_gate=True
)
_MAMBA2 = {"linear_attention": "mamba2", "full_attention": "full"}
_BAMBA = replace(LLAMA, kinds=_MAMBA2, order="indices", cycle="L")
_MAMBA = Family(layout="mixers", kinds={"linear_attention": "mamba1"}, scan_norm=False, n_norms=1)
_LFM2 = Family(
    kinds={"full_attention": "full", "conv": "conv"},
    order="indices",
    cycle="F",
    qk_norm="head",
    same={
        "block_dim": "hidden_size",
        "conv_dim": "hidden_size",
        "conv_dim_out": "hidden_size",
        "num_heads": "num_attention_heads",
    },
    costless=("block_use_swiglu", "block_use_xavier_init", "conv_use_xavier_init"),
)
_KIMI = Family(
    attention="mla",
    kinds={"linear_attention": "kda", "full_attention": "full"},
    order="linear_lists",
    cycle="FLLL",
    lead="L",
    ffn="moe",
    sparse=("first_k_dense_replace", "moe_layer_freq"),
    dense_layers=1,
    shared="n_shared_experts",
    router_bias=True,
    inside={
        "linear_attn_config": {
            "head_dim": "linear_head_dim",
            "num_heads": "linear_num_heads",
            "short_conv_kernel_size": "linear_conv_kernel_dim",
            "full_attn_layers": "full_attn_layers",
            "kda_layers": "kda_layers",
            "use_full_rank_gate": "use_full_rank_gate",
        }
    },
    never_tied=True,
    output_gate="mla_use_output_gate",
    full_rank_gate="use_full_rank_gate",
    d_latent="routed_expert_hidden_size",
    latent_norm="latent_moe_use_norm",
    defaults={"mla_use_output_gate": False, "use_full_rank_gate": False, "latent_moe_use_norm": False},
    costless=("mla_use_nope", "kda_layers", "activation_situ_beta", "activation_situ_linear_beta"),
    told={
        "attn_res_block_size": "attention over the residuals of earlier blocks is neither counted nor priced"
    },
)

HYBRID: dict[str, Family] = {
    "qwen3_next": replace(_QWEN_EXPERTS, sparse=("decoder_sparse_step", "mlp_only_layers")),
    "qwen3_5": replace(_QWEN_DELTA, output_gate="attn_output_gate", defaults={"attn_output_gate": True}),
    "qwen3_5_moe": replace(
        _QWEN_EXPERTS,
        sparse=("mlp_only_layers",),
        output_gate="attn_output_gate",
        defaults={"attn_output_gate": True},
    ),
    "olmo_hybrid": replace(
        LLAMA,
        ffn_bias=False,
        qk_norm="full",
        kinds={"linear_attention": "delta", "full_attention": "full"},
        order="cycle",
        cycle="LLLF",
    ),
    "lara_mini": replace(
        _QWEN_EXPERTS,
        output_gate=False,
        shared_gate=False,
        kinds={"linear_attention": "delta", "full_attention": "full", "sliding_attention": "window"},
        cycle="LSLFS",
    ),
    "mamba": _MAMBA,
    "falcon_mamba": _MAMBA,
    "mamba2": replace(
        _MAMBA,
        kinds={"linear_attention": "mamba2"},
        names={"mamba_n_heads": "num_heads", "mamba_d_head": "head_dim"},
        costless=("rms_norm", "norm_before_gate", "use_mem_eff_path"),
        scan_norm=True,
    ),
    "falcon_h1": replace(LLAMA, layout="beside", kinds=_MAMBA2, scan_norm="mamba_rms_norm"),
    "jamba": Family(
        kinds={"linear_attention": "mamba1", "full_attention": "full"},
        order="offset",
        ffn="moe",
        d_expert="intermediate_size",
        sparse=("expert_layer_period",),
        no_experts="intermediate_size",
        no_experts_at=1,
    ),
    "bamba": _BAMBA,
    "granitemoehybrid": replace(
        _BAMBA,
        ffn_bias=False,
        order="full",
        ffn="moe",
        d_expert="intermediate_size",
        shared="one",
        d_shared="shared_intermediate_size",
        no_experts="shared_intermediate_size",
    ),
    "minimax": Family(
        kinds={"full_attention": "full", "linear_attention": "lightning"},
        order="cycle",
        cycle="FL",
        ffn="moe",
        d_expert="intermediate_size",
    ),
    "nemotron_h": Family(
        layout="halves",
        never_tied=True,
        kinds={"linear_attention": "mamba2", "full_attention": "full"},
        gated_ffn=False,
        ffn="moe",
        shared="n_shared_experts",
        most_shared=1,
        d_shared="moe_shared_expert_intermediate_size",
        d_latent="moe_latent_size",
        router_bias=True,
        n_norms=1,
    ),
    "lfm2": _LFM2,
    "lfm2_moe": replace(
        _LFM2, cycle="", ffn="moe", sparse=("first_k_dense_replace",), router_bias="use_expert_bias"
    ),
    "lfm3": replace(
        _LFM2,
        kinds={"full_attention": "full", "conv": "conv", "sliding_attention": "window"},
        order="cycle",
        cycle="SCFC",
        lead="C",
        head_gate="use_attention_gate",
        variants=(("use_sandwich_norm", {"n_norms": 4}),),
    ),
    "kimi_linear": _KIMI,
}
