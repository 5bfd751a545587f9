"""The model families that are understood, those that are refused and why, and the fields without a cost."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Family:
    """What a model type means beyond its fields: defaults of its class, and what the class fixes."""

    kv_heads: int | Literal["heads"] | None = None
    """Where num_key_value_heads is missing; None refuses."""
    d_head: int | Literal["split"] | None = "split"
    """Where head_dim is missing; 'split' is hidden_size over the heads, None refuses."""
    tied: bool | None = False
    layout: Literal["pairs", "nemotron_h", "nas"] = "pairs"
    """Layers of mixer and feed-forward; or of one of them each; or as block_configs says."""
    mixer: Literal["gqa", "mla", "delta"] = "gqa"
    bias: Literal["none", "all", "qkv"] = "none"
    """Which projections have a bias where bias_field is true."""
    bias_field: str = "attention_bias"
    bias_default: bool = False
    qk_norm: Literal["no", "head", "full", "field"] = "no"
    window: Literal["none", "all", "switch", "pattern", "chunk"] = "none"
    window_default: int | None = None
    period: int = 0
    """Layers of a window pattern, the last of which attends to everything."""
    output_gate: bool | Literal["attn_output_gate"] = False
    sinks: bool = False
    ffn: Literal["dense", "moe"] = "dense"
    gated_ffn: bool = True
    ffn_bias_field: str = ""
    d_expert: str = "moe_intermediate_size"
    d_dense: str = "intermediate_size"
    sparse: tuple[str, ...] = ()
    """Fields that say which layers hold experts, with defaults in ffns.py."""
    shared: Literal["none", "count", "gated", "one", "wide"] = "none"
    expert_bias: bool = False
    router_bias: bool | Literal["noaux_tc", "use_routing_bias"] = False
    n_norms: int = 2
    norm_bias: bool = False
    notes: tuple[str, ...] = ()


_PARALLEL = "attention and feed-forward share one norm and run side by side; costed one after the other"

_DEEPSEEK = Family(
    mixer="mla",
    ffn="moe",
    sparse=("first_k_dense_replace", "moe_layer_freq"),
    shared="count",
    router_bias="noaux_tc",
)
_QWEN_SPARSE = ("decoder_sparse_step", "mlp_only_layers")
_QWEN2 = Family(32, bias="qkv", bias_field="qkv_bias", bias_default=True, window="switch")
_QWEN_DELTA = Family(None, None, mixer="delta", bias="all", qk_norm="head", output_gate="attn_output_gate")
_GEMMA = Family(4, 256, tied=True, bias="all", window="pattern", window_default=4096, n_norms=4)

FAMILIES: dict[str, Family] = {
    "llama": Family("heads", bias="all", ffn_bias_field="mlp_bias"),
    "granite": Family("heads", bias="all", ffn_bias_field="mlp_bias"),
    "mistral": Family(8, window="all", window_default=4096),
    "ministral3": Family(None, None, window="all", tied=None),
    "mixtral": Family(8, window="all", ffn="moe", d_expert="intermediate_size"),
    "qwen2": _QWEN2,
    "mimo": Family(32, bias="qkv", bias_default=True, window="switch"),
    "qwen2_moe": replace(_QWEN2, kv_heads=16, ffn="moe", sparse=_QWEN_SPARSE, shared="gated"),
    "qwen3": Family(32, 128, bias="all", qk_norm="head", window="switch"),
    "qwen3_vl": Family(32, 128, bias="all", qk_norm="head"),
    "qwen3_moe": Family(
        None, None, bias="all", qk_norm="head", window="switch", ffn="moe", sparse=_QWEN_SPARSE
    ),
    "qwen3_vl_moe": Family(None, None, bias="all", qk_norm="head", ffn="moe", sparse=_QWEN_SPARSE),
    "gemma2": replace(_GEMMA, period=2),
    "gemma3": replace(_GEMMA, qk_norm="head", period=6),
    "phi3": Family("heads", window="all"),
    "olmo2": Family("heads", bias="all", qk_norm="full"),
    "olmoe": Family("heads", bias="all", qk_norm="full", ffn="moe", d_expert="intermediate_size"),
    "cohere": Family("heads", tied=True, bias="all", n_norms=1, notes=(_PARALLEL,)),
    "starcoder2": Family(
        2,
        tied=True,
        bias="all",
        bias_field="use_bias",
        bias_default=True,
        window="all",
        gated_ffn=False,
        ffn_bias_field="use_bias",
        norm_bias=True,
    ),
    "gpt_oss": Family(
        8,
        64,
        bias="all",
        bias_default=True,
        window="pattern",
        window_default=128,
        period=2,
        ffn="moe",
        d_expert="intermediate_size",
        expert_bias=True,
        router_bias=True,
        sinks=True,
    ),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK,
    "kimi_k2": _DEEPSEEK,
    "glm4_moe": Family(
        None,
        None,
        bias="qkv",
        qk_norm="field",
        ffn="moe",
        sparse=("first_k_dense_replace",),
        shared="count",
        router_bias=True,
    ),
    "llama4": Family(
        None,
        None,
        bias="all",
        window="chunk",
        ffn="moe",
        d_expert="intermediate_size",
        d_dense="intermediate_size_mlp",
        sparse=("interleave_moe_layer_step", "moe_layers"),
        shared="one",
        notes=("query and key norms of llama4 hold no weights",),
    ),
    "minimax_m2": Family(
        None, None, qk_norm="field", ffn="moe", d_expert="intermediate_size", router_bias="use_routing_bias"
    ),
    "qwen3_next": replace(_QWEN_DELTA, output_gate=True, ffn="moe", sparse=_QWEN_SPARSE, shared="gated"),
    "qwen3_5": _QWEN_DELTA,
    "qwen3_5_moe": replace(_QWEN_DELTA, ffn="moe", sparse=("mlp_only_layers",), shared="gated"),
    "nemotron_h": Family(
        None,
        None,
        layout="nemotron_h",
        bias="all",
        gated_ffn=False,
        ffn_bias_field="mlp_bias",
        shared="wide",
        router_bias=True,
        n_norms=1,
    ),
    "nemotron-nas": Family(layout="nas", bias="all", ffn_bias_field="mlp_bias"),
}

REFUSED = {
    "deepseek_v32": "sparse attention with an indexer (index_topk)",
    "deepseek_v4": "compressed and sparse attention, hyper-connections (compress_ratios, hc_mult)",
    "deepseek_ref": "compressed and sparse attention, hyper-connections (compress_ratios, hc_mult)",
    "glm_moe_dsa": "sparse attention with an indexer (index_topk)",
    "minimax_m3": "block-sparse attention with an indexer (sparse_attention_config)",
    "minimax": "linear attention (lightning) layers, whose options no file at hand shows",
    "gemma4": "keys that serve as values, global heads of another width (attention_k_eq_v, global_head_dim)",
    "kimi_linear": "linear attention (KDA) layers and experts on a latent (linear_attn_config)",
    "mimo_v2_flash": "values narrower than keys, and other heads in window layers (v_head_dim, swa_head_dim)",
    "step3p7": "attention and expert details that the file does not give",
    "jamba": "Mamba-1 layers (attn_layer_period)",
    "mamba2": "Mamba-2 layers alone, without the fields of other models",
}
"""Model types met in the field that the cost model does not cover, and why."""

WRAPPERS = ("text_config", "llm_config", "language_config")
"""Names under which a model of several parts keeps the language model's fields."""
WRAPPED_TYPES = {"kimi_k25": "kimi_k2", "qwen3_vl": "qwen3_vl", "qwen3_vl_moe": "qwen3_vl_moe"}
OTHER_PARTS = ("vision_config", "audio_config", "vision_tower")
MTP = re.compile(r"num_nextn_predict_layers|num_mtp_modules|use_mtp|mtp_\w+")

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "mlp_type": ("default",),
    "norm_type": ("layer_norm",),
    "output_gate_type": ("swish",),
    "full_attn_mod": (1,),
    "interpolate_factor": (1,),
    "num_expert_group": (1,),
    "model_format": ("hf",),
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
        initializer_range pruned_heads rescale_prenorm_residual resid_pdrop residual_dropout
        router_aux_loss_coef router_jitter_noise seq_aux tie_encoder_decoder
    """,
    "what to return, and how to sample text": """
        bad_words_ids begin_suppress_tokens diversity_penalty do_sample early_stopping
        encoder_no_repeat_ngram_size exponential_decay_length_penalty forced_bos_token_id
        forced_eos_token_id length_penalty max_length min_length no_repeat_ngram_size num_beam_groups
        num_beams num_logits_to_keep num_return_sequences output_attentions output_hidden_states
        output_router_logits output_scores remove_invalid_values repetition_penalty return_dict
        return_dict_in_generate suppress_tokens temperature top_k top_p typical_p
    """,
    "choices of the implementation": """
        _attn_implementation attention_softmax_in_fp32 attn_implementation cache_implementation
        chunk_size chunk_size_feed_forward ep_size moe_shared_expert_overlap prefill_chunk_size
        pretraining_tp residual_in_fp32 scale_attention_softmax_in_fp32 tensor_parallel_shards
        tf_legacy_loss use_bfloat16 use_cache use_mamba_kernels
    """,
    "activations, scales, clips and the epsilon of norms": """
        activation_function attention_multiplier attention_value_scale attn_logit_softcapping attn_scale
        attn_temperature_tuning clip_qkv embedding_multiplier final_logit_softcapping floor_scale
        hidden_act hidden_activation layer_norm_eps layer_norm_epsilon layernorm_epsilon logit_scale
        logits_scaling mamba_hidden_act mlp_hidden_act norm_eps norm_epsilon query_pre_attn_scalar
        residual_multiplier rms_norm_eps scale_attn_weights swiglu_limit
    """,
    "positions, contexts, and what other fields already say": """
        attention_sink_size context_window_size expand initial_context_length max_position_embeddings
        max_window_layers original_max_position_embeddings partial_rotary_factor rotary_dim use_mrope
    """,
    "how the router chooses among experts": """
        n_group norm_topk_prob routed_scaling_factor scoring_func topk_group topk_method
    """,
    "images and video": """
        image_grid_pinpoints image_seq_length img_token_compression_config media_placeholder_token_id
        multimodal_projector_bias process_image_mode projector_hidden_act projector_hidden_size
        spatial_merge_size use_unified_vision_chunk video_placeholder vision_feature_layer
        vision_feature_select_strategy vision_soft_tokens_per_image
    """,
}
COSTLESS = frozenset(" ".join(_COSTLESS_BY_USE.values()).split())
"""Fields that change neither sizes nor operators."""
COSTLESS_PATTERN = re.compile(r"rope_\w+|\w+_rope_\w+|\w+_token_(id|ids|index)|time_step_\w+")
