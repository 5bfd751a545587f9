"""What every deployment and fleet that ships claims at its traffic, beside a replay of as much.

    python benchmarks/claims.py                 all of them
    python benchmarks/claims.py llama-405b-h100 --set workload.percentile=99

95th percentiles of TTFT and TPOT over all requests, claimed and replayed, and by how much the replay is
above: below zero users see less than was claimed. A problem without a rate is replayed at what its plan
serves, its claims then being those of the rows. So are those of fleets, which have a line for each size of
request: of replicas that have it alone, at their rate. Plans that no replay knows (experts apart, a second
tier) are listed.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer import Replaying, catalog, load_problem, simulate, solve  # noqa: E402
from optimizer.errors import InputError  # noqa: E402
from optimizer.questions.kinds import kind_of_problem  # noqa: E402
from optimizer.spec.loading import parse_yaml  # noqa: E402
from optimizer.spec.replay import Claim  # noqa: E402

NAMES = ("ttft", "tpot")


def claims_of(name: str, overrides: dict[str, Any], requests: int) -> list[list[str]]:
    """Rows of the table; none for a problem of another kind."""
    problem = load_problem(name)
    if (kind := kind_of_problem(problem).name) not in ("deployment", "fleet"):
        return []
    answer = solve(load_problem(name, overrides) if overrides else problem)
    if answer.deployment is None:
        return [[name, answer.status]]
    chips = f"{answer.metrics['chips']:g}"
    rate = answer.metrics["requests_per_s"]
    asked = kind == "fleet" or problem.workload.requests_per_s
    try:
        seen = simulate(answer, Replaying("" if asked else f"poisson:{rate:.9g}", requests=requests))
    except InputError as error:
        return [[name, chips, str(error).rpartition(", ")[2]]]
    if not seen.kinds:
        return [[name, chips, *_beside(seen.claims)]]
    return [[f"{name}: {own.name}", chips, *_beside(own.claims)] for own in seen.kinds]


def _beside(claims: Iterable[Claim]) -> list[str]:
    """Claimed, replayed and by how much it is off, of both latencies."""
    said, found = {claim.name: claim for claim in claims}, list[str]()
    for metric in NAMES:
        if claim := said.get(f"{metric}_p95_at_demand_ms") or said.get(f"{metric}_ms"):
            found += [f"{claim.claimed:.4g}", f"{claim.replayed:.4g}", f"{claim.difference:+.1%}"]
    return found


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
        for row in claims_of(name, changes, given.requests):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
