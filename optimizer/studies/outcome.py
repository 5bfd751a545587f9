"""From a search's outcome to the parts of a result: dimensions, deployment, operators, assumptions."""

from typing import Any

from optimizer.check import check
from optimizer.columns.rules import baseline_frame, lattice_only, split_bound
from optimizer.columns.space import TAKEN_FROM_BASELINE, Space
from optimizer.cost.frame import Frame
from optimizer.cost.quality import NOISE
from optimizer.cost.quantities import (
    QUANTITIES,
    layer_operators,
    n_chunks,
    roofline,
    shared_operators,
)
from optimizer.errors import InternalMismatch
from optimizer.metrics import metric
from optimizer.solver.search import Candidate
from optimizer.spec.architecture import Architecture, DenseFeedForward, GroupedQueryAttention
from optimizer.spec.plan import (
    Assumption,
    Baseline,
    DenseDimensions,
    Deployment,
    OperatorRow,
    Plan,
    Pool,
)
from optimizer.studies.assumptions import efficiency_of, price_of

_SAME = 1e-9
_LAW_RANGE = 16e9
"""Largest model behind the Chinchilla fit."""


def architecture_of(space: Space, best: Candidate) -> Architecture:
    """The architecture a candidate stands for."""
    attention, ffn = space.attention.take(best.attention), space.ffn.take(best.ffn)
    return space.architecture_of(best.frame, best.n_layers, attention, ffn)


def plan_of(space: Space, best: Candidate) -> Plan:
    """A candidate as a plan, recomputed and checked by `check`; a plan that fails is no answer."""
    architecture = architecture_of(space, best)
    checked = check(best.frame, architecture, space.rules)
    if checked.broken:
        raise InternalMismatch(
            f"the plan found breaks {', '.join(checked.broken)} when recomputed; no answer is given"
        )
    value = best.sense * best.key
    if abs(checked.metrics[best.metric] - value) > _SAME * abs(value):
        raise InternalMismatch(
            f"the search found {best.metric} {value:.9g}, the cost model "
            f"{checked.metrics[best.metric]:.9g} for the same plan; no answer is given"
        )
    dims = dimensions(best.frame, architecture)
    return Plan(architecture=dims, deployment=deployment(best.frame), metrics=checked.metrics)


def dimensions(frame: Frame, architecture: Architecture) -> DenseDimensions:
    """The dimensions of an architecture of the dense family with one kind of layer."""
    mixer, ffn = architecture.first.mixer, architecture.first.ffn
    if not isinstance(mixer, GroupedQueryAttention) or not isinstance(ffn, DenseFeedForward):
        raise TypeError(f"{architecture.name} is not of the dense family")
    n_params = round(QUANTITIES["n_params"].total(frame, architecture))
    return DenseDimensions(
        n_layers=architecture.n_layers,
        d_model=architecture.d_model,
        n_heads=mixer.n_heads,
        n_kv_heads=mixer.n_kv_heads,
        d_head=mixer.d_head,
        d_ff=ffn.d_ff,
        vocab_size=architecture.vocab_size,
        tied_embeddings=architecture.tied_embeddings,
        n_params=n_params,
        n_active_params=n_params,
    )


def deployment(frame: Frame) -> Deployment:
    """One replica of the frame."""
    pool = Pool(
        chip=frame.chip.name,
        replicas=1,
        tensor_parallel=frame.tensor_parallel,
        pipeline_parallel=frame.pipeline_parallel,
        data_parallel=frame.data_parallel,
        expert_parallel=frame.expert_parallel,
        batch=frame.batch,
        weight_dtype=frame.weight_dtype,
        kv_dtype=frame.kv_dtype,
        chips=frame.n_chips,
    )
    return Deployment(pools=(pool,))


def baseline_of(space: Space, frame: Frame, metrics: dict[str, float]) -> Baseline | None:
    """The baseline in the plan's place: same chip, split, formats and traffic."""
    model = space.baseline
    if model is None:
        return None
    own = baseline_frame(frame, model)
    shaping = [] if model.plain else [name for name in space.rules.values if lattice_only(name)]
    checked = check(own, model, space.rules.without(*shaping))
    return Baseline(
        name=model.name,
        dimensions=dimensions(own, model) if model.plain else None,
        metrics=checked.metrics,
        difference={
            name: metrics[name] - value for name, value in checked.metrics.items() if name in metrics
        },
        keeps_constraints=not checked.broken,
        breaks=checked.broken,
    )


