"""Replica configurations from the cost model: every split, format and batch a deployment may choose.

One setup (chip, split, formats) is priced for all its batches at once. A split the model cannot run is left
out with the reason, and what needs no price to be ruled out is never priced.

Times and rates are those of `columns.setup_rows`; a prefill replica hands its cache over the slowest
network on offer before the first token counts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from optimizer import catalog
from optimizer.columns.operating_points import BATCHES
from optimizer.columns.overflowing import overflowing
from optimizer.columns.replica import Replica, common
from optimizer.columns.replicas import Replicas
from optimizer.columns.rules import frame_values, layer_words, of_shares
from optimizer.columns.setup_rows import Rows, some_batches
from optimizer.columns.supply import Supply
from optimizer.cost import memory
from optimizer.cost.disaggregation import cache_on_a_chip
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import QUANTITIES
from optimizer.cost.serving import most_scheduled
from optimizer.degrees import unsplittable
from optimizer.errors import InputError
from optimizer.plugins import plugins
from optimizer.scope import Scope, holds
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.dtypes import ARITHMETIC
from optimizer.spec.engine import engine_name
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats, Split
from optimizer.watch import UNWATCHED, Stopped, Watch

_RULES = ("gqa_divisibility", "tensor_parallel_divisibility")
_WEIGHT_ONLY = ("int8", "int4", "mxfp4")
"""Formats that engines de-quantise on the fly where a chip has no arithmetic for them."""
UNPRICED = "no time to price them"
"""Why setups are left out that nobody looked at: no optimum is proven without them."""
NO_SLOTS = "deployment.batch leaves no slot for requests that come at random"
NETWORK = 50e9
"""Bytes per second and chip of a network nobody stated: 400 Gbit/s."""


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
    network = slowest_network(supplies)
    several = len(space.engines) > 1
    asked = product(map(engine_name, space.engines), replicas_of(supplies, space))
    for number, (engine, replica) in enumerate(asked):
        if watch.over:
            dropped[UNPRICED] += n_replicas(supplies, space) - number
            break
        setup = common(space, traffic, engine)
        why = unrunnable(architecture, replica, setup, asks_for(space, "tensor_parallel"))
        if why:
            dropped[why] += 1
            continue
        for second, (together, ways) in product(space.second_tier, replica.placements().items()):
            if watch.over:  # a setup may lie in many ways
                dropped[UNPRICED] += 1
                break
            share = memory_share if second else None
            try:
                for mode in _modes(space):
                    frame = _all_batches(architecture, replica, setup, mode, space)
                    frame = replace(frame, ranks_together=together[0], stage_runs=together[1])
                    priced = _priced(architecture, frame, mode, network, share, traffic.priced_at)
                    dropped[NO_SLOTS] += traffic.priced_at is not None and not len(priced)
                    priced = priced.on(engine) if several else priced
                    tables += [priced.lying(domains) for domains in ways]
            except InputError as error:  # a figure this setup needs is not known: a network, a second tier
                dropped[str(error)] += 1
    tables = [table for table in tables if len(table)]
    if not tables and UNPRICED in dropped:
        raise Stopped
    if not tables:
        reasons = "; ".join(f"{why} ({n})" for why, n in dropped.most_common(4))
        raise InputError(f"deployment: no setup can run {architecture.name}: {reasons}")
    return Replicas.together(tables), +dropped


def _modes(space: ReplicaSpace) -> Iterator[str]:
    if "aggregated" in space.mode:
        yield "aggregated"
    if {"disaggregated", "separated"} & set(space.mode):
        yield "prefill"
    if "disaggregated" in space.mode:
        yield "decode"


def replicas_of(supplies: Sequence[Supply], space: ReplicaSpace) -> Iterator[Replica]:
    """Every combination of chip, split and formats."""
    choices = _choices(space)
    for supply in supplies:
        chip = supply.known
        for degrees, formats in product(*(list(product(*own.values())) for own in choices)):
            split = Split(**dict(zip(choices[0], degrees, strict=True)))
            yield Replica(supply, chip, split, Formats(**dict(zip(choices[1], formats, strict=True))))


def asks_for(space: ReplicaSpace, name: str) -> bool:
    """Whether a problem names the values of a choice itself."""
    return name in space.model_fields_set


def n_replicas(supplies: Sequence[Supply], space: ReplicaSpace) -> int:
    """How many combinations `replicas_of` gives, on all engines."""
    each = prod(len(values) for own in _choices(space) for values in own.values())
    return len(space.engines) * len(supplies) * each


def _choices(space: ReplicaSpace) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    return vars(space.split), space.formats.chosen()


def unrunnable(architecture: Architecture, replica: Replica, setup: Setup, wide: bool = False) -> str:
    """Why a replica cannot run a model for some traffic at all; '' if it can.

    `wide`: whether a tensor-parallel group may reach over nodes, at the price of its network.
    """
    chip, split = replica.chip, replica.split
    kept = replica.formats.published(architecture.checkpoint).checkpoint
    if not kept and (why := without_arithmetic(chip, replica.formats.weight_dtype)):
        return why
    if not wide and split.tensor_parallel > (replica.supply.node or split.tensor_parallel):
        return f"tensor_parallel {split.tensor_parallel} is wider than a node of {chip.name}"
    if not replica.placements():
        return f"{split.chips} chips leave the domain of {chip.name}, which states no network"
    frame = replica.frame(architecture, setup)
    for name, why in unsplittable(architecture, split, frame.computed_tokens, frame.padding).items():
        return f"{name} {getattr(split, name)}: {why}"
    rules = structural(frame)
    broken = next((name for name, value in rules.items() if not keeps(name, value, architecture, frame)), "")
    if not broken:
        return ""
    hint = getattr(plugins("constraints")[broken], "HINT", "")
    said = f"tensor_parallel {split.tensor_parallel} breaks {broken}"
    return "; ".join(filter(None, (said, hint, takers(broken, rules[broken], architecture, frame))))


def takers(name: str, value: Any, architecture: Architecture, frame: Frame) -> str:
    """The engines whose ranks' shares keep a rule that those of a frame break; '' if there are none."""
    if not of_shares(name):
        return ""
    others = [engine for engine in catalog.engines().values() if engine.pads]
    found = [e.name for e in others if keeps(name, value, architecture, replace(frame, engine=e))]
    return f"engines with unequal shares that run it: {', '.join(found)}" if found else ""


