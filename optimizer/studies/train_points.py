"""Measured training points: a CSV read row by row; what cannot be read says why.

Columns: model, layers, hidden, heads, kv_heads, ffn, vocab, experts, topk, chip, n_chips, tp, pp, vpp, cp, ep,
dp, sp, micro_batch, global_batch, seq_len, precision, activation_recompute, zero_stage, metric, value,
tokens_per_s_per_chip, src_family, tier, notes. Others are ignored. What a row does not say is taken as:

    kv_heads, vpp, cp, ep  heads, 1, 1, 1                    sp   yes from two tensor-parallel ranks on
    dp                     what is left of n_chips           micro_batch   the largest of 1, 2, 4, 8 that divides
    activation_recompute   the faster of none and selective that fits, else full
    precision fp16         kernels of before 2022: no flash attention, no overlap, dropout
"""

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

from optimizer import catalog
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.training import TrainingSetup

COLUMNS = {"model", "chip", "n_chips", "tp", "pp", "global_batch", "seq_len", "precision", "metric", "value"}
_FORMATS = {"bf16": "bf16", "fp16": "bf16", "fp8": "fp8", "fp8-rowwise": "fp8", "mxfp8": "mxfp8", "nvfp4": "nvfp4", "fp4": "nvfp4"}
Item = TypeVar("Item", Architecture, Chip)


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
    """Tokens a second on one chip; FLOP/s of one chip where `flops` says how they are counted."""
    flops: str
    """'' for tokens, else 'causal', 'full' or 'hardware'."""


class UnreadableRow(Exception):
    """Why a row is not scored."""


def read_row(number: int, row: dict[str, str]) -> TrainingPoint:
    """One row; UnreadableRow says what it lacks."""
    precision = row["precision"].strip().lower()
    if precision not in _FORMATS:
        raise UnreadableRow(f"precision '{precision[:20]}' is not one known")
    measured, flops = _measured(row)
    model, chip = model_of(row), chip_of(row["chip"])
    return TrainingPoint(
        row=number,
        source=row.get("src_family") or row.get("source_key") or "unnamed",
        tier=row.get("tier") or "-",
        precision=precision,
        model=model,
        chip=chip,
        setups=tuple(_setups(row, model, chip, _FORMATS[precision], precision == "fp16")),
        measured=measured,
        flops=flops,
    )


def _measured(row: dict[str, str]) -> tuple[float, str]:
    """Tokens a second on a chip where given or derived; else FLOP/s and how they count."""
    if row.get("tokens_per_s_per_chip"):
        return _number(row, "tokens_per_s_per_chip"), ""
    value = _number(row, "value")
    if row["metric"] == "tokens_per_s_per_chip":
        return value, ""
    if row["metric"] == "step_time_s":
        tokens = _count(row, "global_batch") * _count(row, "seq_len")
        return tokens / value / _count(row, "n_chips"), ""
    if row["metric"] == "tflops_per_chip":
        notes = row.get("notes", "").lower()
        return value * 1e12, "hardware" if "hardware flops" in notes else "full"
    raise UnreadableRow(f"metric '{row['metric'][:30]}' is not predicted")


