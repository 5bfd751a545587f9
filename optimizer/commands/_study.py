"""What the commands that solve a problem share: their options, and how their result is shown."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optimizer.commands._arguments import natural, overrides, seconds, whole
from optimizer.commands._once import refuse
from optimizer.commands._output import check_out, clear_progress, show, tell, watched, write
from optimizer.commands._signals import interrupts

if TYPE_CHECKING:
    from optimizer.questions.options import Options

EXIT = {"optimal": 0, "feasible": 4, "infeasible": 3, "unknown": 4}


def study_arguments(parser: argparse.ArgumentParser) -> None:
    """The problem, its overrides, the limits and how much is shown."""
    parser.add_argument("problem", metavar="PROBLEM", help="a problem file, or the name of one that ships")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a field")
    parser.add_argument("--time-limit", type=seconds, metavar="S", help="stop after S seconds, or 5min, 1.5h")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="the status and objective only")
    loud.add_argument("-v", "--verbose", action="store_true", help="all operators and assumptions")


def engine_arguments(parser: argparse.ArgumentParser) -> None:
    """How the engine runs, for the commands of one solve; studies of many leave it as it is."""
    parser.add_argument("--workers", type=whole, default=1, metavar="N", help="CP-SAT workers (1)")
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="CP-SAT seed (0)")


def run_study(arguments: argparse.Namespace, study: Callable[..., Any], report: str | None = None) -> int:
    """Solve, and show the result by `optimizer.report.<report>`; return the exit code.

    Without a report the study answers problems of every kind, and the kind names the report.
    """
    from optimizer.questions.kinds import kind_of_problem

    check_out(arguments.out)
    problem = problem_of(arguments)
    kind = kind_of_problem(problem)
    if kind.name in ("training", "training_across"):
        refuse(arguments, ("workers", "seed"), "for training, which asks no CP-SAT")
    result = study(problem, options_of(arguments))
    clear_progress()
    if arguments.json:
        from optimizer.report.json import to_json

        write(arguments, to_json(result))
    elif arguments.quiet:
        objective = result.objective
        reached = "" if objective.value is None else f" {objective.value:.6g} {objective.unit}"
        write(arguments, f"{result.status} {objective.name}{reached}\n")
    else:
        from optimizer.report.solved import report_of

        shown = report_of(report or kind.name).report
        show(arguments, shown(result, verbose=arguments.verbose))
    return EXIT[result.status]


def problem_of(arguments: argparse.Namespace) -> Any:
    """The problem that was named, with its overrides."""
    from optimizer.questions import problems

    return problems.load(arguments.problem, overrides(arguments.set))


def options_of(arguments: argparse.Namespace) -> "Options":
    """The options of a study as typed."""
    from optimizer.questions.options import Options
    from optimizer.solver.cp_sat_twice import SolveSettings

    settings = SolveSettings(getattr(arguments, "seed", 0), getattr(arguments, "workers", 1))
    return Options(arguments.time_limit, settings, interrupts(), tell if watched() else None)
