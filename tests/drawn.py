"""Engines, chips, formats, training sections and problems drawn at random, over all that files may say.

One definition, drawn by hypothesis or by a seed. The default engine and the chips of the catalogue are the
easy part of what users write: a bound that forgets a figure of an engine holds for all of them.
"""

import hashlib
import json
import random
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import samples
import yaml
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.blocks import block, least
from optimizer.blocks.operators import (
    AllReduce,
    Collective,
    DecodeAttention,
    Elementwise,
    ExpertExchange,
    Experts,
    ForSome,
    Gemm,
    Host,
    LatentAttention,
    Operator,
    PrefillAttention,
    Products,
    StageTransfer,
)
from optimizer.cost.frame import Frame
from optimizer.cost.least import Least
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.roofline import Roofline
from optimizer.cost.training.quantity import TrainingRun
from optimizer.metrics import having
from optimizer.questions.architecture.kinds import Kinds, kinds_like
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.spec.split import Formats, Split
from optimizer.spec.training import TrainingSetup

WEIGHTS = ("bf16", "fp8", "mxfp8", "int8", "int4", "mxfp4", "nvfp4")
CACHES = ("bf16", "fp8")
TOPOLOGIES = ("switch", "mesh", "torus2d", "torus3d", "pcie")


class Draw(Protocol):
    """Where values come from."""

    def of(self, values: Sequence[Any]) -> Any:
        """One of some values."""

    def whole(self, low: int, high: int) -> int:
        """A whole number."""

    def real(self, low: float, high: float) -> float:
        """A number."""


class Seeded:
    """Values from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def of(self, values: Sequence[Any]) -> Any:
        return self._random.choice(list(values))

    def whole(self, low: int, high: int) -> int:
        return self._random.randint(low, high)

    def real(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class Hypothetical:
    """Values from hypothesis, which looks for the worst and shrinks it."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def of(self, values: Sequence[Any]) -> Any:
        return self._draw(st.sampled_from(list(values)))

    def whole(self, low: int, high: int) -> int:
        return int(self._draw(st.integers(low, high)))

    def real(self, low: float, high: float) -> float:
        return float(self._draw(st.floats(low, high)))


def by_hypothesis(make: Any, *args: Any) -> Any:
    """A strategy of whatever `make(draw, *args)` makes."""

    @st.composite
    def strategy(draw: Any) -> Any:
        return make(Hypothetical(draw), *args)

    return strategy()


def some(d: Draw, values: Sequence[Any], most: int, least: int = 1) -> list[Any]:
    """Some different values, in order."""
    left, found = list(values), []
    for _ in range(min(len(left), d.whole(least, most))):
        found.append(d.of(left))
        left.remove(found[-1])
    return sorted(found)


def _sometimes(d: Draw, value: Any, usual: Any) -> Any:
    return d.of([usual, value])


def _dry_run(d: Draw) -> dict[str, Any]:
    small, large = sorted((d.of([64, 2048, 8192]), d.of([64, 2048, 8192])))
    return {
        "large_gib": d.real(10, 200),
        "tokens": [small, large],
        "sequences": [d.of([1, 256]), d.of([256, 1024])],
        "sampler_bytes": d.real(0, 4),
        "split_widths": d.real(1, 11),
    }


def _headroom(d: Draw) -> dict[str, Any]:
    card = {"fixed_gib": d.real(0, 2), "tokens": d.of([512, 4096]), "sequences": d.of([8, 256])}
    return {
        "per_token_mib": d.real(0, 1),
        "per_sequence_mib": d.real(0, 2),
        "per_chip_gib": d.real(0, 0.5),
        "cards": [card | {"below_gib": d.real(10, 60)}, card | {"below_gib": 1e5, "least_gib": d.real(0, 3)}],
    }


