"""Keep a library's stray lines off stdout, where only answers belong.

HiGHS writes some straight to the process's file descriptor. It is pointed elsewhere while any thread solves,
and put back by the last one to finish.
"""

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Iterator

_lock = threading.Lock()
_inside = 0
_kept: int | None = None


@contextlib.contextmanager
def silent_stdout() -> Iterator[None]:
    """Nothing written to file descriptor 1 in here is seen."""
    global _inside
    with _lock:
        if _inside == 0:
            _away()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _back()


def _away() -> None:
    global _kept
    _flush()
    try:
        _kept = os.dup(1)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    except OSError:  # no stdout to protect
        _kept = None


def _back() -> None:
    global _kept
    _flush()
    if _kept is not None:
        os.dup2(_kept, 1)
        os.close(_kept)
        _kept = None


def _flush() -> None:
    """Python's buffer and the C library's, so that each line goes where it belongs."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    if os.name == "posix":
        ctypes.CDLL(None).fflush(None)
