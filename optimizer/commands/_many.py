"""What the commands of many re-solves share: executor, journal, picture, and their exit codes."""

import argparse
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optimizer.commands._output import check_out, clear_progress, show, write
from optimizer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

EXIT = {"complete": 0, "partial": 4, "infeasible": 3, "unknown": 4}
PICTURES = (".html", ".png", ".svg", ".pdf")
TABLES = (".csv", ".parquet")


def many_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of a study of many re-solves, beside those of every study."""
    parser.add_argument(
        "--executor",
        default="serial",
        metavar="WHERE",
        help="serial, threads[:N], processes[:N] or dask:ADDRESS (serial)",
    )
    parser.add_argument(
        "--resume",
        dest="journal",
        metavar="FILE",
        help="keep every answer in FILE, and go on from what it holds",
    )


def plot_argument(parser: argparse.ArgumentParser) -> None:
    """A picture of the answer."""
    parser.add_argument("--plot", metavar="FILE", help="a picture: .html (interactive), .png, .svg or .pdf")


def check_plot(plot: str | None, option: str = "--plot") -> None:
    """Refuse a picture that cannot be written before the work, not after it."""
    _check_file(option, plot, PICTURES)


def check_table(table: str | None) -> None:
    """The same for a table; .parquet needs pyarrow."""
    _check_file("--table", table, TABLES)
    if table and table.endswith(".parquet") and find_spec("pyarrow") is None:
        raise InputError(f"--table {table}: Parquet needs pyarrow; pip install pyarrow, or name a .csv file")


def _check_file(option: str, name: str | None, endings: tuple[str, ...]) -> None:
    if name is None:
        return
    path = Path(name)
    if path.suffix not in endings:
        raise InputError(f"{option} {name[:200]}: the name must end in {' or '.join(endings)}")
    try:
        if path.is_dir() or not path.parent.is_dir():
            raise InputError(f"{option} {name}: is no file in a folder that exists")
        existed = path.exists()
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise InputError(f"{option} {name[:200]}: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"{option} {name[:200]}: is no name of a file") from None


@contextmanager
def study_context(arguments: argparse.Namespace) -> "Iterator[Executor]":
    """Check the files to be written, then give the executor asked for; clears the progress line."""
    from optimizer.studies.executors import executor_named

    check_out(arguments.out)
    check_plot(getattr(arguments, "plot", None))
    with executor_named(arguments.executor) as executor:
        yield executor
    clear_progress()


def finish(arguments: argparse.Namespace, answer: Any, report: str, headline: str) -> int:
    """Write the answer as asked; return the exit code of its status."""
    from importlib import import_module

    if arguments.json:
        from optimizer.report.json import to_json

        write(arguments, to_json(answer))
    elif arguments.quiet:
        write(arguments, headline + "\n")
    else:
        shown = import_module(f"optimizer.report.{report}").report
        show(arguments, shown(answer, verbose=arguments.verbose))
    return EXIT[answer.status]


def journal_path(arguments: argparse.Namespace) -> Path | None:
    """The journal's path, if one is named."""
    return Path(arguments.journal) if arguments.journal else None
