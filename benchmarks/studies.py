"""Measure the figures of docs/studies.md on this machine: frontiers, perturbations, explanations.

    python benchmarks/studies.py [ROW ...]      (minutes; prints one table; rows by number)

Times are of the study alone, after OR-Tools is imported, the median of three runs with minimum and maximum.
Rows of agreement compare with full enumeration on random problems and print how many agree.
"""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "properties")]

RUNS = 3
WIDE = {"architecture.n_params_tolerance": 0.25, "constraints.loss_increase_max": False}
FREE = {"architecture.n_params_tolerance": 0.6, "constraints.loss_increase_max": False}
FINE = FREE | {
    "architecture.d_model": {"min": 2048, "max": 8192, "multiple_of": 32},
    "architecture.d_ff": {"min": 4096, "max": 32768, "multiple_of": 32},
    "constraints.tile_alignment": 32,
}


def timed(run: Callable[[], Any]) -> tuple[Any, str]:
    """The last answer, and median seconds with minimum and maximum, and the processor's own."""
    walls, processor = [], []
    for _ in range(RUNS):
        start, own = time.perf_counter(), time.process_time()
        answer = run()
        walls.append(time.perf_counter() - start)
        processor.append(time.process_time() - own)
    spread = f"{statistics.median(walls):.2f} s ({min(walls):.2f}-{max(walls):.2f})"
    return answer, f"{spread}, processor {statistics.median(processor):.2f} s"


def frontier_row(over: dict[str, Any], names: tuple[str, ...], steps: dict[str, float], where: str) -> str:
    """A frontier, timed."""
    from optimizer import frontier, load_problem
    from optimizer.studies.executors import executor_named

    def run() -> Any:
        with executor_named(where) as executor:
            return frontier(load_problem("dense-8b-b200", over), names, steps, executor=executor)

    found, wall = timed(run)
    return (
        f"{wall}; {len(found.points)} points, {found.status}, {found.work.asked} re-solves, "
        f"{found.lattice_points:.1e} lattice points"
    )


def two_objectives() -> str:
    """A frontier of time per token and loss."""
    return frontier_row(FREE, ("tpot_ms", "loss"), {"loss": 1e-4}, "serial")


def two_objectives_on_two() -> str:
    """The same frontier on two processes."""
    return frontier_row(FREE, ("tpot_ms", "loss"), {"loss": 1e-4}, "processes:2")


def many_points() -> str:
    """A frontier of many points: widths in fine steps."""
    return frontier_row(FINE, ("loss", "tpot_ms"), {"tpot_ms": 1e-4}, "processes:2")


def three_objectives() -> str:
    """A frontier of time per token, loss and memory."""
    return frontier_row(WIDE, ("tpot_ms", "loss", "memory_gib"), {"loss": 1e-3, "memory_gib": 0.5}, "serial")


def perturbations() -> str:
    """Of the shipped 8B problem: constraints, dimensions and constants up to 100 re-solves."""
    from optimizer import Variation, load_problem, perturb

    constants = ["hbm_bandwidth", "efficiency.gemm.bf16.memory", "efficiency.gemm.bf16.overhead"]
    vary = [Variation(f"hardware.{name}", 1.1) for name in constants]
    found, wall = timed(lambda: perturb(load_problem("dense-8b-b200"), vary))
    return f"{wall}; {found.work.asked} re-solves, {len(found.changes)} changes"


def processor_s(run: Callable[[], Any]) -> float:
    """Median processor seconds of a study."""
    spent = []
    for _ in range(RUNS):
        start = time.process_time()
        run()
        spent.append(time.process_time() - start)
    return statistics.median(spent)


def ratio(study: Callable[[], Any], problem: Any) -> str:
    """Processor time of a study over that of one solve of its problem."""
    from optimizer import solve

    whole, one = processor_s(study), processor_s(lambda: solve(problem))
    return f"{whole / one:.1f} x ({whole:.2f} s / {one:.2f} s of processor)"


def frontier_ratio() -> str:
    """A frontier of two objectives over one solve of its problem."""
    from optimizer import frontier, load_problem

    problem = load_problem("dense-8b-b200", FREE)
    return ratio(lambda: frontier(problem, ("tpot_ms", "loss"), {"loss": 1e-4}), problem)


def perturbation_ratio() -> str:
    """The perturbations over one solve of their problem."""
    from optimizer import Variation, load_problem, perturb

    problem = load_problem("dense-8b-b200")
    constants = ["hbm_bandwidth", "efficiency.gemm.bf16.memory", "efficiency.gemm.bf16.overhead"]
    vary = [Variation(f"hardware.{name}", 1.1) for name in constants]
    return ratio(lambda: perturb(problem, vary), problem)


def explanation_ratio() -> str:
    """Over a solve of the same problem with a limit that it can meet."""
    from optimizer import explain, load_problem

    feasible = load_problem("infeasible-7b-tpot", {"constraints.tpot_ms_max": 10.0})
    return ratio(lambda: explain(load_problem("infeasible-7b-tpot")), feasible)


