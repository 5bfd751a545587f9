"""archsat schema: the JSON schema of a problem file."""

import argparse

from optimizer.commands._output import dump

HELP = "the JSON schema of a problem file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kind of problem."""
    what = "architecture (the default), deployment, fleet or pipeline"
    parser.add_argument("kind", nargs="?", default="architecture", metavar="KIND", help=what)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.errors import InputError
    from optimizer.spec.kinds import KINDS

    kinds = {kind.name: kind for kind in KINDS}
    if arguments.kind not in kinds:
        raise InputError(f"schema {arguments.kind[:40]}: no such kind of problem; use {', '.join(kinds)}")
    return dump(arguments, kinds[arguments.kind].load().model_json_schema())
