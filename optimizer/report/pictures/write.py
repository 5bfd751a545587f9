"""From a picture to a file, whole or not at all, with no network."""

import contextlib
import os
from pathlib import Path

from optimizer.errors import InputError
from optimizer.report.pictures.scene import Picture

ENDINGS = (".html", ".png", ".svg", ".pdf")


def save(picture: Picture, plot: str) -> None:
    """Write a picture in the format that the ending names. InputError if the file cannot be written."""
    path = Path(plot)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(as_bytes(picture, path.suffix))
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise InputError(f"plot {plot}: {error.strerror or error}") from None


def as_bytes(picture: Picture, ending: str) -> bytes:
    """The file of a picture; the ending is one of `ENDINGS`."""
    if ending == ".html":
        from optimizer.report.pictures.page import page

        return page(picture)
    from optimizer.report.pictures.still import still

    return still(picture, ending.removeprefix("."))
