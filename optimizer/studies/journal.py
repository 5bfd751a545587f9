"""A journal of answers on disk: a study that is killed goes on where it was, and ends with the same bytes.

One line of JSON per answer, with its checksum, written and synced before it counts; the first line says of
what study. A torn last line, from a kill in the middle of a write, is dropped. Studies ask in an order that
follows from the answers alone, so a resumed run asks exactly what is missing.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from optimizer.errors import InputError
from optimizer.spec.studies import Optimum
from optimizer.version import VERSION

_FORMAT = 2
"""1 had no checksums."""


class Journal:
    """Answers by question; `path` None keeps them in memory only."""

    def __init__(self, path: Path | None, study: dict[str, Any]) -> None:
        self.path = path
        self.answers: dict[str, Optimum] = {}
        self.unchecked: set[str] = set()
        """Keys of answers from the file that nobody has looked at yet."""
        self.found = 0
        """Answers taken from the file."""
        self._file: IO[bytes] | None = None
        if path is not None:
            self._open(path, study)

    def get(self, question: str) -> Optimum | None:
        """The answer to a question, if it is known."""
        return self.answers.get(_key(question))

    def check(self, question: str, right: Callable[[Optimum], bool]) -> None:
        """Look at an answer from the file before its first use; InputError if it is not right."""
        key = _key(question)
        if key in self.unchecked:
            self.unchecked.discard(key)
            if not right(self.answers[key]):
                raise InputError(
                    f"journal {self.path}: holds an answer with other figures than its plan's; begin anew"
                )

    def add(self, question: str, answer: Optimum) -> None:
        """Keep an answer; on disk when this returns. InputError if it cannot be written."""
        key = _key(question)
        self.answers[key] = answer
        if self._file is None:
            return
        try:
            self._write(sealed({"key": key, "answer": answer.model_dump(mode="json")}))
        except OSError as error:
            raise InputError(
                f"journal {self.path}: {error.strerror or error}; "
                f"{len(self.answers) - 1} answers are safe in it"
            ) from None

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self, path: Path, study: dict[str, Any]) -> None:
        head = json.loads(json.dumps({"journal": _FORMAT, "version": VERSION, **study}))
        try:
            old = path.read_bytes() if path.exists() else b""
            good = self._read(old, head) if old else 0
            self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
            self._file.seek(good)
            self._file.truncate()
            if not good:
                self._write(head)
        except OSError as error:
            raise InputError(f"journal {path}: {error.strerror or error}") from None

    def _read(self, data: bytes, head: dict[str, Any]) -> int:
        """Take the answers of a journal; return the length of its whole lines."""
        lines = data.splitlines(keepends=True)
        if not lines[0].endswith(b"\n") and json.dumps(head).encode().startswith(lines[0]):
            return 0  # killed while the first line was written
        self._check(lines[0], head)
        good = len(lines[0])
        for number, line in enumerate(lines[1:], 2):
            try:
                item = json.loads(line)
                if sealed({"key": item["key"], "answer": item["answer"]}) != item:
                    raise ValueError
                self.answers[item["key"]] = Optimum.model_validate(item["answer"])
            except (ValueError, KeyError, TypeError, RecursionError):
                if number == len(lines) and not line.endswith(b"\n"):
                    break  # torn by a kill
                raise InputError(
                    f"journal {self.path}: line {number} is damaged (checksum or form); remove it, "
                    "or begin a new journal"
                ) from None
            if not line.endswith(b"\n"):
                self.answers.pop(item["key"])
                break
            good += len(line)
        self.found = len(self.answers)
        self.unchecked = set(self.answers)
        return good

    def _check(self, line: bytes, head: dict[str, Any]) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict) or "journal" not in said:
            raise InputError(f"journal {self.path}: is no journal of archsat; it is left as it is")
        if said["journal"] != _FORMAT:
            raise InputError(
                f"journal {self.path}: is of form {str(said['journal'])[:20]}, not {_FORMAT}, whose answers "
                "carry checksums; begin a new one, it is left as it is"
            )
        for field, value in head.items():
            if said.get(field) != value:
                what = f"{field} {str(said.get(field))[:60]}, not {str(value)[:60]}"
                raise InputError(
                    f"journal {self.path}: belongs to another study ({what}); it is left as it is"
                )

    def _write(self, item: dict[str, Any]) -> None:
        """Append one whole line, and wait until it is on disk."""
        if self._file is None:
            return
        data = json.dumps(item).encode() + b"\n"
        start = self._file.tell()
        try:
            written = self._file.write(data)
            if written != len(data):
                raise OSError(28, os.strerror(28))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.seek(start)
            self._file.truncate()
            raise


def sealed(item: dict[str, Any]) -> dict[str, Any]:
    """A line's content with the checksum of it."""
    return {**item, "sum": digest(json.dumps(item, sort_keys=True))}


def digest(text: str) -> str:
    """A short fingerprint of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _key(question: str) -> str:
    return digest(question)
