"""Runs tests on a change: in a copy of the tree, in a process forked from one that has all else imported."""

import ast
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

PACKAGE = "optimizer"
_WARM = (
    "hypothesis",
    "hypothesis.strategies",
    "networkx",
    "numpy",
    "ortools.sat.python.cp_model",
    "pydantic",
    "pytest",
    "rich.console",
    "rich.table",
    "yaml",
)

_KNOWN = "ignore::pytest.PytestAssertRewriteWarning"  # that plug-ins were imported before pytest began
OPTIONS = ["-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", _KNOWN]


def copied(root: Path, place: Path) -> Path:
    """The files that git knows, in a folder of their own."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=root, check=True, capture_output=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (root / name).is_file():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, place / name)
    return place


def warm_up(copy: Path) -> None:
    """Import what no change touches. Children see the copy's package, whatever is installed."""
    for name in _WARM:
        import_module(name)
    hypothesis = sys.modules["hypothesis"]
    hypothesis.settings.register_profile(
        "few", max_examples=25, deadline=None, derandomize=True, database=None
    )
    hypothesis.settings.load_profile("few")
    sys.path[:0] = [str(copy)]
    os.environ["PYTHONPATH"] = str(copy)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.chdir(copy)
    if PACKAGE in sys.modules:
        raise RuntimeError(f"{PACKAGE} was imported from {sys.modules[PACKAGE].__file__} before any change")


def imports(copy: Path) -> dict[str, set[str]]:
    """Module to the modules of the package that it imports, anywhere in it."""
    files = {_module(copy, path): path for path in (copy / PACKAGE).rglob("*.py")}
    found = {}
    for name, path in files.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                named |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        inside = {n for n in named if n in files}
        found[name] = inside | {n.rpartition(".")[0] for n in inside if "." in n}
    return found


def _module(copy: Path, path: Path) -> str:
    return ".".join(path.relative_to(copy).with_suffix("").parts).removesuffix(".__init__")


def independent(graph: dict[str, set[str]], changed: str) -> list[str]:
    """Modules that reach the changed one by no import: these may be imported before the change."""
    reach = {changed}
    while more := {name for name, named in graph.items() if named & reach} - reach:
        reach |= more
    return sorted(set(graph) - reach - {n for n in graph if n.endswith("__main__")})


def preload(names: list[str], changed: str) -> None:
    """Import modules that no change reaches, and what they keep of the catalogue."""
    for name in names:
        import_module(name)
    catalog: Any = sys.modules.get(f"{PACKAGE}.catalog")
    if catalog is not None:
        catalog.chips(), catalog.engines(), catalog.models()
    if changed in sys.modules:
        raise RuntimeError(f"{changed} was imported before its change")


def outcome(stages: list[list[str]], seconds: float, log: Path) -> str:
    """'survived', 'killed' or 'time' for the change that the copy holds now; tests by stage, then by name."""
    child = os.fork()
    if child == 0:
        _run(stages, log)
    code = ended(child, seconds)
    return "time" if code is None else "survived" if code == 0 else "killed"


def ended(child: int, seconds: float) -> int | None:
    """The exit code of a child; None if it took longer, and was ended with all that it began."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _run(stages: list[list[str]], log: Path) -> None:
    """In the child: never returns."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.dont_write_bytecode = True
        pytest: Any = sys.modules["pytest"]
        for tests in stages:
            code = int(pytest.main(["-x", "--tb=line", *OPTIONS, *tests]))
            if code:
                break
    finally:
        sys.stdout.flush()
        os._exit(code)
