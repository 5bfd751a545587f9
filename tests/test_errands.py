"""What a stranger adds, done in a copy of the package: how many files it takes, and what picks it up.

Each errand copies `optimizer/`, writes the files that CONTRIBUTING says, and asks a process of its own.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_problems

import optimizer

PACKAGE = Path(optimizer.__file__).parent
ROOT = PACKAGE.parent
DATA = ("hardware", "models", "problems", "engines", "bands")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of its own: the package copied, the data linked."""
    shutil.copytree(PACKAGE, tmp_path / "optimizer", ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in DATA:
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def asked(copy: Path, code: str) -> Any:
    """What a piece of code prints as JSON, run in the copy."""
    paths = {"PYTHONPATH": f"{copy}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "HOME": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=paths, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def shown(kind: str) -> str:
    """The complete file that CONTRIBUTING shows of a kind."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {re.escape(kind)} \w+ -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found.group(1)


METRIC = """
import json
from rich.console import Console
import small_problems
from optimizer import explain, frontier, perturb, solve
from importlib import import_module
NAME = "kg_co2_per_hour"
found = {}
for kind in ("deployment", "fleet"):
    own = small_problems.PROBLEMS[kind]
    problem = small_problems.problem(kind, minimize=NAME)
    best = solve(problem)
    limit = {**own.get("constraints", {}), NAME + "_max": 1.01 * best.objective.value}
    bounded = solve(small_problems.problem(kind, constraints=limit))
    none = {**own.get("constraints", {}), NAME + "_max": 0.1}
    refused = small_problems.problem(kind, constraints=none)
    trade = frontier(small_problems.problem(kind), [NAME, "usd_per_hour"])
    moved = perturb(small_problems.problem(kind, constraints=limit))
    console = Console(width=80, file=open("/dev/null", "w"))
    console.print(import_module("optimizer.report." + kind).report(best))
    found[kind] = {
        "status": best.status, "unit": best.objective.unit, "value": best.objective.value,
        "watts": best.metrics["power_w"], "metric": best.metrics[NAME],
        "bounded": bounded.metrics[NAME] <= limit[NAME + "_max"],
        "conflict": solve(refused).conflict.constraints,
        "relaxed": [r.to for r in explain(refused).relaxations if r.constraint == NAME + "_max"],
        "points": [[p.metrics[NAME], p.metrics["usd_per_hour"]] for p in trade.points],
        "rows": sorted({c.move for c in moved.changes if c.name == NAME + "_max"}),
    }
print(json.dumps(found))
"""


def test_a_metric_of_every_kind_is_one_file(copy: Path) -> None:
    """Objective, bound, axis, row of perturbations, conflict, report: of deployments and of fleets."""
    (copy / "optimizer" / "objectives" / "kg_co2_per_hour.py").write_text(shown("metric"))
    for own in asked(copy, METRIC).values():
        assert own["status"] == "optimal" and own["unit"] == "kg/h" and own["bounded"]
        assert own["value"] == pytest.approx(own["metric"], rel=1e-9)
        assert own["metric"] == pytest.approx(0.4e-3 * own["watts"], rel=1e-9)
        assert "kg_co2_per_hour_max" in own["conflict"]
        assert own["relaxed"] and own["relaxed"][0] >= own["value"] - 1e-9
        assert len(own["points"]) >= 1 and own["points"] == sorted(own["points"])
        assert own["rows"] == ["+1 %", "+5 %", "-1 %", "-5 %", "dropped"]


KIND = ("kind.py", "problem.py", "question.py")
STUDIES = """
import json
from optimizer import Variation, enumerate_plans, explain, frontier, load_problem, perturb, solve, sweep
from optimizer.cli import main
from optimizer.questions.kinds import kind_of
problem = load_problem("hosts.yaml")
best, listed = solve(problem), enumerate_plans(problem, top=9)
swept = sweep(problem, {"checkpoint_gib": [10, 20, 1000]})
moved = perturb(problem, [Variation("checkpoint_gib", 2.0)])
none = load_problem("hosts.yaml", {"nodes_max": 1})
codes = [
    main([name, "hosts.yaml", *more, "--out", "said.txt"])
    for name, more in (("solve", []), ("frontier", []), ("perturb", []), ("explain", []), ("enumerate", []),
                       ("sweep", ["--over", "checkpoint_gib=10,20"]))
]
print(json.dumps({
    "best": [best.status, best.objective.value, kind_of(best.problem).name],
    "points": [[p.metrics["nodes"], p.metrics["memory_gib"]] for p in frontier(problem).points],
    "listed": [[p.metrics["memory_gib"] / p.metrics["nodes"], p.metrics["nodes"]] for p in listed.plans],
    "swept": [row.plan and row.plan.metrics["nodes"] for row in swept.rows],
    "moved": [[c.name, c.move, c.objective] for c in moved.changes],
    "why": explain(none).conflicts, "conflict": solve(none).conflict.constraints,
    "codes": codes,
}))
"""


def test_a_kind_of_problem_is_one_folder(copy: Path) -> None:
    """All six studies answer it, from Python and from the command line, with a report; nothing lists it."""
    folder = copy / "optimizer" / "questions" / "checkpoint"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""Checkpoints in memory."""\n')
    for name in KIND:
        (folder / name).write_text(shown(f"kind/{name}"))
    (copy / "hosts.yaml").write_text("name: hosts\ncheckpoint_gib: 20\nhost_gib: [3, 7, 8]\n")
    found = asked(copy, STUDIES)
    assert found["best"] == ["optimal", 3.0, "checkpoint"]
    assert found["points"] == [[3.0, 21.0]]
    assert found["listed"] == [[7, 3.0], [8, 3.0], [3, 7.0]]
    assert found["swept"] == [2.0, 3.0, None]
    assert ["checkpoint_gib", "+100 %", 5.0] in found["moved"]
    assert found["why"] == [["nodes_max"]] and found["conflict"] == ["nodes_max"]
    assert found["codes"] == [0] * 6


def test_a_study_for_every_kind_is_a_file(copy: Path) -> None:
    """One file of `studies`, which knows no kind (with a command and a report it is three)."""
    (copy / "optimizer" / "studies" / "extremes.py").write_text(shown("study"))
    code = (
        "import json, small_problems\n"
        "from optimizer.studies.extremes import extremes\n"
        "print(json.dumps({k: extremes(small_problems.problem(k)) for k in small_problems.PROBLEMS}))"
    )
    found = asked(copy, code)
    assert set(found) == set(small_problems.PROBLEMS)
    for values in found.values():
        assert len(values) >= 3 and any(v is not None for v in values.values())


BLOCK = """
import json
from itertools import product
from importlib import import_module
from rich.console import Console
from optimizer import Setup, catalog, enumerate_plans, estimate, explain, frontier, perturb
from optimizer import read_problem, solve
from optimizer.anatomy.check import check
from optimizer.anatomy.training import train_estimate
from optimizer.questions.architecture.space import resolve
from optimizer.spec.architecture import Architecture
from optimizer.spec.training import TrainingSetup
LATTICE = {"mixer": "rg_lru", "vocab_size": 32000, "tied_embeddings": True, "d_model": [1024, 1536],
           "n_layers": [8, 12], "d_inner": [1024, 1536, 2048], "d_conv": [2, 4], "d_ff": [3072, 4096, 5120]}
def problem(**changes):
    base = {"name": "conv", "hardware": "nvidia-h100", "architecture": LATTICE, "minimize": "tpot_ms",
            "deployment": {"tensor_parallel": [1, 2]}, "constraints": {"n_params_min": 150e6},
            "workload": {"input_tokens": 2048, "output_tokens": 256, "batch": 32},
            "training": {"microbatch": 1, "global_batch": 8, "sequence_length": 2048}}
    return read_problem(base | changes)
best = solve(problem())
space, found = resolve(problem()), []
mixers, networks = ([half.take(i) for i in range(len(half))] for half in space.halves)
for frame, depth, mixer, network in product(space.frames(), space.depths, mixers, networks):
    own = space.architecture_of(frame, int(depth), mixer, network)
    checked = check(frame, own, space.rules)
    found += [] if checked.broken else [checked.metrics["tpot_ms"]]
a, pool = best.architecture, best.deployment.pools[0]
model = Architecture.model_validate({
    "name": "own", "n_layers": a.n_layers, "d_model": a.d_model, "vocab_size": 32000, "tied_embeddings": True,
    "d_inner": a.d_inner, "d_conv": a.d_conv, "d_ff": a.d_ff,
    "layers": [{"count": a.n_layers, "mixer": "rg_lru"}]})
chip = catalog.chip("nvidia-h100")
priced = estimate(model, chip, Setup(
    tensor_parallel=pool.tensor_parallel, batch=32, input_tokens=2048, output_tokens=256))
trained = train_estimate(model, chip, TrainingSetup(microbatch=1, global_batch=8, sequence_length=2048))
console = Console(width=80, file=open("said.txt", "w"))
console.print(import_module("optimizer.report.architecture").report(best, verbose=True))
trade = frontier(problem(), ["tpot_ms", "memory_gib"])
moved = perturb(problem())
listed = enumerate_plans(problem(), top=5)
refused = problem(constraints={"memory_gib_max": 0.001})
print(json.dumps({
    "status": best.status, "value": best.objective.value, "enumerated": min(found),
    "estimate": priced.metrics["tpot_ms"],
    "memory": [best.metrics["memory_gib"], priced.metrics["memory_gib"]],
    "trained": [trained.status, best.metrics["train_memory_gib"], trained.metrics["step_s"] > 0],
    "assumed": {x.name: x.value for x in best.assumptions}, "said": open("said.txt").read(),
    "points": [[p.metrics["tpot_ms"], p.metrics["memory_gib"]] for p in trade.points],
    "rows": sorted({c.name for c in moved.changes}), "listed": [p.metrics["tpot_ms"] for p in listed.plans],
    "conflict": solve(refused).conflict.constraints,
    "why": [r.to is not None for r in explain(refused).relaxations],
    "shape": list(best.model_dump(mode="json")["architecture"]),
}))
"""


def test_a_layer_kind_priced_and_optimised_over_is_one_file(copy: Path) -> None:
    """The file that CONTRIBUTING shows: its optimum is that of enumeration; estimated, trained, reported."""
    (copy / "optimizer" / "blocks" / "rg_lru.py").write_text(shown("block"))
    found = asked(copy, BLOCK)
    assert found["status"] == "optimal"
    assert found["value"] == pytest.approx(found["enumerated"], rel=1e-9)
    assert found["value"] == pytest.approx(found["estimate"], rel=1e-9)
    assert found["memory"][0] == pytest.approx(found["memory"][1], rel=1e-9)
    assert found["trained"][0] == "feasible" and found["trained"][1] > 0 and found["trained"][2]
    assert found["assumed"]["kv_sharing"] == "not applied to rg_lru: it has no keys and values"
    assert found["assumed"]["ssm layers"] == "linear recurrences by formula, not measured"
    assert "channels with filters of" in " ".join(found["said"].split())
    assert found["points"] == sorted(found["points"]) and found["points"][0][0] == found["value"]
    assert {"d_inner", "d_ff"} <= set(found["rows"])
    assert found["listed"][0] == pytest.approx(found["value"]) and found["listed"] == sorted(found["listed"])
    assert found["conflict"] == ["memory_gib_max"] and any(found["why"])
    assert found["shape"][:7] == ["n_layers", "d_model", "mixer", "d_inner", "d_conv", "d_ff", "vocab_size"]
