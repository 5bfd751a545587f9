"""Runs parts one after the other, each group in a process of its own with a time of its own.

A case that fails is a row with the reason. One that takes the process along, or hangs, is too: the group goes
on in a new process after it. What there was no time for is a row as well.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from grid import Case
from results import Rows, key

GROUPS: dict[tuple[str, ...], float] = {
    ("launch", "memory", "small"): 45,
    ("gemm",): 90,
    ("decode", "prefill"): 85,
    ("experts", "layers"): 120,
}
"""Parts that share a process, and the shares of the time they get; what one leaves the others have."""
NO_TIME = "no time left"
LOST = 3
"""Exit status of a process whose GPU cannot be used any more."""
NO_GPU = 2
"""Exit status of a process that cannot measure at all."""
TRIES, LEAST_S, GRACE_S = 4, 12.0, 12.0
"""Processes of a group at most; seconds left for which another is begun; seconds past its time to its end."""


def run_cases(
    cases: list[Case], measure: Callable[[Case], Any], rows: Rows, seconds: float, fatal: Callable[..., bool]
) -> int:
    """A row for each case that has none; 3 if the process must end."""
    end = time.monotonic() + seconds
    done, lost = rows.done(), rows.lost()
    for case in cases:
        if key(vars(case)) in done:
            continue
        if key(vars(case)) == lost:
            rows.add(case, skipped="ended or hung its process")
            continue
        if time.monotonic() > end:
            rows.add(case, skipped=NO_TIME)
            continue
        rows.begin(case)
        try:
            rows.add(case, measure(case))
        except Exception as error:
            text = f"{type(error).__name__}: {' '.join(str(error).split())}"
            rows.add(case, skipped=text[:300])
            if fatal(error):
                return LOST
    return 0


def fill(cases: list[Case], rows: Rows) -> None:
    """A row for each case that no process came to."""
    done = rows.done()
    for case in cases:
        if key(vars(case)) not in done:
            rows.add(case, skipped=NO_TIME)


def run_groups(
    groups: dict[tuple[str, ...], float],
    command: Callable[[tuple[str, ...], float, int], list[str]],
    seconds: float,
    log: Path,
    begin: Callable[[str], None] = lambda parts: None,
) -> list[str]:
    """Each group as a process, again where it ended early; what happened, a line each."""
    end = time.monotonic() + seconds
    told, left = [], dict(groups)
    for parts, share in groups.items():
        own = max(0.0, end - time.monotonic()) * share / sum(left.values())
        del left[parts]
        begin(" ".join(parts))
        began = time.monotonic()
        for attempt in range(TRIES):
            budget = own - (time.monotonic() - began)
            if attempt and budget < LEAST_S:
                break
            status = _process(command(parts, budget, attempt), budget + GRACE_S, log)
            told.append(
                f"{' '.join(parts)}: status {status} after {time.monotonic() - began:.0f} s of {own:.0f}"
            )
            if status in (0, NO_GPU):
                break
    return told


def _process(command: list[str], seconds: float, log: Path) -> int | str:
    """The exit status, or that it was ended."""
    with log.open("a", encoding="utf-8") as file:
        try:
            return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=seconds).returncode
        except subprocess.TimeoutExpired:
            return "ended: hung"


def python(*arguments: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, "-u", *arguments]
