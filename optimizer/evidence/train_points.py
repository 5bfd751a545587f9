"""Measured training steps: a CSV read row by row; what cannot be read says why.

Columns: model, layers, hidden, heads, kv_heads, ffn, vocab, experts, topk, chip, n_chips, tp, pp, vpp, cp,
ep, dp, sp, micro_batch, global_batch, seq_len, precision, activation_recompute, zero_stage, zero_group,
framework, metric, value, tokens_per_s_per_chip, src_family, tier, notes. Others are ignored. What a row
leaves out is taken as:

    tp, pp, cp, ep          1
    dp                      what is left of n_chips
    sp                      yes from two tensor-parallel ranks on, after 2022
    zero_stage              1; 3 where not even tp is given
    vpp                     the faster of none and two layers to a chunk
    micro_batch             the fastest of 1, 2, 4, 8 that divides a replica's batch
    activation_recompute    the fastest of none, selective and, in Megatron-Bridge, light, of those that fit
    framework               its source's; else xla on TPU and Trainium, Megatron elsewhere
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from optimizer.evidence.train_cells import Row, UnreadableRow, chip_of, count, flag, model_of, number, words
from optimizer.spec.architecture import Architecture
from optimizer.spec.cells import read_cells
from optimizer.spec.chip import Chip
from optimizer.spec.training import Engine, TrainingSetup

COLUMNS = {"model", "chip", "n_chips", "global_batch", "seq_len", "precision", "metric", "value"}
_FORMATS = {"bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4", "fp4": "nvfp4"}
_ENGINE_OF = {
    "llm-foundry": "pytorch",
    "torchtitan": "pytorch",
    "internevo": "pytorch",
    "bigscience": "deepspeed",
    "maxtext-readme": "xla",
}
"""Frameworks of sources whose rows do not name theirs."""
_BEFORE_FLASH = {"bigscience", "korthikanti-2022", "megatron-sc21", "megatron-2020"}
_NARROW_SUMS = {
    *("dgxc", "megatron-bridge"),
    *("mlperf-v4.1", "mlperf-v5.0", "nemo-24.07", "nemo-longseq"),
    "bigscience",
}
"""Sources whose scripts keep and sum gradients in 16 bit: grad_reduce_in_fp32 = False in the performance
recipes of NeMo and Megatron-Bridge, grad_sync_dtype: bf16 in those of NeMo's launcher; DeepSpeed's fp16
optimizer (the memory its 54 rows report grows by 4.0 bytes for each parameter of a rank)."""
_SITES = {"jean zay": 6.25e9}
"""Bytes/s of network for each chip of a site whose network is not the usual one: four Omni-Path ports of
100 Gbit/s for eight A100 (bigscience-workshop/bigscience train/tr11-176B-ml)."""
_OPEN = ("none", "selective")
_CONTAINER = re.compile(r"container (\d+\.\d+)")
_GROUP = re.compile(
    r"zero-?[0-3]?(?:[^0-9;,]{0,20}(?:group|size|shard|within)[^0-9;,]{0,20}|\s*[=:]\s*)(\d+)"
)


@dataclass(frozen=True)
class TrainingPoint:
    """One measured step and the settings it may have had."""

    row: int
    source: str
    tier: str
    precision: str
    model: Architecture
    chip: Chip
    setups: tuple[TrainingSetup, ...]
    """Settings the row leaves open; the fastest that fits is predicted."""
    measured: float
    """Tokens a second on one chip; or FLOP/s or per cent, where `flops` says how they are counted."""
    flops: str
    """'' for tokens; 'full' or 'hardware': attention over all pairs, without and with repetitions; 'mfu': per
    cent of the bf16 peak, attention over all pairs."""


def training_rows(path: Path) -> list[Row] | None:
    """The rows of a file of training points; None if its header is of another kind."""
    cells = read_cells(path)
    return list(cells.rows) if set(cells.columns) >= COLUMNS else None


def read_row(line: int, row: Row) -> TrainingPoint:
    """One row; UnreadableRow says what it lacks."""
    precision = words(row, "precision")
    if precision not in _FORMATS:
        raise UnreadableRow(f"precision '{precision[:20]}' is not modelled")
    measured, flops = _measured(row)
    model, chip = model_of(row), chip_of(row["chip"])
    try:
        setups = tuple(TrainingSetup(**fields) for fields in _setups(row, model, chip))
    except ValueError:
        raise UnreadableRow("the settings are out of range") from None
    return TrainingPoint(
        row=line,
        source=row.get("src_family") or row.get("source_key") or "unnamed",
        tier=row.get("tier") or "-",
        precision=precision,
        model=model,
        chip=_at_site(chip, words(row, "notes")),
        setups=setups,
        measured=measured,
        flops=flops,
    )


def _measured(row: Row) -> tuple[float, str]:
    """Tokens a second on a chip where given or derived; else FLOP/s and how they count."""
    if row.get("tokens_per_s_per_chip"):
        return number(row, "tokens_per_s_per_chip"), ""
    value, metric = number(row, "value"), row["metric"]
    if metric == "tokens_per_s_per_chip":
        return value, ""
    if metric == "step_time_s":
        return count(row, "global_batch") * count(row, "seq_len") / value / count(row, "n_chips"), ""
    if metric == "tflops_per_chip":
        return value * 1e12, "hardware" if "hardware flops" in words(row, "notes") else "full"
    if metric == "mfu":
        return value, "mfu"
    raise UnreadableRow(f"metric '{metric[:30]}' is not predicted")


def _setups(row: Row, model: Architecture, chip: Chip) -> Iterator[dict[str, Any]]:
    """Every setting that the row leaves open."""
    t, p, c = (count(row, name, 1) for name in ("tp", "pp", "cp"))
    d, batch = _replicas(row, t * p * c)
    early = words(row, "precision") == "fp16" or row.get("src_family") in _BEFORE_FLASH
    stage = count(row, "zero_stage", 1 if row.get("tp") else 3, least=0)
    common = {
        "tensor_parallel": t,
        "sequence_parallel": flag(row, "sp", t > 1 and not early),
        "pipeline_parallel": p,
        "data_parallel": d,
        "context_parallel": c,
        "expert_parallel": min(count(row, "ep", 1), t * c * d),
        "global_batch": batch,
        "sequence_length": count(row, "seq_len"),
        "zero_stage": stage,
        "zero_group": _zero_group(row, d * c),
        "dtype": _FORMATS[words(row, "precision")],
        "dispatch": _dispatch(row),
        "dispatch_dtype": "bf16",
        "gradient_bytes": 2.0 if stage == 3 or row.get("src_family") in _NARROW_SUMS else 4.0,
        "flash_attention": not early,
        "dropout": early,
        "overlap": not early,
        "engine": engine_of(row, chip),
    }
    per_replica = max(1, batch // d)
    for b, again, v in product(_microbatches(row, per_replica), _recomputes(row), _chunks(row, model, p)):
        yield common | {"microbatch": b, "recompute": again, "pipeline_interleave": v}


def _replicas(row: Row, ranks: int) -> tuple[int, int]:
    """(data-parallel ranks, global batch)."""
    n, batch = count(row, "n_chips"), count(row, "global_batch")
    if not row.get("tp") and count(row, "experts", 0, least=0):
        raise UnreadableRow("how experts are spread is not given")
    if n % ranks:
        raise UnreadableRow("n_chips is no multiple of tp x pp x cp")
    d = n // ranks
    if d > batch and row.get("dp"):  # more ranks than sequences: the row's own count is the one that ran
        d = count(row, "dp")
    return d, batch


def _zero_group(row: Row, replicas: int) -> int | None:
    """Ranks that share the shards: the row's column, or what its notes say."""
    if row.get("zero_group"):
        return min(replicas, count(row, "zero_group"))
    found = _GROUP.search(words(row, "notes"))
    size = int(found.group(1)) if found else 0
    return size if 1 < size <= replicas and replicas % size == 0 else None


