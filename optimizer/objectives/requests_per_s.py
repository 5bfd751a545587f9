"""Traffic that a plan can serve.

requests_per_s = aggregated + min(prefill, decode), each the sum of its replicas' rates
"""

TITLE = "Request rate"
RANK = 40
UNIT, BETTER = "requests/s", "higher"
STEP = 1e-3
SCALE = 10**8
"""Six decimals of a measurement times two of a factor."""


def per_request(output_tokens: int) -> float:
    """A request is one."""
    return 1.0
