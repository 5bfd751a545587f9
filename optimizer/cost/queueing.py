"""Waiting: how long prompts queue where they arrive at random, one by one.

With S seconds of service, `servers` of them, utilisation rho = rate S / servers, and V the squared
coefficient of variation of S (0 if all prompts are alike, 1 if exponential):

    share that waits    C = Erlang's C(servers, servers rho); rho for one server
    mean wait           W = C S / (servers (1 - rho)) (1 + V) / 2
    quantile q          W_q = W / C ln(C / (1 - q)), 0 where fewer than 1 - q wait

One server: exact means (M/M/1, M/D/1, M/G/1; Pollaczek and Khinchine). Many: exact for V = 1 (M/M/c), else
the approximation of Allen and Cunneen. The tail is exact for V = 1; for V = 0 it is 3-10 % long, on the safe
side. At rho >= 1 the queue has no end and all waits are infinite. Arrays broadcast.

Clients that wait for their answer before they ask again do not queue like this: `optimizer.cost.closed_loop`;
replicas that prefill and decode: `optimizer.cost.open_loop`.
"""

from collections.abc import Callable

import numpy as np

from optimizer.blocks.operators import Number

_HALVINGS = 60
_NEWTON = 40


def erlang_c(servers: int, utilisation: Number) -> Number:
    """Share of arrivals that find all servers busy, by Erlang's recursion; 1 at full utilisation."""
    rho = np.minimum(np.asarray(utilisation, float), 1.0)
    blocked: Number = 1.0
    for n in range(1, servers + 1):
        blocked = servers * rho * blocked / (n + servers * rho * blocked)
    return blocked / (1.0 - rho * (1.0 - blocked))


def wait_s(utilisation: Number, service_s: Number, servers: int = 1, variation: Number = 0.0) -> Number:
    """Mean seconds in the queue, over all arrivals; `variation` is V."""
    return erlang_c(servers, utilisation) * _wait_of_those_who_wait(
        utilisation, service_s, servers, variation
    )


def wait_quantile_s(
    quantile: float, utilisation: Number, service_s: Number, servers: int = 1, variation: Number = 0.0
) -> Number:
    """Seconds in the queue that a share `quantile` of arrivals does not exceed (0.99: p99)."""
    waiting = erlang_c(servers, utilisation)
    mean = _wait_of_those_who_wait(utilisation, service_s, servers, variation)
    return mean * np.log(np.maximum(waiting / (1.0 - quantile), 1.0))


def _wait_of_those_who_wait(
    utilisation: Number, service_s: Number, servers: int, variation: Number
) -> Number:
    idle = 1.0 - np.asarray(utilisation, float)
    spread = service_s * (1.0 + variation) / (2.0 * servers)
    return np.where(idle > 0, spread / np.where(idle > 0, idle, 1.0), np.inf)


def fixed_wait_quantile_s(quantile: float, utilisation: Number, service_s: Number) -> Number:
    """The same of one server that all take as long of (M/D/1); utilisation above 0 and below 1.

    Exact up to one service: P(wait <= t) = (1 - rho) exp(rho t / S). Beyond, its exponential tail:
    P(wait > t) ~ (1 - rho) / (rho e^y - 1) exp(-y t / S), where rho (e^y - 1) = y.
    """
    rho = np.asarray(utilisation, float)
    within = np.log(np.maximum(1.0, quantile / (1 - rho))) / rho
    decay = 2 * (1 - rho) / rho  # above the root, from where Newton's steps fall
    for _ in range(_NEWTON):
        decay = decay - (rho * np.expm1(decay) - decay) / (rho * np.exp(decay) - 1)
    share = (1 - rho) / (rho * np.exp(decay) - 1)
    beyond = np.log(share / (1 - quantile)) / decay
    return np.where(within <= 1, within, np.maximum(1.0, beyond)) * service_s


def in_system(rate: Number, seconds: Number) -> Number:
    """Little's law: mean number in a system that `rate` a second enter and stay `seconds` in."""
    return rate * seconds


def decoding(rate: Number, output_tokens: Number, tpot_s: Number) -> Number:
    """Sequences being decoded at `rate` requests a second (Little's law)."""
    return in_system(rate, output_tokens * tpot_s)


def highest_utilisation(
    limit_s: Number,
    service_s: Number,
    servers: int = 1,
    variation: Number = 0.0,
    quantile: float | None = None,
) -> Number:
    """The highest utilisation at which wait and service keep within `limit_s`.

    The mean counts, or a quantile of the wait. 0 where the service alone takes longer.
    """

    def wait(utilisation: Number) -> Number:
        if quantile is None:
            return wait_s(utilisation, service_s, servers, variation)
        return wait_quantile_s(quantile, utilisation, service_s, servers, variation)

    room = np.asarray(limit_s, float) - service_s
    return np.where(room >= 0, _last_within(wait, room), 0.0)


def _last_within(rising: Callable[[Number], Number], limit: Number) -> Number:
    """Where a rising function of the utilisation reaches a limit, by bisection of 0 to 1."""
    low, high = np.zeros(np.shape(limit)), np.ones(np.shape(limit))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        within = rising(middle) <= limit
        low, high = np.where(within, middle, low), np.where(within, high, middle)
    return low


def prefill_pool_ttft_s(
    rate: Number, prefill_s: Number, workers: int, variation: Number = 0.0, quantile: float | None = None
) -> Number:
    """Seconds to the first token in a pool that only prefills, one prompt a worker at a time."""
    utilisation = rate * prefill_s / workers
    if quantile is None:
        return prefill_s + wait_s(utilisation, prefill_s, workers, variation)
    return prefill_s + wait_quantile_s(quantile, utilisation, prefill_s, workers, variation)