def conflict_and_relaxations() -> str:
    """An infeasible problem of some 400 columns a slice."""
    from optimizer import explain, load_problem

    over = {"architecture.d_model": [4096], "constraints.tpot_ms_max": 1.0}
    found, wall = timed(lambda: explain(load_problem("dense-8b-b200", over)))
    return f"{wall}; {found.conflicts}, complete {found.complete}, {found.work.asked} sets of rules"


def shipped_conflicts() -> str:
    """The infeasible problem that ships."""
    from optimizer import explain, load_problem

    found, wall = timed(lambda: explain(load_problem("infeasible-7b-tpot")))
    return f"{wall}; {found.conflicts}, complete {found.complete}"


def archc_question() -> str:
    """The 7B question on H100 that AntheaLi/AC (a7496a8) answers from 8,757 candidates, with all prices."""
    from optimizer import load_problem, perturb, solve

    problem = load_problem("dense-7b-h100-loss")

    def run() -> Any:
        return solve(problem), perturb(problem)

    (result, found), wall = timed(run)
    binding = [b.constraint for b in found.bearings if b.binds]
    return (
        f"{wall}; {result.certificate.counts['lattice_points']:.1e} points, {result.status}, loss "
        f"{result.objective.value:.4f}, {len(found.changes)} prices, binding: {', '.join(binding)}"
    )


def random_problems(n: int) -> list[Any]:
    """The random problems of the property tests."""
    from hypothesis import HealthCheck, Phase, given, settings
    from test_optimum import problems

    found: list[Any] = []

    @settings(
        max_examples=n,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(problems())
    def collect(problem: Any) -> None:
        found.append(problem)

    collect()
    return found


def frontiers_agree() -> str:
    """Random frontiers of two and three objectives against full enumeration."""
    from test_frontier import METRICS, STEP, pareto_by_enumeration, points_of

    from optimizer import frontier

    rng = np.random.default_rng(0)
    same = {2: 0, 3: 0}
    of = {2: 0, 3: 0}
    for i, problem in enumerate(random_problems(240)):
        n = 2 + i % 2
        names = tuple(rng.permutation(METRICS)[:n].tolist())
        found = frontier(problem, names, {name: 20.0 * STEP[name] for name in names[1:]})
        of[n] += 1
        same[n] += points_of(found) == pareto_by_enumeration(problem, found.objectives)
    return f"{same[2]} of {of[2]} with two objectives, {same[3]} of {of[3]} with three, are equal"


def prices_have_the_right_sign() -> str:
    """Looser never hurts, tighter never helps, over random perturbations."""
    from optimizer import perturb
    from optimizer.questions.architecture.moves import is_tighter

    right = of = 0
    for problem in random_problems(60):
        found = perturb(problem)
        for change in found.changes:
            if change.kind == "dimension":
                tighter, looser = True, False
            else:
                tighter = change.to is not None and is_tighter(change.name, change.from_, change.to)
                looser = change.to is None or is_tighter(change.name, change.to, change.from_)
            if tighter == looser or found.value is None:
                continue
            of += 1
            worse = None if change.difference is None else found.objective.sign * change.difference
            slack = 1e-9 * abs(found.value)
            right += (worse is None or worse >= -slack) if tighter else (worse is not None and worse <= slack)
    return f"{right} of {of} random perturbations"


ROWS: list[tuple[str, str, Callable[[], str]]] = [
    ("two objectives, 170-200 points, complete", "<= 2 s", two_objectives),
    ("the same, two processes, their start included", "<= 2 s", two_objectives_on_two),
    ("two objectives, 2,000 points", "<= 40 s", many_points),
    ("three objectives, about 100 points, complete", "<= 5 s", three_objectives),
    ("100 perturbations of the 8B problem", "<= 3 s", perturbations),
    ("all conflicts and relaxations, 400 columns", "<= 0.3 s", conflict_and_relaxations),
    ("the same, infeasible-7b-tpot", "", shipped_conflicts),
    ("the 170-200 point frontier / one solve of its problem", "<= 4 x", frontier_ratio),
    ("100 perturbations / one solve of their problem", "<= 3 x", perturbation_ratio),
    ("infeasible-7b-tpot explained / a feasible solve", "<= 3 x", explanation_ratio),
    ("frontiers equal to enumeration", "all of >= 200", frontiers_agree),
    ("looser never hurts, tighter never helps", "all of >= 1,000", prices_have_the_right_sign),
    ("the 7B question on H100, all prices", "<= 10 s, >= 1e10 points", archc_question),
]


def main() -> None:
    """Print the table."""
    from optimizer.solver.cp_sat import helper

    helper()
    wanted = [int(text) for text in sys.argv[1:]] or range(1, len(ROWS) + 1)
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print("| | what | goal | measured |\n|---|---|---|---|", flush=True)
    for number in wanted:
        what, goal, run = ROWS[number - 1]
        print(f"| {number} | {what} | {goal} | {run()} |", flush=True)


if __name__ == "__main__":
    main()
