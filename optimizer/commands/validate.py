"""archsat validate: predicted against measured, for a CSV of points."""

import argparse
from pathlib import Path

from optimizer.commands._output import check_out, show, write

HELP = "predicted against measured, for a CSV of points"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("points", metavar="POINTS.csv", help="measured points, one a row")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.report.json import to_json
    from optimizer.report.validation import report
    from optimizer.studies.validate import validate_points

    check_out(arguments.out)
    validation = validate_points(Path(arguments.points))
    if arguments.json:
        write(arguments, to_json(validation))
    else:
        show(arguments, report(validation))
    return 0
