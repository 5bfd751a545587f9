"""Proofs against enumeration on random problems: engines, chips, formats, windows, training sections.

    python benchmarks/proofs.py [--problems N] [--seed FIRST]      (2,400 problems: ten minutes; one table)

Every answer is compared with a full enumeration that uses no bound, floor or solver: the best plan (solve),
the frontier of two metrics, the list of all plans within a share of the optimum (enumerate), and every mix of
a few replicas (deployment). A wrong one is printed with its seed; the exit code is 1 if there is any.
"""

import argparse
import platform
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "properties")]

SHARES = {"solve": 0.5, "frontier": 0.2, "enumerate": 0.2, "deployment": 0.1}


def by_solve(seed: int) -> str:
    """'optimal' or 'infeasible' as enumeration says; AssertionError if not."""
    import drawn

    import optimizer
    from optimizer.questions.architecture.enumeration import brute_force
    from optimizer.questions.architecture.frame_rules import symbol
    from optimizer.questions.architecture.space import resolve

    problem = drawn.problem(drawn.Seeded(seed))
    (name, sense), *_ = problem.objectives
    space = resolve(problem)
    truth = brute_force(space, space.rules, symbol(name), sense)
    found = optimizer.solve(problem)
    assert found.status == ("optimal" if np.isfinite(truth) else "infeasible")
    if found.status == "optimal":
        assert same(sense * found.metrics[name], truth), (found.metrics[name], truth)
    return found.status


def by_frontier(seed: int) -> str:
    """The same of a frontier of two metrics."""
    import drawn
    from test_frontier import METRICS, STEP, pareto_by_enumeration, points_of

    from optimizer import frontier

    draw = drawn.Seeded(seed)
    problem, names = drawn.problem(draw), drawn.some(draw, METRICS, 2, 2)
    found = frontier(problem, tuple(names), resolution={names[1]: 20.0 * STEP[names[1]]})
    truth = pareto_by_enumeration(problem, found.objectives)
    assert points_of(found) == truth
    return "optimal" if truth else "infeasible"


def by_enumerate(seed: int) -> str:
    """The same of all plans within 2 % of the optimum."""
    import drawn
    from test_enumerate import listed

    return listed(drawn.problem(drawn.Seeded(seed)))


def by_deployment(seed: int) -> str:
    """The same of the best mix of at most three configurations."""
    import drawn
    from test_drawn_deployments import case, mixed

    return mixed(*case(drawn.Seeded(seed)))


def same(value: float, truth: float) -> bool:
    """Equal within what a solve promises."""
    return bool(abs(value - truth) <= 1e-9 * abs(truth))


CHECKS: dict[str, Callable[[int], str]] = {
    "solve": by_solve,
    "frontier": by_frontier,
    "enumerate": by_enumerate,
    "deployment": by_deployment,
}


def run(kind: str, seeds: range) -> Counter[str]:
    """Outcomes of the problems of some seeds; 'wrong' where an answer differs or the study fails."""
    found: Counter[str] = Counter()
    for seed in seeds:
        try:
            found[CHECKS[kind](seed)] += 1
        except Exception as error:  # any failure counts, and the next seed is tried
            found["wrong"] += 1
            print(f"{kind} seed {seed}: {type(error).__name__} {str(error)[:200]}", flush=True)
    return found


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--problems", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    from optimizer.errors import OddInput

    warnings.simplefilter("ignore", OddInput)  # drawn chips look wrong
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("| kind | problems | with a plan | infeasible | wrong | processor s |\n|---|---|---|---|---|---|")
    wrong = 0
    for kind, share in SHARES.items():
        n, start = round(share * asked.problems), time.process_time()
        found = run(kind, range(asked.seed, asked.seed + n))
        wrong += found["wrong"]
        spent = time.process_time() - start
        row = (kind, n, found["optimal"], found["infeasible"], found["wrong"], f"{spent:.0f}")
        print("|", " | ".join(map(str, row)), "|", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
