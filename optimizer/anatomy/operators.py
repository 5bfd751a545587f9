"""Where the time of a decode step and of a prefill goes, operator by operator."""

from typing import Any

from optimizer.cost.frame import Frame
from optimizer.cost.quantities import layer_operators, n_chunks, roofline, shared_operators
from optimizer.spec.architecture import Architecture
from optimizer.spec.estimate import OperatorRow


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
