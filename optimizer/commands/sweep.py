"""archsat sweep: the cross product of problems, each solved to its optimum."""

import argparse
from typing import Any

from optimizer.commands._many import (
    check_table,
    finish,
    journal_path,
    many_arguments,
    plot_argument,
    study_context,
)
from optimizer.commands._study import options_of, problem_of, study_arguments
from optimizer.errors import InputError

HELP = "the cross product of problems, each solved to its optimum"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    study_arguments(parser)
    parser.add_argument(
        "--over",
        action="append",
        required=True,
        metavar="FIELD=A,B,...",
        help="values of a field, such as workload.batch=1,8,64; repeatable",
    )
    parser.add_argument("--table", metavar="FILE", help="one row a problem: .csv or .parquet")
    many_arguments(parser)
    plot_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.studies.sweep import sweep

    check_table(arguments.table)
    problem = problem_of(arguments)
    over = dict(_values(text) for text in arguments.over)
    with study_context(arguments) as executor:
        found = sweep(problem, over, executor, journal_path(arguments), options_of(arguments))
    if found.rows and all(row.status == "invalid" for row in found.rows):
        raise InputError(f"--over: no combination can be asked: {found.rows[0].reason}")
    if arguments.table:
        from optimizer.report.tables import write_table

        write_table(found, arguments.table)
    if arguments.plot:
        from optimizer.report.pictures import facets

        facets.draw(found, arguments.plot)
    solved = sum(row.status == "optimal" for row in found.rows)
    return finish(arguments, found, "sweep", f"{found.status} {solved} of {len(found.rows)} problems solved")


def _values(text: str) -> tuple[str, list[Any]]:
    from optimizer.spec.loading import parse_yaml

    name, equals, listed = text.partition("=")
    if not equals or not name.strip() or not listed.strip():
        raise InputError(f"--over {text[:60]}: write FIELD=A,B, such as workload.batch=1,8,64")
    whole = listed.strip()
    values = parse_yaml(whole if whole.startswith("[") else f"[{whole}]", f"--over {name}")
    if not isinstance(values, list) or len({repr(v) for v in values}) < len(values):
        raise InputError(f"--over {text[:60]}: names a value twice")
    return name.strip(), values
