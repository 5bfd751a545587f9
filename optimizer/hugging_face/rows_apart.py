"""Families of experts whose layers differ in their attention: indexes, windows with heads of their own."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_experts import DEEPSEEK

_DSA = replace(
    DEEPSEEK,
    kinds={"indexed_attention": "dsa", "deepseek_sparse_attention": "dsa"},
    sparse=("first_k_dense_replace", "moe_layer_freq"),
    costless=("indexer_rope_interleave", "moe_router_dtype"),
)

APART: dict[str, Family] = {
    "deepseek_v32": _DSA,
    "glm_moe_dsa": replace(
        _DSA,
        costless=(
            *_DSA.costless,
            "index_share_for_mtp_iteration",
            "index_skip_topk_offset",
            "index_topk_freq",
        ),
    ),
    "deepseek_v4": Family(
        kinds={
            "sliding_attention": "csa",
            "compressed_sparse_attention": "csa",
            "heavily_compressed_attention": "csa",
        },
        order="ratios",
        elsewhere={
            "compressed_sparse_attention": {"compression": "rate_picked"},
            "heavily_compressed_attention": {"compression": "rate_all"},
        },
        inside={
            "compress_rates": {
                "compressed_sparse_attention": "rate_picked",
                "heavily_compressed_attention": "rate_all",
            }
        },
        defaults={"rate_picked": 4, "rate_all": 128, "num_hash_layers": 3, "num_key_value_heads": 1},
        ffn="moe",
        shared="n_shared_experts",
        most_shared=1,
        router_bias=True,
        hashed="num_hash_layers",
        streams="hc_mult",
        costless=("compress_rope_theta", "expert_dtype", "hc_eps", "hc_sinkhorn_iters", "qk_rope_head_dim"),
        told={
            "hc_mult": "hyper-connections are counted; what mixing the residual streams takes is not priced"
        },
    ),
    "minimax_m3": Family(
        kinds={"full_attention": "full", "sliding_attention": "window", "minimax_m3_sparse": "msa"},
        order="sparse_list",
        qk_norm="head",
        qk_norm_if="use_qk_norm",
        output_gate="attention_output_gate",
        ffn="moe",
        d_expert="intermediate_size",
        d_dense="dense_intermediate_size",
        sparse=("first_k_dense_replace", "moe_layer_freq"),
        shared="one",
        d_shared="shared_intermediate_size",
        router_bias="use_routing_bias",
        like="minimax_m3_vl_text",
        only={"n_shared_experts": 1},
        defaults={"use_qk_norm": True, "use_routing_bias": True, "attention_output_gate": False},
        inside={
            "sparse_attention_config": {
                "sparse_attention_freq": "sparse_attention_freq",
                "sparse_block_size": "index_block_size",
                "sparse_index_dim": "index_head_dim",
                "sparse_num_index_heads": "index_n_heads",
                "sparse_topk_blocks": "index_topk_blocks",
                "sparse_local_block": "index_local_blocks",
                "sparse_disable_index_value": "sparse_disable_index_value",
                "sparse_score_type": "sparse_score_type",
                "use_sparse_attention": "use_sparse_attention",
            }
        },
        costless=(
            "index_local_blocks",
            "sparse_disable_index_value",
            "sparse_score_type",
            "use_sparse_attention",
            "use_gemma_norm",
        ),
    ),
    "mimo_v2_flash": Family(
        qkv_bias="attention_bias",
        d_value="v_head_dim",
        order="pattern_list",
        cycle="SSSSSF",
        lead="F",
        window_kv_times=2,
        elsewhere={
            "sliding_attention": {
                "num_attention_heads": "swa_num_attention_heads",
                "num_key_value_heads": "swa_num_key_value_heads",
                "head_dim": "swa_head_dim",
                "v_head_dim": "swa_v_head_dim",
                "attention_sinks": "add_swa_attention_sink_bias",
            },
            "full_attention": {"attention_sinks": "add_full_attention_sink_bias"},
        },
        sinks="attention_sinks",
        ffn="moe",
        sparse=("first_k_dense_replace", "moe_layer_freq"),
        dense_layers=1,
        shared="n_shared_experts",
        router_bias=True,
        defaults={
            "attention_sinks": False,
            "add_swa_attention_sink_bias": True,
            "add_full_attention_sink_bias": False,
            "n_shared_experts": 0,
        },
        costless=("attention_chunk_size", "hybrid_block_size"),
    ),
    "step3p5": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        head_gate="use_head_wise_attn_gate",
        order="cycle",
        cycle="F",
        elsewhere={"sliding_attention": {"num_attention_heads": "num_sliding_attention_heads"}},
        must_say=("num_sliding_attention_heads",),
        inside={
            "attention_other_setting": {
                "num_attention_heads": "num_sliding_attention_heads",
                "num_attention_groups": "sliding_groups",
                "head_dim": "sliding_width",
                "true_head_dim": "sliding_true_width",
                "attention_type": "sliding_kind",
            }
        },
        same={
            "sliding_groups": "num_key_value_heads",
            "sliding_width": "head_dim",
            "sliding_true_width": "head_dim",
        },
        defaults={"use_head_wise_attn_gate": True},
        only={"n_shared_experts": 1, "use_moe_router_bias": True},
        ffn="moe",
        sparse=("first_k_dense_replace", "moe_layers_enum"),
        dense_layers=3,
        shared="one",
        d_shared="share_expert_dim",
        router_bias=True,
        costless=(
            "num_sliding_attention_heads",
            "sliding_kind",
            "swiglu_limits",
            "swiglu_limits_shared",
            "yarn_only_types",
        ),
    ),
    "laguna": Family(
        qkv_bias="attention_bias",
        output_bias="attention_bias",
        qk_norm="head",
        head_gate=True,
        order="cycle",
        cycle="F",
        ffn="moe",
        sparse=("first_k_dense_replace",),
        dense_layers=1,
        shared="one",
        d_shared="shared_expert_intermediate_size",
        router_bias=True,
    ),
}
