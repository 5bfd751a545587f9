"""The mixer of every layer of a config.json, by the kinds of its family."""

from collections.abc import Callable

from optimizer.hugging_face.attention import attention, chunk, window
from optimizer.hugging_face.config import Config, Fields
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.order import kinds_of
from optimizer.hugging_face.states import delta_net, lightning, mamba1, mamba2

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
}
"""What reads a mixer, by its name in `Family.kinds`."""


_ATTENTION = ("num_attention_heads", "num_key_value_heads", "head_dim")
"""What files say of attention even where no layer has any."""


def mixers_of(config: Config, family: Family, n_layers: int, d_model: int) -> list[Fields]:
    """The mixer of every layer."""
    order = kinds_of(config, family, n_layers)
    kinds = {name: READERS[family.kinds[name]](config, family, d_model) for name in dict.fromkeys(order)}
    read = {family.kinds[name] for name in kinds}
    if "window" not in read:
        config.used.update(config.spelled("sliding_window"))
    if not read & {"full", "window", "chunk"}:
        config.used.update(name for field in _ATTENTION for name in config.spelled(field))
    return [kinds[name] for name in order]
