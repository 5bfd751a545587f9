"""What every deployment that ships claims at its traffic, beside a replay of as much.

    python benchmarks/claims.py                 all of them
    python benchmarks/claims.py llama-405b-h100 --set workload.percentile=99

95th percentiles of TTFT and TPOT over all requests, claimed and replayed, and by how much the replay is
above: below zero users see less than was claimed. A problem without a rate is replayed at what its plan
serves, its claims then being those of the rows. Plans that no replay knows (experts apart, a second tier) are
listed.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer import Replaying, catalog, load_problem, simulate, solve  # noqa: E402
from optimizer.errors import InputError  # noqa: E402
from optimizer.questions.kinds import kind_of_problem  # noqa: E402
from optimizer.spec.loading import parse_yaml  # noqa: E402

NAMES = ("ttft", "tpot")


def claims_of(name: str, overrides: dict[str, Any], requests: int) -> list[str] | None:
    """A row of the table; None for a problem of another kind."""
    problem = load_problem(name)
    if kind_of_problem(problem).name != "deployment":
        return None
    answer = solve(load_problem(name, overrides) if overrides else problem)
    if answer.deployment is None:
        return [name, answer.status]
    chips = f"{answer.metrics['chips']:g}"
    rate = answer.metrics["requests_per_s"]
    arrivals = "" if problem.workload.requests_per_s else f"poisson:{rate:.9g}"
    try:
        seen = simulate(answer, Replaying(arrivals, requests=requests))
    except InputError as error:
        return [name, chips, str(error).rpartition(", ")[2]]
    said = {claim.name: claim for claim in seen.claims}
    row = [name, chips]
    for metric in NAMES:
        claim = said.get(f"{metric}_p95_at_demand_ms") or said.get(f"{metric}_ms")
        row += [f"{claim.claimed:.4g}", f"{claim.replayed:.4g}", f"{claim.difference:+.1%}"] if claim else []
    return row


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--requests", type=int, default=20_000)
    given = parser.parse_args()
    changes = {key: parse_yaml(text, key) for key, _, text in (pair.partition("=") for pair in given.set)}
    print(
        "| problem | chips | TTFT p95 claimed, ms | replayed | off | TPOT p95 claimed, ms | replayed | off |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in given.problems or sorted(catalog.problem_files()):
        row = claims_of(name, changes, given.requests)
        if row is not None:
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
