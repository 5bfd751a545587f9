"""Where an operator's time comes from: the formula, the formula with its numbers, and the sources."""

from typing import TYPE_CHECKING, Any

from optimizer.blocks.operators import (
    AllReduce,
    Collective,
    DecodeAttention,
    Elementwise,
    ExpertExchange,
    Experts,
    Gemm,
    Host,
    LatentAttention,
    Operator,
    PrefillAttention,
    StageTransfer,
)
from optimizer.cost.experts import touched_experts
from optimizer.cost.frame import Frame
from optimizer.cost.quantities import layer_operators, roofline, shared_operators
from optimizer.cost.roofline import Roofline
from optimizer.errors import InputError, nearest
from optimizer.spec.architecture import Architecture
from optimizer.spec.dtypes import BYTES
from optimizer.spec.estimate import Derivation

if TYPE_CHECKING:
    from collections.abc import Callable

_ROOFLINE = "max(FLOP / ({peak} x {e_c}), bytes / ({bandwidth} x {e_m})) + {t_0}"
_STREAM = "bytes / ({bandwidth} x {e_m}) + {t_0}"
_Formulas = dict[str, str]
_FORMULAS: dict[type, _Formulas] = {
    Gemm: {
        "FLOP": "2 x {m} x {n} x {k}",
        "bytes": "{b_w} x {n} x {k} + {b_a} x {m} x {k} + 2 x {m} x {n}",
        "seconds": _ROOFLINE,
    },
    DecodeAttention: {
        "FLOP": "4 x {batch} x {context} x {n_heads} x {d_head}",
        "bytes": "{batch} x (2 x {n_kv_heads} x {d_head} x {context} x {b_kv} + 4 x {n_heads} x {d_head})",
        "seconds": _ROOFLINE,
    },
    LatentAttention: {
        "FLOP": "2 x {batch} x {context} x {n_heads} x (2 x {d_latent} + {d_rope})",
        "bytes": "{batch} x (({d_latent} + {d_rope}) x {context} x {b_kv}"
        " + 2 x {n_heads} x (2 x {d_latent} + {d_rope}))",
        "seconds": _ROOFLINE,
    },
    PrefillAttention: {
        "FLOP": "4 x {prompts} x ({tokens} x {window} - {window} x ({window} - 1) / 2)"
        " x {n_heads} x {d_head}",
        "bytes": "4 x {prompts} x {tokens} x {d_head} x ({n_heads} + {n_kv_heads})",
        "seconds": _ROOFLINE,
    },
    Elementwise: {"bytes": "{bytes}", "seconds": _STREAM},
    AllReduce: {
        "link bytes": "2 x ({ranks} - 1) / {ranks} x {bytes}",
        "seconds": "min over one-shot and two-shot of latency + traffic / (share x {link})",
    },
    Experts: {
        "FLOP": "2 x {matrices} x {d_model} x {d_expert} x {pairs} pairs of token and expert",
        "touched experts": "{n_local} x (1 - (1 - {n_active} / {n_experts})^{rows})",
        "seconds": "t_0 + t_e x touched + t_pair x pairs + activations + sqrt(compute^2 + weights^2)",
    },
    ExpertExchange: {
        "link bytes": "({ranks} - 1) / {ranks} x {rows} x {bytes_per_token}",
        "seconds": "latency + link bytes / (share x {link})",
    },
    Collective: {
        "link bytes": "({ranks} - 1) / {ranks} x {bytes}",
        "seconds": "latency + link bytes / (share x {link})",
    },
    StageTransfer: {
        "link bytes": "{hops} x {bytes} / {tensor_parallel}",
        "seconds": "{hops} x (latency + bytes / (share x link))",
    },
    Host: {"seconds": "{seconds}"},
}
_CHUNKED: _Formulas = {
    "FLOP": "4 x {prompts} x {pairs} x {n_heads} x {d_head}",
    "bytes": "4 x {prompts} x {d_head} x ({tokens} x ({n_heads} + {n_kv_heads}) + {cached} x {n_kv_heads})",
    "seconds": _ROOFLINE,
}


