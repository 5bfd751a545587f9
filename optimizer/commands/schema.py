"""archsat schema: the JSON schema of a problem file."""

import argparse

from optimizer.commands._output import dump

HELP = "the JSON schema of a problem file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options of its own."""


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.spec.problem import Problem

    return dump(arguments, Problem.model_json_schema())
