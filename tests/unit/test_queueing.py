"""Waits against closed forms, against queues simulated arrival by arrival, and at their edges."""

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.cost import queueing as q

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)
busy = st.floats(0.01, 0.98)
seconds = st.floats(1e-3, 10)


def simulated(utilisation: float, servers: int, exponential: bool, n: int = 200_000) -> np.ndarray:
    """Waits of customers with a mean service of one second, first come first served."""
    rng = np.random.default_rng(servers)
    arrivals = np.cumsum(rng.exponential(1 / (utilisation * servers), n))
    services = rng.exponential(1.0, n) if exponential else np.ones(n)
    free = [0.0] * servers
    waits = np.empty(n)
    for i, (arrival, service) in enumerate(zip(arrivals.tolist(), services.tolist(), strict=True)):
        start = max(arrival, free[0])
        heapq.heapreplace(free, start + service)
        waits[i] = start - arrival
    return waits[n // 20 :]


@pytest.mark.parametrize(("servers", "exponential"), [(1, True), (1, False), (4, True), (4, False)])
def test_against_a_simulated_queue(servers: int, exponential: bool) -> None:
    waits, variation = simulated(0.8, servers, exponential), float(exponential)
    mean = q.wait_s(0.8, 1.0, servers, variation)
    tail = q.wait_quantile_s(0.99, 0.8, 1.0, servers, variation)
    assert float(mean) == pytest.approx(waits.mean(), rel=0.08)
    assert float(tail) == pytest.approx(np.quantile(waits, 0.99), rel=0.12)


def test_a_long_tail_of_one_exponential_server() -> None:
    """M/M/1: p99 = S / (1 - rho) ln(100 rho)."""
    expected = 0.25 / 0.2 * math.log(80)
    assert float(q.wait_quantile_s(0.99, 0.8, 0.25, variation=1.0)) == pytest.approx(expected)


@PROPERTY
@given(busy, seconds)
def test_one_server_is_busy_as_often_as_used(rho: float, service: float) -> None:
    assert float(q.erlang_c(1, rho)) == pytest.approx(rho)
    assert float(q.wait_s(rho, service)) == pytest.approx(rho * service / (2 * (1 - rho)))


@PROPERTY
@given(st.integers(2, 60), busy)
def test_erlangs_c_by_its_sum(servers: int, rho: float) -> None:
    a = servers * rho
    logs = [k * math.log(a) - math.lgamma(k + 1) for k in range(servers + 1)]
    last = math.exp(logs[-1]) / (1 - rho)
    assert float(q.erlang_c(servers, rho)) == pytest.approx(last / (sum(map(math.exp, logs[:-1])) + last))


@PROPERTY
@given(st.integers(1, 16), busy, seconds, st.floats(0, 4))
def test_more_servers_or_less_work_never_wait_longer(servers, rho, service, variation) -> None:
    wait = q.wait_s(rho, service, servers, variation)
    assert q.wait_s(rho, service, servers + 1, variation) <= wait
    assert q.wait_s(rho * 0.9, service, servers, variation) <= wait
    assert q.wait_s(rho, service, servers, variation + 1) >= wait
    tails = [q.wait_quantile_s(p, rho, service, servers, variation) for p in (0.5, 0.9, 0.99)]
    assert tails == sorted(tails)


@PROPERTY
@given(
    st.integers(1, 16), seconds, st.floats(1.0001, 50), st.floats(0, 4), st.sampled_from([None, 0.9, 0.99])
)
def test_the_highest_utilisation_is_the_last_that_holds(servers, service, room, variation, quantile) -> None:
    limit = room * service
    rho = float(q.highest_utilisation(limit, service, servers, variation, quantile))
    assert 0 <= rho < 1

    def ttft(at: float) -> float:
        return float(q.prefill_pool_ttft_s(at * servers / service, service, servers, variation, quantile))

    assert ttft(rho) <= limit * (1 + 1e-9)
    assert ttft(min(1.0, rho + 1e-6)) > limit * (1 - 1e-9)


def test_edges() -> None:
    assert float(q.wait_s(0.0, 1.0, 4)) == 0
    assert float(q.wait_s(1.0, 1.0)) == math.inf
    assert float(q.wait_quantile_s(0.99, 1.2, 1.0, 3)) == math.inf
    assert float(q.wait_quantile_s(0.99, 0.005, 1.0)) == 0  # fewer than one in a hundred waits
    assert float(q.highest_utilisation(0.9, 1.0)) == 0  # the service alone is too long


def test_arrays_equal_numbers() -> None:
    rho = np.array([0.0, 0.3, 0.8, 1.0])
    for servers in (1, 5):
        assert q.wait_s(rho, 2.0, servers).tolist() == [float(q.wait_s(r, 2.0, servers)) for r in rho]
    limits = np.array([0.5, 1.0, 1.5, 9.0])
    found = q.highest_utilisation(limits, 1.0, 2, 1.0, 0.99)
    assert found.tolist() == [float(q.highest_utilisation(x, 1.0, 2, 1.0, 0.99)) for x in limits]