def derive(frame: Frame, architecture: Architecture, name: str, phase: str) -> Derivation:
    """Explain one operator of a step; InputError with the nearest names if the step has no such operator."""
    layers = [
        operator
        for group in architecture.layers
        for part in (group.block.mixer, group.block.ffn)
        for operator in layer_operators(frame, part, phase)
    ]
    found = {operator.name: operator for operator in [*layers, *shared_operators(frame, phase)]}
    wanted = {key.lower(): key for key in found}.get(name.strip().lower())
    if wanted is None:
        hint = nearest(name, list(found)) or f" Accepted: {', '.join(found)}."
        raise InputError(f"explain: no operator '{name[:60]}' in a {phase} step.{hint}")
    operator, rates = found[wanted], roofline(frame)
    cost = rates.cost(operator)
    values = _values(operator, rates)
    formulas = _formulas_of(operator)
    reached = {
        "FLOP": cost.flops,
        "bytes": cost.bytes,
        "link bytes": cost.link_bytes,
        "seconds": cost.seconds,
        "touched experts": touched_experts(operator) if isinstance(operator, Experts) else 0.0,
    }
    return Derivation(
        operator=wanted,
        phase=phase,
        formulas={key: text.format(**{v: v for v in values}) for key, text in formulas.items()},
        numbers={key: text.format(**values) for key, text in formulas.items()},
        values={key: float(reached[key]) for key in formulas},
        terms_us={
            "compute": 1e6 * float(cost.compute_s),
            "memory": 1e6 * float(cost.memory_s),
            "link": 1e6 * float(cost.link_s),
            "overhead": 1e6 * float(cost.overhead_s),
        },
        bound_by=cost.bound_by,
        sources=_sources(operator, frame),
    )


def _formulas_of(operator: Operator) -> _Formulas:
    """A chunk, or a prompt behind a prefix, shows the pairs that were counted."""
    if isinstance(operator, PrefillAttention) and (operator.prefix or operator.chunks > 1):
        return _CHUNKED
    return _FORMULAS[type(operator)]


def _values(operator: Operator, rates: Roofline) -> dict[str, str]:
    """Every name of the formulas with its number, as text."""
    chip = rates.chip
    stored = rates.stored(operator) if isinstance(operator, Gemm | Experts) else rates.formats.of("")
    dtype = stored.dtype
    values: dict[str, Any] = {f: getattr(operator, f) for f in operator.__dataclass_fields__ if f != "name"}
    values |= {
        "b_w": stored.bytes,
        "b_a": chip.activation_bytes(dtype),
        "b_kv": BYTES[rates.formats.kv_dtype],
        "bandwidth": chip.hbm_bandwidth,
        "ranks": getattr(operator, "ranks", rates.split.tensor_parallel),
        "tensor_parallel": rates.split.tensor_parallel,
        "link": chip.scaleup.bandwidth,
    }
    values |= _rates(operator, rates, dtype)
    if isinstance(operator, PrefillAttention):
        values |= {"pairs": operator.pairs, "cached": operator.cached}
    if isinstance(operator, ExpertExchange):
        sent = rates.cost(operator).link_bytes * operator.ranks / (operator.ranks - 1)
        values["bytes_per_token"] = sent / operator.rows
    if isinstance(operator, Experts):
        values["matrices"] = 2 + operator.gated
        values["pairs"] = operator.rows * operator.n_active * operator.n_local / operator.n_experts
    return {name: _text(value) for name, value in values.items()}


def _rates(operator: Operator, rates: Roofline, dtype: str) -> dict[str, Any]:
    """The peak and the achieved shares that the roofline used: read back from its own terms."""
    cost = rates.cost(operator)
    chip = rates.chip
    native = isinstance(operator, Gemm | Experts)
    own = dtype if native else getattr(operator, "dtype", "bf16")
    peak = chip.dense_flops[chip.arithmetic(own)]

    def share(amount: Any, rate: float, seconds: Any) -> float:
        return float(amount) / (rate * float(seconds)) if float(seconds) else 0.0

    return {
        "peak": peak,
        "e_c": share(cost.flops, peak, cost.compute_s),
        "e_m": share(cost.bytes, chip.hbm_bandwidth, cost.memory_s),
        "t_0": cost.overhead_s,
    }


def _sources(operator: Operator, frame: Frame) -> dict[str, str]:
    chip = frame.chip
    if isinstance(operator, Host):
        return {name: frame.engine.source(name) for name in ("host_ms", "host_us_per_sequence")}
    named: dict[str, Callable[[], str]] = {
        "efficiency": lambda: chip.source("efficiency"),
        "hbm_bandwidth": lambda: chip.source("hbm_bandwidth"),
    }
    if isinstance(operator, AllReduce | Collective | ExpertExchange | StageTransfer):
        named = {"efficiency": named["efficiency"], "scaleup": lambda: chip.source("scaleup")}
    elif not isinstance(operator, Elementwise):
        named["dense_flops"] = lambda: chip.source("dense_flops")
    found = {name: source() for name, source in named.items()}
    if not chip.efficiency.measured:
        found["efficiency"] += " (not measured on this chip)"
    return found


def _text(value: Any) -> str:
    return f"{float(value):.6g}" if isinstance(value, int | float) or hasattr(value, "dtype") else str(value)
