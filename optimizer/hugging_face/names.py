"""Fields that go by several names, and those that change neither sizes nor operators."""

import re
from typing import Any

SYNONYMS: dict[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "num_attention_groups"),
    "head_dim": ("attention_head_dim",),
    "intermediate_size": ("n_inner", "ffn_dim", "ffn_hidden_size", "block_ff_dim"),
    "tie_word_embeddings": ("tie_embedding",),
    "max_position_embeddings": ("n_positions", "model_max_length"),
    "layer_types": ("layers_block_type",),
    "mlp_layer_types": ("ffn_layer_types",),
    "sliding_window": ("sliding_window_size", "window_size"),
    "sliding_window_pattern": ("_sliding_window_pattern", "global_attn_every_n_layers"),
    "num_experts": ("n_routed_experts", "num_local_experts", "moe_num_experts"),
    "num_experts_per_tok": (
        "experts_per_token",
        "num_experts_per_token",
        "top_k_experts",
        "moe_topk",
        "moe_top_k",
        "moe_k",
    ),
    "n_shared_experts": (
        "num_shared_experts",
        "num_shared_expert",
        "moe_num_shared_experts",
    ),
    "first_k_dense_replace": ("num_dense_layers",),
    "mamba_n_heads": ("mamba_num_heads",),
    "mamba_d_head": ("mamba_head_dim",),
    "mamba_d_state": ("ssm_state_size", "state_size"),
    "mamba_n_groups": ("n_groups",),
    "mamba_d_conv": ("conv_kernel",),
    "mamba_expand": ("expand",),
    "mamba_dt_rank": ("time_step_rank",),
    "mamba_conv_bias": ("use_conv_bias",),
}
"""Other names of a field, in files of any class. Two in one file must agree."""

MTP = re.compile(r"num_nextn_predict_layers|num_mtp_\w+|use_mtp|mtp_\w+")
"""Fields of multi-token prediction."""

OTHER_PARTS = re.compile(
    r"(vision|visual|audio|speech|encoder|projector|talker|token2wav|vq|vit|dflash)\w*"
    r"_(config|tower)"
)
"""Fields that hold a part beside the language model."""

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "mlp_type": ("default",),
    "norm_type": ("layer_norm", "low_precision_layernorm"),
    "output_gate_type": ("swish",),
    "full_attn_mod": (1,),
    "interpolate_factor": (1,),
    "num_expert_group": (1,),
    "model_format": ("hf",),
    "attn_type": ("multihead_attention",),
    "expansion_ratio": (4,),
}
"""Fields that are understood at one value only."""

