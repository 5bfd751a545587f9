"""The rate a replica may be given so that a percentile of requests still meets the TTFT bound.

Assumed: requests arrive at random (Poisson), spread evenly over the replicas, and each replica serves
prompts one after another in order of arrival with exponential service times (M/M/1). Prompts of one size
take one time, so this errs on the safe side by about a factor of two in the wait.

    P(wait > t) = rho exp(-(1 - rho) mu t)        mu = max(requests_per_s, 1000 / ttft_ms)

The largest rho with ttft_ms + wait at the percentile <= bound gives the rate rho mu. TPOT is not queued for.
"""

from typing import Any

import numpy as np

_HALVINGS = 60


def rate_at_percentile(requests_per_s: Any, ttft_ms: Any, ttft_ms_max: float, percentile: float) -> Any:
    """Requests per second each replica may be given; 0 where even an idle one misses the bound."""
    service = np.maximum(requests_per_s, 1e3 / np.maximum(ttft_ms, 1e-9))
    slack_s = (ttft_ms_max - ttft_ms) / 1e3
    late = 1 - percentile / 100
    low, high = np.zeros_like(service), np.ones_like(service)
    for _ in range(_HALVINGS):
        rho = (low + high) / 2
        keeps = np.log(np.maximum(rho / late, 1e-300)) <= (1 - rho) * service * slack_s
        low, high = np.where(keeps, rho, low), np.where(keeps, high, rho)
    return np.where(slack_s >= 0, np.minimum(requests_per_s, low * service), 0.0)
