"""The command line. Modules that a command does not need are not imported."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from optimizer.errors import ArchsatError, InputError, InternalMismatch, nearest
from optimizer.version import VERSION

if TYPE_CHECKING:
    from rich.console import RenderableType

    from optimizer.studies.solve import Options

EXIT = {"optimal": 0, "feasible": 4, "infeasible": 3, "unknown": 4}
WIDTH = 80


class _Parser(argparse.ArgumentParser):
    """argparse, with the nearest command named in the message."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message and "'" in message:
            message += nearest(message.split("'")[1], COMMANDS)
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. No error reaches the user as a traceback."""
    try:
        options = _parser().parse_args(arguments)
        if sys.stdout is None and not getattr(options, "out", None):
            raise InputError("stdout is closed; give --out FILE")
        return int(options.run(options))
    except BrokenPipeError:
        _silence_stdout()
        return _fail("stdout was closed before the answer was written; give --out FILE", 2)
    except InputError as error:
        return _fail(str(error), 2)
    except InternalMismatch as error:
        return _fail(f"internal error: {error}", 1)
    except ArchsatError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 4)
    except MemoryError:
        return _fail("out of memory: the lattice is too fine; raise multiple_of or narrow the domains", 2)
    except Exception as error:
        if os.environ.get("ARCHSAT_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _fail(f"internal error: {what} (ARCHSAT_DEBUG=1 shows where)", 1)


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError, AttributeError, ValueError):
        print(f"archsat: {message}", file=sys.stderr)
    return code


def _silence_stdout() -> None:
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="archsat",
        description="Exact optimisation of LLM architectures and deployments, with a proof.",
        epilog="Exit codes: 0 answered, 2 invalid input, 3 infeasible, 4 stopped without proof, 1 internal.",
    )
    parser.add_argument("--version", action="version", version=f"archsat {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (add_arguments, run, text) in COMMAND_TABLE.items():
        command = commands.add_parser(name, help=text, description=text)
        add_arguments(command)
        command.add_argument("--json", action="store_true", help="machine output on stdout, nothing else")
        command.add_argument("--out", metavar="FILE", help="write the answer to FILE instead of stdout")
        command.set_defaults(run=run)
    return parser


def _study_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", metavar="PROBLEM", help="a problem file, or the name of one that ships")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a field")
    parser.add_argument("--time-limit", type=_positive, metavar="S", help="stop after S seconds")
    parser.add_argument("--workers", type=_whole, default=1, metavar="N", help="CP-SAT workers (1)")
    parser.add_argument("--seed", type=_natural, default=0, metavar="N", help="CP-SAT seed (0)")
    loud = parser.add_mutually_exclusive_group()
    loud.add_argument("-q", "--quiet", action="store_true", help="the status and objective only")
    loud.add_argument("-v", "--verbose", action="store_true", help="all operators and assumptions")


def _enumerate_arguments(parser: argparse.ArgumentParser) -> None:
    _study_arguments(parser)
    parser.add_argument("--top", type=_whole, metavar="K", help="the K best plans (10)")
    parser.add_argument("--within", type=_share, metavar="X%", help="every plan within X%% of the optimum")


def _estimate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="M", help="a catalogued model, or a file of yours")
    parser.add_argument("--chip", required=True, metavar="C", help="a catalogued chip, or a file of yours")
    parser.add_argument("--tensor-parallel", type=_whole, default=1, metavar="N", help="ranks (1)")
    parser.add_argument("--batch", type=_whole, default=1, metavar="N", help="sequences decoded together (1)")
    parser.add_argument("--input-tokens", type=_whole, default=1024, metavar="N", help="prompt (1024)")
    parser.add_argument("--output-tokens", type=_whole, default=256, metavar="N", help="answer (256)")
    parser.add_argument("--weight-dtype", default="bf16", metavar="D", help="bf16, fp8, int4, nvfp4, ...")
    parser.add_argument("--kv-dtype", default="bf16", metavar="D", help="bf16 or fp8")
    parser.add_argument("--explain", metavar="OPERATOR", help="its formula, with numbers and sources")
    parser.add_argument(
        "--phase", choices=("decode", "prefill", "mixed"), default="decode", help="of --explain"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="all operators and assumptions")


def _catalogue_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="show one of them in full")


def _positive(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")


def _natural(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text[:12]) < 2**31 and len(text) < 11:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0")


def _whole(text: str) -> int:
    if (value := _natural(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


def _share(text: str) -> float:
    with contextlib.suppress(ValueError):
        value = float(text.removesuffix("%")) / 100
        if 0 <= value <= 10:
            return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a percentage such as 1%")


def _solve(arguments: argparse.Namespace) -> int:
    from optimizer.studies.solve import solve

    return _study(arguments, solve, "solve_report")


def _enumerate(arguments: argparse.Namespace) -> int:
    from functools import partial

    from optimizer.studies.enumerate import enumerate_plans

    study = partial(enumerate_plans, top=arguments.top, within=arguments.within)
    return _study(arguments, lambda problem, options: study(problem, options=options), "enumerate_report")


def _estimate(arguments: argparse.Namespace) -> int:
    from optimizer import catalog
    from optimizer.report import text
    from optimizer.report.json import to_json
    from optimizer.spec.loading import validate
    from optimizer.spec.problem import DeploymentSpace, Workload
    from optimizer.studies.derivation import derive
    from optimizer.studies.estimate import Setup, estimate, frame_of

    _check_out(arguments.out)
    names = ("tensor_parallel", "weight_dtype", "kv_dtype", "batch")
    validate(DeploymentSpace, {name: getattr(arguments, name) for name in names}, "estimate")
    tokens = {"input_tokens": arguments.input_tokens, "output_tokens": arguments.output_tokens}
    validate(Workload, tokens, "estimate")
    model, chip = catalog.model(arguments.model), catalog.chip(arguments.chip)
    setup = Setup(**{name: getattr(arguments, name) for name in names}, **tokens)
    answer: Any
    if arguments.explain:
        answer = derive(frame_of(model, chip, setup), model, arguments.explain, arguments.phase)
        report, code = text.derivation_report(answer), 0
    else:
        answer = estimate(model, chip, setup)
        report, code = text.estimate_report(answer, arguments.verbose), 0 if not answer.breaks else 3
    if arguments.json:
        _write(arguments, to_json(answer))
    else:
        _show(arguments, report)
    return code


def _validate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("points", metavar="POINTS.csv", help="measured points, one a row")


def _validate(arguments: argparse.Namespace) -> int:
    from optimizer.report import text
    from optimizer.report.json import to_json
    from optimizer.studies.validate import validate_points

    _check_out(arguments.out)
    validation = validate_points(Path(arguments.points))
    if arguments.json:
        _write(arguments, to_json(validation))
    else:
        _show(arguments, text.validation_report(validation))
    return 0


def _study(arguments: argparse.Namespace, study: Callable[..., Any], report: str) -> int:
    from optimizer import catalog

    _check_out(arguments.out)
    problem = catalog.problem(arguments.problem, _overrides(arguments.set))
    result = study(problem, _options(arguments))
    if _watched():
        _progress("")
    if arguments.json:
        from optimizer.report.json import to_json

        _write(arguments, to_json(result))
    elif arguments.quiet:
        objective = result.objective
        reached = "" if objective.value is None else f" {objective.value:.6g} {objective.unit}"
        _write(arguments, f"{result.status} {objective.name}{reached}\n")
    else:
        from optimizer.report import text

        more = {"verbose": arguments.verbose} if report == "solve_report" else {}
        _show(arguments, getattr(text, report)(result, **more))
    return EXIT[result.status]


def _options(arguments: argparse.Namespace) -> "Options":
    from optimizer.solver.engine import SolveSettings
    from optimizer.studies.solve import Options

    settings = SolveSettings(seed=arguments.seed, workers=arguments.workers)
    return Options(arguments.time_limit, settings, _progress if _watched() else None)


def _watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _progress(message: str) -> None:
    print(f"\r\x1b[K{message}", end="\r", file=sys.stderr, flush=True)


def _overrides(pairs: list[str]) -> dict[str, Any]:
    from optimizer.spec.loading import parse_yaml

    found = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair[:60]}: write KEY=VALUE, such as workload.batch=64")
        found[key.strip()] = parse_yaml(text, f"--set {key}") if text.strip() else None
    return found


def _chips(arguments: argparse.Namespace) -> int:
    from optimizer import catalog
    from optimizer.report import catalogues

    if arguments.name:
        system = catalog.systems().get(arguments.name)
        return _item(arguments, system or catalog.chip(arguments.name))
    return _listing(arguments, list(catalog.chips().values()), catalogues.chips_table)


def _models(arguments: argparse.Namespace) -> int:
    from optimizer import catalog
    from optimizer.report import catalogues

    if arguments.name:
        return _item(arguments, catalog.model(arguments.name))
    return _listing(arguments, list(catalog.models().values()), catalogues.models_table)


def _problems(arguments: argparse.Namespace) -> int:
    from optimizer import catalog
    from optimizer.report import catalogues
    from optimizer.spec.loading import read_yaml

    if arguments.name:
        return _item(arguments, catalog.problem(arguments.name))
    shipped = [read_yaml(path) for path in catalog.problem_files().values()]
    if arguments.json:
        return _dump(arguments, shipped)
    return _show(arguments, catalogues.problems_table(shipped))


def _item(arguments: argparse.Namespace, item: Any) -> int:
    data = item.model_dump(mode="json", exclude_unset=True)
    if arguments.json:
        return _dump(arguments, data)
    from optimizer.report import catalogues

    return _show(arguments, catalogues.details(data))


def _listing(arguments: argparse.Namespace, items: list[Any], table: Callable[..., Any]) -> int:
    if arguments.json:
        return _dump(arguments, [item.model_dump(mode="json", exclude_unset=True) for item in items])
    return _show(arguments, table(items))


def _schema(arguments: argparse.Namespace) -> int:
    from optimizer.spec.problem import Problem

    return _dump(arguments, Problem.model_json_schema())


def _dump(arguments: argparse.Namespace, data: Any) -> int:
    from optimizer.report.json import to_json

    _write(arguments, to_json(data))
    return 0


def _show(arguments: argparse.Namespace, what: "RenderableType") -> int:
    from io import StringIO

    from rich.console import Console

    if not arguments.out and sys.stdout.isatty():
        Console().print(what)
        return 0
    plain = StringIO()
    width = int(os.environ["COLUMNS"]) if os.environ.get("COLUMNS", "").isdigit() else WIDTH
    Console(file=plain, width=width, color_system=None).print(what)
    _write(arguments, "\n".join(line.rstrip() for line in plain.getvalue().splitlines()) + "\n")
    return 0


def _check_out(out: str | None) -> None:
    """Refuse a file that cannot be written before the work, not after it."""
    if out is None:
        return
    path = Path(out)
    if path.is_dir():
        raise InputError(f"--out {out}: is a directory; name a file")
    if not path.parent.is_dir():
        raise InputError(f"--out {out}: the folder {path.parent} does not exist")


def _write(arguments: argparse.Namespace, text: str) -> None:
    """Write whole or not at all: a file appears under its name only when complete."""
    if arguments.out is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    _check_out(arguments.out)
    path = Path(arguments.out)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"--out {arguments.out}: {error.strerror or error}") from None


COMMAND_TABLE: dict[str, tuple[Callable[..., None], Callable[..., int], str]] = {
    "solve": (_study_arguments, _solve, "the optimum of a problem, with its proof"),
    "enumerate": (_enumerate_arguments, _enumerate, "all plans near the optimum"),
    "estimate": (_estimate_arguments, _estimate, "the cost model alone: one model on one chip"),
    "validate": (_validate_arguments, _validate, "predicted against measured, for a CSV of points"),
    "chips": (_catalogue_arguments, _chips, "the chips and systems of the catalogue"),
    "models": (_catalogue_arguments, _models, "the published models of the catalogue"),
    "problems": (_catalogue_arguments, _problems, "the problems that ship"),
    "schema": (lambda parser: None, _schema, "the JSON schema of a problem file"),
}
COMMANDS = list(COMMAND_TABLE)
