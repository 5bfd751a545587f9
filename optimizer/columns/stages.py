"""What a layer of each kind costs on each stage of a pipeline of unlike chips: time, memory, fixed parts.

Times are those of continuous batching: a token of every sequence in the stage, and the prompts that keep the
batch full. The first stage looks up embeddings, the last makes the logits, every stage but the last sends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

from optimizer.blocks.operators import Elementwise, Gemm, Host, Operator
from optimizer.columns.replica_costs import NETWORK, Setup, frame_of, unrunnable
from optimizer.columns.supply import Supply
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import (
    JOINED,
    QUANTITIES,
    Quantity,
    passes,
    roofline,
    shared_operators,
    step_of,
)
from optimizer.spec.architecture import Architecture, Block
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.dtypes import BYTES
from optimizer.spec.pipeline import PipelineProblem, StageGroup


@dataclass(frozen=True)
class StageCosts:
    """Costs in seconds and bytes; matrices are kinds of layers by stages."""

    setups: tuple[Setup, ...]
    batch: int
    time_s: list[list[float]]
    base_s: list[float]
    prompt_s: list[list[float]]
    """The same for a step that carries one whole prompt: the path of a first token."""
    prompt_base_s: list[float]
    memory: list[list[float]]
    base_memory: list[float]


def structures(problem: PipelineProblem, supplies: Sequence[Supply]) -> Iterator[tuple[Setup, ...]]:
    """Every way to cut each group of chips into equal stages."""
    choices = []
    for group, supply in zip(problem.pipeline.stages, supplies, strict=True):
        choices.append([_stages(problem, group, supply, t) for t in _degrees(group, supply)])
    for chosen in product(*choices):
        yield tuple(setup for group in chosen for setup in group)


def _degrees(group: StageGroup, supply: Supply) -> list[int]:
    wanted = group.tensor_parallel or tuple(2**i for i in range(10))
    return [t for t in wanted if group.chips % t == 0 and t <= (supply.node or t)]


def _stages(problem: PipelineProblem, group: StageGroup, supply: Supply, t: int) -> list[Setup]:
    d, n = problem.deployment, group.chips // t
    chip: Any = supply.chip
    return [Setup(supply, chip, t, 1, 1, 1, d.weight_dtype, d.kv_dtype)] * n


def priced(
    a: Architecture, problem: PipelineProblem, setups: tuple[Setup, ...], batch: int
) -> StageCosts | str:
    """Costs of one structure at one batch, or why it cannot run."""
    for setup in setups:
        if why := unrunnable(a, setup):
            return why
    if len(setups) > a.n_layers:
        return f"{len(setups)} stages are more than the layers"
    by_setup = {key: _one(a, problem, setup, batch, len(setups)) for key, setup in _distinct(setups).items()}
    parts = [by_setup[_key(s)] for s in setups]
    last = len(setups) - 1
    widths = [min(_network(x.chip), _network(y.chip)) for x, y in pairwise(setups)]
    base: list[float] = []
    prompt_base: list[float] = []
    for s, part in enumerate(parts):
        for found, fixed in ((base, part.fixed), (prompt_base, part.prompt_fixed)):
            rows = fixed.rows
            sent = 0.0 if s == last else rows * 2.0 * a.d_model / setups[s].tensor_parallel / widths[s]
            ends = fixed.first_s * (s == 0) + fixed.last_s * (s == last)
            found.append(fixed.host_s + sent + ends)
    kinds = range(len(a.layers))
    return StageCosts(
        setups=setups,
        batch=batch,
        time_s=[[p.layer_s[k] for p in parts] for k in kinds],
        base_s=base,
        prompt_s=[[p.prompt_layer_s[k] for p in parts] for k in kinds],
        prompt_base_s=prompt_base,
        memory=[[p.layer_bytes[k] for p in parts] for k in kinds],
        base_memory=[p.shared_bytes + p.table_bytes * ((s == 0) + (s == last)) for s, p in enumerate(parts)],
    )


@dataclass(frozen=True)
class _Fixed:
    rows: float
    host_s: float
    first_s: float
    last_s: float


@dataclass(frozen=True)
class _Part:
    layer_s: list[float]
    prompt_layer_s: list[float]
    fixed: _Fixed
    prompt_fixed: _Fixed
    layer_bytes: list[float]
    shared_bytes: float
    table_bytes: float


def _key(setup: Setup) -> tuple[str, int]:
    return setup.chip.name, setup.tensor_parallel


def _distinct(setups: Sequence[Setup]) -> dict[tuple[str, int], Setup]:
    return {_key(setup): setup for setup in setups}


def _one(a: Architecture, problem: PipelineProblem, setup: Setup, batch: int, stages: int) -> _Part:
    """Costs of one kind of stage."""
    d, w = problem.deployment, problem.workload
    size = Traffic(input_tokens=w.input_tokens, output_tokens=w.output_tokens)
    space = ReplicaSpace(engine=d.engine, host_ms=d.host_ms, reserve_gib=d.reserve_gib)
    frame = frame_of(a, setup, space, size, batch)
    held = replace(frame, batch=batch * stages)
    table = frame.vocab_size * frame.d_model * BYTES["bf16"] / frame.tensor_parallel
    logits = 4.0 * batch * frame.vocab_size / frame.tensor_parallel
    reserve = frame.engine.reserve_gib * memory.GIB
    return _Part(
        layer_s=[_layer_s(QUANTITIES["mixed_s"], frame, group.block) for group in a.layers],
        prompt_layer_s=[_layer_s(JOINED, frame, group.block) for group in a.layers],
        fixed=_fixed(frame, "mixed", 1.0),
        prompt_fixed=_fixed(frame, "joined", float(passes(frame))),
        layer_bytes=[_layer_bytes(held, group.block) for group in a.layers],
        shared_bytes=float(memory.activation_bytes(frame) - logits + reserve),
        table_bytes=table + logits / 2,
    )


def _layer_s(quantity: Quantity, frame: Frame, layer: Block) -> float:
    own = replace(frame, n_norms=layer.n_norms, norm_bias=layer.norm_bias)
    return float(quantity.mixer(own, layer.mixer) + quantity.ffn(own, layer.ffn))


def _fixed(frame: Frame, phase: str, times: float) -> _Fixed:
    """What is outside the layers: host, embeddings and logits."""
    rates, step = roofline(frame), step_of(frame, phase)
    outside = shared_operators(frame, phase)
    head: list[Operator] = [op for op in outside if isinstance(op, Gemm)]
    lookup: list[Operator] = [op for op in outside if isinstance(op, Elementwise)]
    host: list[Operator] = [op for op in outside if isinstance(op, Host)]
    return _Fixed(
        rows=times * float(step.rows),
        host_s=times * float(rates.seconds(host)),
        first_s=times * float(rates.seconds(lookup)),
        last_s=times * float(rates.seconds(head)),
    )


def _layer_bytes(frame: Frame, layer: Block) -> float:
    own = replace(frame, n_norms=layer.n_norms, norm_bias=layer.norm_bias)
    mixer, ffn = memory.attention_bytes(layer.mixer, own), memory.ffn_bytes(layer.ffn, own)
    return float(mixer + memory.norm_bytes(own) + ffn)


def _network(chip: Chip) -> float:
    return chip.scaleout_bandwidth or NETWORK
