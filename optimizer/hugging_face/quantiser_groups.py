"""Quantisers that give groups of modules, or single ones, formats of their own: compressed-tensors, ModelOpt.

Sources: vllm-project/compressed-tensors (quantization schemes, layouts), NVIDIA Model-Optimizer (export).
"""

from dataclasses import replace

from optimizer.hugging_face.modules import Patterns
from optimizer.hugging_face.schemes import (
    FP8,
    MXFP4,
    MXFP8,
    NVFP4,
    W8A8,
    Quantised,
    Scheme,
    fp8_blocks,
    integer,
)
from optimizer.hugging_face.section import Section
from optimizer.spec.checkpoint import Storage

_PACKED = {
    "pack-quantized": ("int", (2, 3, 4, 8)),
    "int-quantized": ("int", (8,)),
    "marlin-24": ("int", (4, 8)),
    "float-quantized": ("float", (8,)),
    "nvfp4-pack-quantized": ("float", (4,)),
    "mxfp4-pack-quantized": ("float", (4,)),
    "mxfp8-quantized": ("float", (8,)),
}
"""Formats of compressed-tensors: the type and the bits that each can hold."""


def compressed(s: Section) -> Quantised:
    """compressed-tensors: groups of modules, each with the layout of its weights."""
    schemes, notes = [], []
    for name in s.inner("config_groups").fields:
        group = s.inner("config_groups").inner(name)
        own = group.inner("weights")
        if not own.fields:
            continue
        storage = _weights_of(own, group, s)
        targets = group.patterns("targets", parts=False)
        everywhere = not targets.given or set(targets.given) & {"Linear", "FusedMoE", "MoEGMM"}
        schemes.append(Scheme(storage, None if everywhere else targets, head=bool(everywhere)))
    if not schemes:
        notes.append("has no group of weights: they are 16 bit")
    return Quantised(tuple(schemes), s.patterns("ignore"), cache_of(s), tuple(notes))


def _weights_of(own: Section, group: Section, s: Section) -> Storage:
    kind = str(own.get("type") or "int")
    if kind not in ("int", "float"):
        raise own.refuse("type", "int or float is accepted")
    layout = str(group.get("format") or s.get("format") or "")
    bits = own.bits((4, 8) if kind == "float" else (2, 3, 4, 8), "num_bits", default=8)
    if layout in _PACKED and (kind, True) != (_PACKED[layout][0], bits in _PACKED[layout][1]):
        raise own.refuse("num_bits", f"of type {kind} contradicts the format {layout}")
    size = own.group("group_size")
    if kind == "float":
        return _floats(own, layout, bits, size)
    acts = group.inner("input_activations")
    if bits == 8 and acts.get("num_bits") == 8 and acts.get("type") in (None, "int"):
        return W8A8.changed(group=size)
    return integer(bits, size, not own.flag("symmetric", True))


def _floats(own: Section, layout: str, bits: int, size: int | None) -> Storage:
    if bits == 4:
        small = "uint8" in str(own.get("scale_dtype")) or layout.startswith("mxfp4") or size == 32
        return MXFP4 if small else NVFP4
    if layout.startswith("mxfp8") or size == 32:
        return MXFP8
    block = own.get("block_structure")
    if isinstance(block, list):
        return fp8_blocks(Section(own.config, own.name, {"weight_block_size": block}))
    return FP8.changed(group=size)


def modelopt(s: Section) -> Quantised:
    """NVIDIA ModelOpt: an algorithm for all linear layers, or one for each module."""
    if s.inner("quantization").fields:  # hf_quant_config.json nests it
        return modelopt(s.inner("quantization"))
    ignored = s.patterns("exclude_modules", "ignore")
    apart = named_layers(s)
    algo = str(s.get("quant_algo") or "").upper()
    if s.inner("config_groups").fields and not apart:
        return replace(compressed(s), ignored=ignored, kv_dtype=cache_of(s))
    if algo in ("MIXED_PRECISION", "") and apart:
        return Quantised(tuple(apart), ignored, cache_of(s))
    own = _algorithm(s, algo)
    return Quantised((Scheme(own), *apart), ignored, cache_of(s))


_ALGORITHMS = {
    "FP8": FP8, "FP8_PER_CHANNEL_PER_TOKEN": FP8,
    "FP8_PB_WO": Storage(dtype="fp8", bits=8, block=(128, 128), scale_bits=32),
    "NVFP4": NVFP4, "NVFP4_AWQ": NVFP4, "W4A16_NVFP4": NVFP4,
    "MXFP4": MXFP4, "MXFP8": MXFP8, "W4A8_MXFP4_FP8": MXFP4,
    "INT8_SQ": W8A8, "W8A8_SQ": W8A8, "W8A16": Storage(dtype="int8", bits=8),
}  # fmt: skip
_IN_GROUPS = ("W4A16", "W4A16_AWQ", "W4A8_AWQ", "INT4_AWQ")


def _algorithm(s: Section, algo: str) -> Storage:
    if algo in _IN_GROUPS:
        return integer(4, s.group("group_size", default=128), False)
    if algo not in _ALGORITHMS:
        raise s.refuse("quant_algo", f"is not understood; accepted: {', '.join((*_ALGORITHMS, *_IN_GROUPS))}")
    return _ALGORITHMS[algo]


def named_layers(s: Section) -> list[Scheme]:
    """Layers that a file lists by name, each with its algorithm."""
    named: dict[Storage, list[str]] = {}
    for name, own in s.inner("quantized_layers").fields.items():
        if isinstance(own, dict):
            part = Section(s.config, f"{s.name}.quantized_layers", own)
            named.setdefault(_algorithm(part, str(own.get("quant_algo") or "").upper()), []).append(name)
    return [Scheme(storage, Patterns(tuple(names))) for storage, names in named.items()]


def cache_of(s: Section) -> str | None:
    """The format of the cache; fp8 for one of fewer bits, which is noted."""
    given = s.get("kv_cache_scheme", "kv_cache_quant_algo", "kv_cache_quant_method")
    if isinstance(given, dict):
        given = f"{given.get('type', 'float')}{given.get('num_bits', 8)}"
    if given is None or str(given).lower() in ("none", "auto", ""):
        return None
    return "fp8"