_COSTLESS_BY_USE = {
    "names, files and versions": """
        _name_or_path architectures auto_map dtype finetuning_task for_llm_class id2label is_decoder
        is_encoder_decoder label2id mamba_ssm_cache_dtype mamba_ssm_dtype prefix problem_type
        task_specific_params tokenizer_class torch_dtype torchscript transformers_version
    """,
    "training: initial values, losses, dropout": """
        attention_dropout aux_loss_alpha embd_pdrop embedding_dropout hidden_dropout ignore_index
        initializer_range mtp_loss_scaling_factor pruned_heads rescale_prenorm_residual resid_pdrop
        residual_dropout
        router_aux_loss_coef router_jitter_noise seq_aux tie_encoder_decoder
        activation_dropout attention_probs_dropout_prob attn_pdrop aux_loss_coef dropout embed_dropout
        emb_pdrop hidden_dropout_prob init_std input_jitter_noise layerdrop moe_jitter_eps moe_loss_weight
        resid_dropout summary_first_dropout z_loss_coefficient
    """,
    "what to return, and how to sample text": """
        bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping
        encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
        forced_eos_token_id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups
        num_beams num_logits_to_keep num_return_sequences output_attentions output_hidden_states
        output_router_logits output_scores remove_invalid_values repetition_penalty return_dict
        return_dict_in_generate suppress_tokens temperature top_k top_p typical_p
        summary_activation summary_proj_to_labels summary_type summary_use_proj
    """,
    "choices of the implementation": """
        _attn_implementation attention_softmax_in_fp32 attn_implementation cache_implementation
        chunk_size chunk_size_feed_forward ep_size mamba_chunk_size moe_shared_expert_overlap
        prefill_chunk_size pretraining_tp residual_in_fp32 scale_attention_softmax_in_fp32
        tensor_parallel_shards tf_legacy_loss use_associative_scan use_bfloat16 use_cache use_mamba_kernels
        use_mambapy attn_impl init_device reorder_and_upcast_attn slow_but_exact _experts_implementation
        is_causal use_bidirectional_attention
    """,
    "activations, scales, clips and the epsilon of norms": """
        activation_function attention_multiplier attention_value_scale attn_logit_softcapping attn_scale
        attn_temperature_tuning clip_qkv embedding_multiplier final_logit_softcapping floor_scale
        gate_lower_bound
        hidden_act hidden_activation layer_norm_eps layer_norm_epsilon layernorm_epsilon logit_scale
        logits_scaling mamba_hidden_act mlp_hidden_act norm_eps norm_epsilon query_pre_attn_scalar
        residual_multiplier rms_norm_eps scale_attn_weights swiglu_limit swiglu_alpha activation afn
        attention_in_multiplier attention_out_multiplier embedding_scale key_multiplier lm_head_multiplier
        mlp_multipliers scale_attn_by_inverse_layer_idx scale_depth scale_emb scale_embedding
        dim_model_base softmax_scale ssm_in_multiplier ssm_multipliers ssm_out_multiplier
        full_attn_alpha_factor full_attn_beta_factor linear_attn_alpha_factor linear_attn_beta_factor
        mlp_alpha_factor mlp_beta_factor mup_enabled lambda_std_dev mamba_norm_before_gate mixer_rms_eps
        layernorm_full_attention_alpha layernorm_full_attention_beta layernorm_linear_attention_alpha
        layernorm_linear_attention_beta layernorm_mlp_alpha layernorm_mlp_beta use_post_norm
        linear_allow_neg_eigval ffn_act_fn
    """,
    "positions, contexts, and what other fields already say": """
        attention_sink_size context_window_size expand initial_context_length max_position_embeddings
        max_window_layers original_max_position_embeddings partial_rotary_factor rotary_dim use_mrope
        alibi alibi_bias_max layer_rope_theta max_sequence_length max_seq_len model_max_length n_ctx
        n_positions no_rope_layer_interval no_rope_layers position_embedding_type rotary_emb_base rotary_pct
        seq_length use_parallel_residual apply_residual_connection_post_layernorm
    """,
    "how the router chooses among experts": """
        n_group norm_topk_prob routed_scaling_factor scoring_func topk_group topk_method
        moe_apply_router_weight_on_input moe_norm_min moe_renormalize moe_routed_scaling_factor
        moe_router_logit_softcapping moe_router_scaling_factor num_expert_group route_norm route_scale
        score_func router_scaling_factor moe_normalize_expert_weights enable_moe_fp32_combine
        expert_selection_fn moe_router_activation_func use_grouped_topk
    """,
    "images and video": """
        image_grid_pinpoints image_seq_length img_token_compression_config media_placeholder_token_id
        mm_tokens_per_image multimodal_projector_bias process_image_mode projector_hidden_act
        projector_hidden_size spatial_merge_size use_unified_vision_chunk video_placeholder
        max_value_projector_patch_to_query_dict num_image_tokens vision_feature_layer
        vision_feature_select_strategy vision_soft_tokens_per_image
    """,
}
COSTLESS = frozenset(" ".join(_COSTLESS_BY_USE.values()).split())
"""Fields that change neither sizes nor operators."""
COSTLESS_PATTERN = re.compile(
    "|".join(
        (
            r"rope_\w+|\w+_rope_(theta|scaling|parameters|base\w*|type|freq\w*)|rotary_\w+|no_rope_layer\w*",
            r"\w+_token_(id|ids|index)|(bos|eos|pad|unk|sep|cls|mask)_(id|index)|\w+_placeholder",
            r"time_step_(min|max|limit|floor|scale|init_scheme)|linear_(a_log|dt)_\w+",
            r"\w*(dropout|pdrop|jitter|loss)\w*|\w+_(coef|coeff|eps|epsilon)",
            r"\w*(init|initializer)_(range|std|scale|method|factor|cutoff\w*)|\w+_init_(std|scale)",
            r"\w*softcap(ping)?|\w+_multipliers?",
            r"unsloth_\w+|_?use_flash\w*|_flash\w*|use_fused\w*|fuse_\w+|\w+_in_fp32|\w+_kernels",
            r"(tensor|pipeline|sequence|context|expert|data|model)_(model_)?parallel\w*",
            r"gradient_checkpointing\w*|recompute\w*|\w+_impl|\w+_implementation",
            r"(?!\w+_(config|tower)$)(tune_|freeze_|unfreeze_|use_)?"
            r"(image|images|img|video|vision|visual|audio|speech|mm|projector)_\w+",
        )
    )
)
