"""Which layers hold experts: every field that says so must agree."""

from collections.abc import Callable

from optimizer.hugging_face.config import Config
from optimizer.hugging_face.family import Family

_SPARSE = {"sparse": True, "dense": False, "moe": True, "hash_moe": True, "mlp": False}


def sparse_layers(config: Config, family: Family, n_layers: int) -> list[bool]:
    """Which layers hold experts: a list of the file, or those that every field of the class allows."""
    listed = config.per_layer("mlp_layer_types", n_layers, tuple(_SPARSE))
    if listed is not None:
        config.used.update(name for rule in family.sparse for name in config.spelled(rule))
        return [_SPARSE[kind] for kind in listed]
    sparse = [True] * n_layers
    for rule in family.sparse:
        allowed = RULES[rule](config, family, n_layers)
        sparse = [a and b for a, b in zip(sparse, allowed, strict=True)]
    return sparse


def _first_dense(config: Config, family: Family, n_layers: int) -> list[bool]:
    first = config.size("first_k_dense_replace", (family.dense_layers, "in its class"), 0, n_layers)
    return [i >= first for i in range(n_layers)]


def _frequency(config: Config, family: Family, n_layers: int) -> list[bool]:
    if isinstance(config.get("moe_layer_freq"), list):
        return [bool(part) for part in config.per_layer("moe_layer_freq", n_layers, (0, 1)) or [1] * n_layers]
    step = config.given("moe_layer_freq", 1, max(n_layers, 1)) or 1
    return [i % step == 0 for i in range(n_layers)]


def _enumerated(config: Config, family: Family, n_layers: int) -> list[bool]:
    """A text of layer numbers with commas (Step 3); all beyond dense_layers where there is none."""
    value = config.get("moe_layers_enum")
    if value is None:
        return [True] * n_layers
    parts = value.split(",") if isinstance(value, str) else []
    if not parts or not all(part.strip().isdecimal() and int(part) <= 10**6 for part in parts):
        raise config.refuse("moe_layers_enum", "layer numbers with commas between them are accepted")
    sparse = {int(part) for part in parts}
    return [i in sparse for i in range(n_layers)]


def _step(config: Config, family: Family, n_layers: int) -> list[bool]:
    step = config.size("decoder_sparse_step", (1, "1"), 1, n_layers)
    return [(i + 1) % step == 0 for i in range(n_layers)]


def _dense_listed(config: Config, family: Family, n_layers: int) -> list[bool]:
    dense = config.indices("mlp_only_layers", n_layers)
    if dense is None:
        dense = set(range(family.dense_layers))
    return [i not in dense for i in range(n_layers)]


def _interleaved(config: Config, family: Family, n_layers: int) -> list[bool]:
    step = config.size("interleave_moe_layer_step", (1, "1"), 1, n_layers)
    listed = config.indices("moe_layers", n_layers)
    return [(i + 1) % step == 0 and (not listed or i in listed) for i in range(n_layers)]


def _offset(config: Config, family: Family, n_layers: int) -> list[bool]:
    period = config.size("expert_layer_period")
    offset = config.size("expert_layer_offset", low=0, high=period - 1)
    return [i % period == offset for i in range(n_layers)]


def _between(config: Config, family: Family, n_layers: int) -> list[bool]:
    """From one layer to another, each so many (Ernie 4.5): -1 is the last layer."""
    first = config.size("moe_layer_start_index", low=0)
    last = config.size("moe_layer_end_index", low=-1)
    step = config.size("moe_layer_interval")
    last = n_layers - 1 if last == -1 else last
    return [first <= i <= last and (i + 1) % step == 0 for i in range(n_layers)]


RULES: dict[str, Callable[[Config, Family, int], list[bool]]] = {
    "first_k_dense_replace": _first_dense,
    "moe_layer_freq": _frequency,
    "decoder_sparse_step": _step,
    "moe_layers_enum": _enumerated,
    "mlp_only_layers": _dense_listed,
    "interleave_moe_layer_step": _interleaved,
    "expert_layer_period": _offset,
    "moe_layer_interval": _between,
}
