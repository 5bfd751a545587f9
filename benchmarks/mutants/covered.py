"""Which tests call which functions of the package, and how long each takes: run once, kept by test file."""

import hashlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

Covered = dict[str, dict[str, Any]]
"""Test to {"seconds": ..., "calls": functions of the test, "shared": those of fixtures and imports}."""


class Recorder:
    """A pytest plug-in that notes the functions that each test calls."""

    def __init__(self, package: Path) -> None:
        self._inside = f"{package}/"
        self._calls: set[CodeType] = set()
        self._began = 0.0
        self.found: Covered = {}

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        self._calls.add(frame.f_code)

    def _names(self) -> list[str]:
        own = [c for c in self._calls if c.co_filename.startswith(self._inside)]
        return sorted({f"{c.co_filename[len(self._inside) :]} {_plain(c.co_qualname)}" for c in own})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Around setup, call and teardown of one test."""
        self._calls, self._began = set(), time.perf_counter()
        sys.settrace(self._note)  # type: ignore[arg-type]
        threading.settrace(self._note)  # type: ignore[arg-type]
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # type: ignore[arg-type]
            own = self.found.setdefault(item.nodeid, {"passed": False})
            own |= {"seconds": round(time.perf_counter() - self._began, 3), "calls": self._names()}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Only tests that pass can kill."""
        if report.when == "call":
            self.found.setdefault(report.nodeid, {})["passed"] = report.passed


def _plain(name: str) -> str:
    """A function inside another counts as the outer one."""
    parts: list[str] = []
    for part in name.split("."):
        if part.startswith("<"):
            break
        parts.append(part)
    return ".".join(parts)


def digest(path: Path, helpers: list[Path]) -> str:
    """Of a test file and the helpers beside it that it imports."""
    text = path.read_text()
    own = [p for p in helpers if f"import {p.stem}" in text or f"from {p.stem} import" in text]
    return hashlib.sha256(b"".join(p.read_bytes() for p in (path, *own))).hexdigest()[:16]


def read(store: Path) -> dict[str, Any]:
    """What is known, by test file."""
    return json.loads(store.read_text()) if store.exists() else {}


def named(copy: Path, files: set[str], module: str) -> set[str]:
    """The test files that name a module, or the folder of plug-ins that it is one of."""
    folder, _, stem = module.rpartition(".")
    plug_ins = f'plugins("{folder.rpartition(".")[2]}")'
    found = set()
    for name in files:
        text = (copy / name).read_text()
        lines = [line for line in text.splitlines() if line.startswith(("from ", "import "))]
        if plug_ins in text or any(module in line or (folder in line and stem in line) for line in lines):
            found.add(name)
    return found
