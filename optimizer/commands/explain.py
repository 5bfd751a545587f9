"""archsat explain: why nothing is feasible, and every single change that would do."""

import argparse

from optimizer.commands._arguments import whole
from optimizer.commands._output import check_out, clear_progress, show, write
from optimizer.commands._study import options_of, problem_of, study_arguments

HELP = "why nothing is feasible, and every single change that would do"
_EXIT = {"infeasible": 3, "feasible": 0, "unknown": 4}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    parser.add_argument("--limit", type=whole, default=20, metavar="N", help="conflicts listed at most (20)")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.report.explain import report
    from optimizer.report.json import to_json
    from optimizer.studies.explain import explain

    check_out(arguments.out)
    problem = problem_of(arguments)
    found = explain(problem, arguments.limit, options_of(arguments))
    clear_progress()
    if arguments.json:
        write(arguments, to_json(found))
    elif arguments.quiet:
        write(arguments, f"{found.status} {len(found.conflicts)} conflicts\n")
    else:
        show(arguments, report(found, verbose=arguments.verbose))
    return _EXIT[found.status]
