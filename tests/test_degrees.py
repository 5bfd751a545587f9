"""A degree of parallelism is a field of `Split` and a file of `optimizer/degrees`, and nothing else knows it.

Guards against the list of degrees growing back into tables, options, reports and checkers, where adding one
took 25 files. The last test adds a degree to a copy of the package and asks everything that should know it.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import optimizer
from optimizer.plugins import plugins
from optimizer.spec.deployment import ReplicaSpace
from optimizer.spec.plan import Pool
from optimizer.spec.setup import Setup
from optimizer.spec.split import DEGREES, FORMATS, Formats, Split

PACKAGE = Path(optimizer.__file__).parent
TRAINING = re.compile(r"train|report/plans\.py")
"""Training has a context parallelism of its own; `report/plans.py` shows its setups."""


def test_context_parallelism_is_two_files() -> None:
    named = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "context_parallel" in path.read_text(encoding="utf-8")
    }
    serving = {name for name in named if not TRAINING.search(name)}
    assert serving == {"spec/split.py", "degrees/context_parallel.py"}


def test_every_carrier_has_every_degree_and_format() -> None:
    for model in (ReplicaSpace, Pool):
        assert set(model.model_fields) >= {*DEGREES, *FORMATS}
    setup = Setup(**{name: i for i, name in enumerate(DEGREES, 2)})
    assert setup.split == Split(*range(2, 2 + len(DEGREES)))
    assert setup.formats == Formats("", "")
    assert setup.formats.published(None) == Formats()
    assert plugins("degrees").keys() <= DEGREES.keys()
    shorts = [degree.short for degree in DEGREES.values()]
    assert len(set(shorts)) == len(shorts)


def test_a_carrier_has_the_fields_in_their_place() -> None:
    names = list(Pool.model_fields)
    assert names[names.index("replicas") + 1 : names.index("batch")] == list(DEGREES)
    after = names.index("batch") + 1
    assert names[after : after + len(FORMATS)] == list(FORMATS)


DEGREE = """    mirror_parallel: Annotated[Any, Degree("mp", "ranks that do the same", (1,), quiet=True)] = 1
"""
RULE = '''"""Ranks that do the same twice, in case one fails."""


def why_not(architecture, split, tokens):
    return "there is one spare at most" if split.mirror_parallel > 2 else ""
'''
TABLE = """mode,chip,chips,requests_per_s,ttft_ms,tpot_ms,mp
aggregated,red,2,3,50,9,2
aggregated,red,1,1,50,9,
"""
POINTS = """model,chip,tp,mp,weight_dtype,isl,osl,metric,value,point_type,batch_or_concurrency
llama-3.1-8b,h100,1,2,bf16,100,100,tpot_ms,10,fixed_batch,1
"""
ASKED = """
import contextlib, io, json
from importlib import import_module
from pathlib import Path
from rich.console import Console
from optimizer import enumerate_plans, perturb, read_problem, solve
from optimizer.cli import main
from optimizer.columns.performance_table import read_table
from optimizer.evidence.points import read_points

