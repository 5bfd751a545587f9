"""The cost model of training alone: one architecture, one chip, one setup."""

from dataclasses import fields

from optimizer.anatomy.assumptions import memory_of
from optimizer.blocks import rule_words
from optimizer.cost.memory import GIB
from optimizer.cost.training.constants import RESERVE
from optimizer.cost.training.job import Job, job, run_of
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.limits import (
    tokens_hiding_gathers,
    tokens_hiding_ring,
    widest_tensor_parallel,
)
from optimizer.cost.training.long_run import effective_share
from optimizer.cost.training.rates import attention_share, products_share
from optimizer.cost.training.rules import SENTENCES, facts_of, kept
from optimizer.metrics import trained
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.long_run import SOURCES, USUAL, LongRun
from optimizer.spec.training import TrainingSetup
from optimizer.spec.training_plan import TrainingEstimate
from optimizer.version import VERSION


def train_estimate(
    architecture: Architecture,
    chip: Chip,
    setup: TrainingSetup,
    training_tokens: float | None = None,
    long_run: LongRun = USUAL,
) -> TrainingEstimate:
    """Predict the step of a training setup: time by part, memory by part, rates and utilisation.

    A split that cannot run or does not fit gives status 'infeasible' with what breaks and the memory needed,
    and no times. `training_tokens` adds days and, where the chip has a price, USD for that many tokens.
    """
    own = job(architecture, chip, setup)
    broken = broken_rules(own, architecture, chip)
    runs = not broken
    memory = {f.name: float(getattr(own.memory, f.name)) / GIB for f in fields(own.memory)}
    peaks = {dtype: chip.dense_flops[dtype] for dtype in {"bf16", chip.arithmetic(setup.dtype)}}
    return TrainingEstimate(
        status="feasible" if runs else "infeasible",
        model=architecture.name,
        chip=chip.name,
        n_chips=setup.n_chips,
        setup=setup,
        breaks=broken,
        metrics=metrics_of(own, chip, training_tokens, long_run) if runs else {},
        peaks=dict(sorted(peaks.items())),
        step_ms={f.name: 1e3 * float(getattr(own.times, f.name)) for f in fields(own.times)} if runs else {},
        memory_gib=memory,
        hbm_usable_gib=chip.hbm_for_programs / GIB,
        flops_per_token={
            "model_causal": own.flops.model(True),
            "model_full": own.flops.model(False),
            "hardware_causal": own.flops.hardware(setup.recompute, True),
        },
        assumptions=(
            *chip_assumptions(chip, setup),
            *(losses(setup.n_chips, long_run) if training_tokens else ()),
            *_limits(architecture, chip, setup),
        ),
        unmodelled=unmodelled(architecture, setup),
        version=VERSION,
    )


def metrics_of(
    own: Job, chip: Chip, training_tokens: float | None = None, long_run: LongRun = USUAL
) -> dict[str, float]:
    """Rates and utilisation; MFU in both conventions of attention, of the bf16 and of the format's peak."""
    setup, peak = own.setup, chip.dense_flops["bf16"]
    format_peak = chip.dense_flops[chip.arithmetic(setup.dtype)]
    run = run_of(own, chip, training_tokens, long_run)
    known = trained(run)
    found = {
        "step_s": known["step_s"],
        "tokens_per_s": known["train_tokens_per_s"],
        "train_tokens_per_s_per_chip": known["train_tokens_per_s_per_chip"],
        "mfu": known["mfu"],
        "mfu_full_attention": own.mfu(peak, causal=False),
        "hfu": known["train_tokens_per_s_per_chip"] * own.flops.hardware(setup.recompute, True) / peak,
    }
    if format_peak != peak:
        found["mfu_of_format_peak"] = own.mfu(format_peak, causal=True)
    if training_tokens:
        found |= {"effective_share": float(run.share), "mfu_of_run": known["mfu"] * float(run.share)}
        found |= {name: known[name] for name in ("train_days", "train_usd") if name in known}
    return found


def broken_rules(own: Job, architecture: Architecture, chip: Chip) -> dict[str, str]:
    """Rules a setup breaks, with the numbers."""
    rules = kept(facts_of(architecture, chip), own.layout)
    broken = {name: SENTENCES[name] for name, holds in rules.items() if not bool(holds)}
    need, have = float(own.memory.total) / GIB, chip.hbm_for_programs / GIB
    if need > have:
        broken["memory_capacity"] = f"needs {need:.1f} GiB on a chip, {have:.1f} GiB are usable"
    return broken


