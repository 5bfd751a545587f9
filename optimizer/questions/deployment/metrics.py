"""Metrics of deployments: their units, which are objectives, and the steps they are resolved to."""

from optimizer.questions.deployment.search import LATENCIES

UNITS = {
    "chips": "chips",
    "nodes": "nodes",
    "usd_per_hour": "USD/h",
    "power_w": "W",
    "requests_per_s": "requests/s",
    "output_tokens_per_s": "tokens/s",
    "ttft_ms": "ms",
    "tpot_ms": "ms",
    "utilisation": "",
    "memory_capacity": "of the usable memory",
}
ANY_TRAFFIC = 1e-8
"""Requests per second that a plan for the most traffic must serve: some."""
TRAFFIC = ("requests_per_s", "output_tokens_per_s")
AIMS = ("chips", "nodes", "usd_per_hour", "power_w", *LATENCIES, *TRAFFIC)
