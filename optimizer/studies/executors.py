"""Where re-solves run: here, in threads, in processes, or on a Dask cluster; always through one interface.

    serial              one after the other, in this process
    threads[:N]         OR-Tools and numpy release the interpreter's lock while they work
    processes[:N]       each worker prepares the problem once
    dask:ADDRESS        a running scheduler; its workers need archsat of the same version

Anything else that is a `concurrent.futures.Executor` can be given from Python.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from threading import Thread
from typing import Any

from optimizer.errors import InputError

CONNECT_S = 10.0
"""How long a Dask scheduler may take to answer."""
_ACCEPTED = "use serial, threads, threads:N, processes, processes:N or dask:ADDRESS"


class Here(Executor):
    """Runs each task at once, in the calling thread."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """The finished future of one call."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def executor_named(name: str) -> Iterator[Executor]:
    """The executor of a name such as 'threads:4', closed after use."""
    kind, _, rest = name.partition(":")
    if kind == "dask":
        with _dask(rest) as executor:
            yield executor
        return
    workers = _workers(name, rest)
    if kind == "serial" and not rest:
        yield Here()
        return
    if kind not in ("threads", "processes"):
        raise InputError(f"executor {name[:60]}: unknown; {_ACCEPTED}")
    pool: Executor = (
        ThreadPoolExecutor(workers)
        if kind == "threads"
        else ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    )
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _workers(name: str, text: str) -> int:
    if not text:
        return os.cpu_count() or 1
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 4096):
        raise InputError(f"executor {name[:60]}: '{text[:20]}' is no number of workers; {_ACCEPTED}")
    return int(text)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    if not address:
        raise InputError(f"executor dask: names no scheduler; {_ACCEPTED}")
    try:
        connect: Any = import_module("distributed").Client
    except ImportError:
        raise InputError("executor dask: needs Dask; pip install 'archsat[dask]'") from None
    client = _in_time(lambda: connect(address, timeout=CONNECT_S, set_as_default=False), address)
    try:
        yield client.get_executor(pure=False)
    finally:
        client.close()


def _in_time(connect: Callable[[], Any], address: str) -> Any:
    """What `connect` returns; InputError if it fails, or takes longer than it was told to.

    Dask's own limit does not cover a peer that accepts the connection and then says nothing.
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(connect())
        except Exception as error:
            failed.append(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    thread.join(CONNECT_S)
    if found:
        return found[0]
    said = str(failed[0]).splitlines() if failed else []
    reason = said[0][:120] if said else f"nothing within {CONNECT_S:g} s"
    raise InputError(f"executor dask:{address[:80]}: no scheduler answers there ({reason})")
