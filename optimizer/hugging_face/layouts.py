"""The order of layers in a config.json: pairs of mixer and feed-forward, a pattern of halves, or a list."""

from itertools import groupby
from typing import Any

from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.families import Family
from optimizer.hugging_face.ffns import ACTIVE, EXPERTS, dense, experts, ffns_of
from optimizer.hugging_face.mixers import grouped_query, mamba2, mixers_of

MAX_LAYERS = 10_000

_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def _pairs(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that each have a mixer and a feed-forward network."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    mixers, ffns = mixers_of(config, family, n_layers, d_model), ffns_of(config, family, n_layers)
    norms = {"n_norms": family.n_norms, "norm_bias": family.norm_bias}
    return [mixer | ffn | norms for mixer, ffn in zip(mixers, ffns, strict=True)]


def _nemotron_h(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that are each a mixer or a feed-forward network, in the order of a pattern."""
    order = _block_order(config)
    parts: dict[str, Fields] = {}
    for kind in dict.fromkeys(order):
        if kind == "mamba":
            parts[kind] = mamba2(config) | {"ffn": "no_ffn"}
        elif kind == "attention":
            parts[kind] = grouped_query(config, family, d_model) | {"ffn": "no_ffn"}
        else:
            half = dense(config, family) if kind == "mlp" else experts(config, family)
            parts[kind] = {"mixer": "no_mixer"} | half
    config.used.update((*EXPERTS, *ACTIVE, "intermediate_size", "moe_intermediate_size", "n_shared_experts"))
    return [parts[kind] | {"n_norms": 1} for kind in order]


def _block_order(config: Config) -> list[str]:
    """The kind of every layer, as a pattern of letters or a list names it."""
    kinds = tuple(_LETTERS.values())
    pattern, listed = config.get("hybrid_override_pattern"), config.get("layers_block_type")
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
            raise config.refuse("layers_block_type", f"a list of layers is accepted: {', '.join(kinds)}")
        listed = config.per_layer("layers_block_type", len(listed), kinds)
        if order and listed != order:
            raise config.refuse("layers_block_type", "contradicts hybrid_override_pattern")
        order = listed
    if order is None:
        raise config.refuse("hybrid_override_pattern", "is missing (also known as layers_block_type)")
    if config.optional("num_hidden_layers") not in (None, len(order)):
        raise config.refuse("num_hidden_layers", f"contradicts the pattern of {len(order)} layers")
    return order


def _nas(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Layers that block_configs lists one by one (DeciLM, Nemotron-NAS)."""
    n_layers = config.size("num_hidden_layers", high=MAX_LAYERS)
    blocks = config.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != n_layers:
        raise config.refuse("block_configs", f"a list of {n_layers} objects, one a layer, is accepted")
    config.assume("feed-forward widths are 2/3 ffn_mult hidden_size, rounded up to 256, as the class has it")
    return [_nas_layer(config, family, d_model, f"block_configs[{i}].", b) for i, b in enumerate(blocks)]


def _nas_layer(config: Config, family: Family, d_model: int, inside: str, block: Any) -> Fields:
    """One entry of block_configs."""
    whole = Config(config.file, block if isinstance(block, dict) else {}, inside)
    halves = []
    for name in ("attention", "ffn"):
        if not isinstance(whole.get(name), dict):
            raise whole.refuse(name, "an object with no_op is accepted")
        halves.append(Config(config.file, whole.fields[name], f"{inside}{name}."))
    attention, ffn = halves
    layer: Fields = {"mixer": "no_mixer", "ffn": "no_ffn", "n_norms": 0}
    if not attention.flag("no_op", None):
        n_heads, grouped = config.size("num_attention_heads"), attention.size("n_heads_in_group")
        if n_heads % grouped:
            raise attention.refuse("n_heads_in_group", f"does not divide num_attention_heads {n_heads}")
        own = Config(config.file, config.fields | {"num_key_value_heads": n_heads // grouped})
        layer |= grouped_query(own, family, d_model) | {"n_norms": 1}
        config.used |= own.used - {"num_key_value_heads"}
        for text in own.assumptions:
            config.assume(text)
    if not ffn.flag("no_op", None):
        times = ffn.get("ffn_mult")
        if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times <= 1000:
            raise ffn.refuse("ffn_mult", "a number above 0, up to 1000, is accepted")
        width = -(-int(2 * times * d_model / 3) // 256) * 256
        bias = config.flag("mlp_bias", False)
        layer |= {"ffn": "dense_ffn", "d_ff": width, "ffn_bias": bias, "n_norms": layer["n_norms"] + 1}
    for part in (whole, attention, ffn):
        part.finish("nemotron-nas")
    return layer


_LAYOUTS = {"pairs": _pairs, "nemotron_h": _nemotron_h, "nas": _nas}


def layers_of(config: Config, family: Family, d_model: int) -> list[Fields]:
    """Every layer, in order."""
    return _LAYOUTS[family.layout](config, family, d_model)


def runs(layers: list[Fields]) -> list[Fields]:
    """Layers in a row that are alike, each as one group with its count."""
    return [{"count": len(list(run))} | layer for layer, run in groupby(layers)]
