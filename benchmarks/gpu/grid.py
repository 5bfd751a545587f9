"""What is timed: cases by part. Needs neither torch nor archsat."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

EXCHANGES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")
MODELS = ("Llama-3.2-1B", "OLMoE-1B-7B-0924", "Qwen2.5-1.5B", "Llama-3.2-3B")
"""Catalogue names, without their organisation: files of `models/`."""


@dataclass(frozen=True)
class Case:
    """One thing to time; fields that its operator does not have are None."""

    part: str
    operator: str
    dtype: str = "bf16"
    m: int | None = None
    n: int | None = None
    k: int | None = None
    batch: int | None = None
    context: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    d_head: int | None = None
    size: int | None = None
    experts: int | None = None
    active: int | None = None
    n_chips: int | None = None
    model: str | None = None
    layers: int | None = None

    @property
    def dims(self) -> str:
        """The fields it has, for a table."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return " ".join(f"{name}={own[name]}" for name in DIMS if name in own)


NAMES = tuple(field.name for field in fields(Case))
DIMS = NAMES[3:]


def grid() -> dict[str, list[Case]]:
    """Cases by part, in the order to run; a part that runs out of time has a bit of everything."""
    parts = (_launch(), _memory(), _small(), _gemm(), _decode(), _prefill(), _experts())
    mixed = {cases[0].part: _mixed(cases) for cases in parts}
    return mixed | {"layers": _layers()}


def tiny() -> dict[str, list[Case]]:
    """One small case of everything, to run the code anywhere."""
    attention = {"heads": 4, "kv_heads": 2, "d_head": 64}
    cases = [
        *_launch(),
        Case("memory", "copy", size=4096),
        Case("memory", "read", size=4096),
        Case("small", "rms_norm", m=3, k=96, size=8 * 3 * 96),
        Case("small", "silu_mul", m=3, k=96, size=6 * 3 * 96),
        Case("small", "add", m=3, k=96, size=6 * 3 * 96),
        Case("gemm", "gemm", m=3, n=32, k=64),
        Case("gemm", "gemm", "fp8", m=3, n=32, k=64),
        Case("decode", "decode_attention", batch=2, context=300, **attention),
        Case("prefill", "prefill_attention", batch=1, context=64, **attention),
        Case("experts", "experts", m=3, n=32, k=64, experts=8, active=2),
        Case("layers", "layers", batch=2, context=40, model=MODELS[0], layers=1),
        Case("layers", "layers", batch=2, context=40, model=MODELS[1], layers=1),
    ]
    return {part: [case for case in cases if case.part == part] for part in grid()}


def exchanges(n_chips: int) -> list[Case]:
    """Exchanges between as many chips of one domain."""
    sizes = [2**i for i in range(10, 31, 2)]
    return [Case("exchanges", op, size=size, n_chips=n_chips) for op in EXCHANGES for size in sizes]


def bytes_needed(case: Case) -> int:
    """Memory that a case takes for one set of inputs and its result."""
    c: Any = case
    width = 1 if case.dtype == "fp8" else 2
    match case.operator:
        case "gemm":
            return int(width * (c.m * c.k + c.k * c.n) + 2 * c.m * c.n)
        case "prefill_attention":
            return int(2 * c.batch * c.context * c.d_head * 2 * (c.heads + c.kv_heads))
        case "decode_attention":
            return int(2 * c.batch * c.d_head * (2 * c.kv_heads * c.context + 2 * c.heads))
        case "experts":
            return int(2 * (3 * c.experts * c.n * c.k + 4 * c.m * c.active * max(c.n, c.k)))
        case "copy":
            return int(2 * c.size)
    return int(c.size or 4)


def _mixed(cases: list[Case]) -> list[Case]:
    """Every third, then what is between."""
    return [case for start in (0, 2, 1) for case in cases[start::3]]


def _launch() -> list[Case]:
    return [Case("launch", name) for name in ("empty", "empty_eager", "graph_replay")]


def _memory() -> list[Case]:
    return [Case("memory", op, size=2**i) for i in range(12, 33, 2) for op in ("copy", "read")]


def _small() -> list[Case]:
    bytes_of = {"rms_norm": 8, "silu_mul": 6, "add": 6}  # norm: input and residual in, both out; 16 bit
    return [
        Case("small", op, m=m, k=k, size=each * m * k)
        for op, each in bytes_of.items()
        for k in (2048, 8192)
        for m in (1, 16, 64, 512, 4096)
    ]


def _gemm() -> list[Case]:
    """Whole tiles, tiles and a bit, waves and a bit; skinny, square, huge."""
    whole = ((4096, 4096), (8192, 8192), (28672, 8192), (8192, 28672), (3072, 2048), (2048, 2048))
    odd = ((4160, 4160), (4100, 4096), (4096, 4100), (11008, 4096), (4224, 4096))
    rows = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    off = (96, 136, 200, 400, 1000, 2100, 3000)
    found = []
    for dtype in ("bf16", "fp8"):
        found += [Case("gemm", "gemm", dtype, m=m, n=n, k=k) for n, k in whole for m in rows]
        found += [Case("gemm", "gemm", dtype, m=m, n=4096, k=4096) for m in off]
        found += [Case("gemm", "gemm", dtype, m=m, n=n, k=k) for n, k in odd for m in (1, 16, 100, 512, 4096)]
    return sorted(found, key=lambda c: (c.n, c.k, c.dtype, c.m))  # type: ignore[arg-type, return-value]


def _decode() -> list[Case]:
    shapes = ((32, 8, 128), (64, 8, 128), (32, 32, 128), (32, 8, 64), (12, 2, 128))
    return [
        Case("decode", "decode_attention", batch=batch, context=context, heads=h, kv_heads=kv, d_head=d)
        for h, kv, d in shapes
        for batch in (1, 4, 16, 64, 128)
        for context in (1024, 4096, 8192, 32768)
    ]


def _prefill() -> list[Case]:
    return [
        Case("prefill", "prefill_attention", batch=batch, context=tokens, heads=h, kv_heads=kv, d_head=d)
        for h, kv, d in ((32, 8, 128), (32, 32, 128), (32, 8, 64))
        for tokens in (512, 1024, 2048, 4096, 8192, 16384, 32768)
        for batch in ((1, 8) if tokens <= 2048 else (1,))
    ]


def _experts() -> list[Case]:
    shapes = ((64, 8, 1024, 2048), (128, 8, 768, 2048), (60, 4, 1408, 2048), (8, 2, 14336, 4096))
    return [
        Case("experts", "experts", m=m, n=n, k=k, experts=experts, active=active)
        for experts, active, n, k in shapes
        for m in (1, 4, 16, 64, 256, 1024, 4096)
    ]


def _layers() -> list[Case]:
    """Whole models (layers is None), then the first two cut short: what one layer adds."""

    def steps(model: str, layers: int | None, batches: Iterable[int]) -> list[Case]:
        return [
            Case("layers", "layers", batch=batch, context=context, model=model, layers=layers)
            for batch in batches
            for context in (1024, 8192)
        ]

    found = [case for model in MODELS for case in steps(model, None, (1, 2, 4, 8, 16, 32, 64))]
    return found + [case for model in MODELS[:2] for case in steps(model, 4, (1, 8, 64))]
