"""archsat engines: the engine profiles of the catalogue."""

import argparse

from optimizer.commands._catalogue import catalogue_arguments, item, listing

HELP = "the engine profiles of the catalogue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    catalogue_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer import catalog
    from optimizer.report import catalogues

    if arguments.name:
        return item(arguments, catalog.engine(arguments.name))
    return listing(arguments, list(catalog.engines().values()), catalogues.engines_table)
