"""The mixer of every layer of a config.json, by the kinds of its family."""

from collections.abc import Callable

from optimizer.hugging_face.attention import attention, chunk, window
from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.order import kinds_of
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
}
"""What reads a mixer, by its name in `Family.kinds`."""


_ATTENTION = ("num_attention_heads", "num_key_value_heads", "head_dim")
"""What files say of attention even where no layer has any."""
_LISTED = ("num_attention_heads",)
"""Fields that files may list, one value a layer, under their name and _per_layer."""


def mixers_of(config: Config, family: Family, n_layers: int, d_model: int) -> list[Fields]:
    """The mixer of every layer."""
    order = kinds_of(config, family, n_layers)
    own = _own_fields(config, n_layers)
    layers = [_layer(config, family, d_model, name, said) for name, said in zip(order, own, strict=True)]
    read = {family.kinds[name] for name in order}
    if "window" not in read:
        config.used.update(config.spelled("sliding_window"))
    if not read & {"full", "window", "chunk"}:
        config.used.update(name for field in _ATTENTION for name in config.spelled(field))
    return layers


def _layer(config: Config, family: Family, d_model: int, name: str, own: Fields) -> Fields:
    """The mixer of one layer, which may have fields of its own."""
    theirs = family.elsewhere.get(name, {})
    own = {n: config.get(other) for n, other in theirs.items() if config.get(other) is not None} | own
    seen = config.with_fields(own)
    mixer = READERS[family.kinds[name]](seen, family, d_model)
    config.take(seen)
    return mixer


def _own_fields(config: Config, n_layers: int) -> list[Fields]:
    """What each layer has otherwise: by lists, and by per_layer_config (files of transformers 5)."""
    said = config.get("per_layer_config") or {}
    numbers = {str(i): i for i in range(n_layers)}
    found: list[Fields] = [{} for _ in range(n_layers)]
    for name in _LISTED:
        value = config.get(f"{name}_per_layer")
        if value is not None and (not isinstance(value, list) or len(value) != n_layers):
            raise config.refuse(f"{name}_per_layer", f"a list of {n_layers} values, one a layer, is accepted")
        found = [{name: item} for item in value] if value else found
    for key, own in said.items() if isinstance(said, dict) else [("", None)]:
        number = numbers.get(str(key).lstrip("0") or "0")
        if number is None or not isinstance(own, dict):
            raise config.refuse(
                "per_layer_config", f"objects by number of layer, below {n_layers}, are accepted"
            )
        found[number] = found[number] | own
    return found
