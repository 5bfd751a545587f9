"""archsat frontier: the complete Pareto set of a problem in two or three metrics."""

import argparse

from optimizer.commands._arguments import whole
from optimizer.commands._many import finish, journal_path, many_arguments, plot_argument, study_context
from optimizer.commands._study import options_of, problem_of, study_arguments
from optimizer.errors import InputError

HELP = "the complete Pareto set in two or three metrics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    parser.add_argument(
        "--objectives",
        metavar="A,B[,C]",
        default="",
        help="two or three metrics (the problem's and the loss)",
    )
    parser.add_argument(
        "--resolution",
        action="append",
        default=[],
        metavar="METRIC=STEP",
        help="the step of a later objective, such as ttft_ms=0.1",
    )
    parser.add_argument("--points", type=whole, metavar="N", help="stop after N points; gaps are stated")
    parser.add_argument("--models", default="", metavar="A,B", help="published models to place beside it")
    many_arguments(parser)
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.studies.frontier import frontier

    problem = problem_of(arguments)
    with study_context(arguments) as executor:
        found = frontier(
            problem,
            _listed(arguments.objectives),
            _steps(arguments.resolution),
            arguments.points,
            _listed(arguments.models),
            executor,
            journal_path(arguments),
            options_of(arguments),
        )
    if arguments.plot:
        from optimizer.report.pictures import frontier as picture

        picture.draw(found, arguments.plot)
    code = finish(arguments, found, "frontier", f"{found.status} {len(found.points)} points")
    return 0 if arguments.points and len(found.points) >= arguments.points else code


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _steps(pairs: list[str]) -> dict[str, float]:
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = 0.0
        if not equals or not 0 < value < 1e300:
            raise InputError(f"--resolution {pair[:60]}: write METRIC=STEP with a positive step")
        found[name.strip()] = value
    return found
