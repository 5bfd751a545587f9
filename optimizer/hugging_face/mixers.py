"""The mixer of every layer of a config.json, by the kinds of its family."""

from collections.abc import Callable

from optimizer.hugging_face.attention import attention, chunk, window
from optimizer.hugging_face.config import Config, Fields, take, view
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.order import kinds_of
from optimizer.hugging_face.selected import compressed, selected_blocks, selected_latent
from optimizer.hugging_face.states import convolution, delta_net, kimi_delta, lightning, mamba1, mamba2

Reader = Callable[[Config, Family, int], Fields]


def _windowed(config: Config, family: Family, d_model: int) -> Fields:
    return attention(config, family, d_model) | window(config)


def _chunked(config: Config, family: Family, d_model: int) -> Fields:
    return attention(config, family, d_model) | chunk(config)


READERS: dict[str, Reader] = {
    "full": attention,
    "window": _windowed,
    "chunk": _chunked,
    "delta": delta_net,
    "mamba1": mamba1,
    "mamba2": mamba2,
    "lightning": lightning,
    "kda": kimi_delta,
    "conv": convolution,
    "dsa": selected_latent,
    "msa": selected_blocks,
    "csa": compressed,
}
"""What reads a mixer, by its name in `Family.kinds`."""


_ATTENTION = ("num_attention_heads", "num_key_value_heads", "head_dim")
"""What files say of attention even where no layer has any."""
_LISTED = {"num_attention_heads_per_layer": "num_attention_heads", "indexer_types": "indexer_type"}
"""Lists with one value a layer, and the field that each holds."""


def mixers_of(config: Config, family: Family, n_layers: int, d_model: int) -> list[Fields]:
    """The mixer of every layer."""
    order = kinds_of(config, family, n_layers)
    own = _own_fields(config, n_layers)
    layers = [_layer(config, family, d_model, name, said) for name, said in zip(order, own, strict=True)]
    read = {family.kinds[name] for name in order}
    if "window" not in read:
        config.used.update(config.spelled("sliding_window"))
    if not read & {"full", "window", "chunk", "dsa", "msa", "csa"}:
        config.used.update(name for field in _ATTENTION for name in config.spelled(field))
    return layers


def _layer(config: Config, family: Family, d_model: int, name: str, own: Fields) -> Fields:
    """The mixer of one layer, which may have fields of its own."""
    if not config.get("per_layer_config"):
        own = _elsewhere(config, family, name) | own
    seen = view(config, own)
    mixer = READERS[family.kinds[name]](seen, family, d_model)
    take(config, seen)
    return mixer | ({"kv_from": "keys"} if name in family.keys_as_values else {})


def _elsewhere(config: Config, family: Family, name: str) -> Fields:
    """What layers of a kind have under names of their own; the class's defaults of those names too."""
    for other in family.elsewhere.get(name, {}).values():
        if other in family.must_say and config.get(other) is None:
            raise config.refuse(other, f"is missing; layers of {name} need it")
    said = {field: config.said(other) for field, other in family.elsewhere.get(name, {}).items()}
    own: Fields = {field: value for field, value in said.items() if value is not None}
    heads = "num_key_value_heads"
    if family.kinds[name] == "window" and family.window_kv_times > 1 and heads not in own:
        own[heads] = family.window_kv_times * config.size(heads)
        config.assume(f"layers with a window have {family.window_kv_times} x {heads}, as in their class")
    return own


def _own_fields(config: Config, n_layers: int) -> list[Fields]:
    """What each layer has otherwise: by lists, and by per_layer_config (files of transformers 5)."""
    said = config.get("per_layer_config") or {}
    numbers = {str(i): i for i in range(n_layers)}
    found: list[Fields] = [{} for _ in range(n_layers)]
    for listed, name in _LISTED.items():
        value = config.get(listed)
        if value is not None and (not isinstance(value, list) or len(value) != n_layers):
            raise config.refuse(listed, f"a list of {n_layers} values, one a layer, is accepted")
        found = [own | {name: item} for own, item in zip(found, value, strict=True)] if value else found
    for key, own in said.items() if isinstance(said, dict) else [("", None)]:
        number = numbers.get(str(key).lstrip("0") or "0")
        if number is None or not isinstance(own, dict):
            raise config.refuse(
                "per_layer_config", f"objects by number of layer, below {n_layers}, are accepted"
            )
        found[number] = found[number] | own
    return found