def engine(d: Draw) -> dict[str, Any]:
    """The document of an engine: every figure in the range that a file may give, half of them as usual."""
    return {
        "name": "drawn",
        "title": "drawn at random",
        "host_ms": _sometimes(d, d.real(0, 30), 0.0),
        "host_us_per_sequence": _sometimes(d, d.real(0, 50), 0.0),
        "launch_us_per_layer": _sometimes(d, d.real(0, 600), 0.0),
        "reserve_gib": _sometimes(d, d.real(0, 5), 0.0),
        "memory_share": _sometimes(d, d.real(0.5, 1), 1.0),
        "cache_share": _sometimes(d, d.real(0.5, 1), 1.0),
        "cache_fill": _sometimes(d, d.real(0.5, 1), 1.0),
        "collective_gib": _sometimes(d, d.real(0, 3), 0.0),
        "block_tokens": d.of([1, 16]),
        "dry_run": _sometimes(d, _dry_run(d), None),
        "headroom": _sometimes(d, _headroom(d), None),
        "window_cache": d.of([True, False]),
        "step_tokens": d.of([1, 64, 2048, 8192, 10**7]),
        "max_sequences": d.of([2048, 64]),
        "expert_exchange": d.of(["all_to_all", "all_gather"]),
        "expert_skew": _sometimes(d, d.real(1, 4), 1.0),
        "data_parallel_balance": _sometimes(d, d.real(0.3, 1), 1.0),
        "compute": _sometimes(d, d.real(0.2, 2), 1.0),
        "all_reduce_us": _sometimes(d, d.real(0, 100), 0.0),
        "network_all_reduce_us": _sometimes(d, d.real(0, 300), 0.0),
        "all_reduce": _sometimes(d, d.real(0.05, 2), 1.0),
        "attention_decode": _sometimes(d, d.real(0.1, 2), 1.0),
        "heads_share_up_to": _sometimes(d, {"AMD": d.of([16, 512])}, {}),
        "sources": {"default": "made up"},
    }


def _shot(d: Draw) -> dict[str, Any]:
    return {"latency": f"{d.real(0.5, 60):.3f} us", "link": round(d.real(0.05, 1.0), 4)}


def _streaming(d: Draw) -> dict[str, Any]:
    return {"memory": round(d.real(0.1, 1.0), 4), "overhead": f"{d.real(0.1, 60):.3f} us"}


def _expert_kernel(d: Draw) -> dict[str, Any]:
    return {
        "compute": round(d.real(0.05, 1.0), 4),
        "width_half": round(d.real(0, 500), 1),
        "tile_half": round(d.real(0, 200), 1),
        "memory": round(d.real(0.1, 1.0), 4),
        "activations": d.of([0.2, 1.0, 20.0]),
        "overhead": f"{d.real(1, 60):.3f} us",
        "per_pair": d.of([0.0, 1e-9]),
        "per_expert": d.of([0.0, 1e-7]),
        "vector_rows": d.of([0.0, 1.0, 8.0]),
    }


def _efficiency(d: Draw, dtypes: Sequence[str]) -> dict[str, Any]:
    """What kernels reach: shares up to the whole, overheads up to a slow launch."""
    own: dict[str, Any] = {
        "gemm": {
            dtype: {"compute": round(d.real(0.05, 1.0), 4), **_streaming(d)}
            for dtype in ("bf16", *some(d, ["int4", *dtypes], 3))
        },
        "attention_prefill": {
            width: {"peak": round(d.real(0.05, 1.0), 4), "half": round(d.real(0, 3000), 1)}
            for width in some(d, [32, 64, 96, 128, 192, 256], 4)
        },
        "attention_decode": {kv: _streaming(d) for kv in d.of([["bf16"], ["bf16", "fp8"]])},
        "elementwise": _streaming(d),
        "experts": {dtype: _expert_kernel(d) for dtype in some(d, ["bf16", "fp8", "mxfp4"], 3, 0)},
    }
    if d.of([True, False]):
        own["all_reduce"] = {
            n: {"one_shot": _shot(d), "two_shot": _shot(d)} | d.of([{}, {"large": _shot(d)}])
            for n in some(d, [2, 4, 8, 16], 3)
        }
    if d.of([True, False]):
        products = {dtype: round(d.real(0.1, 1), 3) for dtype in ("bf16", "fp8")}
        own["training"] = {"products": products, "attention": round(d.real(0.1, 1), 3)}
    return own