def structural(frame: Frame) -> dict[str, Any]:
    """The rules on shapes that a replica must keep, each with its value."""
    edge = frame.formats.scale_block
    return dict.fromkeys(_RULES, True) | ({"quantisation_blocks": edge} if edge > 1 else {})


def without_arithmetic(chip: Chip, weight_dtype: str) -> str:
    """Why a chip cannot compute with weights of a format; '' if it can."""
    wanted = ARITHMETIC[weight_dtype]
    if wanted in chip.dense_flops or weight_dtype in _WEIGHT_ONLY:
        return ""
    return f"{chip.name} has no {wanted} arithmetic for {weight_dtype} weights"


def keeps(name: str, value: Any, architecture: Architecture, frame: Frame) -> bool:
    """Whether all layers keep a rule on shapes that names no metric."""
    rule = plugins("constraints")[name].rule
    facts = frame_values(frame)
    return all(
        bool(holds(rule(Scope(words, facts.__getitem__), value)).all())
        for words in layer_words(frame, architecture, name)
    )


def _priced(
    a: Architecture, frame: Frame, mode: str, network: float, share: float | None, percentile: float | None
) -> Replicas:
    """All batches or loads of one setup in one mode, those that no chip could hold left to the memory rule.

    With a `share`, what is over that share of the fast memory goes to the chip's second tier.
    """
    rows = Rows.full(a, frame, mode) if percentile is None else Rows.at(a, frame, mode, percentile)
    held, slow = QUANTITIES["memory_bytes"].total(rows.frame, a) / memory.GIB, 0.0
    if share is not None:
        tiers = overflowing(rows.frame, a, share)
        rows = rows.some(tiers.kept).no_quicker_than(a, mode, percentile, tiers.least)
        held, slow = tiers.memory_gib, tiers.second_tier_gib
    served, frame = rows.served, rows.frame
    ttft = served.ttft_s
    if mode == "prefill":
        ttft = ttft + cache_on_a_chip(frame, a) / network
    return Replicas.filled(
        len(frame.batch),
        mode=mode,
        chip=frame.chip.name,
        **vars(frame.split),
        batch=frame.batch,
        in_flight=rows.in_flight,
        **frame.formats.chosen(),
        chips=frame.n_chips,
        requests_per_s=served.requests_per_s,
        ttft_ms=1e3 * ttft,
        tpot_ms=1e3 * served.tpot_s,
        memory_gib=held,
        label="cost model",
        second_tier_gib=slow,
    )


def _all_batches(a: Architecture, replica: Replica, setup: Setup, mode: str, space: ReplicaSpace) -> Frame:
    lanes = replica.split.lanes
    if mode == "prefill":
        together = np.array(space.prefill_batch)
        return replica.frame(a, setup, batch=lanes * together, prefill_batch=together)
    batch = np.array(space.batch or [lanes * b for b in BATCHES])
    frame = replica.frame(a, setup, batch=batch[batch % lanes == 0])
    return some_batches(frame, frame.batch <= most_scheduled(frame)) if mode == "aggregated" else frame


def slowest_network(supplies: Sequence[Supply]) -> float:
    """Bytes per second and chip of the slowest network on offer, which prompts' caches cross."""
    known = ((s.chip.scaleout_bandwidth if s.chip else None) or NETWORK for s in supplies)
    return min(known, default=NETWORK)
