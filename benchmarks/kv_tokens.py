"""How well the tokens that engines' caches hold are predicted, and whether requests fit.

    python benchmarks/kv_tokens.py [-v]

The points are benchmarks/points/memory/kv_tokens.csv, public start-up logs of vLLM, SGLang and TensorRT-LLM.
Those that break memory down by part were read when constants of engines were set; those with only a number of
tokens, or a yes or no, were kept apart by that rule, before any constant was set. Their figure leads.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from optimizer.evidence.kv_points import KvPoint, read_kv_points  # noqa: E402

POINTS = ROOT / "benchmarks" / "points" / "memory" / "kv_tokens.csv"
PARTS = {"apart": "kept apart", "parts": "constants read off"}


def main(arguments: list[str]) -> int:
    """Print both parts and what is wrong of each; return the exit code."""
    points = read_kv_points(POINTS)
    for part, words in PARTS.items():
        print(f"{words}: {summary(p for p in points if p.row['part'] == part)}")
    if "-v" in arguments:
        for p in points:
            error = "" if p.error is None else f"{p.error:+7.1%}"
            right = {None: "", True: "right", False: "WRONG"}[p.right]
            print(
                f"{p.row['engine']:12} {p.row['chip']:10} tp{p.row['tp']} {error:8} {right:6} {p.model.name}"
            )
    return 0


def summary(points: Iterable[KvPoint]) -> str:
    """Median and mean error of tokens, and how many of yes and no are right."""
    chosen = list(points)
    errors = [abs(p.error) for p in chosen if p.error is not None]
    right = [p.right for p in chosen if p.right is not None]
    return (
        f"tokens of {len(errors)} caches {median(errors):.1%} median, {sum(errors) / len(errors):.1%} mean; "
        f"fits or not right in {sum(right)} of {len(right)}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
