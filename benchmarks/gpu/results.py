"""The file of raw rows: one row per case, written as it is measured, so that what stops a run loses one."""

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grid import NAMES, Case

COLUMNS = ["chip", *NAMES, "measured_us", "spread", "calls", "launch", "backend", "others", "skipped"]


class Rows:
    """Rows of a run in a folder: `rows.csv`, and in `doing` the case that runs."""

    def __init__(self, folder: Path, chip: str) -> None:
        self.path, self.doing, self.chip = folder / "rows.csv", folder / "doing", chip

    def add(self, case: Case, measured: Any = None, skipped: str = "") -> None:
        """One row: a time, or the reason why there is none."""
        row: dict[str, Any] = {"chip": self.chip, **asdict(case), "skipped": skipped}
        if measured is not None:
            row |= {
                "measured_us": f"{measured.us:.4g}" if measured.us < 100 else f"{measured.us:.2f}",
                "spread": f"{measured.spread:.4f}",
                "calls": measured.calls,
                "launch": measured.launch,
                "backend": measured.backend,
                "others": measured.others,
            }
        new = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        self.doing.unlink(missing_ok=True)

    def begin(self, case: Case) -> None:
        """Remember the case that runs, in case it ends the process."""
        self.doing.write_text(key(asdict(case)), encoding="utf-8")

    def done(self) -> set[str]:
        """Cases that have a row."""
        return {key(row) for row in read(self.path)}

    def lost(self) -> str:
        """The case that ran when the last process ended, or ''."""
        return self.doing.read_text(encoding="utf-8") if self.doing.exists() else ""


def key(row: dict[str, Any]) -> str:
    """What tells a case from the others, as a row or a case says it."""
    return " ".join(str(row[name] or "-") for name in NAMES)


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a file; none if there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
