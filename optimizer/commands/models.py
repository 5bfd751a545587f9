"""archsat models: the published models of the catalogue."""

import argparse

from optimizer.commands._catalogue import catalogue_arguments, item, listing

HELP = "the published models of the catalogue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    catalogue_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer import catalog
    from optimizer.report import catalogues

    if arguments.name:
        return item(arguments, catalog.model(arguments.name))
    return listing(arguments, list(catalog.models().values()), catalogues.models_table)