def chip(d: Draw, name: str = "drawn") -> dict[str, Any]:
    """The document of a chip: any wiring, 1 GiB to 4 TiB of memory, any peaks and any efficiencies."""
    topology = d.of(TOPOLOGIES)
    capacity = d.of([1, 8, 24, 79.5, 180, 1024, 4096])
    dtypes = some(d, ["fp8", "int8", "fp4"], 3)
    peak = d.of([5e12, 120e12, 1e15, 2.25e15, 40e15])
    return {
        "name": name,
        "title": "drawn at random",
        "vendor": "nobody",
        "dense_flops": {dtype: f"{peak * d.of([1, 2, 4]):.0f} FLOP/s" for dtype in ("bf16", *dtypes)},
        "hbm_capacity": f"{capacity} GiB",
        "hbm_usable": f"{capacity * d.of([1, 0.9]):.3f} GiB",
        "hbm_bandwidth": f"{d.of([50, 900, 3350, 7700, 50_000])} GB/s",
        "n_cores": d.of([1, 8, 100, 148, 1000]),
        "scaleup": {
            "topology": topology,
            "domain": d.of([4, 8, 16, 72, 256]),
            "bandwidth": f"{d.of([1, 31, 450, 900, 3000])} GB/s",
            "axis": d.of([1, 4, 16]),
        },
        "scaleout_bandwidth": f"{d.of([1, 12.5, 50, 400])} GB/s",
        "usd_per_chip_hour": d.of([0.1, 2.5, 40]),
        "power": "700 W",
        "alignment": {dtype: d.of([1, 8, 64, 128]) for dtype in ("bf16", *dtypes)},
        "tile": d.of([[128, 128], [64, 256], [1, 1]]),
        "efficiency": d.of([{}, _efficiency(d, dtypes), _efficiency(d, dtypes)]),
        "sources": {"default": "made up"},
    }


def training_setup(d: Draw, tensor_parallel: Sequence[int] = (1, 2, 4, 8)) -> dict[str, Any]:
    """A training setup of a dense model."""
    data, microbatch = d.of([1, 2, 16]), d.of([1, 2, 4])
    return {
        "tensor_parallel": d.of(tensor_parallel),
        "sequence_parallel": d.of([True, False]),
        "pipeline_parallel": d.of([1, 2, 4]),
        "data_parallel": data,
        "context_parallel": d.of([1, 2, 4]),
        "microbatch": microbatch,
        "global_batch": microbatch * data * d.of([1, 2, 8]),
        "sequence_length": d.of([256, 2048, 32768]),
        "recompute": d.of(["none", "selective", "full"]),
        "zero_stage": d.of([0, 1, 2, 3]),
        "engine": d.of(["megatron", "deepspeed", "pytorch", "torch_compile", "xla"]),
        "dtype": d.of(["bf16", "fp8", "mxfp8", "nvfp4"]),
        "flash_attention": d.of([True, False]),
        "dropout": d.of([True, False]),
        "overlap": d.of([True, False]),
        "gradient_bytes": d.of([2.0, 4.0]),
        "optimizer_bytes": d.of([0.0, 12.0]),
    }


