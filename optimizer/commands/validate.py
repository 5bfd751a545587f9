"""archsat validate: predicted against measured, for a CSV of points."""

import argparse
from pathlib import Path

from optimizer.commands._many import check_plot, plot_argument
from optimizer.commands._output import check_out, show, write

HELP = "predicted against measured, for a CSV of points"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("points", metavar="POINTS.csv", help="measured points, one a row")
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.report.json import to_json
    from optimizer.report.validation import report
    from optimizer.studies.validate import validate_points

    check_out(arguments.out)
    check_plot(arguments.plot)
    validation = validate_points(Path(arguments.points))
    if arguments.plot:
        _draw(arguments)
    if arguments.json:
        write(arguments, to_json(validation))
    else:
        show(arguments, report(validation))
    return 0


def _draw(arguments: argparse.Namespace) -> None:
    """Predicted against measured, as a picture."""
    from optimizer.report.pictures.parity import Pair, draw
    from optimizer.report.words import chip_title, title_of
    from optimizer.studies.validate import scored_points

    path = Path(arguments.points)
    pairs = [
        Pair(
            point.source,
            (point.model.name, f"{chip_title(point.chip.name)}, {title_of(point.metric)}"),
            point.measured,
            item.predicted,
        )
        for item in scored_points(path)
        if (point := item.point)
    ]
    draw(pairs, arguments.plot, f"{path.name}, predicted against measured")
