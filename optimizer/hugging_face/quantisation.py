"""The formats of a config.json's weights: which of a model's components have which, and what that takes."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from optimizer.hugging_face.config import Config
from optimizer.hugging_face.modules import share_meant, table_meant
from optimizer.hugging_face.quantisers import METHODS
from optimizer.hugging_face.schemes import FP8, Quantised
from optimizer.hugging_face.section import Section
from optimizer.spec.architecture import Architecture, Block
from optimizer.spec.checkpoint import LAYERS, SIXTEEN, Checkpoint, Storage

FIELDS = ("quantization_config", "quantization")
"""By which names files have it; MLX writes both."""


def section_of(parts: Sequence[Config]) -> Section | None:
    """What a file says of its formats, in whichever of its parts; two that differ are refused."""
    found: list[Section] = []
    for config in parts:
        for name in FIELDS:
            config.used.add(name)
            value = config.fields.get(name)
            if value is None or value == {}:
                continue
            if not isinstance(value, dict):
                raise config.refuse(name, "an object with a quant_method is accepted")
            found.append(Section(config, name, value))
    for other in found[1:]:
        if other.fields != found[0].fields:
            raise other.config.refuse(other.name, f"contradicts {found[0].name}; one of them is accepted")
    return found[0] if found else None


def method_of(section: Section) -> str:
    """The method by name; MLX and ModelOpt files may name none."""
    given = section.get("quant_method")
    if given is None:
        if section.get("quant_algo") or "producer" in section.fields:
            return "modelopt"
        if section.get("bits") is not None and "group_size" in section.fields:
            return "mlx"
        raise section.refuse("quant_method", f"is missing; accepted: {', '.join(METHODS)}")
    if not isinstance(given, str):
        raise section.refuse("quant_method", "a name is accepted")
    return given.lower()


def checkpoint_of(section: Section, model: Architecture) -> Checkpoint:
    """The formats of a file's weights. InputError for what contradicts itself.

    A method that nobody knows here leaves all in 16 bit; the checkpoint says so.
    """
    method = method_of(section)
    if method not in METHODS:
        return Checkpoint(method=method[:40] or "unnamed", unread=True)
    try:
        quantised = METHODS[method](section)
    except ValidationError as error:  # a figure that no format has
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise section.refuse("quant_method", f"{name} {first['input']!r:.40}: {first['msg']}") from None
    blocks = [group.block for group in model.layers for _ in range(group.count)]
    found: dict[str, Storage] = {}
    for name in LAYERS:
        layers = [i for i, block in enumerate(blocks) if _rows(name, block, model.d_model)]
        own = _storage(quantised, name, layers)
        if layers and own is None:
            found[name] = SIXTEEN
        if own is not None:
            _require_whole_groups(section, own, name, [blocks[i] for i in layers], model.d_model)
            found[name] = own
    return Checkpoint(
        method=method[:40], kv_dtype=quantised.kv_dtype, **found, **_tables(quantised, model.tied_embeddings)
    )


def _storage(quantised: Quantised, component: str, layers: Sequence[int]) -> Storage | None:
    """The format that most of a component has, and what the rest has on average."""
    if not layers:
        return None
    shares: list[tuple[float, Storage]] = []
    left = 1.0
    for scheme in reversed(quantised.schemes):
        meant = 0.0 if scheme.targets is None else share_meant(scheme.targets, component, layers)
        shares.append((min(left, meant), scheme.storage))
        left -= shares[-1][0]
    for scheme in quantised.schemes:
        if scheme.targets is None and component in scheme.components:
            shares.append(
                (max(0.0, left - share_meant(quantised.ignored, component, layers)), scheme.storage)
            )
            left -= shares[-1][0]
    most, storage = max(shares, key=lambda pair: pair[0], default=(0.0, FP8))
    if most <= 0:
        return None
    if most > 1 - 1e-9:
        return storage
    others = 16 * left + sum(8 * n * own.stored.bytes for n, own in shares if own is not storage)
    return storage.changed(share=most, other_bits=others / (1 - most))


def _tables(quantised: Quantised, tied: bool) -> dict[str, Storage]:
    """The formats of the vocabulary tables; one that is tied is read from both ends."""
    found = {}
    for scheme in quantised.schemes:
        for table, own in (("embeddings", scheme.embeddings), ("head", scheme.head and not tied)):
            named = scheme.targets is not None and table_meant(scheme.targets, table)
            if (named or (own and scheme.targets is None)) and not table_meant(quantised.ignored, table):
                found[table] = scheme.storage
    if tied and found:
        found = dict.fromkeys(("embeddings", "head"), found.get("embeddings") or found["head"])
    return found


def _rows(component: str, block: Block, d_model: int) -> tuple[int, ...]:
    """Lengths of the rows of a component's matrices in a layer; none where the layer has none."""
    ffn: Any = block.ffn
    routed = getattr(ffn, "n_experts", 0)
    if component == "attention":
        return (d_model,) if block.mixer.kind != "no_mixer" else ()
    if component == "ffn":
        return (d_model, ffn.d_ff) if getattr(ffn, "d_ff", 0) and not routed else ()
    if component == "experts":
        return (d_model, ffn.d_expert) if routed else ()
    return (d_model,) if routed and getattr(ffn, "n_shared_experts", 0) else ()


def _require_whole_groups(
    section: Section, own: Storage, component: str, blocks: Sequence[Block], d_model: int
) -> None:
    for rows in {n for block in blocks for n in _rows(component, block, d_model)}:
        if own.group and rows % own.group:
            raise section.refuse(
                "group_size", f"groups of {own.group} do not divide the {rows} of {component}"
            )
