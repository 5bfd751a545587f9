"""The tools that quantise checkpoints: what each writes of its formats into a config.json, a reader a method.

Sources of the layouts: transformers (`quantization_config` classes), vllm-project/vllm and
neuralmagic/compressed-tensors (groups, ignored modules), AutoAWQ and GPTQModel (zero points are stored for
symmetric weights too), bitsandbytes (blocks of 64, their scales again in 8 bit), ml-explore/mlx (a scale and
a bias of 16 bit a group).
"""

from collections.abc import Callable

from optimizer.hugging_face.modules import Patterns, valid
from optimizer.hugging_face.quantiser_groups import cache_of, compressed, modelopt, named_layers
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


def _awq(s: Section) -> Quantised:
    bits = s.bits((4, 8), "bits", "w_bit", default=4)
    own = integer(bits, s.group("group_size", "q_group_size", default=128), s.flag("zero_point", True))
    return Quantised((Scheme(own),), s.patterns("modules_to_not_convert"))


def _gptq(s: Section) -> Quantised:
    bits, group = s.bits((2, 3, 4, 8), "bits"), s.group("group_size", default=128)
    found = [Scheme(integer(bits, group, True), head=s.flag("lm_head", False))]
    skipped: list[str] = []
    for pattern, own in s.inner("dynamic").fields.items():
        name = f"re:{pattern[2:]}" if pattern[:2] in ("+:", "-:") else f"re:{pattern}"
        if valid([name]):
            raise s.refuse("dynamic", f"{pattern[:60]} is no regular expression")
        if pattern.startswith("-:") or own is None:
            skipped.append(name)
        elif isinstance(own, dict):
            part = Section(s.config, f"{s.name}.dynamic", {"bits": bits, "group_size": group or -1} | own)
            storage = integer(part.bits((2, 3, 4, 8), "bits"), part.group("group_size"), True)
            found.append(Scheme(storage, Patterns((name,))))
        else:
            raise s.refuse("dynamic", f"{pattern[:60]}: an object with bits is accepted")
    listed = s.patterns("modules_to_not_convert", "modules_in_block_to_not_quantize")
    return Quantised(tuple(found), Patterns((*listed.given, *skipped), parts=True))


def _auto_round(s: Section) -> Quantised:
    bits = s.bits((2, 3, 4, 8), "bits", default=4)
    kind = str(s.get("data_type") or "int")
    if kind != "int":
        own = {"nv_fp": NVFP4, "mx_fp": MXFP4 if bits == 4 else MXFP8}.get(kind[:5])
        if own is None:
            raise s.refuse("data_type", "int, nv_fp or mx_fp is accepted")
    else:
        own = integer(bits, s.group("group_size", default=128), True)
    found, skipped = [Scheme(own)], []
    for name, part in s.inner("extra_config").fields.items():
        if not isinstance(part, dict):
            raise s.refuse("extra_config", f"{name[:60]}: an object with bits is accepted")
        module = Section(s.config, f"{s.name}.extra_config", {**s.fields, **part})
        own_bits = module.bits((2, 3, 4, 8, 16, 32), "bits", default=bits)
        if own_bits >= 16:
            skipped.append(name)
        elif kind == "int":
            storage = integer(own_bits, module.group("group_size", default=128), True)
            found.append(Scheme(storage, Patterns((name,))))
    return Quantised(tuple(found), Patterns(tuple(skipped), parts=True))


def _fp8(s: Section) -> Quantised:
    wide = s.get("fmt", "weight_dtype") or "float8_e4m3fn"
    if not any(word in str(wide).lower() for word in ("e4m3", "e5m2", "float8", "fp8")):
        raise s.refuse("fmt", "contradicts quant_method fp8; e4m3 is accepted")
    if s.get("bits") not in (None, 8):
        raise s.refuse("bits", "contradicts quant_method fp8, which has 8")
    found = [Scheme(fp8_blocks(s)), *named_layers(s)]
    return Quantised(tuple(found), s.patterns("modules_to_not_convert", "ignored_layers"), cache_of(s))


def _fbgemm(s: Section) -> Quantised:
    return Quantised((Scheme(FP8),), s.patterns("modules_to_not_convert"))


def _bitsandbytes(s: Section) -> Quantised:
    four, eight = (s.flag(n, False) or s.flag(f"_{n}", False) for n in ("load_in_4bit", "load_in_8bit"))
    if four and eight:
        raise s.refuse("load_in_8bit", "contradicts load_in_4bit; one of them is accepted")
    if not four and not eight:
        raise s.refuse("load_in_4bit", "true is accepted here or in load_in_8bit")
    ignored = s.patterns("llm_int8_skip_modules")
    if eight:
        return Quantised((Scheme(integer(8, None, False)),), ignored)
    twice = s.flag("bnb_4bit_use_double_quant", False)
    own = Storage(dtype="int4", bits=4, group=64, scale_bits=8 + 32 / 256 if twice else 32)
    return Quantised((Scheme(own),), ignored)


def _mxfp4(s: Section) -> Quantised:
    return Quantised((Scheme(MXFP4, components=("experts",)),), s.patterns("modules_to_not_convert"))


_QUARK = {"fp8_e4m3": FP8, "fp8_e5m2": FP8, "fp4": MXFP4, "mxfp4": MXFP4}


