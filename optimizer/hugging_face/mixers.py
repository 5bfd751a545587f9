"""The mixers of a config.json: attention of every kind, with its windows, and state-space layers."""

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.families import Family


def mixers_of(config: Config, family: Family, n_layers: int, d_model: int) -> list[Fields]:
    """The mixer of every layer."""
    if family.mixer == "mla":
        return [_latent(config)] * n_layers
    base = grouped_query(config, family, d_model)
    if family.mixer == "delta":
        linear = _delta_net(config)
        return [linear if part else base for part in _linear_layers(config, n_layers)]
    windows = _windows(config, family, n_layers)
    return [base if window is None else base | {"attention_window": window} for window in windows]


def grouped_query(config: Config, family: Family, d_model: int) -> Fields:
    """Attention whose query heads share keys and values in groups."""
    n_heads = config.size("num_attention_heads")
    if "num_key_value_heads" in config.fields and config.get("num_key_value_heads") is None:
        config.assume(f"num_key_value_heads is null; taken as num_attention_heads, {n_heads}")
        n_kv_heads = n_heads
    else:
        default = n_heads if family.kv_heads == "heads" else family.kv_heads
        n_kv_heads = config.size("num_key_value_heads", default)
    if n_heads % n_kv_heads:
        raise config.refuse(
            "num_key_value_heads", f"does not divide num_attention_heads {n_heads}; a divisor is accepted"
        )
    bias = False
    if family.bias != "none":
        bias = config.flag(family.bias_field, family.bias_default)
    return {
        "mixer": "gqa",
        "n_heads": n_heads,
        "n_kv_heads": n_kv_heads,
        "d_head": _d_head(config, family, d_model, n_heads),
        "qkv_bias": bias,
        "output_bias": bias and family.bias == "all",
        "output_gate": _output_gate(config, family),
        "sinks": family.sinks,
        **_qk_norm(config, family),
    }


def _output_gate(config: Config, family: Family) -> bool:
    """Whether the output of attention is gated."""
    gate = family.output_gate
    return config.flag(gate, None) if isinstance(gate, str) else gate


def _d_head(config: Config, family: Family, d_model: int, n_heads: int) -> int:
    """The width of a head."""
    if family.layout == "nemotron_h":
        return config.agreed(("head_dim", "attention_head_dim"))
    if family.d_head != "split" or config.get("head_dim") is not None:
        return config.size("head_dim", None if family.d_head == "split" else family.d_head)
    if d_model % n_heads:
        raise config.refuse(
            "head_dim", f"is missing, and hidden_size {d_model} is no multiple of {n_heads} heads; give it"
        )
    config.assume(f"head_dim is not given; taken as hidden_size / num_attention_heads, {d_model // n_heads}")
    return d_model // n_heads


def _qk_norm(config: Config, family: Family) -> Fields:
    """The norms of queries and keys, one a head or one across the heads."""
    if family.qk_norm == "field":
        norm = config.flag("use_qk_norm", None)
        kind = config.get("qk_norm_type")
        if kind not in (None, "per_layer", "per_head"):
            raise config.refuse("qk_norm_type", "accepted: per_layer, per_head")
        return {"qk_norm_full" if kind == "per_layer" else "qk_norm": norm}
    if family.qk_norm == "no":
        if family.window == "chunk":
            config.flag("use_qk_norm", True)  # norms of llama4 hold no weights
        return {}
    value = config.get("use_qk_norm")
    if value is not None and value is not True:
        raise config.refuse("use_qk_norm", "this model type always has them; true is accepted")
    return {"qk_norm_full" if family.qk_norm == "full" else "qk_norm": True}


def _windows(config: Config, family: Family, n_layers: int) -> list[int | None]:
    """The window of each layer, None where it attends to everything."""
    if family.window == "chunk":
        return _chunks(config, n_layers)
    kinds = _attention_kinds(config, family, n_layers)
    config.per_layer("attn_type_list", n_layers, (1,))
    if "sliding_attention" not in kinds:
        config.used.update(("sliding_window", "sliding_window_size"))
        return [None] * n_layers
    window = _window(config, family, needed=True)
    return [window if kind == "sliding_attention" else None for kind in kinds]


def _attention_kinds(config: Config, family: Family, n_layers: int) -> list[str]:
    """Whether each layer attends to everything or to a window."""
    names = ("full_attention", "sliding_attention")
    listed = config.per_layer("layer_types", n_layers, names)
    if family.window == "pattern":
        given = config.optional("sliding_window_pattern")
        period = given or family.period
        derived = [names[bool((i + 1) % period)] for i in range(n_layers)]
        if listed and given and derived != listed:
            raise config.refuse("sliding_window_pattern", "contradicts layer_types; one of both is accepted")
        if not listed and not given:
            config.assume(
                f"layer_types is not given; one layer in {period} taken to attend to everything, "
                "the others to a window"
            )
        return listed or derived
    if family.window == "switch":
        config.used.add("use_sliding_window")
        used = config.fields.get("sliding_window") is not None and config.flag("use_sliding_window", False)
        if listed and names[1] in listed and config.fields.get("use_sliding_window") is False:
            raise config.refuse("use_sliding_window", "contradicts layer_types with windows; give true")
        first = config.size("max_window_layers", low=0) if used and not listed else n_layers
        return listed or [names[i >= first] for i in range(n_layers)]
    if listed:
        return listed
    present = family.window == "all" and _window(config, family) is not None
    if family.window == "none" and config.fields.get("sliding_window") is not None:
        raise config.refuse(
            "sliding_window", "is not understood for this model type without layer_types; accepted: null"
        )
    return [names[present]] * n_layers