def chip_assumptions(chip: Chip, setup: TrainingSetup) -> tuple[Assumption, ...]:
    """What is assumed of a chip in training, and of the framework on it."""
    dtype = chip.arithmetic(setup.dtype)
    fitted = chip.efficiency.training
    products = bool(fitted and dtype in fitted.products)
    found = [
        Assumption(
            name=f"{chip.name} products",
            value=f"{products_share(chip, dtype):.0%} of the {dtype} peak sustained" + _assumed(products),
            source="fitted to measured training steps"
            if products
            else "fallback: no training step of it was fitted",
            caveat=not products,
        ),
        Assumption(
            name=f"{chip.name} flash attention",
            value=f"{attention_share(chip):.0%} of the bf16 peak, both passes" + _assumed(bool(fitted)),
            source="fitted to measured training steps" if fitted else "fallback",
            caveat=not fitted,
        ),
        *memory_of(chip),
        Assumption(name="engine", value=setup.engine, source="optimizer/cost/training/constants.py"),
        Assumption(
            name="reserve_gib",
            value=f"{layout_of(setup).reserve_bytes / GIB:g} GiB a chip",
            source=RESERVE if setup.reserve_gib is None else "the setup",
        ),
    ]
    if setup.dtype != "bf16" and dtype == "bf16":
        found.append(
            Assumption(
                name=f"{setup.dtype} products",
                value="run in bf16",
                source=f"{chip.name} has no such arithmetic",
            )
        )
    return tuple(found)


def _assumed(fitted: bool) -> str:
    return "" if fitted else ", assumed, not measured on this chip"


def losses(n_chips: int, long_run: LongRun) -> tuple[Assumption, ...]:
    """What a run of weeks loses, and where each figure is from."""
    share = Assumption(
        name="effective share",
        value=f"{float(effective_share(long_run, n_chips)):.1%} of the wall time of a long run",
        source="optimizer/cost/training/long_run.py, from the figures below",
    )
    given = long_run.model_fields_set
    figures = [
        Assumption(
            name=f"long_run.{name}",
            value=f"{getattr(long_run, name):g}",
            source="the problem" if name in given else source,
        )
        for name, source in SOURCES.items()
    ]
    return share, *figures


def unmodelled(architecture: Architecture, setup: TrainingSetup) -> tuple[str, ...]:
    """What of a run the figures leave out, for the reader who would take a proof for more than it is."""
    found = ["states and activations on hosts"]
    if any(rule_words(group.block.ffn).get("n_experts") for group in architecture.layers):
        found += ["experts busier than others", "a module that predicts a second token"]
        if setup.schedule != "dualpipe":
            found.append("exchange with experts behind another microbatch, but in DualPipe")
    return tuple(found)


def _limits(architecture: Architecture, chip: Chip, setup: TrainingSetup) -> tuple[Assumption, ...]:
    """From how much work on the exchanges of a setup cost no time, for the reader to compare with."""
    dtype = chip.arithmetic(setup.dtype)
    achieved = chip.dense_flops[dtype] * products_share(chip, dtype)
    network = (chip.scaleout_bandwidth or chip.scaleup.bandwidth) * chip.efficiency.scaleout.link
    tokens = setup.microbatch * setup.sequence_length / setup.context_parallel
    found = {}
    if setup.zero_stage == 3:
        found["gathers of sharded weights hide"] = (
            f"from {tokens_hiding_gathers(achieved, network):,.0f} tokens on a chip over the network; "
            f"a microbatch has {tokens:,.0f}"
        )
    words = rule_words(architecture.first.mixer) | rule_words(architecture.first.ffn)
    if setup.context_parallel > 1 and words.get("n_kv_heads"):
        least = tokens_hiding_ring(words["n_kv_heads"], words["n_heads"], 2.0, achieved, network)
        found["the ring of attention hides"] = f"from {least:,.0f} tokens on a rank over the network"
    if setup.tensor_parallel > 1 and words.get("d_ff"):
        widest = widest_tensor_parallel(words["d_ff"], achieved, chip.scaleup.bandwidth)
        found["sums of tensor parallelism hide"] = f"up to {widest:.1f} ranks inside a domain"
    source = "rules of thumb, optimizer/cost/training/limits.py"
    return tuple(Assumption(name=name, value=value, source=source) for name, value in found.items())
