"""The rate a replica may be given so that a percentile of requests still meets the TTFT bound.

Assumed: requests arrive at random (Poisson), spread evenly over the replicas, and each replica serves
prompts one after another in order of arrival with exponential service times (M/M/1; `cost.queueing` with
V = 1). Prompts of one size take one time, so this errs on the safe side.

    P(wait > t) = rho exp(-(1 - rho) mu t)        mu = max(requests_per_s, 1000 / ttft_ms)

The largest rho with ttft_ms + wait at the percentile <= bound gives the rate rho mu. TPOT is not queued for.
"""

from typing import Any

import numpy as np

from optimizer.cost.queueing import highest_utilisation

_EXPONENTIAL = 1.0


def rate_at_percentile(requests_per_s: Any, ttft_ms: Any, ttft_ms_max: Any, percentile: float) -> Any:
    """Requests per second each replica may be given; 0 where even an idle one misses the bound."""
    service_s = 1 / np.maximum(requests_per_s, 1e3 / np.maximum(ttft_ms, 1e-9))
    limit_s = (ttft_ms_max - ttft_ms) / 1e3 + service_s
    rho = highest_utilisation(limit_s, service_s, 1, _EXPONENTIAL, percentile / 100)
    return np.minimum(requests_per_s, rho / service_s)
