"""Families from before Llama: learned positions, biases everywhere, networks of two matrices."""

from dataclasses import replace

from optimizer.hugging_face.family import Family
from optimizer.hugging_face.rows_dense import PARALLEL

_GPT2 = Family(
    qkv_bias=True,
    output_bias=True,
    gated_ffn=False,
    ffn_bias=True,
    ffn_times=4,
    norm_bias=True,
    positions="max_position_embeddings",
)
_GPTJ = Family(
    gated_ffn=False,
    ffn_bias=True,
    ffn_times=4,
    n_norms=1,
    norm_bias=True,
    head_bias=True,
    notes=(PARALLEL,),
)
_NEOX = Family(
    qkv_bias="attention_bias",
    output_bias="attention_bias",
    gated_ffn=False,
    ffn_bias=True,
    norm_bias=True,
)

OLD: dict[str, Family] = {
    "gpt2": _GPT2,
    "gpt_bigcode": replace(_GPT2, one_kv_head="multi_query"),
    "gpt_neo": replace(
        _GPT2,
        qkv_bias=False,
        order="expanded",
        kinds={"global": "full", "local": "window"},
        names={"layer_types": "attention_layers"},
        defaults={"attention_types": [[["global", "local"], 12]]},
    ),
    "gpt_neox": _NEOX,
    "gptj": _GPTJ,
    "codegen": _GPTJ,
    "bloom": replace(_GPT2, positions="", outer_norms=2),
    "falcon": Family(
        qkv_bias="bias",
        output_bias="bias",
        one_kv_head="multi_query",
        gated_ffn=False,
        ffn_bias="bias",
        ffn_times=4,
        n_norms=1,
        norm_bias=True,
        notes=(PARALLEL,),
        norms_field="num_ln_in_parallel_attn",
        variants=(
            ("not parallel_attn", {"n_norms": 2, "notes": ()}),
            ("new_decoder_architecture", {"n_norms": 2, "one_kv_head": ""}),
        ),
    ),
    "mpt": Family(
        gated_ffn=False,
        ffn_times=4,
        inside={"attn_config": {"kv_n_heads": "num_key_value_heads"}},
    ),
    "opt": replace(
        _GPT2,
        ffn_times=None,
        qkv_bias="enable_bias",
        output_bias="enable_bias",
        ffn_bias="enable_bias",
        more_positions=2,
        same={"word_embed_proj_dim": "hidden_size"},
    ),
    "openai-gpt": replace(_GPT2, outer_norms=0),
    "biogpt": replace(_GPT2, ffn_times=None, more_positions=2),
    "xglm": replace(_GPT2, ffn_times=None, positions=""),
    "persimmon": replace(
        _NEOX, qkv_bias=True, output_bias=True, qk_norm="head", qk_norm_if="qk_layernorm", qk_norm_bias=True
    ),
    "phi": Family(
        qkv_bias=True,
        output_bias=True,
        qk_norm="head",
        qk_norm_if="qk_layernorm",
        qk_norm_bias=True,
        gated_ffn=False,
        ffn_bias=True,
        n_norms=1,
        norm_bias=True,
        head_bias=True,
        notes=(PARALLEL,),
    ),
    "stablelm": Family(
        qkv_bias="use_qkv_bias",
        qk_norm="full",
        qk_norm_if="qk_layernorm",
        norm_bias=True,
        variants=(("use_parallel_residual", {"n_norms": 1}),),
    ),
}