def _setups(row: dict[str, str], model: Architecture, chip: Chip, dtype: str, early: bool) -> Iterable[TrainingSetup]:
    n, t, p, c = (_count(row, name, default) for name, default in (("n_chips", None), ("tp", None), ("pp", None), ("cp", 1)))
    if n % (t * p * c):
        raise UnreadableRow("n_chips is no multiple of tp x pp x cp")
    d = n // (t * p * c)
    batch = _count(row, "global_batch")
    if d > batch and row.get("dp"):  # more ranks than sequences: the row's own count is the one that ran
        d = _count(row, "dp")
    stage = _count(row, "zero_stage", 1, least=0)
    common = {
        "tensor_parallel": t,
        "sequence_parallel": _flag(row, "sp", t > 1 and not early),
        "pipeline_parallel": p,
        "data_parallel": d,
        "context_parallel": c,
        "expert_parallel": min(_count(row, "ep", 1), n // p),
        "global_batch": batch,
        "sequence_length": _count(row, "seq_len"),
        "zero_stage": stage,
        "dtype": dtype,
        "gradient_bytes": 2.0 if stage == 3 else 4.0,
        "flash_attention": not early,
        "dropout": early,
        "overlap": not early,
        "engine": engine_of(row, chip, stage),
    }
    for microbatch, recompute, v in product(
        _microbatches(row, max(1, batch // d)), _recomputes(row), _interleaves(row, model.n_layers, p)
    ):
        yield TrainingSetup(**common, microbatch=microbatch, recompute=recompute, pipeline_interleave=v)


def _interleaves(row: dict[str, str], n_layers: int, p: int) -> list[int]:
    """As the row says; where it does not, none, or two layers to a chunk."""
    most = -(-n_layers // p)
    if row.get("vpp"):
        return [min(_count(row, "vpp"), most)]
    return sorted({1, max(1, most // 2)}) if p > 1 else [1]


def _microbatches(row: dict[str, str], most: int) -> list[int]:
    if row.get("micro_batch"):
        return [max(1, min(most, round(float(row["micro_batch"]))))]
    return [b for b in (1, 2, 4, 8) if b <= most and most % b == 0]


def _recomputes(row: dict[str, str]) -> tuple[str, ...]:
    given = (row.get("activation_recompute") or "").strip().lower()
    if not given:
        return ("none", "selective")
    if given not in ("none", "selective", "full"):
        raise UnreadableRow(f"activation_recompute '{given[:20]}' is not one known")
    return (given,)


def model_of(row: dict[str, str]) -> Architecture:
    """The catalogued model of the same dimensions; else one built from them; by name where they are missing."""
    known = catalog.models().values()
    if not row.get("hidden"):
        named = [m for m in known if key(row["model"]) in {key(n) for n in (m.name, *m.aliases)}]
        if not named:
            raise UnreadableRow(f"model '{row['model'][:40]}' is not in the catalogue, and its dimensions are not given")
        return named[0]
    same = [m for m in known if _same(m, row)]
    if same:
        return same[0]
    return _built(row)


def _same(model: Architecture, row: dict[str, str]) -> bool:
    mixer, ffn = model.layers[-1].block.mixer, model.layers[-1].block.ffn
    if model.n_layers != _count(row, "layers") or model.d_model != _count(row, "hidden"):
        return False
    if getattr(mixer, "n_heads", 0) != _count(row, "heads"):
        return False
    experts = _count(row, "experts", 0, least=0)
    if experts:
        return bool(ffn.kind == "moe" and ffn.n_experts == experts and ffn.n_active_experts == _count(row, "topk"))
    return bool(ffn.kind == "dense_ffn" and ffn.d_ff == _count(row, "ffn") and _near(model.vocab_size, _count(row, "vocab")))


def _near(a: int, b: int) -> bool:
    """Vocabularies differ by their padding."""
    return abs(a - b) <= 0.03 * max(a, b)


def _built(row: dict[str, str]) -> Architecture:
    """A model of equal layers; a network of four times the width has two matrices, any other is gated."""
    hidden, ffn, experts = _count(row, "hidden"), _count(row, "ffn"), _count(row, "experts", 0, least=0)
    heads = _count(row, "heads")
    gated = experts > 0 or ffn != 4 * hidden or "gated" in row.get("notes", "").lower()
    width = {"n_experts": experts, "n_active_experts": _count(row, "topk"), "d_expert": ffn} if experts else {"d_ff": ffn}
    head_width = hidden // heads
    return Architecture.model_validate(
        {
            "name": row["model"],
            "d_model": hidden,
            "n_layers": _count(row, "layers"),
            "n_heads": heads,
            "n_kv_heads": _count(row, "kv_heads", heads),
            "d_head": head_width,
            "gated_ffn": gated,
            "vocab_size": _count(row, "vocab"),
            "tied_embeddings": not gated,
            **width,
        }
    )


def chip_of(name: str) -> Chip:
    """A chip by any spelling; a memory size that no chip's name has is left out."""
    spelled = {key(s): c for c in catalog.chips().values() for s in (c.name, *c.aliases)}
    plain = name.split("(")[0]
    for wanted in (key(plain), key(plain.split("-")[0])):
        if wanted in spelled:
            return spelled[wanted]
    raise UnreadableRow(f"chip '{name[:40]}' is not in the catalogue")


def key(name: str) -> str:
    """Letters and digits of a name, without its organisation, memory unit and finish."""
    words = re.split(r"[^a-z0-9.]+", name.split("/")[-1].lower())
    kept = (re.sub(r"(?<=\d)gb$", "", word) for word in words)
    return "".join(w for w in kept if w and w not in ("nvidia", "google", "amd", "aws", "intel", "instruct", "base", "hf", "sxm"))


_ENGINE_OF = {"llm-foundry": "pytorch", "torchtitan": "pytorch", "internevo": "pytorch"}
"""Frameworks of sources whose rows do not name theirs."""


def engine_of(row: dict[str, str], chip: Chip, zero_stage: int) -> str:
    """The framework a row names; else its source's; else a compiler on TPU and Trainium, and Megatron."""
    if row.get("framework"):
        return row["framework"]
    if chip.vendor in ("Google", "AWS", "Amazon"):
        return "xla"
    if "maxtext" in (row.get("src_family") or ""):
        return "xla"
    if "compile" in (row.get("notes") or "").lower():
        return "megatron"
    return _ENGINE_OF.get(row.get("src_family") or "", "megatron")


def _flag(row: dict[str, str], name: str, default: bool) -> bool:
    return default if not row.get(name) else row[name].strip().lower() in ("1", "true", "yes")


def _number(row: dict[str, str], name: str) -> float:
    try:
        value = float(row.get(name) or "")
    except ValueError:
        raise UnreadableRow(f"{name} is not given or no number") from None
    if not 0 < value < 1e15:
        raise UnreadableRow(f"{name} is not a positive number")
    return value


def _count(row: dict[str, str], name: str, default: int | None = None, least: int = 1) -> int:
    if not (row.get(name) or "").strip() and default is not None:
        return default
    try:
        value = float(row.get(name) or "")
    except ValueError:
        raise UnreadableRow(f"{name} is not given or no number") from None
    if value != int(value) or not least <= value <= 1e9:
        raise UnreadableRow(f"{name} is no whole number from {least} on")
    return int(value)
