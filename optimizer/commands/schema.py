"""archsat schema: the JSON schema of a problem file."""

import argparse

from optimizer.commands._output import dump

HELP = "the JSON schema of a problem file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The kind of problem."""
    what = "architecture (the default), deployment, fleet, pipeline, training, training_across"
    parser.add_argument("kind", nargs="?", default="architecture", metavar="KIND", help=what)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.errors import InputError
    from optimizer.questions.kinds import kinds

    known = kinds()
    if arguments.kind not in known:
        raise InputError(f"schema {arguments.kind[:40]}: no such kind of problem; use {', '.join(known)}")
    return dump(arguments, known[arguments.kind].load().model_json_schema())
