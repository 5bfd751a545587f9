"""Which mixer each layer has: what layer_types lists, or the order that a class gives files without it."""

from collections.abc import Callable
from typing import Any

from optimizer.hugging_face.config import Config
from optimizer.hugging_face.family import Family

LETTERS = {"F": "full_attention", "S": "sliding_attention", "L": "linear_attention", "C": "conv"}
_OLD = {"attention": "full_attention", "mamba": "linear_attention"}
"""Names of files from before transformers 5."""
_PERIODS = ("sliding_window_pattern", "full_attention_interval", "layer_group_size")
"""Fields with the number of layers after which the order repeats; the last of them attends to everything."""


def kinds_of(config: Config, family: Family, n_layers: int) -> list[str]:
    """The mixer of every layer, by its name in `Family.kinds`."""
    listed = config.per_layer("layer_types", n_layers, (*family.kinds, *_OLD))
    if family.order != "attn_types":
        config.per_layer("attn_type_list", n_layers, (1,))
    if listed is not None:
        listed = [name if name in family.kinds else _OLD[name] for name in listed]
        odd = next((name for name in listed if name not in family.kinds), None)
        if odd is not None:
            raise config.refuse(
                "layer_types", f"{odd} is not understood; accepted: {', '.join(family.kinds)}"
            )
    return ORDERS[family.order](config, family, n_layers, listed)


