"""Small chips, frames and problems for tests, each with a few fields of the caller's own."""

from dataclasses import replace
from typing import Any

from kinds import DenseFeedForward, GroupedQueryAttention

from optimizer import catalog
from optimizer.cost.frame import Frame
from optimizer.cost.training.quantity import TrainingRun
from optimizer.questions.architecture.problem import Problem
from optimizer.spec.architecture import Architecture, Block, Layers
from optimizer.spec.chip import Chip
from optimizer.spec.engine import IDEAL
from optimizer.spec.norms import Norms
from optimizer.spec.split import Formats, Split
from optimizer.spec.training import TrainingSetup

CHIP: dict[str, Any] = {
    "name": "sample",
    "title": "A chip for tests",
    "vendor": "nobody",
    "dense_flops": {"bf16": "1 PFLOP/s"},
    "hbm_capacity": "80 GiB",
    "hbm_usable": "79 GiB",
    "hbm_bandwidth": "3 TB/s",
    "n_cores": 100,
    "scaleup": {"topology": "switch", "domain": 8, "bandwidth": "450 GB/s"},
    "alignment": {"bf16": 64},
    "sources": {"default": "made up for tests"},
}
SPACE: dict[str, Any] = {
    "vocab_size": 32000,
    "d_model": [2048, 2304],
    "n_layers": [16, 20],
    "n_heads": [16, 18, 20, 24],
    "n_kv_heads": [4, 8],
    "d_head": [128],
    "d_ff": [6144, 7168, 8192],
}
PROBLEM: dict[str, Any] = {
    "name": "small",
    "architecture": SPACE,
    "hardware": "nvidia-h100-sxm",
    "workload": {"input_tokens": 1024, "output_tokens": 256, "batch": 8},
    "training_tokens": 2 * 10**12,
    "training": {"hardware": "nvidia-h100-sxm"},
    "minimize": "tpot_ms",
}


def chip(**fields: Any) -> Chip:
    """The sample chip with some fields of the caller's."""
    return Chip.model_validate(CHIP | fields)


def problem(**fields: Any) -> Problem:
    """The sample problem, 192 points, with some fields of the caller's, and traffic that takes many chips."""
    traffic = {"workload": PROBLEM["workload"] | {"requests_per_s": 5000.0}}
    return Problem.model_validate(PROBLEM | traffic | fields)


def frame(model: str | Architecture, chip: str | Chip = "nvidia-h100-sxm", **fields: Any) -> Frame:
    """A frame around one published model."""
    own = catalog.model(model) if isinstance(model, str) else model
    given = {name: fields.pop(name) for name in (*vars(Split()), *vars(Formats())) if name in fields}
    split = Split(**{name: given[name] for name in vars(Split()) if name in given})
    formats = Formats(**{name: given[name] for name in vars(Formats()) if name in given})
    values: dict[str, Any] = {
        "chip": catalog.chip(chip) if isinstance(chip, str) else chip,
        "split": split,
        "formats": formats,
        "batch": 1,
        "d_model": own.d_model,
        "vocab_size": own.vocab_size,
        "tied_embeddings": own.tied_embeddings,
        "input_tokens": 2048,
        "output_tokens": 1,
        "training_tokens": 15e12,
        "position_embeddings": own.position_embeddings,
        "final_bias": own.final_bias,
        "outer_params": own.outer_params,
        "training": TrainingRun(TrainingSetup(), catalog.chip("nvidia-h100-sxm")),
    }
    engine = IDEAL.model_copy(update={k: fields.pop(k) for k in ("host_ms", "reserve_gib") if k in fields})
    return Frame(**(values | {"engine": engine} | fields))


def changed(frame: Frame, **fields: Any) -> Frame:
    """A frame with other degrees and formats, by name, or other fields."""
    split = {name: fields.pop(name) for name in vars(Split()) if name in fields}
    formats = {name: fields.pop(name) for name in vars(Formats()) if name in fields}
    own = {"split": replace(frame.split, **split), "formats": replace(frame.formats, **formats)}
    return replace(frame, **own, **fields)


def dense(point: dict[str, Any], frame: Frame, norms: Norms = Norms()) -> Architecture:
    """A point of a lattice as a model in the shape of a frame, its groups of heads unequal or not."""
    words = {name: point[name] for name in ("n_heads", "n_kv_heads", "d_head")}
    switches = {name: point.get(name, False) for name in ("qkv_bias", "output_bias", "qk_norm")}
    mixer = GroupedQueryAttention.model_construct(**words, **switches, attention_window=None)
    ffn = DenseFeedForward(d_ff=point["d_ff"], gated_ffn=point.get("gated_ffn", True))
    block = Block.model_construct(mixer=mixer, ffn=ffn, n_norms=norms.n_norms, norm_bias=norms.norm_bias)
    return Architecture.model_construct(
        name="point",
        d_model=frame.d_model,
        vocab_size=frame.vocab_size,
        tied_embeddings=frame.tied_embeddings,
        position_embeddings=frame.position_embeddings,
        layers=(Layers.model_construct(block=block, count=point["n_layers"]),),
    )
