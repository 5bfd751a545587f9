"""The command line. Modules that a command does not need are not imported."""

import argparse
import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from optimizer.commands._once import refuse, register, typed
from optimizer.commands._output import own_stdout, write_out
from optimizer.commands._signals import as_interrupts
from optimizer.errors import ArchsatError, InputError, InternalMismatch, OddInput, nearest, printable
from optimizer.plugins import plugins
from optimizer.version import VERSION


class _Parser(argparse.ArgumentParser):
    """argparse, with options that are given once, and the nearest command named in the message."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        register(self)

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message and "'" in message:
            message += nearest(message.split("'")[1], list(plugins("commands")))
        raise InputError(message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. No error reaches the user as a traceback."""
    options: argparse.Namespace | None = None
    try:
        as_interrupts()
        if arguments is None:
            own_stdout()
        options = _options(arguments)
        if sys.stdout is None and not getattr(options, "out", None):
            raise InputError("stdout is closed; give --out FILE")
        with _warnings_shown():
            return int(options.run(options))
    except InputError as error:
        return _fail(_with_flag(str(error), options), 2)
    except InternalMismatch as error:
        return _fail(f"internal error: {error}", 1)
    except ArchsatError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return _fail("interrupted", 4)
    except MemoryError:
        return _fail("out of memory: the lattice is too fine; raise multiple_of or narrow the domains", 2)
    except RecursionError:
        return _fail("the input is nested too deeply", 2)
    except Exception as error:
        if os.environ.get("ARCHSAT_DEBUG"):
            raise
        what = f"{type(error).__name__}: {error}"
        return _fail(f"internal error: {what} (ARCHSAT_DEBUG=1 shows where)", 1)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line, read; without a command, that of the help."""
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        return argparse.Namespace(run=lambda _: write_out(parser.format_help()))
    try:
        options = parser.parse_args(arguments)
    except SystemExit:  # --help or --version, printed
        write_out("")
        raise
    if getattr(options, "json", False):
        refuse(options, ("quiet", "verbose"), "with --json, which has everything")
    return options


def _with_flag(message: str, options: argparse.Namespace | None) -> str:
    """A message of the library about a field that an option gave, with the option's name."""
    field = re.match(r"\w+(?=[:\s])", message)  # a file's name may begin with a field's
    flag = typed(options).get(field.group()) if field and options else None
    return message.replace(field.group(), flag, 1) if field and flag else message


@contextlib.contextmanager
def _warnings_shown() -> Iterator[None]:
    """Show each warning about the input once, as a message."""
    shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if not issubclass(category, OddInput):
            usual(message, category, *where, **more)
        elif str(message) not in shown:
            shown.add(str(message))
            _fail(f"warning: {message}", 0)

    with warnings.catch_warnings():
        warnings.simplefilter("always", OddInput)
        usual, warnings.showwarning = warnings.showwarning, show
        yield


def _fail(message: str, code: int) -> int:
    with contextlib.suppress(OSError, AttributeError, ValueError):
        print(f"archsat: {printable(message)}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="archsat",
        description="Exact optimisation of LLM architectures and deployments, with a proof.",
        epilog="Exit codes: 0 answered, 2 invalid input, 3 infeasible, 4 stopped without proof, 1 internal.",
    )
    parser.add_argument("--version", action="version", version=f"archsat {VERSION}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in plugins("commands").items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="machine output on stdout, nothing else")
        command.add_argument("--out", metavar="FILE", help="write the answer to FILE instead of stdout")
        command.set_defaults(run=module.run)
    return parser