def model(d: Draw) -> Architecture:
    """A dense model of any shape the spec accepts."""
    kv = d.of([1, 2, 3, 4, 8, 16])
    return Architecture.model_validate(
        {
            "name": "random",
            "d_model": d.whole(4, 128) * 64,
            "vocab_size": d.whole(1000, 260_000),
            "tied_embeddings": d.of([True, False]),
            "position_embeddings": d.of([0, 2048]),
            "n_layers": d.whole(1, 120),
            "n_heads": kv * d.whole(1, 12),
            "n_kv_heads": kv,
            "d_head": d.of([32, 64, 96, 128, 192, 256, 512]),
            "d_ff": d.whole(1, 400) * 64,
            "gated_ffn": d.of([True, False]),
            "ffn_bias": d.of([True, False]),
            "qkv_bias": d.of([True, False]),
            "output_bias": d.of([True, False]),
            "qk_norm": d.of([True, False]),
            "n_norms": d.whole(0, 4),
            "norm_bias": d.of([True, False]),
            "attention_window": d.of([None, 128, 4096]),
        }
    )


def plan(d: Draw) -> tuple[Frame, Architecture]:
    """A frame and an architecture in it."""
    own = model(d)
    return frame(d, own), own


def frame(d: Draw, own: Architecture) -> Frame:
    """A frame around a model: a chip of the catalogue or a drawn one, any engine, formats and traffic."""
    known = d.of([True, False])
    served = catalog.chip(d.of(sorted(catalog.chips()))) if known else Chip.model_validate(chip(d))
    run = TrainingRun(TrainingSetup.model_validate(training_setup(d)), d.of([served, catalog.chip("h100")]))
    t = d.of([1, 2, 4, 8])
    made = samples.frame(
        own,
        served,
        tensor_parallel=t,
        batch=d.whole(1, 512),
        weight_dtype=d.of(WEIGHTS),
        kv_dtype=d.of(CACHES),
        input_tokens=d.of([1, 100, 2048, 60_000]),
        output_tokens=d.of([1, 500]),
        training=run if _reaches(run) else None,
    )
    return replace(made, engine=Engine.model_validate(engine(d)))


def _reaches(run: TrainingRun) -> bool:
    """Whether the ranks of a job can send to each other."""
    return run.setup.n_chips <= run.chip.scaleup.domain or run.chip.scaleout_bandwidth is not None


def least_of(own: Frame, plan: Architecture, n_params: float, narrower: int = 1) -> Least:
    """What is known of the layers of a plan of so many parameters, in a frame with narrower kinds too."""
    return _known(own, plan, n_params, [_narrower(half, narrower) for half in _halves(plan)])


def least_among(own: Frame, plan: Architecture, kinds: Sequence[Kinds]) -> Least:
    """What is known of the layers of a plan by its parameters, and by all kinds it might have had."""
    found = [replace(half, **least(half, np.ones((1, len(half)), bool))) for half in kinds]
    return _known(own, plan, QUANTITIES["n_params"].total(own, plan), found)


def _halves(plan: Architecture) -> tuple[Any, Any]:
    return plan.first.mixer, plan.first.ffn


def _known(own: Frame, plan: Architecture, n_params: float, kinds: Sequence[Kinds]) -> Least:
    q, halves = QUANTITIES["n_params"], _halves(plan)
    stored = [block(half).weights(half, plan.d_model, 1) for half in halves]
    held = sum(w.matrix + w.experts for w in stored)
    vector = q.mixer(own, halves[0], plan.first.norms) + q.ffn(own, halves[1]) - held
    unmet = sum(block(half).unmet(half, plan.d_model) for half in halves if hasattr(block(half), "unmet"))
    mixers, ffn = kinds
    known = n_params - q.base(own), vector, mixers, ffn.take(0), plan.first.norms, unmet
    return Least(plan.n_layers, *known)


