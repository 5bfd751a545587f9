"""Where an answer goes: stdout or a file, as text or as JSON; progress goes to stderr."""

import argparse
import contextlib
import os
import sys
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from optimizer.errors import InputError, printable

if TYPE_CHECKING:
    from io import StringIO

    from rich.console import Console, RenderableType

    from optimizer.watch import Progress

WIDTH = 80


def dump(arguments: argparse.Namespace, data: Any) -> int:
    """Write data as JSON."""
    from optimizer.report.json import to_json

    write(arguments, to_json(data))
    return 0


def show(arguments: argparse.Namespace, what: "RenderableType") -> int:
    """Print a report: in colour at a terminal, else as plain text 80 columns wide."""
    from io import StringIO

    from rich.console import Console

    if not arguments.out and sys.stdout.isatty():
        console = Console(file=StringIO(), force_terminal=True, markup=False, emoji=False)
        console.print(_clean(what))
        return write_out(_text(console))
    plain = Console(file=StringIO(), width=_width(), color_system=None, markup=False, emoji=False)
    plain.print(_clean(what))
    write(arguments, "\n".join(line.rstrip() for line in _text(plain).split("\n")))
    return 0


def _text(console: "Console") -> str:
    return cast("StringIO", console.file).getvalue()


def _width() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isascii() and given.isdigit() and 0 < int(given[:6]) <= 10_000 else WIDTH


def _clean(what: "RenderableType") -> "RenderableType":
    """What is to be printed, without anything of a user's that would steer the terminal."""
    from rich.segment import Segment

    class Clean:
        def __rich_console__(self, console: Any, options: Any) -> Any:
            for segment in console.render(what, options):
                yield segment if segment.control else Segment(printable(segment.text), segment.style)

    return Clean()


def check_out(out: str | None) -> None:
    """Refuse a file that cannot be written before the work, not after it."""
    if out is None:
        return
    path = Path(out)
    try:
        if path.is_dir():
            raise InputError(f"--out {out}: is a directory; name a file")
        if not path.parent.is_dir():
            raise InputError(f"--out {out}: the folder {path.parent} does not exist")
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            raise InputError(f"--out {out}: may not be written; name a file in a folder of yours")
        path.with_name(f".{path.name}.{os.getpid()}.part").exists()  # the name may be too long for it
    except OSError as error:
        raise InputError(f"--out {out[:200]}: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"--out {out[:200]}: is no name of a file") from None


def write(arguments: argparse.Namespace, text: str) -> None:
    """Write whole or not at all: a file appears under its name only when complete."""
    if arguments.out is None:
        write_out(text)
        return
    check_out(arguments.out)
    path = Path(arguments.out)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"--out {arguments.out}: {error.strerror or error}") from None


def own_stdout() -> None:
    """From now on only Python's `sys.stdout` reaches the process's stdout.

    HiGHS may write lines of its own straight to file descriptor 1, where only answers belong.
    """
    out = sys.stdout
    if out is None or out is not sys.__stdout__ or not _is_descriptor_one(out):
        return  # closed, or a caller's own
    sys.stdout.flush()
    kept = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.stdout = kept


def _is_descriptor_one(out: Any) -> bool:
    try:
        return bool(out.fileno() == 1)
    except (OSError, ValueError):
        return False


def write_out(text: str) -> int:
    """Write to stdout, and be sure that it got there; InputError where it did not."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        with contextlib.suppress(OSError):  # else the interpreter fails again at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise InputError("stdout was closed before the answer was written; give --out FILE") from None
        raise InputError(f"stdout: {error.strerror or error}; give --out FILE") from None
    return 0


def watched() -> bool:
    """Whether a person sees stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def tell(progress: "Progress") -> None:
    """Overwrite the progress line with how far the work is."""
    _overwrite(sentence(progress))


def clear_progress() -> None:
    """Take the progress line away, where there was one."""
    if watched():
        _overwrite("")


def sentence(progress: "Progress") -> str:
    """How far a piece of work is, in one line."""
    parts = [progress.phase]
    for name, value in (("", progress.incumbent), ("bound ", progress.bound)):
        if value is not None and isfinite(value):
            parts.append(f"{name}{progress.metric} {value:.6g} {progress.unit}".strip())
    if progress.gap is not None and isfinite(progress.gap):
        parts.append(f"gap {progress.gap:.2%}")
    if progress.points is not None:
        parts.append(f"{progress.points} found")
    if progress.done is not None:
        parts.append(f"{progress.done} done")
    if progress.left is not None:
        known = f"{progress.left} left"
        parts.append(f"{known}, more may turn up" if progress.more else known)
    if progress.pace_s is not None:
        parts.append(f"{progress.pace_s:.3g} s each")
    return ", ".join(parts)


def _overwrite(line: str) -> None:
    print(f"\r\x1b[K{printable(line)}", end="\r", file=sys.stderr, flush=True)
