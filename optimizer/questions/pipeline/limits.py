"""Limits of a search for splits that a metric of an earlier aim sets."""

from optimizer.spec.studies import Aim

SLACK = 1e-8
"""Relative: what times in whole picoseconds, rounded up for every layer, may lie above the time itself."""


def hold(limits: dict[str, float | None], aim: Aim, limit: float, output_tokens: int) -> None:
    """Allow only splits at least as good as this in a metric; `output_tokens` of a request."""
    if aim.metric == "tpot_ms":
        old = limits.get("tpot_ms_max")
        limit *= 1 + SLACK
        limits["tpot_ms_max"] = limit if old is None else min(old, limit)
        return
    per = output_tokens if aim.metric == "requests_per_s" else 1
    name, old = "output_tokens_per_s_min", limits.get("output_tokens_per_s_min")
    limits[name] = max(limit * per * (1 - SLACK), old or 0.0)
