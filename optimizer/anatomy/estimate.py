"""The cost model alone: one architecture on one replica, operator by operator, with memory by part."""

from typing import Any

from optimizer.anatomy.assumptions import assumptions_of, has_experts, overheads_of
from optimizer.anatomy.blocks_assumed import blocks_assumed
from optimizer.anatomy.check import check
from optimizer.anatomy.models_assumed import model_assumed
from optimizer.anatomy.operators import operator_rows
from optimizer.anatomy.replica import deployment
from optimizer.anatomy.shares_assumed import shares_assumed
from optimizer.bands import Regime, around, key_of
from optimizer.blocks import block
from optimizer.columns.replica_costs import structural, takers
from optimizer.columns.rules import Reference, Rules, default_values
from optimizer.cost import memory
from optimizer.cost.closed_loop import closed_loop
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.loop_steps import loop_steps
from optimizer.cost.memory_parts import memory_parts
from optimizer.cost.memory_room import room_gib
from optimizer.cost.memory_tokens import kv_cache_tokens, token_bytes
from optimizer.degrees import unsplittable
from optimizer.metrics import held
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture, family_of
from optimizer.spec.chip import Chip
from optimizer.spec.estimate import Estimate
from optimizer.spec.protocol import Protocol
from optimizer.spec.setup import Setup
from optimizer.version import VERSION


def estimate(architecture: Architecture, chip: Chip, setup: Setup = Setup()) -> Estimate:
    """Predict times, rates, memory and cost of a model on a chip.

    A split that no engine can run, or weights and cache that do not fit, give status 'infeasible' with the
    rules broken and the memory needed, and no times: a speed of what cannot run is no answer.
    """
    frame = frame_of(architecture, chip, setup)
    rules = default_values(published=True) | structural(frame)
    if chip.scaleout_bandwidth is not None:
        del rules["scaleup_domain"]  # a group that was asked for may leave it, at the price of the network
    checked = check(frame, architecture, Rules(rules, Reference(None)))
    why = unsplittable(architecture, frame.split, frame.computed_tokens, frame.padding)
    broken, metrics = (*why, *checked.broken), checked.metrics
    if architecture.family != "dense":
        metrics = {name: value for name, value in metrics.items() if name != "loss"}  # no law covers it
    runs = not broken
    operators = operator_rows(frame, architecture) if runs else ()
    if not runs:
        metrics = {name: metrics[name] for name in ("memory_gib", "n_params")}
    if not why:
        metrics = metrics | held(frame, architecture)
    served = served_metrics(frame, architecture, setup.protocol) if runs and setup.users else {}
    shown = metrics if runs else {}
    regime: Regime = "single" if setup.batch == 1 and not setup.users else "load"
    key = key_of(chip, frame.engine, architecture, "tpot_ms", regime)
    return Estimate(
        status="feasible" if runs else "infeasible",
        model=architecture.name,
        breaks=broken,
        why=why | {n: said for n in checked.broken if (said := takers(n, rules[n], architecture, frame))},
        deployment=deployment(frame),
        metrics=metrics | (energy(frame, metrics) if runs else {}),
        served=served,
        bands=around(shown, [key]),
        served_bands=around(served, [key]),
        memory_gib={name: float(size) for name, size in memory_parts(frame, architecture).items()},
        hbm_usable_gib=chip.hbm_usable / memory.GIB,
        room_gib=room_gib(chip, frame.engine),
        cache={} if why else cache_of(frame, architecture),
        operators=operators,
        assumptions=(
            *assumptions_of(frozenset(), frame, metrics, has_experts(architecture)),
            *overheads_of(chip, operators),
            *blocks_assumed(frame, architecture),
            *shares_assumed(frame, architecture),
            *family_assumptions(architecture),
            *model_assumed(architecture),
        ),
        version=VERSION,
    )


def cache_of(frame: Frame, architecture: Architecture) -> dict[str, float]:
    """KiB that a token's cache takes on each chip, and how many requests like the traffic's have room."""
    tokens = frame.input_tokens + frame.output_tokens
    return {
        "kib_of_a_token": token_bytes(frame, architecture) / 2**10,
        "requests": kv_cache_tokens(frame, architecture) // tokens,
    }


def served_metrics(frame: Frame, architecture: Architecture, protocol: Protocol) -> dict[str, float]:
    """What clients in a closed loop see; `batch` is the most the engine runs together."""
    steps = loop_steps(frame, architecture, frame.batch, protocol)
    served = closed_loop(steps, protocol, frame.engine.request_ms * 1e-3)
    return {
        "users": float(protocol.clients),
        "sequences_together": float(steps.places),
        "ttft_ms": 1e3 * float(served.ttft_s),
        "tpot_ms": 1e3 * float(served.tpot_s),
        "requests_per_s": float(served.requests_per_s),
        "output_tokens_per_s": float(served.requests_per_s) * steps.answer,
    }


def family_assumptions(architecture: Architecture) -> tuple[Assumption, ...]:
    """What is not measured of a family's own operators."""
    halves = [half for group in architecture.layers for half in (group.block.mixer, group.block.ffn)]
    found = {
        _family_of(half, architecture): str(block(half).CAVEAT)
        for half in halves
        if hasattr(block(half), "CAVEAT")
    }
    return tuple(
        Assumption(name=f"{family} layers", value=said, source="docs/cost-model.md")
        for family, said in sorted(found.items())
    )


def _family_of(half: Any, architecture: Architecture) -> str:
    """The family of a half: its model's, where it has a state; its kind where it makes none."""
    own = family_of(half)
    return architecture.family if own == "ssm" else half.kind if own == "dense" else own


def energy(frame: Frame, metrics: dict[str, float]) -> dict[str, float]:
    """Joules per output token at the chip's all-in power, or its design power where that is unknown."""
    power = frame.chip.power or frame.chip.tdp
    if power is None:
        return {}
    return {"joules_per_output_token": power * frame.n_chips / metrics["output_tokens_per_s"]}
