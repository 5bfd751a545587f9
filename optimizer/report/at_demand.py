"""Pools at the traffic asked for, beside which those of full replicas stand: what users will see."""

from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from optimizer.report.fitting import new_table
from optimizer.report.numbers import short
from optimizer.spec.plan import Pool

_PERCENTILES = ("p50", "p95", "p99")
_LATENCIES = ("ttft", "tpot")


def known_at_demand(pool: Pool) -> bool:
    """Whether a pool's latencies at the traffic asked for are known."""
    return any(getattr(pool, f"{name}_at_demand_ms") is not None for name in _LATENCIES)


def at_demand(pools: Sequence[Pool]) -> Group:
    """A row for each pool: its sequences in flight, and percentiles of both latencies in ms."""
    heads = [f"{name.upper()}\n{p}" for name in _LATENCIES for p in _PERCENTILES]
    table = new_table("pool", "of", "in\nflight", *heads)
    for pool in pools:
        flying = pool.sequences_at_demand
        values = [getattr(pool, f"{name}_{p}_at_demand_ms") for name in _LATENCIES for p in _PERCENTILES]
        table.add_row(
            pool.phase,
            pool.chip.partition("-")[2] or pool.chip,
            "-" if flying is None else str(flying),
            *("-" if value is None else short(value) for value in values),
        )
    return Group(Text("At the traffic asked for", style="bold"), table)