def _full(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """All attend to everything; a window that the class does not know is refused."""
    if listed is None and "window" in family.kinds.values() and config.get("sliding_window") is not None:
        raise config.refuse(
            "sliding_window", "is not understood for this model type without layer_types; accepted: null"
        )
    return listed or [next(iter(family.kinds))] * n_layers


def _all(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """All attend to a window, if there is one."""
    windowed = config.optional("sliding_window") if listed is None else None
    return listed or [LETTERS["F" if windowed is None else "S"]] * n_layers


def _switch(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Windows where use_sliding_window says so, from layer max_window_layers on."""
    own = "use_sliding_window" in config.own.defaults
    config.used.add("use_sliding_window")
    if listed is not None:
        if LETTERS["S"] in listed and config.fields.get("use_sliding_window") is False:
            raise config.refuse("use_sliding_window", "contradicts layer_types with windows; give true")
        return listed
    used = config.get("sliding_window") is not None
    used = used and (config.flag("use_sliding_window") if own else True)
    first = config.size("max_window_layers", low=0) if used else n_layers
    return [LETTERS["F" if i < first else "S"] for i in range(n_layers)]


def _cycle(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """An order that repeats, of the class or as a field says."""
    said = [name for name in _PERIODS if config.get(name) is not None]
    own = [name for name in said if config.get(name) != config.default(name)]
    cycle = _of_period(config, family, (own or said)[0]) if own or said else family.cycle
    derived = [LETTERS[cycle[i % len(cycle)]] for i in range(n_layers)]
    if not own:
        derived[: len(family.lead)] = [LETTERS[letter] for letter in family.lead[:n_layers]]
        derived[n_layers - len(family.last) :] = [LETTERS[letter] for letter in family.last]
    if listed is not None and own and listed != derived:
        raise config.refuse(own[0], "contradicts layer_types; one of both is accepted")
    if listed is None and not said:
        config.assume(f"layer_types is not given; taken as {_in_words(family)}, the order of its class")
    return listed or derived


def _of_period(config: Config, family: Family, name: str) -> str:
    """The letters of a period: a number of layers, or a text of one letter a layer (Exaone 4: LLLG)."""
    value: Any = config.get(name)
    if isinstance(value, str) and value and set(value) <= {"L", "G"}:
        return value.replace("L", "S").replace("G", "F")
    if value == 0 and not isinstance(value, bool):
        return "F"
    other = next(letter for letter in family.cycle if letter != "F")
    return other * (config.whole(name, value, 1, 10_000) - 1) + "F"


def _in_words(family: Family) -> str:
    kinds = {"F": "full", "S": "window", "L": "linear", "C": "convolution"}
    first = f"{' '.join(kinds[letter] for letter in family.lead)}, then " if family.lead else ""
    last = f", {kinds[family.last]} at the end" if family.last else ""
    return f"{first}{' '.join(kinds[letter] for letter in family.cycle)} again and again{last}"


def _chunks(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Chunks where a layer has rotary positions (Llama 4)."""
    names = ("full_attention", "chunked_attention")
    rotary = config.per_layer("no_rope_layers", n_layers, (0, 1))
    if listed is None and rotary is None:
        step = config.size("no_rope_layer_interval")
        rotary = [int((i + 1) % step != 0) for i in range(n_layers)]
    chunked = listed or [names[bool(part)] for part in rotary or ()]
    none = not config.missing("attention_chunk_size") and config.get("attention_chunk_size") is None
    return [names[0]] * n_layers if none else chunked


def _offset(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Attention in one layer of each attn_layer_period, at attn_layer_offset (Jamba)."""
    period = config.size("attn_layer_period")
    offset = config.size("attn_layer_offset", low=0, high=period - 1)
    derived = [LETTERS["F" if i % period == offset else "L"] for i in range(n_layers)]
    if listed is not None and listed != derived:
        raise config.refuse("attn_layer_period", "contradicts layer_types; one of both is accepted")
    return derived


def _indices(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Attention in the layers that a list names; where there is none, the class's order."""
    found = [name for name in ("attn_layer_indices", "full_attn_idxs") if config.get(name) is not None]
    if listed is not None:
        return listed
    if not found and not family.cycle:
        raise config.refuse("layer_types", f"is missing; a list of {n_layers} layers is needed")
    if not found:
        config.assume(f"no list of attention layers is given; taken as {_in_words(family)}")
        return [LETTERS[family.cycle]] * n_layers
    full = config.indices(found[0], n_layers) or set()
    other = next(name for name in family.kinds if name != LETTERS["F"])
    return [LETTERS["F"] if i in full else other for i in range(n_layers)]


def _linear_lists(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Layers counted from 1 in the lists of linear_attn_config (Kimi Linear); else the class's order."""
    full = config.get("full_attn_layers")
    if listed is not None or not isinstance(full, list):
        return _cycle(config, family, n_layers, listed)
    numbers = {config.whole("full_attn_layers", item, 1, n_layers) for item in full}
    return [LETTERS["F" if i + 1 in numbers else "L"] for i in range(n_layers)]


def _expanded(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """A list of orders, each with how often it comes (GPT-Neo)."""
    if listed is not None:
        config.get("attention_types")
        return listed
    runs = config.get("attention_types") or config.default("attention_types")
    try:
        named = [name for order, times in runs for name in list(order) * times]
    except (TypeError, ValueError):
        named = []
    if len(named) != n_layers or not all(isinstance(n, str) and n in family.kinds for n in named):
        raise config.refuse("attention_types", f"orders of global and local, {n_layers} in all, are accepted")
    return named


def _attn_types(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """1 for softmax attention, 0 for linear (MiniMax-Text-01)."""
    types = config.per_layer("attn_type_list", n_layers, (0, 1))
    if listed is None and types is None:
        raise config.refuse("attn_type_list", f"is missing; a list of {n_layers} values, 0 or 1, is needed")
    return listed or [LETTERS["F" if full else "L"] for full in types or ()]


def _pattern_list(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """1 for a window, 0 for attention to everything (MiMo-V2); else the class's order."""
    windows = config.per_layer("hybrid_layer_pattern", n_layers, (0, 1))
    if listed is not None or windows is None:
        return _cycle(config, family, n_layers, listed)
    return [LETTERS["S" if part else "F"] for part in windows]


def _ratios(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """Tokens of an entry in each layer, 0 for none (DeepSeek-V4); one for multi-token prediction is cut."""
    picked, every = config.size("rate_picked"), config.size("rate_all")
    names = {0: LETTERS["S"], picked: "compressed_sparse_attention", every: "heavily_compressed_attention"}
    if listed is not None:
        config.used.add("compress_ratios")
        return listed
    ratios = config.get("compress_ratios")
    if ratios is None:
        config.assume(
            f"compress_ratios is not given; taken as {every} twice, then {every} and {picked} in turn"
        )
        ratios = [picked if i % 2 and i > 1 else every for i in range(n_layers)]
    if not isinstance(ratios, list) or not all(isinstance(r, int) and r in names for r in ratios):
        raise config.refuse(
            "compress_ratios", f"a list of {n_layers} numbers is accepted: 0, {picked}, {every}"
        )
    if len(ratios) not in (n_layers, n_layers + 1):
        raise config.refuse("compress_ratios", f"a list of {n_layers} numbers, one a layer, is accepted")
    return [names[ratio] for ratio in ratios[:n_layers]]


def _sparse_list(config: Config, family: Family, n_layers: int, listed: list[str] | None) -> list[str]:
    """1 for attention to selected blocks, 0 for attention to everything (MiniMax-M3); else to everything."""
    sparse = config.per_layer("sparse_attention_freq", n_layers, (0, 1))
    if listed is None and sparse is None:
        config.assume("layer_types is not given; taken as full again and again, the order of its class")
    return listed or ["minimax_m3_sparse" if part else LETTERS["F"] for part in sparse or [0] * n_layers]


Order = Callable[[Config, Family, int, list[str] | None], list[str]]
ORDERS: dict[str, Order] = {
    "full": _full,
    "all": _all,
    "switch": _switch,
    "cycle": _cycle,
    "chunks": _chunks,
    "offset": _offset,
    "indices": _indices,
    "linear_lists": _linear_lists,
    "expanded": _expanded,
    "attn_types": _attn_types,
    "sparse_list": _sparse_list,
    "pattern_list": _pattern_list,
    "ratios": _ratios,
}
