"""archsat calibrate: a chip or an engine fitted to your own measurements."""

import argparse
import re
from pathlib import Path

from optimizer.commands._output import check_out, show, write
from optimizer.commands._signals import interrupts
from optimizer.errors import InputError

HELP = "a chip or an engine fitted to your own measurements"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("points", metavar="POINTS.csv", help="measured kernels, or end-to-end points")
    parser.add_argument(
        "--chip", metavar="C", help="the chip that kernels calibrate; points: only those on it"
    )
    parser.add_argument("--engine", metavar="E", help="the engine that end-to-end points calibrate")
    parser.add_argument(
        "--fit", metavar="NAMES", help="engine figures to fit, with commas (all that rows tell)"
    )
    parser.add_argument(
        "--hold-out", metavar="COLUMN=VALUE", help="rows that the fit must not see (every second row)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code. --out takes the YAML file, stdout the report.

    Interrupted, no file is written, and the report is of what was fitted by then.
    """
    out = arguments.out
    check_out(out)
    if out and Path(out).suffix not in (".yaml", ".yml"):
        raise InputError(f"--out {out}: the file of a chip or an engine ends in .yaml")

    from optimizer import catalog
    from optimizer.evidence.calibrate import calibrate
    from optimizer.report.calibrate import report
    from optimizer.report.json import to_json
    from optimizer.spec.writing import to_yaml
    from optimizer.watch import Watch

    found = calibrate(
        Path(arguments.points),
        catalog.chip(arguments.chip) if arguments.chip else None,
        catalog.engine(arguments.engine) if arguments.engine else None,
        arguments.hold_out,
        tuple(name.strip() for name in (arguments.fit or "").split(",") if name.strip()),
        _name(out),
        Watch(cancelled=interrupts()),
    )
    arguments.out = None
    if out and found.report.complete:
        arguments.out = out
        write(arguments, to_yaml(found.item))
        arguments.out = None
    if arguments.json:
        write(arguments, to_json(found.report))
    else:
        show(arguments, report(found.report, out))
    return 0 if found.report.complete else 4


def _name(out: str | None) -> str | None:
    """The name of what is written: that of its file, where it can be one."""
    stem = Path(out).stem.lower() if out else ""
    return stem if re.fullmatch(r"[a-z0-9][a-z0-9.-]*", stem) else None