def _dispatch(row: Row) -> str:
    """How tokens reach their experts: recipes of Megatron-Bridge send each once to a domain.

    Those of DeepSeek-V3 always, others since container 26.04 (scripts/performance/configs @04264182).
    """
    container = _CONTAINER.search(words(row, "notes"))
    if row.get("src_family") != "megatron-bridge" or not container:
        return "all_to_all"
    recent = float(container.group(1)) >= 26.04
    return "deepep" if recent or "deepseek" in words(row, "model") else "all_to_all"


def _microbatches(row: Row, most: int) -> list[int]:
    if row.get("micro_batch"):
        return [max(1, min(most, round(number(row, "micro_batch"))))]
    return [b for b in (1, 2, 4, 8) if b <= most and most % b == 0]


def _recomputes(row: Row) -> tuple[str, ...]:
    given = words(row, "activation_recompute")
    if not given:
        return ("none", "light", "selective") if row.get("src_family") == "megatron-bridge" else _OPEN
    if given not in ("none", "light", "selective", "full"):
        raise UnreadableRow(f"activation_recompute '{given[:20]}' is not one known")
    return (given,)


def _chunks(row: Row, model: Architecture, p: int) -> list[int]:
    most = max(1, -(-model.n_layers // p))
    if row.get("vpp"):
        return [min(count(row, "vpp"), most)]
    return sorted({1, max(1, most // 2)}) if p > 1 else [1]


def engine_of(row: Row, chip: Chip) -> str:
    """The framework a row names; else its source's; else a compiler on TPU and Trainium, and Megatron."""
    named = words(row, "framework")
    if named:
        if named not in get_args(Engine):
            raise UnreadableRow(f"framework '{named[:20]}' is not one known")
        return named
    usual = "xla" if chip.vendor in ("Google", "AWS") else "megatron"
    engine = _ENGINE_OF.get(row.get("src_family") or "", usual)
    return "torch_compile" if engine == "pytorch" and "compile" in words(row, "notes") else engine


def _at_site(chip: Chip, notes: str) -> Chip:
    """The chip on the network of the site that the row's notes name."""
    for site, bandwidth in _SITES.items():
        if site in notes:
            return chip.with_network(bandwidth, f"the site {site}")
    return chip
