"""Measure the figures of the README on this machine: whole processes, studies, the cost model, brute force.

    make bench          (a few minutes; prints one table)

Whole-process rows run the command as a user would, five times after a warm-up, and give the median with
minimum and maximum; peak memory is the operating system's own figure for the process.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODESIGN = ROOT / "benchmarks" / "codesign-8b.yaml"
RUNS = 5


@dataclass(frozen=True)
class Run:
    """One finished process."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    stdout: str


def run_once(*arguments: str) -> Run:
    """Run `python -m optimizer ARGUMENTS` and wait for it."""
    return run_python("-m", "optimizer", *arguments)


def run_python(*arguments: str) -> Run:
    """Run this Python and wait for it; it may keep its bytecode, as a user's does."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryFile("w+") as out:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=ROOT, env=own, stdout=out, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, out.read())


def whole_process(name: str, goal: str, *arguments: str) -> list[str]:
    """A row: median wall seconds, spread, peak memory, and the study's own seconds if it is a study."""
    run_once(*arguments)
    runs = [run_once(*arguments) for _ in range(RUNS)]
    walls = [run.wall_s for run in runs]
    study = ""
    if "--json" in arguments:
        result = json.loads(runs[0].stdout)
        studies = [json.loads(run.stdout)["wall_s"] for run in runs]
        points = result["certificate"]["lattice_points"]
        study = f"{statistics.median(studies):.2f} s, {points:.1e} points, {result['status']}"
    spread = f"{statistics.median(walls):.2f} s ({min(walls):.2f}-{max(walls):.2f})"
    return [name, goal, spread, f"{max(run.peak_mb for run in runs):.0f} MB", study]


def share_of_imports() -> list[str]:
    """CPU of a process that imports what `solve` imports and ends, as a share of the CPU of `solve`."""
    command = ("solve", "dense-8b-b200", "--quiet")
    listing = (
        f"import sys\nfrom optimizer import cli\ncli.main({list(command)!r})\n"
        "print(*[name for name, module in sys.modules.items() if getattr(module, '__spec__', None)])"
    )
    modules = run_python("-c", listing).stdout.splitlines()[-1].split()
    importing = f"from importlib import import_module\nfor name in {modules!r}:\n    import_module(name)"
    pairs = [(run_once(*command).cpu_s, run_python("-c", importing).cpu_s) for _ in range(RUNS + 1)][1:]
    whole, imports = (statistics.median(times) for times in zip(*pairs, strict=True))
    return [
        "share of imports in its CPU",
        "<= 45 %",
        f"{imports / whole:.0%}",
        "",
        f"{imports:.2f} of {whole:.2f} s, {len(modules)} modules",
    ]


def columns_per_second() -> list[str]:
    """Layer kinds priced per second and core: a decode step of attention and of feed-forward kinds."""
    import numpy as np

    from optimizer.cost.quantities import QUANTITIES
    from optimizer.questions import problems
    from optimizer.questions.architecture.space import resolve

    space = resolve(problems.load("dense-8b-b200"))
    frame = next(space.frames())
    attention = space.attention.take(np.arange(len(space.attention)))
    ffn = space.ffn.take(np.tile(np.arange(len(space.ffn)), 25))
    step = QUANTITIES["decode_s"]
    rates = []
    for _ in range(RUNS):
        start = time.perf_counter()
        step.mixer(frame, attention, space.architecture.norms)
        step.ffn(frame, ffn)
        rates.append((len(attention) + len(ffn)) / (time.perf_counter() - start))
    rate = statistics.median(rates)
    return [
        "cost model, block columns",
        ">= 2e6 /s",
        f"{rate:.1e} /s",
        "",
        f"{len(attention) + len(ffn)} columns",
    ]


def brute_force_agrees() -> list[str]:
    """The shipped 8B problem by full numpy enumeration, against the solver's optimum."""
    from optimizer.questions import problems
    from optimizer.questions.architecture.enumeration import brute_force
    from optimizer.questions.architecture.frame_rules import symbol
    from optimizer.questions.architecture.space import resolve
    from optimizer.studies.solve import solve

    problem = problems.load("dense-8b-b200")
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    start = time.perf_counter()
    truth = sense * brute_force(space, space.rules, symbol(name), sense)
    wall = time.perf_counter() - start
    value = solve(problem).objective.value
    verdict = "equal" if value is not None and abs(truth - value) <= 1e-12 * truth else "DIFFERENT"
    return [
        "dense-8b-b200 by enumeration",
        "equal",
        verdict,
        "",
        f"{truth!r} against {value!r}, {wall:.0f} s",
    ]


def main() -> None:
    """Print the table."""
    os.environ["PYTHONPATH"] = str(ROOT)
    sys.path.insert(0, str(ROOT))
    rows = [
        whole_process("archsat --help", "<= 0.25 s", "--help"),
        whole_process("archsat chips", "<= 0.5 s", "chips"),
        whole_process("solve dense-8b-b200", "<= 2.5 s, study 1.5 s", "solve", "dense-8b-b200", "--json"),
        share_of_imports(),
        whole_process(
            "the same, tensor_parallel 1-8",
            "<= 2.5 s, study 1.5 s",
            "solve",
            "dense-8b-b200",
            "--json",
            "--set",
            "deployment.tensor_parallel=[1, 2, 4, 8]",
        ),
        whole_process("co-design, 4 chips x batch x dtype", "study <= 3 s", "solve", str(CODESIGN), "--json"),
        whole_process("infeasible-7b-tpot, explained", "", "solve", "infeasible-7b-tpot", "--json"),
        whole_process("infeasible-70b-one-h100, explained", "", "solve", "infeasible-70b-one-h100", "--json"),
        columns_per_second(),
        brute_force_agrees(),
    ]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| what | goal | measured | peak memory | study |\n|---|---|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
