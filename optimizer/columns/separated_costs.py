"""Decode replicas whose attention and routed experts run on chips of their own, from the cost model.

Both sides may be of one kind. Tokens cross the network between them, also where both lie in one domain: a
plan does not fix which chips of a domain a replica gets. Each expert chip holds whole experts.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np

from optimizer.blocks import n_experts
from optimizer.columns.operating_points import BATCHES, loads, slots_of
from optimizer.columns.replica import Replica, common
from optimizer.columns.replica_costs import UNPRICED, unrunnable, without_arithmetic
from optimizer.columns.replicas import Replicas
from optimizer.columns.supply import Supply
from optimizer.cost.placement import chips_of_a_rank, written
from optimizer.cost.separation import Separated, attention_chip_gib, expert_chip_gib, other_degrees, step_s
from optimizer.cost.under_load import apart_under_load
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.deployment import ReplicaSpace, Traffic
from optimizer.spec.setup import Setup
from optimizer.spec.split import Formats, Split
from optimizer.watch import UNWATCHED, Stopped, Watch


def separated_columns(
    architecture: Architecture,
    supplies: Sequence[Supply],
    space: ReplicaSpace,
    traffic: Traffic,
    watch: Watch = UNWATCHED,
) -> tuple[Replicas, Counter[str]]:
    """Every pair of an attention side and an expert side, at every batch; also what was left out, by reason.

    InputError if the model has no experts, or the problem asks for what such a replica cannot have.
    """
    experts = {n_experts(g.block.ffn) for g in architecture.layers} - {0}
    if not experts:
        raise InputError(
            f"deployment.mode: separated needs a mixture of experts, and {architecture.name} has no experts; "
            "use aggregated or disaggregated"
        )
    for name in other_degrees(Split(**{n: min(values) for n, values in vars(space.split).items()})):
        if name != "expert_parallel":
            raise InputError(f"deployment.{name}: mode separated has none; allow 1")
    if False not in space.second_tier:
        raise InputError("deployment.second_tier: mode separated uses fast memory alone; allow false")
    dropped: Counter[str] = Counter()
    tables: list[Replicas] = []
    setup, percentile = common(space, traffic), traffic.priced_at
    for number, replica in enumerate(_attention_sides(supplies, space)):
        if watch.over:
            dropped[UNPRICED] += n_sides(supplies, space) - number
            break
        why = unrunnable(architecture, replica, setup)
        if why:
            dropped[why] += 1
            continue
        for supply, ranks in product(supplies, space.split.expert_parallel):
            if watch.over:
                dropped[UNPRICED] += 1
                break
            chip = supply.known
            why = _no_home(chip, ranks, replica.formats.weight_dtype, experts)
            try:
                tables += [] if why else _priced(architecture, replica, setup, chip, ranks, space, percentile)
            except InputError as error:  # no network is known between the sides
                why = str(error)
            dropped[why] += bool(why)
    if not tables and UNPRICED in dropped:
        raise Stopped
    if not tables:
        reasons = "; ".join(f"{why} ({n})" for why, n in dropped.most_common(4))
        raise InputError(f"deployment.mode: no separated setup can run {architecture.name}: {reasons}")
    return Replicas.together(tables), +dropped


def n_sides(supplies: Sequence[Supply], space: ReplicaSpace) -> int:
    """Attention sides there are: chips, splits and formats, each to be paired with every expert side."""
    return len(supplies) * prod(len(values) for values in _choices(space))


def _choices(space: ReplicaSpace) -> tuple[Sequence[Any], ...]:
    return (space.split.tensor_parallel, space.split.data_parallel, *space.formats.chosen().values())


def _attention_sides(supplies: Sequence[Supply], space: ReplicaSpace) -> Iterator[Replica]:
    for supply, (tensor, data, *formats) in product(supplies, list(product(*_choices(space)))):
        split = Split(tensor_parallel=tensor, data_parallel=data)
        yield Replica(supply, supply.known, split, Formats(*formats))


def _no_home(chip: Chip, ranks: int, weight_dtype: str, experts: set[int]) -> str:
    """Why chips cannot hold the experts; '' if they can."""
    if any(n % ranks for n in experts):
        return f"expert_parallel {ranks}: does not divide the {max(experts)} experts"
    return without_arithmetic(chip, weight_dtype)


def _priced(
    a: Architecture,
    replica: Replica,
    setup: Setup,
    chip: Chip,
    ranks: int,
    space: ReplicaSpace,
    percentile: float | None,
) -> list[Replicas]:
    """All batches of one pair of sides that are whole sequences in every microbatch of every rank."""
    found = []
    for m in space.microbatches:
        lanes = m * replica.split.lanes
        batch = np.array(space.batch or [lanes * b for b in BATCHES])
        batch = batch[batch % lanes == 0]
        if not len(batch):
            continue
        frame = replica.frame(a, setup, batch=batch)
        both = Separated(frame, chip, n_expert_chips=ranks, expert_parallel=ranks, microbatches=m)
        found.append(_table(a, both, _lying(replica), percentile))
    return found


def _table(a: Architecture, both: Separated, domains: str, percentile: float | None) -> Replicas:
    frame, load = both.frame, 0.0
    if percentile is None:
        tpot = step_s(both, a) / frame.tokens_per_step
        rate = frame.batch / tpot / frame.output_tokens
    else:
        each = loads(both.microbatches * frame.split.lanes, frame.batch[-1])
        own = apart_under_load(both, a, each, percentile)
        slots = slots_of(own.slots, frame.batch)
        load, tpot, rate = (v[slots > 0] for v in (each, own.served.tpot_s, own.served.requests_per_s))
        both = replace(both, frame=replace(frame, batch=slots[slots > 0]))
        frame = both.frame
    return Replicas.filled(
        len(frame.batch),
        mode="decode",
        chip=frame.chip.name,
        **vars(replace(frame.split, expert_parallel=both.expert_parallel)),
        batch=frame.batch,
        in_flight=load,
        **frame.formats.chosen(),
        chips=frame.n_chips,
        requests_per_s=rate,
        ttft_ms=0.0,
        tpot_ms=1e3 * tpot,
        memory_gib=attention_chip_gib(both, a),
        label="cost model, experts apart",
        expert_chip=both.expert_chip.name,
        expert_chips=both.n_expert_chips,
        expert_memory_gib=expert_chip_gib(both, a),
        microbatches=both.microbatches,
        domains=domains,
    )


def _lying(replica: Replica) -> str:
    """Attention ranks send nothing to each other: only the chips of each share a domain."""
    part = chips_of_a_rank(replica.split, replica.domain)
    return written({part: replica.split.chips // part})
