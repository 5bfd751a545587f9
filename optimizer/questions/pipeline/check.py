"""The independent check of a pipeline: times, memory, totals and limits again, from its stages.

It shares no code with `columns` or `solver`. The layers of each stage are priced as a model of their own, by
the totals that price whole models; what is outside the layers is priced operator by operator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from optimizer import catalog
from optimizer.blocks import embedding
from optimizer.cost import memory
from optimizer.cost.collectives import point_to_point_s
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.memory_room import room_bytes
from optimizer.cost.quantities import JOINED, QUANTITIES, Quantity, n_chunks, roofline, step_of
from optimizer.cost.serving import most_scheduled
from optimizer.questions.pipeline.problem import PipelineProblem
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import as_stored
from optimizer.spec.setup import Setup

_NOISE = 1e-9
_NETWORK = 50e9
"""Bytes a second between unlike chips whose files state no network: 400 Gbit/s."""


@dataclass(frozen=True)
class PipelineCheck:
    """Recomputes one split: (chip, tensor_parallel) of each stage, layers as kinds by stages."""

    model: Architecture
    problem: PipelineProblem
    stages: tuple[tuple[Chip, int], ...]
    counts: tuple[tuple[int, ...], ...]
    batch: int
    limits: Mapping[str, float | None]
    """`tpot_ms_max`, `ttft_ms_max`, and `memory_capacity` as a share of what is usable; None: any."""

    @cached_property
    def frames(self) -> list[Frame]:
        """Each stage's, as if all were alike."""
        d, w, own = self.problem.deployment, self.problem.workload, self.model.checkpoint
        setup = Setup(
            **vars(as_stored(d, own).formats),
            batch=self.batch * len(self.stages),
            input_tokens=w.input_tokens,
            output_tokens=w.output_tokens,
            training_tokens=0.0,
            engine=catalog.engine(d.engine, **d.figures),
        )
        return [
            frame_of(self.model, chip, replace(setup, tensor_parallel=t, pipeline_parallel=len(self.stages)))
            for chip, t in self.stages
        ]

    def _layers_of(self, s: int) -> Architecture:
        groups = [
            group.changed(count=row[s])
            for group, row in zip(self.model.layers, self.counts, strict=True)
            if row[s]
        ]
        return self.model.changed(layers=tuple(groups))

    def _layers_s(self, quantity: Quantity) -> list[float]:
        """Seconds of the layers of each stage, for one turn."""
        found = []
        for s, frame in enumerate(self.frames):
            own = self._layers_of(s)
            whole = quantity.total(frame, own) - float(quantity.base(frame))
            turns = memory.stage_share(len(self.stages), own.n_layers) * len(self.stages)
            found.append(whole / turns if len(self.stages) > 1 else whole)
        return found

    @cached_property
    def stage_s(self) -> list[float]:
        """Seconds of each stage's layers in the steady state."""
        return self._layers_s(QUANTITIES["mixed_s"])

    def _fixed_s(self, phase: str, times: float, sends: float) -> float:
        """Host, look-up and logits so many times, and hand-overs."""
        first, last = self.frames[0], self.frames[-1]
        step, engine = step_of(first, phase), first.engine
        lookup = embedding.operators(step, first.vocab_size)[:1]
        logits = embedding.operators(step_of(last, phase), last.vocab_size)[1:]
        host = engine.host_ms * 1e-3 + engine.host_us_per_sequence * 1e-6 * float(step.batch)
        sent, filled = 0.0, first.split.tensor_parallel
        for x, y in zip(self.frames, self.frames[1:], strict=False):
            filled += y.split.tensor_parallel
            like, size = x.chip.name == y.chip.name, 2.0 * float(step.rows) * x.d_model
            inside = like and filled <= y.chip.scaleup.domain
            filled = filled if inside else y.split.tensor_parallel
            ends = [x] if like else [x, y]
            sent += max(float(_sent_s(size / f.split.tensor_parallel, f.chip, inside, like)) for f in ends)
        ends_s = float(roofline(first).seconds(lookup)) + float(roofline(last).seconds(logits))
        return times * (host + ends_s) + sends * sent

    @cached_property
    def round_s(self) -> float:
        """Seconds between two tokens of a sequence: a turn of every stage, as long as the slowest."""
        turns = len(self.stages)
        return self._fixed_s("mixed", turns, 1.0) + turns * max(self.stage_s)

    @cached_property
    def ttft_s(self) -> float:
        """Seconds to the first token: half a round of waiting, and the prompt's own chunks."""
        chunks, p = float(n_chunks(self.frames[0])), len(self.stages)
        own, passes = p * max(self._layers_s(JOINED)), (chunks + p - 1) / p
        return self.round_s / 2 + self._fixed_s("joined", passes, passes) + own

    def memory(self, s: int) -> float:
        """Bytes on each chip of a stage."""
        frame, own = self.frames[s], self._layers_of(s)
        held, last = QUANTITIES["memory_bytes"], len(self.stages) - 1
        layers = held.total(frame, own) - float(held.base(frame))
        share = memory.stage_share(len(self.stages), own.n_layers) if last else 1.0
        logits = float(memory.logits_bytes(frame))
        rest = float(memory.activation_bytes(frame) + memory.reserve_bytes(frame)) - logits
        table = float(memory.embedding_bytes(frame)) if s in (0, last) else 0.0
        return float(layers / share + rest + table + (logits if s == last else 0.0))

    def metrics(self) -> dict[str, float]:
        """What users of the replica see, and all its chips, idle ones too."""
        groups = self.problem.pipeline.stages
        rate = self.batch * len(self.stages) / self.round_s
        return {
            "stage_ms": 1e3 * self.round_s / len(self.stages),
            "tpot_ms": 1e3 * self.round_s,
            "ttft_ms": 1e3 * self.ttft_s,
            "output_tokens_per_s": rate,
            "requests_per_s": rate / self.problem.workload.output_tokens,
            "chips": float(sum(group.chips for group in groups)),
        }

    def broken(self, claimed: Mapping[str, float]) -> list[str]:
        """What this plan breaks: the split itself, limits of the problem, figures that are not as claimed."""
        placed = [sum(row) for row in self.counts]
        found = [] if placed == [group.count for group in self.model.layers] else ["layers"]
        if any(not any(column) or min(column) < 0 for column in zip(*self.counts, strict=True)):
            return [*found, "stages"]
        if not self._on_offer():
            found.append("chips")
        if self.frames[0].batch > most_scheduled(self.frames[0]) or (
            self.batch not in self.problem.deployment.batch
        ):
            found.append("batch")
        share = self.limits.get("memory_capacity")
        if share is not None and any(
            self.memory(s) > share * room_bytes(frame.chip, frame.engine) * (1 + _NOISE)
            for s, frame in enumerate(self.frames)
        ):
            found.append("memory_capacity")
        metrics = self.metrics()
        for name in ("tpot_ms", "ttft_ms"):
            limit = self.limits.get(f"{name}_max")
            if limit is not None and metrics[name] > limit * (1 + _NOISE):
                found.append(f"{name}_max")
        wrong = (n for n, v in metrics.items() if abs(claimed.get(n, -1.0) - v) > _NOISE * abs(v))
        return [*found, *wrong]

    def _on_offer(self) -> bool:
        """Whether the stages are parts of the groups, in order, each group cut one way."""
        left = list(self.stages)
        for group in self.problem.pipeline.stages:
            name = catalog.chip(group.chip, self.problem.documents).name
            taken, size = 0, 0
            while left and left[0][0].name == name and taken + left[0][1] <= group.chips:
                if size not in (0, left[0][1]):
                    break
                size = left.pop(0)[1]
                taken += size
            if size and (group.chips % size or size not in (group.tensor_parallel or (size,))):
                return False
        return not left


def _sent_s(size: float, chip: Chip, inside: bool, like: bool) -> float:
    """Seconds of one hand-over of so many bytes a chip."""
    if not like and chip.scaleout_bandwidth is None:
        chip = chip.with_network(_NETWORK, "assumed")
    return float(point_to_point_s(size, chip, inside)[0])
