"""The attention of a config.json, of every kind, with its windows."""

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family


def attention(config: Config, family: Family, d_model: int) -> Fields:
    """Softmax attention, grouped or latent."""
    return latent(config, family) if family.attention == "mla" else grouped_query(config, family, d_model)


def grouped_query(config: Config, family: Family, d_model: int) -> Fields:
    """Attention whose query heads share keys and values in groups."""
    n_heads = config.size("num_attention_heads")
    n_kv_heads = _kv_heads(config, family, n_heads)
    d_head = _d_head(config, family, d_model, n_heads)
    if family.square and n_heads * d_head != d_model:
        raise config.refuse("head_dim", f"{n_heads} heads must be hidden_size {d_model} wide together")
    return {
        "mixer": "gqa",
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "d_head": d_head,
        "qkv_bias": config.switch(family.qkv_bias),
        "output_bias": config.switch(family.output_bias),
        "output_gate": config.switch(family.output_gate),
        "sinks": config.switch(family.sinks),
        "head_gate": config.switch(family.head_gate),
        "output_norm": family.output_norm,
        "qk_norm_bias": family.qk_norm_bias,
        "d_head_value": config.size(family.d_value) if family.d_value else None,
        **_qk_norm(config, family),
    }


def _kv_heads(config: Config, family: Family, n_heads: int) -> int:
    """Key-value heads: those of the file, one, or as many as query heads."""
    if family.one_kv_head and config.flag(family.one_kv_head):
        config.used.update(config.spelled("num_key_value_heads"))
        return 1
    n_kv_heads = config.size("num_key_value_heads", (n_heads, "num_attention_heads"))
    if n_heads % n_kv_heads:
        raise config.refuse(
            "num_key_value_heads", f"does not divide num_attention_heads {n_heads}; a divisor is accepted"
        )
    return n_kv_heads


def _d_head(config: Config, family: Family, d_model: int, n_heads: int) -> int:
    """The width of a head."""
    if config.get("head_dim") is not None or config.default("head_dim") is not None:
        return config.size("head_dim")
    if d_model % n_heads and not family.rough_heads:
        raise config.refuse(
            "head_dim", f"is missing, and hidden_size {d_model} is no multiple of {n_heads} heads; give it"
        )
    config.assume(f"head_dim is not given; taken as hidden_size / num_attention_heads, {d_model // n_heads}")
    return d_model // n_heads


def _qk_norm(config: Config, family: Family) -> Fields:
    """The norms of queries and keys, one a head or one across the heads."""
    if family.qk_norm == "no":
        return {}
    full = family.qk_norm == "full"
    if family.qk_norm_if:
        kind = config.get("qk_norm_type")
        if kind not in (None, "per_layer", "per_head"):
            raise config.refuse("qk_norm_type", "accepted: per_layer, per_head")
        full = full if kind is None else kind == "per_layer"
        return {"qk_norm_full" if full else "qk_norm": config.flag(family.qk_norm_if)}
    if config.get("use_qk_norm") not in (None, True):
        raise config.refuse("use_qk_norm", "this model type always has them; true is accepted")
    return {"qk_norm_full" if full else "qk_norm": True}


def window(config: Config) -> Fields:
    """The width of the window; nothing where it is wider than the longest context."""
    width = config.optional("sliding_window")
    if width is None:
        raise config.refuse("sliding_window", "is needed where layers attend to a window; give its width")
    longest = config.given("max_position_embeddings", 1, 10**10)
    if longest and width >= longest:
        config.assume(f"sliding_window {width} is not below the longest context {longest}: no window")
        return {}
    return {"attention_window": width}


def chunk(config: Config) -> Fields:
    """The chunk of tokens that a layer attends within (Llama 4)."""
    return {"attention_window": config.size("attention_chunk_size"), "window_kind": "chunk"}


def latent(config: Config, family: Family) -> Fields:
    """Multi-head latent attention."""
    n_heads = config.size("num_attention_heads")
    kv = config.given("num_key_value_heads")
    if kv not in (None, n_heads):
        raise config.refuse("num_key_value_heads", f"latent attention has one a head; accepted: {n_heads}")
    if config.missing("q_lora_rank") and not config.inside:  # null is not the default, and is often dropped
        raise config.refuse("q_lora_rank", "is missing; give null where queries are not compressed")
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    for name in ("qk_head_dim", "head_dim"):
        if config.given(name) not in (None, nope + rope, rope, nope):
            raise config.refuse(name, f"contradicts qk_nope_head_dim {nope} and qk_rope_head_dim {rope}")
    return {
        "mixer": "mla",
        "n_heads": n_heads,
        "d_kv_latent": config.size("kv_lora_rank"),
        "d_q_latent": config.optional("q_lora_rank"),
        "d_nope": nope,
        "d_rope": rope,
        "d_value": config.size("v_head_dim"),
        "output_gate": config.switch(family.output_gate),
    }
