"""What docs/accuracy.md says of rows that were left out: printed from what benchmarks/left_out wrote."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from generate import markdown_table

STORED = Path(__file__).resolve().parents[1] / "benchmarks" / "tables" / "left_out.json"
_HEADLINE = ("source left out", "model left out", "chip left out", "in sample: refitted to all", "as shipped")
_SCHEMES = ("source", "model", "chip", "refitted", "shipped")
_METRICS = {"rate": "rates", "tpot_ms": "TPOT", "ttft_ms": "TTFT"}
_REGIMES = {"load": "under load", "batch": "fixed batches", "single": "one user", "training": "training"}

INTRO = """\
## Left out

**These are the figures to expect.** Each source of rows, each model and each chip is left out in turn; the
constants that rows set (engines, and `host_speed` and decode attention of two chips; of training, the
shares of each die) are fitted again to the other rows and predict those left out. An engine whose only rows
are left out takes the median of the same constants of the others, or none; a die, one prior for all. Rows
in no fit count as they are. Kernels, links and the form of the model stay: they were set on kernels, not on
these rows. Beside it are the errors in sample, with the constants fitted to all rows and with those that
ship.

`python benchmarks/left_out` ({date}, {cpu_s} s of CPU): {serving} constants of engines and chips,
{training} of training. Median and mean error:
"""

WORTH = """\
What each constant is worth: all others are fitted again without it. Means of |log error| in hundredths,
none counted beyond a factor of three, of the rows that depend on it: in sample, and of sources and models
left out where others tell it (in brackets: of how many of them rows are better without it). A constant is
taken out of its engine where it hurts by more than a hundredth, and in more than half of them. Of constants
that trade against each other only one can be spared: what each loses is counted with the others there.
"""

COVERED = """\
**Bands.** `solve`, `estimate`, frontiers and `perturb` show the ends of eight in ten measurements around
each latency and rate, from these errors (`bands/groups.csv`): of the narrowest group of chip, engine, kind
of model and regime with at least 8 rows, errors of models and sources left out where it names the chip, of
chips and sources where it does not. A group of s sources keeps s/(s+1) of its own ends, the rest is the
wider group's. Sources differ more than rows of one: each source is left out of the bands too, and bands are
made wider by one factor for each line of this table, at most 2, until eight in ten of its rows (a source of
n rows counting as sqrt(n)) are inside.
"""


def left_out() -> Iterable[str]:
    """The whole section."""
    found = json.loads(STORED.read_text(encoding="utf-8"))
    yield INTRO.format(date=found["date"], cpu_s=found["cpu_s"], **found["constants"])
    yield markdown_table(("rows", "n", *_HEADLINE), [_row(row, _SCHEMES) for row in found["headline"]])
    for scheme in ("source", "model", "chip"):
        yield f"By {scheme}, of at least 8 rows:\n"
        heads = (scheme, "n", "left out", "in sample: refitted to all", "as shipped")
        yield markdown_table(heads, [_row(row, (scheme, "refitted", "shipped")) for row in found[scheme]])
    yield WORTH
    heads = ("constant", "ships", "refitted", "rows", "in sample, with, without", "left out", "so")
    yield markdown_table(heads, [_worth(row) for row in found["worth"]])
    yield COVERED
    heads = ("bands", "rows", "inside as made", "wider by", "inside")
    yield markdown_table(heads, [_covered(row) for row in found["covered"]])


def stale(made: str) -> bool:
    """Whether the errors are of other data, constants or code than the digest is of."""
    found: str = json.loads(STORED.read_text(encoding="utf-8"))["made"]
    return found != made


def _row(row: dict[str, Any], schemes: Sequence[str]) -> tuple[str, ...]:
    cells = (f"{row[scheme][0]:.1%}, {row[scheme][1]:.1%}" for scheme in schemes)
    return row["rows"], str(row["n"]), *cells


def _worth(row: dict[str, Any]) -> tuple[str, ...]:
    pairs = [_pair(row["seen"]), "-"]
    if row["left_out"]:
        better, of = row["folds"]
        pairs[1] = f"{_pair(row['left_out'])} ({better} of {of})"
    name = row["name"].replace(" ", " `", 1) + "`"
    return name, f"{row['shipped']:.4g}", f"{row['fitted']:.3g}", str(row["rows"]), *pairs, row["verdict"]


def _pair(values: Sequence[float]) -> str:
    return ", ".join(f"{100 * value:.1f}" for value in values)


def _covered(row: dict[str, Any]) -> tuple[str, ...]:
    named = "" if row["regime"] == "training" else ", engine seen" if row["engine"] else ", engine not seen"
    what = f"{_METRICS[row['metric']]}, {_REGIMES.get(row['regime'], 'all')}{named}"
    return what, str(row["rows"]), f"{row['plain']:.0%}", f"{row['wider']:g}", f"{row['inside']:.0%}"