def operator_rows(frame: Frame, architecture: Architecture) -> tuple[OperatorRow, ...]:
    """Every operator of a decode step and of a prefill, summed over the layers that have it."""
    rows = []
    for phase in ("decode", "prefill"):
        counted: dict[str, tuple[int, list[Any]]] = {}
        chunks = int(n_chunks(frame)) if phase == "prefill" else 1
        for group in architecture.layers:
            operators = [
                *layer_operators(frame, group.block.mixer, phase),
                *layer_operators(frame, group.block.ffn, phase),
            ]
            for operator in operators:
                count, costs = counted.get(operator.name, (0, []))
                cost = roofline(frame).cost(operator)
                n = chunks * group.count
                counted[operator.name] = (count + n, [*costs, (n, cost)])
        for operator in shared_operators(frame, phase):
            counted[operator.name] = (chunks, [(chunks, roofline(frame).cost(operator))])
        rows += [_row(phase, name, count, costs) for name, (count, costs) in counted.items()]
    return tuple(row for row in rows if row.time_ms > 0)


def _row(phase: Any, name: str, count: int, costs: list[Any]) -> OperatorRow:
    longest = max(costs, key=lambda pair: float(pair[1].seconds))[1]

    def total(field: str) -> float:
        return float(sum(n * getattr(cost, field) for n, cost in costs))

    return OperatorRow(
        phase=phase,
        operator=name,
        count=count,
        flops=total("flops"),
        bytes=total("bytes"),
        link_bytes=total("link_bytes"),
        time_ms=1e3 * total("seconds"),
        bound_by=longest.bound_by,
    )


def assumptions_of(given: frozenset[str], frame: Frame, metrics: dict[str, float]) -> tuple[Assumption, ...]:
    """Every value the answer rests on, the fields of deployment and problem apart that were `given`."""
    chip = frame.chip
    found = []

    def add(name: str, value: str, source: str) -> None:
        found.append(Assumption(name=name, value=value, source=source))

    engine = frame.engine
    add("engine", engine.name, "the problem's" if "engine" in given else "default of archsat")
    for name in ("host_ms", "reserve_gib"):
        if name not in given:
            add(f"{engine.name} {name}", f"{getattr(engine, name):g}", engine.source(name))
    if "training_tokens" not in given:
        add("training_tokens", f"{frame.training_tokens:.3g}", "default of archsat")
    found += [efficiency_of(chip), *price_of(chip)]
    if frame.weight_dtype not in ("bf16", "int8", "int4") and chip.arithmetic(frame.weight_dtype) == "bf16":
        add(
            f"{frame.weight_dtype} weights",
            "multiplied in bf16",
            f"{chip.name} has no such arithmetic",
        )
    if frame.tensor_parallel > 1 and frame.tensor_parallel not in chip.efficiency.all_reduce:
        add(
            "all-reduce",
            f"no measurement on {frame.tensor_parallel} chips",
            "nearest or generic constants",
        )
    add("decode context", f"{frame.decode_context:g} tokens", "prompt and half of the answer")
    add(
        "prefill chunk",
        f"{engine.step_tokens} tokens",
        engine.source("step_tokens"),
    )
    add("loss proxy", f"differences below {NOISE:.2%} are noise", "optimizer.cost.quality")
    if metrics.get("n_params", 0.0) > _LAW_RANGE:
        add("loss proxy", "beyond the 16B of its data: extrapolated", "Besiroglu et al. 2024")
    return tuple(found)


def vocabulary_of(space: Space) -> tuple[Assumption, ...]:
    """The vocabulary, where the problem leaves it out: its baseline's, or the default."""
    asked = space.problem.architecture
    if isinstance(asked, str) or not set(TAKEN_FROM_BASELINE) - asked.model_fields_set:
        return ()
    own = space.architecture
    tied = "one table for both ends" if own.tied_embeddings else "a table for each end"
    source = f"the baseline's, {space.baseline.name}" if space.baseline else "default of archsat"
    return (Assumption(name="vocabulary", value=f"{own.vocab_size} tokens, {tied}", source=source),)


def unseen_by_the_loss(space: Space) -> tuple[Assumption, ...]:
    """The free dimensions that the loss proxy cannot see, where the loss decides anything."""
    asked = {name for name, _ in space.problem.objectives} | {split_bound(r)[0] for r in space.rules.values}
    free = [n for n in ("n_heads", "n_kv_heads", "d_head", "d_ff") if len(getattr(space.architecture, n)) > 1]
    if "loss" not in asked or not free:
        return ()
    return (
        Assumption(
            name="loss proxy",
            value=f"does not see {', '.join(free)} but by their parameters: speed and rules chose them",
            source="docs/quality.md",
            caveat=True,
        ),
    )


def unit(name: str) -> str:
    """Unit of a metric."""
    return str(metric(name).UNIT)