def _quark(s: Section) -> Quantised:
    own = s.inner("global_quant_config").inner("weight")
    kind = str(own.get("dtype") or "")
    if kind in ("int4", "uint4", "int8", "uint8"):
        bits = int(kind[-1])
        storage = integer(bits, own.group("group_size"), kind.startswith("u"))
    elif kind in _QUARK:
        storage = _QUARK[kind]
    else:
        raise own.refuse("dtype", f"is not understood; accepted: {', '.join((*_QUARK, 'int4', 'int8'))}")
    return Quantised((Scheme(storage, head=True),), s.patterns("exclude"), cache_of(s))


def _torchao(s: Section) -> Quantised:
    kind = s.get("quant_type")
    given = kind.get("default", kind) if isinstance(kind, dict) else kind
    name = str(given.get("_type", "") if isinstance(given, dict) else given).lower().replace("_", "")
    data = given.get("_data", {}) if isinstance(given, dict) else s.inner("quant_type_kwargs").fields
    part = Section(s.config, f"{s.name}.quant_type", data if isinstance(data, dict) else {})
    if "float8" in name:
        storage = FP8
    elif "int8dynamic" in name and "int4" not in name:
        storage = W8A8
    elif "int4" in name:
        storage = integer(4, part.group("group_size", default=128), True)
    elif "int8" in name:
        storage = integer(8, None, False)
    else:
        raise s.refuse("quant_type", "is not understood; int4, int8 and float8 weights are accepted")
    return Quantised((Scheme(storage),), s.patterns("modules_to_not_convert"))


def _hqq(s: Section) -> Quantised:
    own = s.inner("quant_config").inner("weight_quant_params")
    bits, group = own.bits((1, 2, 3, 4, 8), "nbits", default=4), own.group("group_size", default=64)
    storage = integer(bits, group, False).changed(zero_bits=16 if group else 0)
    return Quantised((Scheme(storage),), s.patterns("skip_modules"))


def _quanto(s: Section) -> Quantised:
    kind = str(s.get("weights") or "int8")
    if kind == "float8":
        return Quantised((Scheme(FP8),), s.patterns("modules_to_not_convert"))
    if kind not in ("int2", "int4", "int8"):
        raise s.refuse("weights", "int2, int4, int8 or float8 is accepted")
    bits = int(kind[-1])
    return Quantised(
        (Scheme(integer(bits, 128 if bits < 8 else None, bits < 8)),), s.patterns("modules_to_not_convert")
    )


def _aqlm(s: Section) -> Quantised:
    books, bits = (s.bits(range(1, 65), name) for name in ("num_codebooks", "nbits_per_codebook"))
    size = (s.group("in_group_size", default=8) or 1) * (s.group("out_group_size", default=1) or 1)
    return Quantised(
        (Scheme(Storage(dtype="int4", bits=books * bits / size)),),
        s.patterns("linear_weights_not_to_quantize"),
    )


def _eetq(s: Section) -> Quantised:
    return Quantised((Scheme(integer(8, None, False)),), s.patterns("modules_to_not_convert"))


def _bitnet(s: Section) -> Quantised:
    return Quantised((Scheme(integer(2, None, False)),), s.patterns("modules_to_not_convert"))


def _fp_quant(s: Section) -> Quantised:
    own = {"mxfp4": MXFP4, "nvfp4": NVFP4}.get(str(s.get("forward_dtype") or "mxfp4"))
    if own is None:
        raise s.refuse("forward_dtype", "mxfp4 or nvfp4 is accepted")
    return Quantised((Scheme(own),), s.patterns("modules_to_not_convert"))


def _mlx(s: Section) -> Quantised:
    """Every linear layer and both tables, unless a module has an entry of its own."""
    named: dict[Storage, list[str]] = {}
    skipped = []
    for name, own in s.fields.items():
        if own is False:
            skipped.append(name)
        elif isinstance(own, dict):
            part = Section(s.config, f"{s.name}.{name}", {**s.fields, **own})
            named.setdefault(_mlx_format(part), []).append(name)
    schemes = [Scheme(_mlx_format(s), head=True, embeddings=True)]
    schemes += [Scheme(storage, Patterns(tuple(names), parts=True)) for storage, names in named.items()]
    return Quantised(tuple(schemes), Patterns(tuple(skipped), parts=True))


def _mlx_format(s: Section) -> Storage:
    mode = str(s.get("mode") or "affine")
    own = {"mxfp4": MXFP4, "mxfp8": MXFP8, "nvfp4": NVFP4}.get(mode)
    if own:
        return own
    if mode != "affine":
        raise s.refuse("mode", "affine, mxfp4, mxfp8 or nvfp4 is accepted")
    bits, group = s.bits((2, 3, 4, 5, 6, 8), "bits"), s.group("group_size", default=64)
    return Storage(dtype="int4" if bits <= 4 else "int8", bits=bits, group=group, scale_bits=16, zero_bits=16)


METHODS: dict[str, Callable[[Section], Quantised]] = {
    "awq": _awq, "awq_marlin": _awq, "gptq": _gptq, "gptq_marlin": _gptq, "gptqmodel": _gptq,
    "auto-round": _auto_round, "intel/auto-round": _auto_round, "auto_round": _auto_round, "inc": _auto_round,
    "fp8": _fp8, "fbgemm_fp8": _fbgemm, "bitsandbytes": _bitsandbytes,
    "compressed-tensors": compressed, "compressed_tensors": compressed,
    "modelopt": modelopt, "modelopt_fp4": modelopt, "modelopt_mixed": modelopt,
    "mxfp4": _mxfp4, "quark": _quark, "torchao": _torchao, "hqq": _hqq, "quanto": _quanto, "aqlm": _aqlm,
    "eetq": _eetq, "bitnet": _bitnet, "fp_quant": _fp_quant, "mlx": _mlx,
}  # fmt: skip
