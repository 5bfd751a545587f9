"""archsat enumerate: all plans near the optimum."""

import argparse

from optimizer.commands._arguments import share, whole
from optimizer.commands._study import run_study, study_arguments

HELP = "all plans near the optimum"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    parser.add_argument("--top", type=whole, metavar="K", help="the K best plans (10)")
    parser.add_argument("--within", type=share, metavar="X%", help="every plan within X%% of the optimum")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from functools import partial

    from optimizer.studies.enumerate import enumerate_plans

    study = partial(enumerate_plans, top=arguments.top, within=arguments.within)
    return run_study(arguments, lambda problem, options: study(problem, options=options), "enumerate")
