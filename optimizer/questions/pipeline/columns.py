"""What a layer of each kind costs on each stage of a pipeline of unlike chips: time, memory, fixed parts.

Prices are those of `cost.quantities`, which price pipelines of like chips: a token takes a round of as many
turns as there are stages, each as long as the slowest stage's layers and what a turn has outside them (the
host, the look-up on the first stage's chips, the logits on the last's), and the hand-overs once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from optimizer import catalog
from optimizer.blocks.operators import Gemm, Host, StageTransfer
from optimizer.columns.replica import Replica
from optimizer.columns.replica_costs import NETWORK, unrunnable
from optimizer.columns.supply import Supply
from optimizer.cost import memory
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import (
    CHUNKED,
    JOINED,
    QUANTITIES,
    Quantity,
    passes,
    roofline,
    shared_operators,
    step_of,
)
from optimizer.cost.serving import most_scheduled
from optimizer.errors import InputError
from optimizer.questions.pipeline.problem import PipelineProblem, StageGroup
from optimizer.spec.architecture import Architecture
from optimizer.spec.deployment import as_stored
from optimizer.spec.setup import Setup
from optimizer.spec.split import Split

Ways = tuple[tuple[int, int], ...]
"""For each group of chips: the chips of a stage, and how many stages it has; the rest of it is idle."""


@dataclass(frozen=True)
class StageCosts:
    """Costs in seconds and bytes; matrices are kinds of layers by stages."""

    setups: tuple[Replica, ...]
    batch: int
    """Sequences in one stage at a time."""
    time_s: list[list[float]]
    """A layer in the steady state: a token of every sequence, and the prompts that keep the batch full."""
    fixed_s: float
    """Outside the layers, once a token."""
    prompt_s: list[list[float]]
    """The same for a step that carries one whole prompt: the path of a first token."""
    prompt_fixed_s: float
    memory: list[list[float]]
    base_memory: list[float]
    rooms: list[float]
    """Bytes that the engine fills of each chip of a stage."""

    @property
    def stages(self) -> int:
        """Stages in use."""
        return len(self.setups)


def ways_of(group: StageGroup, supply: Supply, uneven: bool = False) -> list[tuple[int, int]]:
    """Chips of a stage and number of stages of each way to use a group, all of it or part; idle is first.

    `uneven`: whether the engine runs numbers of ranks that divide no heads.
    """
    usual = range(1, group.chips + 1) if uneven else tuple(2**i for i in range(10))
    wanted = group.tensor_parallel or usual
    degrees = [t for t in wanted if group.chips % t == 0 and t <= (supply.node or t)]
    return [(1, 0)] + [(t, n) for t in degrees for n in range(1, group.chips // t + 1)]


class StagePrices:
    """Prices of one model's stages, each kind of stage priced once."""

    def __init__(self, a: Architecture, problem: PipelineProblem) -> None:
        d, w = problem.deployment, problem.workload
        self.a = a
        self.formats = as_stored(d, a.checkpoint).formats
        self.engine = catalog.engine(d.engine, **d.figures)
        self.common = Setup(
            input_tokens=w.input_tokens,
            output_tokens=w.output_tokens,
            training_tokens=0.0,
            engine=self.engine,
        )
        self._parts: dict[tuple[str, int, int, int], _Part] = {}
        self._reasons: dict[tuple[str, int], str] = {}

    def setups_of(self, supplies: Sequence[Supply], ways: Ways) -> tuple[Replica, ...]:
        """The stages in order."""
        found: list[Replica] = []
        for supply, (t, n) in zip(supplies, ways, strict=True):
            found += [Replica(supply, supply.known, Split(tensor_parallel=t), self.formats)] * n
        return tuple(found)

    def why_not(self, setup: Replica) -> str:
        """Why a stage cannot run; '' if it can."""
        key = (setup.chip.name, setup.split.tensor_parallel)
        if key not in self._reasons:
            self._reasons[key] = unrunnable(self.a, setup, self.common)
        return self._reasons[key]

    def layer_s(self, setup: Replica, batch: int) -> list[float]:
        """Seconds of a layer of each kind in the steady state, however many stages there are."""
        return self._part(setup, batch, 1).layer_s

    def host_s(self, setup: Replica, batch: int) -> float:
        """Seconds of the host for each token, however many stages there are."""
        frame = self._part(setup, batch, 1).frame
        return _outside(frame, "mixed", Host)

    def priced(self, setups: tuple[Replica, ...], batch: int) -> StageCosts | str:
        """Costs of one structure at one batch, or why it cannot run."""
        if why := next(filter(None, map(self.why_not, setups)), ""):
            return why
        if len(setups) > self.a.n_layers:
            return f"more stages than the {self.a.n_layers} layers"
        parts = [self._part(setup, batch, len(setups)) for setup in setups]
        if batch * len(setups) > most_scheduled(parts[0].frame):
            return "more sequences than the engine's schedule has room for"
        try:
            fixed = [_fixed(parts, setups, phase) for phase in ("mixed", "joined")]
        except InputError as error:
            return str(error)
        ends = [s in (0, len(parts) - 1) for s in range(len(parts))]
        kinds = range(len(self.a.layers))
        return StageCosts(
            setups=setups,
            batch=batch,
            time_s=[[p.layer_s[k] for p in parts] for k in kinds],
            fixed_s=fixed[0],
            prompt_s=[[p.prompt_layer_s[k] for p in parts] for k in kinds],
            prompt_fixed_s=fixed[1],
            memory=[[p.layer_bytes[k] for p in parts] for k in kinds],
            base_memory=[
                p.shared_bytes + p.table_bytes * end + p.logits_bytes * (s == len(parts) - 1)
                for s, (p, end) in enumerate(zip(parts, ends, strict=True))
            ],
            rooms=[room_bytes(p.frame.chip, p.frame.engine) for p in parts],
        )

    def _part(self, setup: Replica, batch: int, stages: int) -> "_Part":
        key = (setup.chip.name, setup.split.tensor_parallel, batch, stages)
        if key not in self._parts:
            self._parts[key] = _part(self.a, self.common, setup, batch, stages)
        return self._parts[key]


