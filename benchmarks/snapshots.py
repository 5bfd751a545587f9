"""Are all answers what they were? Every shipped problem and some studies of them, against what is stored.

    python benchmarks/snapshots.py [TEXT ...]          (those whose name has a TEXT, else all: two minutes)
    python benchmarks/snapshots.py --write [TEXT ...]  (store what comes out now; the commit says why)

For whoever rebuilds: an answer is its `--json`, byte for byte but for the seconds it took. What differs is
printed field by field, old and new; the exit code is 1 if anything does.
"""

import argparse
import contextlib
import gzip
import io
import json
import sys
from collections.abc import Iterator
from math import isclose
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
STORE = ROOT / "benchmarks" / "snapshots"

TIMES = {"wall_s"}
"""Fields that no two runs share."""
FRONTIERS = (
    "dense-1b-b200",
    "dense-8b-train-and-serve",
    "gpt-oss-120b-b200",
    "llama-70b-chat",
    "llama-70b-mi300x",
)
PERTURBED = (
    "dense-1b-b200",
    "dense-7b-h100-loss",
    "deepseek-v3-experts-apart",
    "llama-70b-chat",
    "llama-405b-h100",
)
_MOST_SHOWN = 20


def cases() -> dict[str, list[str]]:
    """Name to the arguments of a command."""
    problems = sorted(path.stem for path in (ROOT / "problems").glob("*.yaml"))
    found = {f"solve {name}": ["solve", name] for name in problems}
    found |= {f"frontier {name}": ["frontier", name, "--points", "60"] for name in FRONTIERS}
    found |= {f"perturb {name}": ["perturb", name] for name in PERTURBED}
    found |= {
        f"validate {path.stem}": ["validate", str(path)]
        for path in sorted((ROOT / "benchmarks" / "points").glob("*.csv"))
        if not path.stem.startswith("gpu_kernels")  # for `calibrate`
    }
    return found


def answer(arguments: list[str]) -> Any:
    """What a command prints as JSON, without times; with its exit code."""
    from optimizer.cli import main

    out, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        code = main([*arguments, "--json"])
    text = out.getvalue()
    said = errors.getvalue().replace(f"{ROOT}/", "")
    return {"exit": code, "said": _timeless(json.loads(text)) if text else said}


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _timeless(own) for name, own in value.items() if name not in TIMES}
    return [_timeless(own) for own in value] if isinstance(value, list) else value


def stored(name: str) -> Any:
    """The answer kept under a name; None if there is none."""
    path = _path(name)
    return json.loads(gzip.decompress(path.read_bytes())) if path.exists() else None


def store(name: str, found: Any) -> None:
    """Keep an answer."""
    STORE.mkdir(exist_ok=True)
    _path(name).write_bytes(gzip.compress(json.dumps(found, indent=1).encode(), mtime=0))


def _path(name: str) -> Path:
    return STORE / f"{name.replace(' ', '-')}.json.gz"


def differences(old: Any, new: Any, at: str = "", tolerance: float = 0.0) -> Iterator[str]:
    """Fields that differ, with both values; names and their order count too.

    `tolerance`: the relative difference of two figures that is none, for another machine's arithmetic.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        if list(old) != list(new):
            yield f"{at or 'the answer'}: fields {list(old)} -> {list(new)}"
        for name in old.keys() & new.keys():
            yield from differences(old[name], new[name], f"{at}.{name}" if at else name, tolerance)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{at}[{i}]", tolerance)
    elif isinstance(old, float) and isinstance(new, float) and isclose(old, new, rel_tol=tolerance):
        return
    elif old != new or type(old) is not type(new):
        yield f"{at}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def main() -> int:
    """Compare or write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", nargs="*", help="parts of the names of answers; all of them")
    parser.add_argument("--write", action="store_true", help="store the answers instead")
    asked = parser.parse_args()
    wrong = 0
    for name, arguments in cases().items():
        if asked.texts and not any(text in name for text in asked.texts):
            continue
        new, old = answer(arguments), stored(name)
        found = ["nothing was stored"] if old is None else sorted(differences(old, new))
        if asked.write:
            store(name, new)
        wrong += bool(found)
        print(f"{name}: {'as it was' if not found else f'{len(found)} differences'}", flush=True)
        for line in found[:_MOST_SHOWN]:
            print(f"    {line}")
    return int(bool(wrong) and not asked.write)


if __name__ == "__main__":
    sys.exit(main())
