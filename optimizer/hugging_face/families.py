"""The table of families: a row for each model type that is read, and why others are refused."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_apart import APART
from optimizer.hugging_face.rows_dense import DENSE
from optimizer.hugging_face.rows_experts import EXPERTS
from optimizer.hugging_face.rows_hybrid import HYBRID
from optimizer.hugging_face.rows_old import OLD
from optimizer.hugging_face.rows_remote import REMOTE

_ROWS: dict[str, Family] = {**DENSE, **EXPERTS, **APART, **HYBRID, **OLD, **REMOTE}

_ALIKE = {
    "kimi_k2": "deepseek_v3",
    "sarvam_mla": "deepseek_v3",
    "sarvam_moe": "glm4_moe",
    "granite": "llama",
    "exaone": "llama",
    "internlm3": "llama",
    "iquestcoder": "llama",
    "qwen2_vl": "qwen2",
    "qwen2_5_vl": "qwen2",
    "qwen2_5_omni_text": "qwen2",
    "Glm4vMoe": "glm4v_moe",
    "bailing_moe_v2": "bailing_moe",
    "hunyuan_vl": "hunyuan_v1_dense",
    "llava_llama": "llama",
    "llava_mistral": "mistral",
    "llava_qwen": "qwen2",
    "deepseek_ref": "deepseek_v4",
    "minimax_m3_vl": "minimax_m3",
    "paddleocr_vl": "ernie4_5",
    "phi3_v": "phi3",
    "phi4mm": "phi3",
    "granite_docling": "llama",
    "cosmos3_edge": "arcee",
    "qwen3_vl": "qwen3",
    "qwen3_vl_moe": "qwen3_moe",
    "gpt-sw3": "gpt2",
    "phi4_multimodal": "phi3",
    "apertus1p5": "apertus",
    "emu3_text_model": "llama",
}
"""Model types whose rows are those of others; their defaults are their own, where they are known."""

FAMILIES = _ROWS | {name: replace(_ROWS[row], like=_ROWS[row].like or row) for name, row in _ALIKE.items()}

REFUSED = {
    "axk2": "sparse attention with an indexer and gated norms (index_topk, gated_norm_rank)",
    "bailing_hybrid": "Kimi delta attention with a decay of full rank (kda_safe_gate)",
    "beam": "gates of attention with a bias a head (gate_bias)",
    "blt": "bytes in patches (patch_size)",
    "diffllama": "differential attention (lambda_std_dev)",
    "doge": "attention with a mask of its own (keep_window_size)",
    "dory": "layers that run several times (n_recurrent_loops)",
    "dots3_note": "sparse attention with an indexer (index_topk)",
    "gemma3n": "inputs of each layer and layers without keys of their own (altup_num_inputs)",
    "glm5_next": "hyper-connections and an indexer (hc_mult, index_topk)",
    "hrm_text": "layers that run several times (H_cycles)",
    "hy_v4": "hyper-connections and an indexer (hc_mult, index_topk)",
    "hy_v4_vl": "hyper-connections and an indexer (hc_mult, index_topk)",
    "inkling": "convolutions inside attention (conv_kernel_size)",
    "inkling2": "convolutions inside attention (conv_kernel_size)",
    "inkling2_loop": "layers that run several times (loop_num_passes)",
    "jetmoe": "experts in its attention",
    "mistral_large4": "sparse attention with an indexer (index_topk)",
    "modernbert-decoder": "a head of its own and layers without a first norm",
    "molmo2": "an input table longer than its head (additional_vocab_size)",
    "muse_spark": "gates of the residual stream (residual_gate_temperature)",
    "qwen4_exp": "hyper-connections and tables of n-grams (hc_count, ngram_size)",
    "unlimited_ocr": "windows around an image (reference_sliding_attention)",
    "voxtral_realtime": "norms that depend on time (ada_rms_norm)",
    "zaya": "convolutions inside attention and a router of several layers (cca_time0)",
    "longcat_flash": "experts that compute nothing (zero_expert_num)",
    "zamba": "one transformer block that several layers share",
    "zamba2": "transformer blocks that several layers share",
    "mllama": "layers that attend to images alone (cross_attention_layers)",
    "recurrent_gemma": "gated linear recurrences (RG-LRU)",
    "rwkv": "token shift and a recurrence of its own",
    "xlstm": "matrix memories (mLSTM)",
}
"""Model types met in the field that the cost model does not cover, and why."""
