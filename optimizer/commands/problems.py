"""archsat problems: the problems that ship."""

import argparse

from optimizer.commands._catalogue import catalogue_arguments
from optimizer.commands._output import dump, show, write

HELP = "the problems that ship"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    catalogue_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer import catalog
    from optimizer.report import catalogues
    from optimizer.spec.loading import read_text, read_yaml

    if arguments.name:
        path = catalog.problem_file(arguments.name)
        if arguments.json:
            return dump(arguments, read_yaml(path))
        write(arguments, read_text(path))  # as it is: it is there to be copied
        return 0
    shipped = [read_yaml(path) for path in catalog.problem_files().values()]
    if arguments.json:
        return dump(arguments, shipped)
    return show(arguments, catalogues.problems_table(shipped))
