"""Where re-solves run makes no difference to the answer; a lost worker costs time only.

Guards the one seam through which studies use more than one core or machine.
"""

import os
import signal
import socket
import time

import pytest
import samples

from optimizer import InputError
from optimizer.report.json import to_json
from optimizer.studies import executors
from optimizer.studies.executors import executor_named
from optimizer.studies.frontier import frontier

NAMES = ("tpot_ms", "loss")
STEPS = {"loss": 2e-5}


def run(name: str) -> str:
    with executor_named(name) as executor:
        return to_json(frontier(samples.problem(), NAMES, STEPS, executor=executor))


@pytest.fixture(scope="module")
def truth() -> str:
    return run("serial")


@pytest.mark.parametrize("name", ["threads:3", "processes:2"])
def test_threads_and_processes_give_the_same_bytes(name: str, truth: str) -> None:
    assert run(name) == truth


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "10s"}):
        local = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
        )
        yield local
        local.close(timeout=20)


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_gives_the_same_bytes(cluster, truth: str) -> None:
    assert run(f"dask:{cluster.scheduler_address}") == truth


@pytest.mark.filterwarnings("ignore")
def test_a_dask_worker_killed_in_the_middle_costs_only_time(cluster, truth: str) -> None:
    """The nanny starts another; the scheduler gives the lost tasks to a worker that is alive."""
    victims = [nanny.pid for nanny in cluster.workers.values() if nanny.pid]
    asked: list[int] = []

    with executor_named(f"dask:{cluster.scheduler_address}") as executor:
        honest = executor.submit

        def submit(*call, **more):
            future = honest(*call, **more)
            asked.append(1)
            if len(asked) == 5:
                os.kill(victims[0], signal.SIGKILL)
            return future

        executor.submit = submit
        found = to_json(frontier(samples.problem(), NAMES, STEPS, executor=executor))
    assert found == truth
    assert len(asked) > 5


@pytest.mark.filterwarnings("ignore")
def test_a_dask_address_that_does_not_answer_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    assert executors.CONNECT_S == 10.0
    monkeypatch.setattr(executors, "CONNECT_S", 1.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()  # accepts, and says nothing
        start = time.monotonic()
        with pytest.raises(InputError, match="no scheduler answers"):
            run(f"dask:tcp://127.0.0.1:{deaf.getsockname()[1]}")
        assert time.monotonic() - start < 30


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense://x", "127.0.0.1:notaport"])
def test_a_wrong_dask_address_is_an_error(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executors, "CONNECT_S", 1.0)
    with pytest.raises(InputError, match="no scheduler answers"):
        run(f"dask:{address}")


@pytest.mark.parametrize(
    "name", ["", "thread", "threads:0", "threads:x", "processes:-1", "dask:", "serial:2"]
)
def test_an_unknown_executor_names_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match="serial, threads"):
        run(name)
