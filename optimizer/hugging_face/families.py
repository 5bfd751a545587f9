"""The table of families: a row for each model type that is read, and why others are refused."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_dense import DENSE
from optimizer.hugging_face.rows_experts import EXPERTS
from optimizer.hugging_face.rows_hybrid import HYBRID
from optimizer.hugging_face.rows_old import OLD

_ROWS: dict[str, Family] = {**DENSE, **EXPERTS, **HYBRID, **OLD}

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
    "paddleocr_vl": "ernie4_5",
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
    "deepseek_v32": "sparse attention with an indexer (index_topk)",
    "deepseek_v4": "compressed and sparse attention, hyper-connections (compress_ratios, hc_mult)",
    "deepseek_ref": "compressed and sparse attention, hyper-connections (compress_ratios, hc_mult)",
    "glm_moe_dsa": "sparse attention with an indexer (index_topk)",
    "minimax_m3": "block-sparse attention with an indexer (sparse_attention_config)",
    "gemma4": "keys that serve as values, global heads of another width (attention_k_eq_v, global_head_dim)",
    "mimo_v2_flash": "values narrower than keys, and other heads in window layers (v_head_dim, swa_head_dim)",
    "step3p7": "attention and expert details that the file does not give",
    "jetmoe": "experts in its attention",
    "longcat_flash": "experts that compute nothing (zero_expert_num)",
    "zamba": "one transformer block that several layers share",
    "zamba2": "transformer blocks that several layers share",
    "mllama": "layers that attend to images alone (cross_attention_layers)",
    "recurrent_gemma": "gated linear recurrences (RG-LRU)",
    "rwkv": "token shift and a recurrence of its own",
    "xlstm": "matrix memories (mLSTM)",
}
"""Model types met in the field that the cost model does not cover, and why."""
