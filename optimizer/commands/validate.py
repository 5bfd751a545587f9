"""archsat validate: predicted against measured, for a CSV of points."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optimizer.commands._many import check_plot, plot_argument
from optimizer.commands._output import check_out, show, write
from optimizer.commands._signals import interrupts

if TYPE_CHECKING:
    from optimizer.watch import Watch

HELP = "predicted against measured, for a CSV of points"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("points", metavar="POINTS.csv", help="measured points, one a row")
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code. Interrupted, the score of the rows that were looked at."""
    from optimizer.evidence.validate import validate_points
    from optimizer.report.json import to_json
    from optimizer.report.validation import report
    from optimizer.watch import Stopped, Watch

    check_out(arguments.out)
    check_plot(arguments.plot)
    watch = Watch(cancelled=interrupts())
    validation = validate_points(Path(arguments.points), watch)
    drawn = validation.complete
    if arguments.plot and drawn:
        try:
            _draw(arguments, watch)
        except Stopped:
            drawn = False
    if arguments.plot and not drawn:
        print(f"archsat: interrupted, {arguments.plot} is not drawn", file=sys.stderr)
    if arguments.json:
        write(arguments, to_json(validation))
    else:
        show(arguments, report(validation))
    return 0 if drawn else 4


def _draw(arguments: argparse.Namespace, watch: "Watch") -> None:
    """Predicted against measured, as a picture. Raises Stopped."""
    from optimizer.evidence.validate import scored_points
    from optimizer.report.pictures.parity import Pair, draw
    from optimizer.report.words import chip_title, title_of

    path = Path(arguments.points)
    pairs = [
        Pair(
            point.source,
            (point.model.name, f"{chip_title(point.chip.name)}, {title_of(point.metric)}"),
            point.measured,
            item.predicted,
        )
        for item in scored_points(path, watch)
        if (point := item.point)
    ]
    draw(pairs, arguments.plot, f"{path.name}, predicted against measured")
