"""archsat solve: the optimum of a problem, with its proof."""

import argparse

from optimizer.commands._study import engine_arguments, run_study, study_arguments

HELP = "the optimum of a problem, with its proof"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    engine_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.studies.solve import solve

    return run_study(arguments, solve)
