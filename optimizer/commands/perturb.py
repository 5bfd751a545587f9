"""archsat perturb: what each constraint, dimension and constant costs."""

import argparse
from typing import TYPE_CHECKING

from optimizer.commands._many import finish, journal_path, many_arguments, plot_argument, study_context
from optimizer.commands._study import options_of, problem_of, study_arguments
from optimizer.errors import InputError

if TYPE_CHECKING:
    from optimizer.studies.changes import Variation

HELP = "what each constraint, dimension and constant costs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    parser.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="CONSTANT=+X%",
        help="a constant changed, such as hardware.hbm_bandwidth=+10%%; repeatable",
    )
    many_arguments(parser)
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.studies.perturb import perturb

    problem = problem_of(arguments)
    vary = [_variation(text) for text in arguments.vary]
    with study_context(arguments) as executor:
        found = perturb(problem, vary, executor, journal_path(arguments), options_of(arguments))
    if arguments.plot:
        from optimizer.report.pictures import tornado

        tornado.draw(found, arguments.plot)
    value = "" if found.value is None else f" {found.value:.6g} {found.objective.unit}"
    return finish(arguments, found, "perturb", f"{found.status} {found.objective.metric}{value}")


def _variation(text: str) -> "Variation":
    from optimizer.studies.changes import Variation

    path, equals, change = text.partition("=")
    number = change.strip()
    try:
        share = float(number.removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not equals or not path.strip() or not number.endswith("%") or not -1 < share <= 100:
        raise InputError(f"--vary {text[:60]}: write CONSTANT=+10% or CONSTANT=-10%")
    return Variation(path.strip(), 1 + share)
