"""Ctrl-C and SIGTERM end a study like its time limit: with what it has. A second one ends the program."""

import signal
import threading
from collections.abc import Callable
from types import FrameType


def as_interrupts() -> None:
    """From now on SIGTERM ends a command as Ctrl-C does; a study then ends with what it has."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def interrupts() -> Callable[[], bool]:
    """Whether somebody has asked this process to stop, from now on."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        return asked.is_set  # signals reach the main thread only

    def stop(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), stop)
    return asked.is_set