@dataclass(frozen=True)
class _Part:
    frame: Frame
    layer_s: list[float]
    prompt_layer_s: list[float]
    layer_bytes: list[float]
    shared_bytes: float
    table_bytes: float
    logits_bytes: float


def _part(a: Architecture, common: Setup, stage: Replica, batch: int, stages: int) -> _Part:
    """Costs of one kind of stage, in the frame of a replica all of whose stages are of this kind."""
    whole = replace(stage, split=replace(stage.split, pipeline_parallel=stages))
    frame = whole.frame(a, common, batch=batch * stages)

    def layers(quantity: Quantity) -> list[float]:
        return [float(quantity.layer(frame, group.block)) for group in a.layers]

    return _Part(
        frame=frame,
        layer_s=layers(QUANTITIES["mixed_s"]),
        prompt_layer_s=layers(JOINED),
        layer_bytes=layers(QUANTITIES["memory_bytes"]),
        shared_bytes=float(memory.working_bytes(frame) + memory.reserve_bytes(frame)),
        table_bytes=float(memory.embedding_bytes(frame)),
        logits_bytes=float(memory.logits_bytes(frame)),
    )


def _fixed(parts: Sequence[_Part], setups: Sequence[Replica], phase: str) -> float:
    """What is outside the layers: the look-up on the first stage, the logits on the last, all hand-overs."""
    first, last = parts[0].frame, parts[-1].frame
    ends = _outside(first, phase, Host) + _outside(last, phase, Gemm)
    lookup = _outside(first, phase, (Host, Gemm, StageTransfer), but=True)
    sent = sum(
        _hop_s(x.frame, y.frame, inside, phase)
        for (x, y), inside in zip(pairwise(parts), together(setups), strict=True)
    )
    return ends + lookup + sent


def _outside(frame: Frame, phase: str, kinds: Any, but: bool = False) -> float:
    found = [op for op in shared_operators(frame, phase) if isinstance(op, kinds) is not but]
    turns = 1 if phase in CHUNKED else frame.split.pipeline_parallel
    return turns * _times(frame, phase) * float(roofline(frame).seconds(found))


def _times(frame: Frame, phase: str) -> float:
    return float(passes(frame)) if phase in CHUNKED else 1.0


def together(setups: Sequence[Replica]) -> list[bool]:
    """Whether each stage lies in the domain of the one before it: domains are filled one after the other."""
    found, used = [], setups[0].split.tensor_parallel
    for x, y in pairwise(setups):
        used += y.split.tensor_parallel
        inside = x.chip.name == y.chip.name and used <= y.domain
        used = used if inside else y.split.tensor_parallel
        found.append(inside)
    return found


def _hop_s(sender: Frame, receiver: Frame, inside: bool, phase: str) -> float:
    """Seconds to hand activations to the next stage: inside a domain, or over the slower of two networks."""
    step = step_of(sender, phase)
    hop = [StageTransfer("stage hand-over", step.rows * 2 * step.d_model, 1)]
    ends = [sender] if sender.chip.name == receiver.chip.name else [_networked(sender), _networked(receiver)]
    seconds = [float(roofline(replace(f, stage_runs=1 if inside else 2)).seconds(hop)) for f in ends]
    return _times(sender, phase) * max(seconds)


def _networked(frame: Frame) -> Frame:
    """Between unlike chips there is a network, though their files state none."""
    if frame.chip.scaleout_bandwidth is not None:
        return frame
    return replace(frame, chip=frame.chip.with_network(NETWORK, "assumed"))