def _window(config: Config, family: Family, needed: bool = False) -> int | None:
    """The width of the window; None where there is none, or it is wider than the longest context."""
    own, other = config.fields.get("sliding_window"), config.optional("sliding_window_size")
    if own is not None:
        window: int | None = config.size("sliding_window")
        if other not in (None, window):
            raise config.refuse("sliding_window", f"contradicts sliding_window_size {other}")
    elif "sliding_window" in config.fields:
        config.used.add("sliding_window")
        window = None
    elif other is not None:
        config.assume(f"sliding_window is not given; taken from sliding_window_size, {other}")
        window = other
    elif family.window_default is not None:
        window = config.size("sliding_window", family.window_default)
    else:
        window = None
    if needed and window is None:
        raise config.refuse("sliding_window", "is needed where layers attend to a window; give its width")
    longest = config.optional("max_position_embeddings", 10**10)
    if window and longest and window >= longest:
        config.assume(f"sliding_window {window} is not below the longest context {longest}: no window")
        return None
    return window


def _chunks(config: Config, n_layers: int) -> list[int | None]:
    """The chunk that each layer attends within, None where it attends to everything (llama4)."""
    names = ("full_attention", "chunked_attention")
    rotary = config.per_layer("no_rope_layers", n_layers, (0, 1))
    listed = config.per_layer("layer_types", n_layers, names)
    if rotary is None and listed is None:
        step = config.size("no_rope_layer_interval", 4)
        rotary = [int((i + 1) % step != 0) for i in range(n_layers)]
    chunked = [kind == names[1] for kind in listed] if listed else [bool(r) for r in rotary or ()]
    chunk = config.optional("attention_chunk_size")
    if chunk is None:
        return [None] * n_layers
    config.assume(
        f"layers that attend within chunks of {chunk} tokens are costed as a window of {chunk}, the most "
        "they can see"
    )
    return [chunk if part else None for part in chunked]


def _latent(config: Config) -> Fields:
    """Multi-head latent attention."""
    n_heads = config.size("num_attention_heads")
    kv = config.optional("num_key_value_heads")
    if kv not in (None, n_heads):
        raise config.refuse("num_key_value_heads", f"latent attention has one a head; accepted: {n_heads}")
    if "q_lora_rank" not in config.fields:
        raise config.refuse("q_lora_rank", "is missing; give null where queries are not compressed")
    nope, rope = config.size("qk_nope_head_dim"), config.size("qk_rope_head_dim")
    for name in ("qk_head_dim", "head_dim"):
        if config.optional(name) not in (None, nope + rope, rope):
            raise config.refuse(name, f"contradicts qk_nope_head_dim {nope} and qk_rope_head_dim {rope}")
    return {
        "mixer": "mla",
        "n_heads": n_heads,
        "d_kv_latent": config.size("kv_lora_rank"),
        "d_q_latent": config.optional("q_lora_rank"),
        "d_nope": nope,
        "d_rope": rope,
        "d_value": config.size("v_head_dim"),
    }


def _delta_net(config: Config) -> Fields:
    """A gated DeltaNet mixer."""
    keys, values = config.size("linear_num_key_heads"), config.size("linear_num_value_heads")
    if values % keys:
        raise config.refuse("linear_num_key_heads", f"does not divide linear_num_value_heads {values}")
    return {
        "mixer": "gated_deltanet",
        "n_key_heads": keys,
        "n_value_heads": values,
        "d_key": config.size("linear_key_head_dim"),
        "d_value": config.size("linear_value_head_dim"),
        "d_conv": config.size("linear_conv_kernel_dim"),
    }


def _linear_layers(config: Config, n_layers: int) -> list[bool]:
    """Which layers are linear attention: those of layer_types, or all but each full_attention_interval-th."""
    listed = config.per_layer("layer_types", n_layers, ("linear_attention", "full_attention"))
    step = config.optional("full_attention_interval")
    if listed is None and step is None:
        raise config.refuse("layer_types", "is missing (full_attention_interval may take its place)")
    derived = [bool((i + 1) % step) for i in range(n_layers)] if step else None
    linear = [kind == "linear_attention" for kind in listed] if listed else derived
    if derived is not None and linear != derived:
        raise config.refuse("full_attention_interval", "contradicts layer_types; one of both is accepted")
    return linear or []


def mamba2(config: Config) -> Fields:
    """A Mamba-2 mixer."""
    heads, width = config.size("mamba_num_heads"), config.size("mamba_head_dim")
    if not config.flag("use_conv_bias", None):
        raise config.refuse("use_conv_bias", "a convolution without bias is not understood; accepted: true")
    return {
        "mixer": "mamba2",
        "d_inner": heads * width,
        "d_ssm_head": width,
        "d_state": config.size("ssm_state_size"),
        "n_groups": config.size("n_groups"),
        "d_conv": config.size("conv_kernel"),
    }
