"""The documents are right: examples run, generated pages are current, links lead somewhere.

Every fenced `python` block with a `>>>` is a doctest; the blocks of one page share their names. Files that
a page shows in full (a problem, chip or model in YAML, a constraint or metric in Python) are marked by a
comment above the block and put to use here.
"""

import doctest
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pydantic import BaseModel

from optimizer import Problem, solve
from optimizer.plugins import plugins
from optimizer.questions.architecture.lattice import ArchitectureSpace
from optimizer.questions.architecture.problem import DeploymentSpace, Workload
from optimizer.questions.architecture.space import resolve
from optimizer.scope import Scope, holds
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.loading import parse_yaml, validate

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARKED = re.compile(r"^<!-- (\w+) ?(\w*) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def page_id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def marked(page: str, kind: str) -> list[tuple[str, str]]:
    """(name, text) of the blocks of a page that are marked as `kind`."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [(name, body) for mark, name, body in MARKED.findall(text) if mark == kind]


def examples_only(text: str) -> str:
    """The page with everything outside its Python examples blanked, so that line numbers hold."""

    def blank(part: str) -> str:
        return "\n" * part.count("\n")

    kept, end = [], 0
    for match in FENCE.finditer(text):
        if match.group(1) == "python" and ">>>" in match.group(2):
            kept += [blank(text[end : match.start(2)]), match.group(2)]
            end = match.end(2)
    return "".join(kept)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_give_what_the_page_shows(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = examples_only(page.read_text(encoding="utf-8"))
    test = doctest.DocTestParser().get_doctest(text, {}, page_id(page), str(page), 0)
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    result = runner.run(test, out=said.append)
    assert result.failed == 0, "".join(said)


@pytest.mark.parametrize("page", ["cost-model", "serving", "proof", "quality", "problem-files"])
def test_pages_with_numbers_have_examples(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    assert examples_only(text).count(">>>") >= 5


@pytest.mark.parametrize("script", ["generate.py", "accuracy.py"])
def test_generated_pages_are_current(script: str) -> None:
    command = [sys.executable, str(ROOT / "docs" / script), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("kind, model", [("problem", Problem), ("chip", Chip), ("model", Architecture)])
def test_yaml_files_of_the_reference_load(kind: str, model: type[BaseModel]) -> None:
    found = marked("docs/problem-files.md", kind)
    assert len(found) == 2
    for _, text in found:
        validate(model, parse_yaml(text, "problem-files.md"), "problem-files.md")


def test_engine_of_the_reference_is_used(tmp_path: Path) -> None:
    [(_, text)] = marked("docs/serving.md", "engine")
    (tmp_path / "engine.yaml").write_text(text, encoding="utf-8")
    own, usual = (
        solve(small(architecture="llama-3.1-8b", deployment={"engine": engine})).metrics["tpot_ms"]
        for engine in (str(tmp_path / "engine.yaml"), "trtllm")
    )
    shorter = (1.0 - 0.6) + (3 - 5) * 1e-3 * 8  # host_ms and host_us_per_sequence of 8 sequences
    assert usual - own == pytest.approx(shorter, rel=1e-6)


def test_own_chip_and_own_baseline_of_the_reference_answer(tmp_path: Path) -> None:
    """The recipe as a reader would follow it: files of their own, and a solved problem."""
    for _, text in marked("docs/problem-files.md", "chip"):
        (tmp_path / "chip.yaml").write_text(text, encoding="utf-8")
        (tmp_path / "model.yaml").write_text(marked("docs/problem-files.md", "model")[0][1], encoding="utf-8")
        problem = small(
            hardware=str(tmp_path / "chip.yaml"),
            baseline=str(tmp_path / "model.yaml"),
            constraints={"loss_increase_max": 0.1},
        )
        result = solve(problem)
        assert result.status == "optimal"
        assert result.baseline is not None and result.baseline.name == "my-model"


@pytest.mark.parametrize("model", [Problem, ArchitectureSpace, DeploymentSpace, Workload])
def test_every_field_of_a_problem_is_in_the_reference(model: type[BaseModel]) -> None:
    text = (ROOT / "docs" / "problem-files.md").read_text(encoding="utf-8")
    missing = [name for name in model.model_fields if f"`{name}`" not in text]
    assert not missing


def small(**fields: object) -> Problem:
    """A problem of a few points."""
    architecture = {
        "d_model": 2048,
        "n_layers": list(range(16, 25)),
        "n_heads": [16, 32],
        "n_kv_heads": 8,
        "d_head": [64, 128],
        "d_ff": [6144, 8192],
    }
    common = {
        "name": "small",
        "architecture": architecture,
        "hardware": "nvidia-b200-sxm",
        "workload": {"input_tokens": 512, "output_tokens": 128, "batch": 8},
    }
    wanted = {} if "maximize" in fields else {"minimize": "tpot_ms"}
    return Problem.model_validate(common | wanted | fields)


def shown_module(kind: str) -> tuple[str, ModuleType]:
    """The plug-in that CONTRIBUTING.md shows in full."""
    [(name, source)] = marked("CONTRIBUTING.md", kind)
    module = ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
    return name, module


def test_constraint_of_contributing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    name, module = shown_module("constraint")
    for point, kept in ((module.KEEPS, True), (module.BREAKS, False)):
        facts = {key: value for key, value in point.items() if key != "value"}
        relation = module.rule(Scope(facts, facts.__getitem__), point["value"])
        assert bool(np.all(holds(relation))) is kept
    monkeypatch.setitem(plugins("constraints"), name, module)
    result = solve(small(constraints={name: 4, "n_params_min": 1.55e9}))
    assert result.status == "optimal"
    assert result.architecture is not None and result.architecture.n_layers % 4 == 0
    refused = solve(small(constraints={name: 25}))
    assert refused.conflict is not None and refused.conflict.constraints == (name,)
    assert refused.conflict.relaxations[0].to == 5


TRAFFIC = {"input_tokens": 512, "output_tokens": 128, "batch": 16, "requests_per_s": 500}


def test_metric_of_contributing_works(monkeypatch: pytest.MonkeyPatch) -> None:
    name, module = shown_module("metric")
    monkeypatch.setitem(plugins("objectives"), name, module)
    result = solve(small(minimize=name, workload=TRAFFIC, constraints={f"{name}_max": 1e6}))
    assert result.status == "optimal"
    assert result.metrics[name] == pytest.approx(0.4e-3 * result.metrics["power_w"], rel=1e-12)
    assert name in resolve(small(minimize=name, workload=TRAFFIC)).problem.minimize


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{page_id(page)}: no file {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{page_id(page)}: no heading {target}"


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_of_proofs_states_no_number_that_is_not_run() -> None:
    """Numbers stand in its examples, where they are compared; prose has none but its own steps and a year."""
    prose = FENCE.sub("", (ROOT / "docs" / "proof.md").read_text(encoding="utf-8"))
    prose = re.sub(r"^\*\*\d\. |`[^`]*`|\(Ignatiev[^)]*\)", "", prose, flags=re.MULTILINE)
    assert re.findall(r".*\d.*", prose) == []
