"""A plan of replicas in a few words, for a row of a table or a hover."""

from optimizer.report.deployment import split
from optimizer.spec.plan import Plan, Pool

POOLS = "pools (P prefill, D decode)"
_PHASE = {"aggregated": "", "prefill": "P ", "decode": "D "}


def replicas_of(plan: Plan) -> dict[str, str]:
    """Its pools, each as how many replicas of how many chips of which kind."""
    return {POOLS: "\n".join(map(_pool, plan.pools))}


def _pool(pool: Pool) -> str:
    chip = pool.chip.partition("-")[2] or pool.chip
    degrees = split(pool)
    whose = f"{pool.service}: " if pool.service else ""
    parts = [f"{whose}{_PHASE[pool.phase]}{pool.replicas} x {chip}", "" if degrees == "-" else degrees]
    batch = f"batch {pool.batch}" if "batch" in pool.model_fields_set else ""
    return " ".join(part for part in [*parts, batch] if part)
