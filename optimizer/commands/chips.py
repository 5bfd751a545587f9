"""archsat chips: the chips and systems of the catalogue."""

import argparse

from optimizer.commands._catalogue import catalogue_arguments, item, listing

HELP = "the chips and systems of the catalogue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    catalogue_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer import catalog
    from optimizer.cost.topology import wiring
    from optimizer.report import catalogues
    from optimizer.spec.smells import smells

    if arguments.name:
        system = catalog.system(arguments.name)
        chip = catalog.chip(arguments.name)
        doubts = [] if system else list(smells(chip, catalog.chips().values()))
        return item(arguments, system or chip, {"wiring": wiring(chip.scaleup), "looks_wrong": doubts})
    return listing(arguments, list(catalog.chips().values()), catalogues.chips_table)
