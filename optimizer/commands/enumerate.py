"""archsat enumerate: all plans near the optimum."""

import argparse
from typing import TYPE_CHECKING

from optimizer.commands._arguments import share, whole
from optimizer.commands._many import check_plot, journal_path, many_arguments, plot_argument, study_context
from optimizer.commands._study import engine_arguments, run_study, study_arguments
from optimizer.errors import InputError

if TYPE_CHECKING:
    from optimizer.questions.architecture.problem import Problem
    from optimizer.questions.options import Options
    from optimizer.spec.answer import Answer

HELP = "all plans near the optimum"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    engine_arguments(parser)
    parser.add_argument("--top", type=whole, metavar="K", help="the K best plans (10)")
    parser.add_argument("--within", type=share, metavar="X%", help="every plan within X%% of the optimum")
    parser.add_argument(
        "--distinct",
        metavar="A,B",
        default="",
        help="only the best plan of each combination of choices: d_model, mode, hardware, ...",
    )
    many_arguments(parser)
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.studies.enumerate import enumerate_plans

    distinct = tuple(name.strip() for name in arguments.distinct.split(",") if name.strip())
    check_plot(arguments.plot)
    if arguments.plot and len(distinct) != 2:
        raise InputError("--plot: a heat map needs two dimensions, such as --distinct d_model,n_layers")

    def study(problem: "Problem", options: "Options") -> "Answer":
        with study_context(arguments) as executor:
            asked = (arguments.top, arguments.within, options, distinct)
            result = enumerate_plans(problem, *asked, executor, journal_path(arguments))
        if arguments.plot and result.plans:
            from optimizer.report.pictures import heatmap

            heatmap.draw(result, (distinct[0], distinct[1]), arguments.plot)
        return result

    return run_study(arguments, study, "enumerate")
