"""The command line. Modules that a command does not need are not imported."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from optimizer.errors import ArchsatError, InputError, InternalMismatch, nearest
from optimizer.plugins import plugins
from optimizer.version import VERSION


class _Parser(argparse.ArgumentParser):
    """argparse, with the nearest command named in the message."""

    def error(self, message: str) -> NoReturn:
        if "invalid choice" in message and "'" in message:
            message += nearest(message.split("'")[1], list(plugins("commands")))
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
    for name, module in plugins("commands").items():
        command = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="machine output on stdout, nothing else")
        command.add_argument("--out", metavar="FILE", help="write the answer to FILE instead of stdout")
        command.set_defaults(run=module.run)
    return parser
