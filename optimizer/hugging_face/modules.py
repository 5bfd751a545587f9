"""Which layers of a model the module names and patterns of a quantised checkpoint mean.

Families spell a projection differently, and tools write names, prefixes, wildcards, regular expressions and
parts of names. A pattern is tried on every usual spelling: a layer has one of them, and files name no others.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from functools import cached_property

_PREFIXES = (
    "model.language_model.", "language_model.model.", "language_model.", "model.", "transformer.",
    "backbone.", "",
)  # fmt: skip
"""What models put before their layers, the longer first."""
_LAYERS = ("layers", "blocks", "h")
_SPELLINGS: dict[str, tuple[str, ...]] = {
    "attention": (
        "self_attn", "attn", "linear_attn", "attention", "mixer", "mamba", "temporal_block", "conv",
        "self_attention",
    ),
    "ffn": ("mlp", "ffn", "feed_forward", "mixer", "block_sparse_moe"),
    "shared_experts": (
        "mlp.shared_experts", "mlp.shared_expert", "ffn.shared_experts", "feed_forward.shared_expert",
        "block_sparse_moe.shared_experts", "mixer.shared_experts", "shared_mlp", "mlp.shared_mlp", "mlp",
    ),
    "experts": (
        "mlp.experts", "ffn.experts", "block_sparse_moe.experts", "feed_forward.experts", "mixer.experts",
        "mlp.experts.0", "ffn.experts.0", "block_sparse_moe.experts.0", "mixer.experts.0", "moe",
        "moe.experts",
        "experts",
    ),
}  # fmt: skip
_PROJECTIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "attention": (
        ("q_proj", "k_proj", "v_proj", "o_proj"),
        ("q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"),
        ("wq_a", "wq_b", "wkv", "wo_a", "wo_b"),
        ("in_proj_qkv", "in_proj_z", "out_proj"),
        ("in_proj", "out_proj"),
        ("qkv_proj", "o_proj"),
    ),
    "ffn": (("gate_proj", "up_proj", "down_proj"), ("up_proj", "down_proj"), ("w1", "w2", "w3")),
    "shared_experts": (("gate_proj", "up_proj", "down_proj"), ("up_proj", "down_proj"), ("w1", "w2", "w3")),
    "experts": (
        ("gate_proj", "up_proj", "down_proj"),
        ("gate_up_proj", "down_proj"),
        ("up_proj", "down_proj"),
        ("w1", "w2", "w3"),
    ),
}
_EXPERTS, _NETWORKS = re.compile("expert|moe"), re.compile("mlp|ffn|feed_forward")
TABLES: dict[str, tuple[str, ...]] = {
    "embeddings": ("embed_tokens", "wte", "word_embeddings", "embeddings", "embed"),
    "head": ("lm_head", "head", "output", "embed_out"),
}
"""The vocabulary tables by their usual names."""


@dataclass(frozen=True)
class Patterns:
    """Module names and patterns of one list of a file."""

    given: tuple[str, ...]
    parts: bool = False
    """Whether a name also means modules that only contain it, as lists of modules that stay 16 bit do."""

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(_bare(p) for p in self.given if not _is_pattern(p))

    @cached_property
    def _partial(self) -> tuple[str, ...]:
        """Names of several parts that stand for every layer."""
        own = (name for name in self._names if "." in name and name.partition(".")[0] not in _LAYERS)
        return tuple(own) if self.parts else ()

    @cached_property
    def _expressions(self) -> re.Pattern[str] | None:
        found = [p.removeprefix("re:") for p in self.given if p.startswith("re:")]
        found += [translate(p) for p in self.given if "*" in p and not p.startswith("re:")]
        return re.compile("|".join(f"(?:{p})" for p in found)) if found else None

    @cached_property
    def text(self) -> str:
        """All of it: a spelling that does not occur in it cannot be meant by name."""
        return "\n".join(self.given)

    def mean(self, name: str) -> bool:
        """Whether a module, without its model's prefix, is meant: by its name, its parent's or a pattern."""
        parts = name.split(".")
        above = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
        if above & self._names or (self.parts and set(parts) & self._names):
            return True
        if any(f".{short}." in f".{name}." for short in self._partial):
            return True
        if self._expressions is None:
            return False
        return any(self._expressions.match(prefix + name) for prefix in _PREFIXES)


def share_meant(patterns: Patterns, component: str, layers: Sequence[int]) -> float:
    """Share of a component's layers, and of their projections, that some patterns mean.

    Routed experts lie inside the module of a dense network or beside it: they are meant by what says so, and
    by what names no network at all.
    """
    if component == "experts":
        own = tuple(p for p in patterns.given if _EXPERTS.search(p) or not _NETWORKS.search(p))
        patterns = replace(patterns, given=own)
    if not patterns.given or not layers:
        return 0.0
    return sum(_of_layer(patterns, component, i) for i in layers) / len(layers)


def table_meant(patterns: Patterns, component: str) -> bool:
    """Whether patterns mean a table of the vocabulary."""
    return any(patterns.mean(name) for name in TABLES[component])


def _of_layer(patterns: Patterns, component: str, layer: int) -> float:
    most = 0.0
    spellings = _SPELLINGS[component]
    for spelling in spellings:
        last = spelling.rpartition(".")[2]
        if spelling != spellings[0] and last not in patterns.text and not last.isdigit():
            continue
        if (component, spelling) == ("shared_experts", "mlp") and "shared" in patterns.text:
            continue
        for stem in _LAYERS:
            if stem != _LAYERS[0] and f"{stem}." not in patterns.text:
                continue
            parent = f"{stem}.{layer}.{spelling}"
            if patterns.mean(parent):
                return 1.0
            most = max(most, _projections(patterns, parent, component))
    return most


def _projections(patterns: Patterns, parent: str, component: str) -> float:
    """Share of a module's projections: of the spelling that has all, else of the one with the most."""
    found = [
        (sum(patterns.mean(f"{parent}.{own}") for own in family), len(family))
        for family in _PROJECTIONS[component]
    ]
    if any(hits == n for hits, n in found):
        return 1.0
    hits, n = max(found, key=lambda pair: pair[0])
    return hits / n


def _is_pattern(text: str) -> bool:
    return text.startswith("re:") or "*" in text


def _bare(name: str) -> str:
    """A module's name without the model's own prefix."""
    for prefix in _PREFIXES[:-1]:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def valid(patterns: Iterable[str]) -> str:
    """The first pattern that is no regular expression though it says so; '' if all are."""
    for pattern in patterns:
        if pattern.startswith("re:"):
            try:
                re.compile(pattern.removeprefix("re:"))
            except re.error:
                return pattern
    return ""