def said(*arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(list(arguments))
    return code, out.getvalue()

def shown(kind, answer):
    console = Console(width=100, file=io.StringIO())
    console.print(import_module("optimizer.report." + kind).report(answer))
    return console.file.getvalue()

base = {"name": "own", "architecture": "meta-llama/Llama-3.1-8B", "hardware": "nvidia-h100-sxm",
        "workload": {"input_tokens": 500, "output_tokens": 100, "requests_per_s": 5}, "minimize": "chips"}
space = {"tensor_parallel": 1, "batch": [1, 8]}
one = solve(read_problem(base | {"deployment": space}))
two = solve(read_problem(base | {"deployment": space | {"mirror_parallel": 2}}))
both = read_problem(base | {"deployment": space | {"mirror_parallel": [1, 2]}})
traffic = [{"input_tokens": 500, "output_tokens": 100, "requests_per_s": 5}]
fleet = {"name": "shared", "hardware": "nvidia-h100-sxm", "minimize": "chips",
         "services": [{"name": "chat", "architecture": "meta-llama/Llama-3.1-8B", "traffic": traffic,
                       "deployment": space | {"mirror_parallel": 2}}]}
shared = solve(read_problem(fleet))
try:
    refused = solve(read_problem(base | {"deployment": space | {"mirror_parallel": 3}})).status
except Exception as error:
    refused = str(error)
Path("table.csv").write_text(TABLE)
Path("points.csv").write_text(POINTS)
estimate = ("estimate", "--model", "llama-3.1-8b", "--chip", "h100", "--mirror-parallel")
code, told = said(*estimate, "2", "--json")
own = json.loads(told)
broken, words = said(*estimate, "3")
compared = said("compare", "llama-3.1-8b", "qwen2.5-7b", "--chip", "h100", "--mirror-parallel", "2", "--json")
print(json.dumps({
    "chips": [one.metrics["chips"], two.metrics["chips"], shared.metrics["chips"]],
    "pools": [[p.get("mirror_parallel") for p in a.model_dump(mode="json")["deployment"]["pools"]]
              for a in (one, two, shared)],
    "reports": ["mp2" in shown("deployment", two), "mp2" in shown("fleet", shared)],
    "moves": sorted({c.name for c in perturb(both).changes if "mirror" in c.name}),
    "plans": len({frozenset(pool.split.mirror_parallel for pool in p.pools) for p in
                  enumerate_plans(both, 2, distinct=["mirror_parallel"]).plans}),
    "refused": refused,
    "estimate": [code, own["deployment"]["pools"][0]["mirror_parallel"],
                 own["deployment"]["pools"][0]["chips"], broken, "one spare at most" in words],
    "compared": "mirror_parallel" in compared[1],
    "schema": ["mirror_parallel" in said("schema", kind)[1] for kind in ("deployment", "fleet")],
    "table": read_table(Path("table.csv")).mirror_parallel.tolist(),
    "points": [p.setup.mirror_parallel for p in read_points(Path("points.csv"))],
}))
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of its own: the package copied, the data linked."""
    shutil.copytree(PACKAGE, tmp_path / "optimizer", ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("hardware", "models", "problems", "engines", "bands"):
        (tmp_path / name).symlink_to(PACKAGE.parent / name)
    return tmp_path


def asked(copy: Path, code: str) -> Any:
    """What a piece of code prints as JSON, run in the copy."""
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "HOME": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def changed(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_degree_is_one_line_and_one_file(copy: Path) -> None:
    """Two ranks do the same: chips double, nothing else changes, and everything knows the name."""
    split = copy / "optimizer" / "spec" / "split.py"
    changed(split, "    context_parallel: Annotated", DEGREE + "    context_parallel: Annotated")
    changed(split, "return self.tensor_parallel * self.sequence_ranks", "return self.tensor_parallel * self.sequence_ranks * self.mirror_parallel")  # fmt: skip  # noqa: E501
    (copy / "optimizer" / "degrees" / "mirror_parallel.py").write_text(RULE, encoding="utf-8")
    found = asked(copy, f"TABLE, POINTS = {TABLE!r}, {POINTS!r}\n{ASKED}")
    one = found["chips"][0]
    assert found["chips"] == [one, 2 * one, 2 * one]
    assert found["pools"] == [[None], [2], [2]]
    assert found["reports"] == [True, True]
    assert found["moves"] == ["mirror_parallel"]
    assert found["plans"] == 2
    assert "mirror_parallel 3: there is one spare at most" in found["refused"]
    assert found["estimate"] == [0, 2, 2, 3, True]
    assert found["compared"]
    assert found["schema"] == [True, True]
    assert found["table"] == [2, 1]
    assert found["points"] == [2]
