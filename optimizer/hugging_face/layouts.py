"""The layers of a config.json: pairs of mixer and feed-forward, halves in a pattern, or a list."""

from itertools import groupby
from typing import Any

from optimizer.hugging_face.attention import grouped_query
from optimizer.hugging_face.config import Config, Fields, finish, take, view
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.ffns import dense, experts, ffns_of
from optimizer.hugging_face.mixers import READERS, mixers_of

MAX_LAYERS = 10_000

_LETTERS = {"M": "linear_attention", "*": "full_attention", "-": "mlp", "E": "moe"}
_OLD = {"mamba": "linear_attention", "attention": "full_attention"}


def _pairs(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that each have a mixer and a feed-forward network."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    mixers, ffns = mixers_of(config, family, n_layers, d_model), ffns_of(config, family, n_layers, d_model)
    layers, own = [], config.given(family.norms_field, 0, 8) if family.norms_field else None
    for mixer, ffn in zip(mixers, ffns, strict=True):
        n_norms = (family.n_norms if own is None else own) + family.sparse_norms * (ffn["ffn"] == "moe")
        layers.append(mixer | ffn | {"n_norms": n_norms})
    return _with_inputs(config, family, _sharing(config, family, layers))


def _sharing(config: Config, family: Family, layers: list[Fields]) -> list[Fields]:
    """Layers of which the last may read the keys and values of earlier ones."""
    shared = (config.optional(family.kv_shared, 0, len(layers)) or 0) if family.kv_shared else 0
    switch, times = family.shared_ffn_times
    wide = times if switch and config.flag(switch) else 1
    own = layers[: len(layers) - shared]
    for layer in layers[len(own) :]:
        width = {"d_ff": layer["d_ff"] * wide} if "d_ff" in layer else {}
        own.append(layer | {"kv_from": "earlier_layer"} | width)
    return own


def _with_inputs(config: Config, family: Family, layers: list[Fields]) -> list[Fields]:
    """Layers with the embedding that each has of its own behind it, as half a layer with one norm."""
    width, rows = family.layer_input
    d_ple = config.optional(width, 0) if width else 0
    if not d_ple:
        config.used.update(family.layer_input)
        return layers
    config.assume("the embedding of each layer is half a layer of its own, behind it")
    half = {
        "mixer": "no_mixer",
        "ffn": "ple",
        "d_ple": d_ple,
        "n_table_rows": config.size(rows),
        "n_norms": 1,
    }
    return [part for layer in layers for part in (layer, half)]


def _mixers(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that are each a mixer alone."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    mixers = mixers_of(config, family, n_layers, d_model)
    return [mixer | {"ffn": "no_ffn", "n_norms": family.n_norms} for mixer in mixers]


def _beside(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers with attention and a state-space mixer side by side: two layers each, with the norms of one."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    state = READERS[family.kinds["linear_attention"]](config, family, d_model)
    attention, ffn = grouped_query(config, family, d_model), dense(config, family, d_model)
    config.assume("each layer's two mixers, side by side, are costed as two layers, one after the other")
    pair = [state | {"ffn": "no_ffn", "n_norms": 0}, attention | ffn | {"n_norms": family.n_norms}]
    return pair * n_layers


def _halves(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that are each a mixer or a feed-forward network, in the order of a pattern."""
    order = _block_order(config)
    parts: dict[str, Fields] = {}
    for kind in dict.fromkeys(order):
        if kind in family.kinds:
            parts[kind] = READERS[family.kinds[kind]](config, family, d_model) | {"ffn": "no_ffn"}
        else:
            half = dense(config, family, d_model) if kind == "mlp" else experts(config, family)
            parts[kind] = {"mixer": "no_mixer"} | half
    unused = ("num_experts", "num_experts_per_tok", "n_shared_experts", "mamba_expand")
    config.used.update(name for field in unused for name in config.spelled(field))
    config.used.update(("intermediate_size", "moe_intermediate_size"))
    return [parts[kind] | {"n_norms": 1} for kind in order]


def _block_order(config: Config) -> list[str]:
    """The kind of every layer, as a pattern of letters or a list names it."""
    kinds = tuple(_LETTERS.values())
    pattern, listed = config.get("hybrid_override_pattern"), config.get("layer_types")
    order: list[str] | None = None
    if pattern is not None:
        known = isinstance(pattern, str) and 0 < len(pattern) <= MAX_LAYERS and set(pattern) <= set(_LETTERS)
        if not known:
            accepted = ", ".join(f"{letter} ({kind})" for letter, kind in _LETTERS.items())
            raise config.refuse(
                "hybrid_override_pattern", f"a text of one letter a layer is accepted: {accepted}"
            )
        order = [_LETTERS[letter] for letter in pattern]
    if listed is not None:
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_LAYERS:
            raise config.refuse("layer_types", f"a list of layers is accepted: {', '.join(kinds)}")
        named = config.per_layer("layer_types", len(listed), (*kinds, *_OLD)) or []
        named = [_OLD.get(name, name) for name in named]
        if order and named != order:
            raise config.refuse("layer_types", "contradicts hybrid_override_pattern")
        order = named
    if order is None:
        raise config.refuse("hybrid_override_pattern", "is missing (also known as layers_block_type)")
    if config.given("num_hidden_layers") not in (None, len(order)):
        raise config.refuse("num_hidden_layers", f"contradicts the pattern of {len(order)} layers")
    return order


def _blocks(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that block_configs lists one by one (DeciLM, Nemotron-NAS)."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    blocks = config.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != n_layers:
        raise config.refuse("block_configs", f"a list of {n_layers} objects, one a layer, is accepted")
    config.assume("feed-forward widths are 2/3 ffn_mult hidden_size, rounded up to 256, as the class has it")
    return [_block(config, family, d_model, f"block_configs[{i}]", b) for i, b in enumerate(blocks)]


def _block(config: Config, family: Family, d_model: int, inside: str, block: Any) -> Fields:
    """One entry of block_configs."""
    whole = config.inner(inside, block)
    halves = []
    for name in ("attention", "ffn"):
        if not isinstance(whole.get(name), dict):
            raise whole.refuse(name, "an object with no_op is accepted")
        halves.append(whole.inner(name, whole.fields[name]))
    attention, ffn = halves
    layer: Fields = {"mixer": "no_mixer", "ffn": "no_ffn", "n_norms": 0}
    if not attention.flag("no_op"):
        n_heads, grouped = config.size("num_attention_heads"), attention.size("n_heads_in_group")
        if n_heads % grouped:
            raise attention.refuse("n_heads_in_group", f"does not divide num_attention_heads {n_heads}")
        own = view(config, {"num_key_value_heads": n_heads // grouped})
        layer |= grouped_query(own, family, d_model) | {"n_norms": 1}
        own.used.discard("num_key_value_heads")
        take(config, own)
    if not ffn.flag("no_op"):
        times = ffn.get("ffn_mult")
        if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times <= 1000:
            raise ffn.refuse("ffn_mult", "a number above 0, up to 1000, is accepted")
        width = -(-int(2 * times * d_model / 3) // 256) * 256
        bias = config.switch(family.ffn_bias)
        layer |= {"ffn": "dense_ffn", "d_ff": width, "ffn_bias": bias, "n_norms": layer["n_norms"] + 1}
    for part in (whole, attention, ffn):
        finish(part, "nemotron-nas")
    return layer


_LAYOUTS = {"pairs": _pairs, "mixers": _mixers, "halves": _halves, "blocks": _blocks, "beside": _beside}


def layers_of(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Every layer, in order."""
    around: Fields = {"norm_bias": config.switch(family.norm_bias)}
    if family.streams:
        around["n_streams"] = config.size(family.streams)
    return [layer | around for layer in _LAYOUTS[family.layout](config, family, d_model)]


def runs(layers: list[Fields]) -> list[Fields]:
    """Layers in a row that are alike, each as one group with its count."""
    return [{"count": len(list(run))} | layer for layer, run in groupby(layers)]