def _narrower(half: Any, by: int) -> Kinds:
    """A half as a lattice of one, each dimension as much less as costs rise with it, or more as they fall."""
    found = {}
    for name, said in half.dimensions().items():
        value = getattr(half, name)
        found[name] = np.array([{True: -(-value // by), False: value * by, None: value}[said.rises]])
    return kinds_like(half, **found)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="archsat-drawn-"))


def written(document: dict[str, Any]) -> str:
    """The path of a file with this document."""
    text = json.dumps(document, sort_keys=True)
    path = _folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return str(path)


RULES = ("tile_alignment", "kv_sharing", "ffn_ratio", "attention_ratio", "aspect_ratio")
CHIPS = ("nvidia-b200-sxm", "nvidia-h100-sxm", "amd-mi300x", "google-tpu-v6e", "nvidia-a100-80-sxm")
PADS: tuple[dict[str, int], ...] = (
    {"kv_heads": 1, "ffn": 128},
    {"heads": 1, "kv_heads": 1, "ffn": 32},
    {"heads": 2, "ffn": 1},
)
"""What engines round up where ranks do not divide it."""
METRICS = tuple(sorted(set(having("value")) - {"power_w"}))  # not every chip says its power
LIMITS: dict[str, list[float]] = {
    "tpot_ms_max": [1.0, 5.0, 30.0],
    "ttft_ms_max": [20.0, 200.0, 2000.0],
    "memory_gib_max": [9.0, 14.0, 30.0],
    "output_tokens_per_s_min": [50.0, 500.0],
    "loss_max": [2.2, 2.3, 2.4],
    "loss_increase_max": [0.0, 0.03, 0.1],
    "n_params_min": [1e9],
    "train_memory_gib_max": [30.0, 200.0],
}


def problem(d: Draw, metric: str | None = None) -> Problem:
    """A small problem on drawn chips and a drawn engine: some hundred to some thousand points."""
    d_model = some(d, [1024, 1536, 2048, 2560], 2)
    depth, splits = d.whole(8, 40), some(d, [1, 2, 3, 4, 5, 8], 2)
    architecture = {
        "vocab_size": d.of([32000, 50257, 128256]),
        "tied_embeddings": d.of([True, False]),
        "gated_ffn": d.of([True, False]),
        "qkv_bias": d.of([True, False]),
        "ffn_bias": d.of([True, False]),
        "qk_norm": d.of([True, False]),
        "attention_window": d.of([None, None, 256, 4096]),
        "d_model": d_model,
        "n_layers": list(range(depth, depth + d.whole(1, 9))),
        "n_heads": some(d, [8, 12, 16, 20, 24, 32], 6, 3),
        "n_kv_heads": some(d, [1, 2, 3, 4, 8, 16], 6, 3),
        "d_head": some(d, [64, 96, 128, 256], 4, 2),
        "d_ff": some(d, [2048, 4096, 5504, 6144, 7040, 8192, 11008], 7, 3),
    }
    if d.of([True, False]):
        size = d_model[0] ** 2 * 12 * depth + 2 * d_model[0] * architecture["vocab_size"]
        architecture |= {"n_params": size, "n_params_tolerance": d.of([0.03, 0.2, 0.5])}
    own = written(chip(d))
    setup = training_setup(d, [1]) | {"hardware": d.of(["nvidia-h100-sxm", own])}
    constraints: dict[str, Any] = {rule: False for rule in RULES if d.of([True, False])}
    constraints |= {bound: d.of(LIMITS[bound]) for bound in some(d, sorted(LIMITS), 2, 0)}
    return Problem.model_validate(
        {
            "name": "random",
            "architecture": architecture,
            "hardware": [own, *d.of([[], [d.of(CHIPS)]])],
            "deployment": {
                "tensor_parallel": splits,
                "weight_dtype": some(d, WEIGHTS, 2),
                "kv_dtype": some(d, CACHES, 2),
                "batch": some(d, [1, 16, 200], 2),
                "engine": d.of(["ideal", written(engine(d)), written(engine(d) | {"pads": d.of(PADS)})]),
            },
            "workload": {
                "input_tokens": d.of([1, 64, 2000, 32000]),
                "output_tokens": d.of([1, 128]),
                "requests_per_s": 3000.0,
            },
            "training_tokens": 2 * 10**12,
            "training": setup,
            "baseline": "Qwen/Qwen2.5-1.5B",
            d.of(["minimize", "maximize"]): metric or d.of(METRICS),
            "constraints": constraints,
        }
    )


def operators(d: Draw, tensor_parallel: int = 1) -> list[Operator]:
    """One operator of every sort, of any size."""
    rows, width, t = d.of([1, 7, 256, 8192]), d.of([64, 1000, 8192]), tensor_parallel
    heads, kv, head = d.of([1, 8, 64]), d.of([1, 8]), d.of([32, 64, 100, 128, 256])
    batch, context, queries = d.of([1, 64, 512]), d.of([1, 1000, 130_000]), d.of([1, 4])
    experts = d.of([8, 128])
    local = max(1, experts // d.of([1, 4, 8]))
    active, ranks = d.of([1, 8]), t * d.of([2, 8, 64])
    return [
        Gemm("gemm", rows, width, d.of([64, 4096]), d.of(["", "bf16"])),
        Products("products", rows, width * 777, width, 2 * width, d.of([1, 80])),
        DecodeAttention("decode", batch, context, heads, kv, head, queries),
        LatentAttention("latent", batch, context, heads, 512, 64, queries),
        PrefillAttention("prefill", rows, context, heads, kv, head, batch, d.of([0, 500]), d.of([1, 3])),
        Experts("experts", rows, width, d.of([100, 2048]), experts, active, local, d.of([True, False])),
        ExpertExchange("exchange", rows, width, experts, active, ranks, ranks, d.of([True, False])),
        Elementwise("elementwise", rows * width),
        AllReduce("all-reduce", rows * width * d.of([2, 2000])),
        Collective("gather", "all_gather", rows * width, d.of([2, 4]), t),
        Collective("all to all", "all_to_all", rows * width, d.of([2, 4]), t),
        StageTransfer("transfer", rows * width, d.of([1, 3])),
        Host("host", d.of([0.0, 1e-3])),
        ForSome(Gemm("gemm", rows, width, width // t), d.of([0, 1, 40])),
    ]


def rates(d: Draw, served: Chip | None = None) -> Roofline:
    """The rates of a rank of some chip, with any engine and formats."""
    known = served or Chip.model_validate(chip(d))
    wide = d.of([1, 2, 3, 4, 8, 16])
    return Roofline(
        known, Split(wide), Formats(d.of(WEIGHTS), d.of(CACHES)), Engine.model_validate(engine(d))
    )


def work(d: Draw) -> tuple[Roofline, list[Operator]]:
    """A rank and operators that it may run."""
    own = rates(d)
    return own, operators(d, own.split.tensor_parallel)


def deployment(d: Draw) -> DeploymentProblem:
    """A few replicas of a small model on one or two drawn chips, with a drawn engine."""
    offers = [
        {"chip": written(chip(d, name)), "max_count": d.of([4, 8]), "node": d.of([4, 8])}
        for name in d.of([["red"], ["red", "blue"]])
    ]
    minimize = d.of(["chips", "usd_per_hour", "power_w", None])
    return DeploymentProblem.model_validate(
        {
            "name": "random",
            "architecture": d.of(["Qwen/Qwen2.5-0.5B", "meta-llama/Llama-3.1-8B"]),
            "hardware": offers,
            "deployment": {
                "mode": d.of([["aggregated"], ["aggregated", "disaggregated"]]),
                "mix": d.of(["any", "same"]),
                "tensor_parallel": some(d, [1, 2, 4], 2),
                "context_parallel": some(d, [1, 2, 3], 2),
                "batch": d.of([1, 16, 200]),
                "weight_dtype": d.of(WEIGHTS),
                "kv_dtype": d.of(CACHES),
                "engine": written(engine(d)),
            },
            "workload": {"input_tokens": d.of([64, 2000]), "output_tokens": 128}
            | ({"requests_per_s": d.of([0.1, 2.0, 40.0])} if minimize else {}),
            "constraints": d.of([{}, {"tpot_ms_max": 50}, {"ttft_ms_max": 500}, {"chips_max": 6}]),
            **({"minimize": minimize} if minimize else {"maximize": "requests_per_s"}),
        }
    )
