"""Replica configurations from the cost model: every split, format and batch a deployment may choose.

One setup (chip, split, formats) is priced for all its batches at once. A split the model cannot run is left
out with the reason, and what needs no price to be ruled out is never priced.

Times and rates are those of `optimizer.cost.serving`; a prefill replica hands its cache over the slowest
network on offer before the first token counts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from optimizer import catalog
from optimizer.blocks import rule_words
from optimizer.columns.overflowing import overflowing
from optimizer.columns.replicas import Replicas
from optimizer.columns.rules import frame_values
from optimizer.columns.splits import unsplittable
from optimizer.columns.supply import Supply
from optimizer.cost import memory
from optimizer.cost.disaggregation import cache_on_a_chip
from optimizer.cost.frame import Frame
from optimizer.cost.placement import layouts, written
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.serving import aggregated, decode, most_scheduled, prefill
from optimizer.errors import InputError
from optimizer.plugins import plugins
from optimizer.scope import Scope, holds
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.dtypes import ARITHMETIC
from optimizer.watch import UNWATCHED, Stopped, Watch

BATCHES = tuple(sorted({*range(1, 65), *(round(64 * 2 ** (i / 16)) for i in range(1, 81))}))
"""Sequences in flight that are tried where a problem names none: all to 64, then steps of 4 % to 2048."""
_RULES = ("gqa_divisibility", "tensor_parallel_divisibility")
_WEIGHT_ONLY = ("int8", "int4", "mxfp4")
"""Formats that engines de-quantise on the fly where a chip has no arithmetic for them."""
UNPRICED = "no time to price them"
"""Why setups are left out that nobody looked at: no optimum is proven without them."""
NETWORK = 50e9
"""Bytes per second and chip of a network nobody stated: 400 Gbit/s."""


@dataclass(frozen=True)
class Setup:
    """How one replica is split, and its formats."""

    supply: Supply
    chip: Chip
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    data_parallel: int
    weight_dtype: str
    kv_dtype: str

    @property
    def chips(self) -> int:
        """Chips of the replica; experts are spread over chips it has anyway."""
        return self.tensor_parallel * self.pipeline_parallel * self.data_parallel

    @property
    def domain(self) -> int:
        """Chips that share scale-up links."""
        return self.supply.domain or self.chip.scaleup.domain

    def placements(self) -> dict[tuple[int, int], list[str]]:
        """The ways its chips may lie in domains, by what prices depend on: ranks together and runs of stages.

        Without a network only those that leave no domain.
        """
        split = (self.tensor_parallel, self.data_parallel, self.pipeline_parallel)
        found: dict[tuple[int, int], list[str]] = {}
        for layout in layouts(*split, self.domain):
            blocks = layout.blocks(*split[:2], self.domain)
            if sum(blocks.values()) == 1 or self.chip.scaleout_bandwidth is not None:
                found.setdefault((layout.ranks, len(layout.runs)), []).append(written(blocks))
        return found


def replica_columns(
    architecture: Architecture,
    supplies: Sequence[Supply],
    space: ReplicaSpace,
    traffic: Traffic,
    memory_share: float = 1.0,
    watch: Watch = UNWATCHED,
) -> tuple[Replicas, Counter[str]]:
    """Price every setup a problem allows; also count what was left out, by reason.

    `memory_share` of the usable memory is filled before anything goes to a second tier. When the watch is
    over the rest is left out as UNPRICED; Stopped if nothing is priced by then.
    """
    dropped: Counter[str] = Counter()
    tables: list[Replicas] = []
    network = min((_network(s) for s in supplies), default=NETWORK)
    for number, setup in enumerate(setups(supplies, space)):
        if watch.over:
            dropped[UNPRICED] += n_setups(supplies, space) - number
            break
        why = unrunnable(architecture, setup)
        if why:
            dropped[why] += 1
            continue
        for second, (together, ways) in product(space.second_tier, setup.placements().items()):
            if watch.over:  # a setup may lie in many ways
                dropped[UNPRICED] += 1
                break
            share = memory_share if second else None
            try:
                for mode in _modes(space):
                    priced = _priced(architecture, setup, together, mode, space, traffic, network, share)
                    tables += [priced.lying(domains) for domains in ways]
            except InputError as error:  # a figure this setup needs is not known: a network, a second tier
                dropped[str(error)] += 1
    if not tables and UNPRICED in dropped:
        raise Stopped
    if not tables:
        reasons = "; ".join(f"{why} ({n})" for why, n in dropped.most_common(4))
        raise InputError(f"deployment: no setup can run {architecture.name}: {reasons}")
    return Replicas.together(tables), dropped


def _modes(space: ReplicaSpace) -> Iterator[str]:
    if "aggregated" in space.mode:
        yield "aggregated"
    if {"disaggregated", "separated"} & set(space.mode):
        yield "prefill"
    if "disaggregated" in space.mode:
        yield "decode"


def setups(supplies: Sequence[Supply], space: ReplicaSpace) -> Iterator[Setup]:
    """Every combination of chip, split and formats."""
    for supply in supplies:
        if supply.chip is None:
            raise InputError(f"hardware: {supply.name} is not in the catalogue, and there is no table of it")
        for split in product(*_choices(space)):
            yield Setup(supply, supply.chip, *split)


def n_setups(supplies: Sequence[Supply], space: ReplicaSpace) -> int:
    """How many combinations `setups` gives."""
    return len(supplies) * prod(len(values) for values in _choices(space))


def _choices(space: ReplicaSpace) -> tuple[Sequence[Any], ...]:
    return (*vars(space.split).values(), *space.formats.said().values())


def unrunnable(architecture: Architecture, setup: Setup) -> str:
    """Why a setup cannot run a model at all; '' if it can."""
    chip = setup.chip
    if why := without_arithmetic(chip, setup.weight_dtype):
        return why
    if setup.tensor_parallel > (setup.supply.node or setup.tensor_parallel):
        return f"tensor_parallel {setup.tensor_parallel} is wider than a node of {chip.name}"
    if not setup.placements():
        return f"{setup.chips} chips leave the domain of {chip.name}, which states no network"
    frame = frame_of(architecture, setup, ReplicaSpace(), Traffic(input_tokens=1, output_tokens=1), 1)
    for name, why in unsplittable(architecture, frame).items():
        return f"{name} {getattr(setup, name)}: {why}"
    broken = next((name for name in _RULES if not _keeps(name, architecture, frame)), "")
    return f"tensor_parallel {setup.tensor_parallel} breaks {broken}" if broken else ""


def without_arithmetic(chip: Chip, weight_dtype: str) -> str:
    """Why a chip cannot compute with weights of a format; '' if it can."""
    wanted = ARITHMETIC[weight_dtype]
    if wanted in chip.dense_flops or weight_dtype in _WEIGHT_ONLY:
        return ""
    return f"{chip.name} has no {wanted} arithmetic for {weight_dtype} weights"


def _keeps(name: str, architecture: Architecture, frame: Frame) -> bool:
    facts = {**frame_values(frame), "n_layers": architecture.n_layers}
    groups = [rule_words(g.block.mixer) | rule_words(g.block.ffn) for g in architecture.layers]
    anywhere = {word: value for group in reversed(groups) for word, value in group.items()}
    rule = plugins("constraints")[name].rule
    return all(
        bool(holds(rule(Scope(facts | anywhere | group, facts.__getitem__), True)).all()) for group in groups
    )


def frame_of(a: Architecture, setup: Setup, space: ReplicaSpace, traffic: Traffic, batch: Any) -> Frame:
    """The frame one setup runs in, for one batch or an array of them."""
    return Frame(
        chip=setup.chip,
        tensor_parallel=setup.tensor_parallel,
        pipeline_parallel=setup.pipeline_parallel,
        data_parallel=setup.data_parallel,
        expert_parallel=setup.expert_parallel,
        batch=batch,
        weight_dtype=setup.weight_dtype,
        kv_dtype=setup.kv_dtype,
        expert_dtype=_expert_dtype(a, setup.weight_dtype),
        d_model=a.d_model,
        vocab_size=a.vocab_size,
        tied_embeddings=a.tied_embeddings,
        input_tokens=traffic.input_tokens,
        output_tokens=traffic.output_tokens,
        training_tokens=0.0,
        engine=catalog.engine(space.engine, host_ms=space.host_ms, reserve_gib=space.reserve_gib),
        position_embeddings=a.position_embeddings,
        n_norms=a.first.n_norms,
        norm_bias=a.first.norm_bias,
        prefix_tokens=traffic.prefix_tokens,
        draft_tokens=space.draft_tokens,
        draft_acceptance=space.draft_acceptance,
        draft_cost=space.draft_cost,
    )


def _priced(
    a: Architecture,
    setup: Setup,
    together: tuple[int, int],
    mode: str,
    space: ReplicaSpace,
    traffic: Traffic,
    network: float,
    share: float | None,
) -> Replicas:
    """All batches of one setup in one mode, those that no chip could hold left to the memory rule.

    `together`: attention ranks in one domain, and runs of stages that are.

    With a `share`, what is over that share of the fast memory goes to the chip's second tier.
    """
    frame = _all_batches(a, setup, mode, space, traffic)
    frame = replace(frame, ranks_together=together[0], stage_runs=together[1])
    least, slow = dict[str, Any](), 0.0
    held = QUANTITIES["memory_bytes"].total(frame, a) / memory.GIB
    if share is not None:
        tiers = overflowing(frame, a, share)
        frame, least = _some_batches(frame, tiers.kept), dict(tiers.least)
        held, slow = tiers.memory_gib, tiers.second_tier_gib
    served = _SERVED[mode](frame, a, least)
    ttft = served.ttft_s
    if mode == "prefill":
        ttft = ttft + cache_on_a_chip(frame, a) / network
    return Replicas.filled(
        len(frame.batch),
        mode=mode,
        chip=setup.chip.name,
        tensor_parallel=setup.tensor_parallel,
        pipeline_parallel=setup.pipeline_parallel,
        expert_parallel=setup.expert_parallel,
        data_parallel=setup.data_parallel,
        batch=frame.batch,
        weight_dtype=setup.weight_dtype,
        kv_dtype=setup.kv_dtype,
        chips=setup.chips,
        requests_per_s=served.requests_per_s,
        ttft_ms=1e3 * ttft,
        tpot_ms=1e3 * served.tpot_s,
        memory_gib=held,
        label="cost model",
        second_tier_gib=slow,
    )


def _all_batches(a: Architecture, setup: Setup, mode: str, space: ReplicaSpace, traffic: Traffic) -> Frame:
    lanes = setup.pipeline_parallel * setup.data_parallel
    if mode == "prefill":
        together = np.array(space.prefill_batch)
        return replace(frame_of(a, setup, space, traffic, lanes * together), prefill_batch=together)
    batch = np.array(space.batch or [lanes * b for b in BATCHES])
    batch = batch[batch % lanes == 0]
    frame = frame_of(a, setup, space, traffic, batch)
    return replace(frame, batch=batch[batch <= most_scheduled(frame)]) if mode == "aggregated" else frame


def _some_batches(frame: Frame, kept: Any) -> Frame:
    prompts = frame.prefill_batch if np.ndim(frame.prefill_batch) == 0 else frame.prefill_batch[kept]
    return replace(frame, batch=frame.batch[kept], prefill_batch=prompts)


_SERVED = {"aggregated": aggregated, "prefill": prefill, "decode": decode}


def _expert_dtype(a: Architecture, weight_dtype: str) -> str:
    """A model published with experts in one format keeps it under 16-bit weights."""
    return a.expert_dtype if a.expert_dtype and weight_dtype == "bf16" else ""


def _network(supply: Supply) -> float:
    chip = supply.chip
    return (chip.scaleout_bandwidth if chip else None) or NETWORK
