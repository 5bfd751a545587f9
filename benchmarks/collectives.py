"""Predicted against measured seconds of exchanges between chips.

Run: python benchmarks/collectives.py

Rows of benchmarks/points/collectives.csv, facts with their sources. In sample: the constants of the chip
files were fitted to nccl rows and to the fastest all-reduce kernel of each size. Held out: dispatch and
combine of DeepEP (the bytes of its rows are tokens x destinations x bytes of a token), AMD, torch outside
graphs. Of several nodes only the form was read from its rows: the network's share from the one all-reduce,
that latencies add up from the all-to-all rows of 8 tokens.
"""

import csv
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from optimizer import catalog
from optimizer.cost import collectives

POINTS = Path(__file__).parent / "points" / "collectives.csv"


def predicted_us(row: dict[str, str]) -> float:
    """Microseconds of one row by the cost model."""
    exchange = getattr(collectives, f"{row['operator']}_s")
    group = collectives.Group(int(row["n_chips"]), int(row["per_domain"]))
    seconds, _ = exchange(float(row["size_bytes"]), group, catalog.chip(row["chip"]))
    return 1e6 * float(seconds)


def group_name(row: dict[str, str]) -> str:
    """Rows that are reported together."""
    library = row["library"].split()[0]
    if row["chip"] == "nvidia-l40s" and int(row["n_chips"]) > 2:
        return f"{row['chip']:20} {row['operator']:15} set aside: a host without peer traffic"
    fitted = library in ("nccl", "trtllm", "vllm") or (row["n_chips"] == "32" and library == "bus")
    kind = "in sample" if fitted else f"held out, {row['library'] if library == 'bus' else library}"
    nodes = "" if row["n_chips"] == row["per_domain"] else ", several nodes"
    return f"{row['chip']:20} {row['operator']:15} {kind}{nodes}"


def main() -> None:
    """Print one line per chip, operator and origin."""
    groups: dict[str, list[float]] = {}
    for row in csv.DictReader(POINTS.read_text().splitlines()):
        groups.setdefault(group_name(row), []).append(predicted_us(row) / float(row["measured_us"]))
    print(f"{'':75} {'n':>4} {'median ratio':>13} {'median error':>13} {'largest':>8}")
    for name, ratios in sorted(groups.items()):
        errors = [abs(ratio - 1) for ratio in ratios]
        print(
            f"{name:75} {len(ratios):4} {statistics.median(ratios):13.2f} "
            f"{statistics.median(errors):13.1%} {max(errors):8.0%}"
        )


if __name__ == "__main__":
    main()
