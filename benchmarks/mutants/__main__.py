"""How many small changes of the source the tests see: `make mutants`, `python benchmarks/mutants --help`."""

import argparse
import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import covered
import running
import yaml
from changes import Change, changes

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "build" / "mutants"
AREAS = {
    "constraints": ["constraints/*.py", "scope.py"],
    "checkers": ["check*.py"],
    "solver": ["solver/*.py"],
    "cost": ["cost/**/*.py"],
    "blocks": ["blocks/*.py"],
    "columns": ["columns/*.py"],
    "objectives": ["objectives/*.py", "metrics.py"],
}
TESTS = ["tests/test_*.py", "tests/unit/test_*.py", "tests/properties/test_*.py", "tests/published/test_*.py"]
_FIRST, _FEW_S = 12, 1.5
_LONGEST_S = 300.0
"""To record one test file: one that hangs while it is watched plays no part."""


def main() -> int:
    """Make the changes asked for, run the tests that meet them, print who survived."""
    asked = _asked()
    with tempfile.TemporaryDirectory() as folder:
        copy = running.copied(ROOT, Path(folder))
        running.warm_up(copy)
        known = _recorded(copy, asked.tests)
        wanted = _chosen(copy, asked)
        if asked.list:
            print("\n".join(change.key for _, change in wanted))
            return 0
        rows = [row for file in _by_file(wanted) for row in _tried(copy, file, known, asked)]
    STORE.mkdir(parents=True, exist_ok=True)
    (STORE / "last.json").write_text(json.dumps(rows, indent=1))
    print(_table(rows))
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", help=f"of {', '.join(AREAS)}, or files of the package; all")
    parser.add_argument("--sample", type=int, help="as many changes of each area, drawn at random; all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="changes whose key has this text")
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds a change at most")
    parser.add_argument("--budget", type=float, default=25.0, help="seconds of tests a change at most")
    parser.add_argument("--tests", nargs="*", default=TESTS)
    parser.add_argument("--list", action="store_true", help="print the changes, run nothing")
    parser.add_argument("--again", action="store_true", help="only those that survived the last run")
    return parser.parse_args()


def _chosen(copy: Path, asked: argparse.Namespace) -> list[tuple[str, Change]]:
    """(area, change) in the order of areas and files; a sample is the same for the same seed and source."""
    again = {r["key"] for r in _last() if r["outcome"] == "survived"} if asked.again else None
    found = []
    for area in asked.areas or AREAS:
        package = copy / running.PACKAGE
        paths = sorted({p for pattern in AREAS.get(area, [area]) for p in package.glob(pattern)})
        own = [c for p in paths for c in changes(str(p.relative_to(package)), p.read_text())]
        own = [c for c in own if asked.only in c.key and (again is None or c.key in again)]
        if asked.sample is not None and asked.sample < len(own):
            rows = sorted(random.Random(asked.seed).sample(range(len(own)), asked.sample))
            own = [own[i] for i in rows]
        found += [(area, change) for change in own]
    return found


def _last() -> list[dict[str, Any]]:
    path = STORE / "last.json"
    return json.loads(path.read_text()) if path.exists() else []


def _by_file(wanted: list[tuple[str, Change]]) -> list[list[tuple[str, Change]]]:
    files: dict[str, list[tuple[str, Change]]] = {}
    for area, change in wanted:
        files.setdefault(change.file, []).append((area, change))
    return list(files.values())


def _recorded(copy: Path, patterns: list[str]) -> covered.Covered:
    """What each test calls; test files that changed since are run again."""
    STORE.mkdir(parents=True, exist_ok=True)
    store = STORE / "covered.json"
    known, found = covered.read(store), {}
    helpers = [p for p in sorted((copy / "tests").glob("*.py")) if not p.name.startswith("test_")]
    for path in sorted({p for pattern in patterns for p in copy.glob(pattern)}):
        name, own = str(path.relative_to(copy)), covered.digest(path, helpers)
        if known.get(name, {}).get("digest") != own:
            print(f"recording {name}", file=sys.stderr, flush=True)
            known[name] = {"digest": own, "tests": _record(copy, name)}
            store.write_text(json.dumps(known))
        found |= known[name]["tests"]
    return {test: own for test, own in found.items() if own.get("passed")}


def _record(copy: Path, name: str) -> covered.Covered:
    """Run one test file in a child and note what its tests call."""
    answer = copy / "recorded.json"
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            import pytest

            recorder = covered.Recorder(copy / running.PACKAGE)
            out = os.open(copy / "recorded.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(out, 1)
            pytest.main([*running.OPTIONS, name], plugins=[recorder])
            answer.write_text(json.dumps(recorder.found))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    running.ended(child, _LONGEST_S)
    found = json.loads(answer.read_text()) if answer.exists() else {}
    answer.unlink(missing_ok=True)
    return found


def _tried(
    copy: Path, file: list[tuple[str, Change]], known: covered.Covered, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Outcomes of the changes of one file: a child imports all that does not depend on it, and forks."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                for row in _outcomes(copy, file, known, asked):
                    print(json.dumps(row), file=out, flush=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answers:
        for line in answers:
            row = json.loads(line)
            mark = {"survived": "SURVIVED", "time": "killed (time)"}.get(row["outcome"], row["outcome"])
            print(f"{row['seconds']:5.1f} s  {mark:13}  {row['line']:4}  {row['key']}", flush=True)
            yield row
    os.waitpid(child, 0)


def _outcomes(
    copy: Path, file: list[tuple[str, Change]], known: covered.Covered, asked: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    equivalent = _equivalent()
    path = copy / running.PACKAGE / file[0][1].file
    original = path.read_text()
    changed = ".".join(path.relative_to(copy).with_suffix("").parts).removesuffix(".__init__")
    graph = running.imports(copy)
    running.preload(running.independent(graph, changed), changed)
    near = [f"{n.partition('.')[2].replace('.', '/')}.py" for n, named in graph.items() if changed in named]
    direct = covered.named(copy, {test.split("::")[0] for test in known}, changed)
    killers: list[str] = []
    for area, change in file:
        began = time.monotonic()
        reason = _reason(change.key, equivalent)
        stages = [] if reason else _stages(change, known, near, direct, killers, asked.budget)
        if reason is None and stages:
            for old in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
                old.unlink()
            path.write_text(change.source())
            result = running.outcome(stages, asked.timeout, copy / "log.txt")
            path.write_text(original)
            killers = _killers(copy, killers) if result == "killed" else killers
        else:
            result = "equivalent" if reason else "survived"
        row = {"area": area, "file": change.file, "line": change.line, "key": change.key, "outcome": result}
        yield row | {"seconds": round(time.monotonic() - began, 2), "tests": sum(map(len, stages))}


def _stages(
    change: Change,
    known: covered.Covered,
    near: list[str],
    direct: set[str],
    killers: list[str],
    budget: float,
) -> list[list[str]]:
    """Tests that call the function: first those that killed before and the quick ones, then all in budget.

    Of test files, those that import the module come first. A line outside all functions, or of a class
    without any, is met by every test that calls into the module or into one that imports it, and then by
    any test, since plug-ins are found by their folder.
    """
    name = f"{change.file} {change.where}"
    rank = {t: 0 for t, own in known.items() if change.where and any(_inside(c, name) for c in own["calls"])}
    if not rank:
        files = [change.file, *near]
        first = {t: {call.split(" ")[0] for call in own["calls"]} for t, own in known.items()}
        rank = {t: next((i for i, f in enumerate(files) if f in own), len(files)) for t, own in first.items()}

    def order(test: str) -> tuple[bool, int, float]:
        own = known[test]
        return test.split("::")[0] not in direct, rank[test], own["seconds"] + 0.0002 * len(own["calls"])

    chosen, left = [], budget
    for test in sorted(rank, key=order):
        left -= known[test]["seconds"]
        if left < 0 and chosen:
            break
        chosen.append(test)
    before = [test for test in killers if test in rank][:3]
    quick = [t for t in chosen if t not in before and known[t]["seconds"] < _FEW_S][:_FIRST]
    rest = [t for t in chosen if t not in before and t not in quick]
    return [stage for stage in (before, quick, rest) if stage]


def _inside(call: str, name: str) -> bool:
    return call == name or call.startswith(name + ".")


def _killers(copy: Path, killers: list[str]) -> list[str]:
    """The test that failed goes to the front."""
    lines = (copy / "log.txt").read_text().splitlines()
    failed = [line.split(" ")[1] for line in lines if line.startswith("FAILED ")]
    return [*failed, *(k for k in killers if k not in failed)]


def _equivalent() -> dict[str, str]:
    """Changes that no test can see, with the reason."""
    listed = yaml.safe_load((Path(__file__).parent / "equivalent.yaml").read_text()) or []
    return {key: row["why"] for row in listed for key in row["changes"]}


def _reason(key: str, equivalent: dict[str, str]) -> str | None:
    """A listed change may end in `*`: all changes that begin so."""
    if key in equivalent:
        return equivalent[key]
    return next((why for k, why in equivalent.items() if k.endswith("*") and key.startswith(k[:-1])), None)


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "",
        "| folder | changes | equivalent | killed | survived | killed % |",
        "|---|---|---|---|---|---|",
    ]
    for area in dict.fromkeys(row["area"] for row in rows):
        own = [row["outcome"] for row in rows if row["area"] == area]
        same, lived = own.count("equivalent"), own.count("survived")
        n = len(own) - same
        share = 100 * (n - lived) / max(1, n)
        lines.append(f"| {area} | {len(own)} | {same} | {n - lived} | {lived} | {share:.1f} |")
    lived = [f"{r['file']}:{r['line']}  {r['key']}" for r in rows if r["outcome"] == "survived"]
    return "\n".join([*lines, "", *lived])


if __name__ == "__main__":
    sys.exit(main())
