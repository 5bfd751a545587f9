"""Long studies: a journal survives any kill, never mixes studies, and gives the bytes of one run.

Guards the promise that nothing is lost or done twice, and that no file of another study is touched.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import samples
import yaml

from optimizer import InputError, Options
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.deployment.problem import DeploymentProblem
from optimizer.report.json import to_json
from optimizer.studies import journal as journal_module
from optimizer.studies.asking import Questions
from optimizer.studies.changes import Variation
from optimizer.studies.frontier import frontier
from optimizer.studies.perturb import perturb
from optimizer.watch import Stopped

NAMES = ("tpot_ms", "loss")
STEPS = {"loss": 2e-5}


def run(path: Path | None, **more) -> str:
    return to_json(frontier(samples.problem(), NAMES, STEPS, journal=path, **more))


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Re-solves really done."""
    done: list[str] = []
    honest = Questions.ask

    def counted(self, text, asked, watch):
        done.append(asked.model_dump_json())
        return honest(self, text, asked, watch)

    monkeypatch.setattr(Questions, "ask", counted)
    return done


def test_a_cut_at_any_byte_is_mended_and_nothing_is_done_twice(tmp_path: Path, count: list[str]) -> None:
    whole = tmp_path / "whole.journal"
    truth = run(whole)
    assert truth == run(None)
    data = whole.read_bytes()
    lines = data.count(b"\n")
    for cut in sorted({0, 1, len(data) - 1, *range(7, len(data), 9001)}):
        torn = tmp_path / "torn.journal"
        torn.write_bytes(data[:cut])
        count.clear()
        assert run(torn) == truth
        assert torn.read_bytes() == data
        kept = max(data[:cut].count(b"\n") - 1, 0)
        assert len(count) == len(set(count)) == lines - 1 - kept


def test_killed_in_the_middle_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    problem, journal, out = tmp_path / "p.yaml", tmp_path / "j", tmp_path / "out.json"
    problem.write_text(yaml.safe_dump(samples.PROBLEM))
    command = [
        sys.executable,
        "-m",
        "optimizer",
        "frontier",
        str(problem),
        "--json",
        "--resume",
        str(journal),
    ]
    command += ["--objectives", ",".join(NAMES), "--resolution", "loss=2e-5", "--out", str(out)]
    process = subprocess.Popen(command)
    while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 4):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists()
    subprocess.run(command, check=True)
    again = json.loads(out.read_text())
    fresh = json.loads(to_json(frontier(Problem.model_validate(samples.PROBLEM), NAMES, STEPS)))
    assert again == fresh


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (samples.problem(workload={"input_tokens": 999, "output_tokens": 256, "batch": 8}), "problem"),
        (samples.problem(hardware="nvidia-b200-sxm"), "problem"),
    ],
)
def test_a_journal_of_another_problem_is_refused_untouched(tmp_path: Path, other, what: str) -> None:
    path = tmp_path / "j"
    run(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match=rf"another study \({what}.*left as it is"):
        frontier(other, NAMES, STEPS, journal=path)
    with pytest.raises(InputError, match="another study"):
        frontier(samples.problem(), NAMES[::-1], journal=path)
    with pytest.raises(InputError, match="another study"):
        perturb(samples.problem(), journal=path)
    assert path.read_bytes() == before


def test_a_journal_of_another_version_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "j"
    run(path)
    path.write_bytes(path.read_bytes().replace(b'"version": "', b'"version": "9.', 1))
    before = path.read_bytes()
    with pytest.raises(InputError, match=r"version 9\."):
        run(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"hello\n", b'{"a": 1}\n', b"\x00\xff\n", b"[]\n", b'{"journal": 1}'])
def test_a_file_that_is_no_journal_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(InputError, match="left as it is"):
        run(path)
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = tmp_path / "j"
    run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"{oops\n", *lines[3:]]))
    with pytest.raises(InputError, match="line 3 is damaged"):
        run(path)


def test_a_figure_that_was_changed_is_not_believed(tmp_path: Path) -> None:
    """Valid JSON, a metric halved: neither without a fresh checksum nor with one."""
    path = tmp_path / "j"
    truth = run(path)
    lines = path.read_bytes().splitlines(keepends=True)
    item = json.loads(lines[2])
    item["answer"]["plan"]["metrics"]["tpot_ms"] /= 2
    path.write_bytes(b"".join([*lines[:2], json.dumps(item).encode() + b"\n", *lines[3:]]))
    with pytest.raises(InputError, match="line 3 is damaged"):
        run(path)
    forged = journal_module.sealed({"key": item["key"], "answer": item["answer"]})
    path.write_bytes(b"".join([*lines[:2], json.dumps(forged).encode() + b"\n", *lines[3:]]))
    with pytest.raises(InputError, match="other figures than its plan"):
        run(path)
    path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    assert run(path) == truth


@pytest.mark.parametrize("study", ["frontier", "perturb"])
def test_answers_of_every_study_and_kind_are_right_when_read_again(tmp_path: Path, study: str) -> None:
    """The check of a read answer must never refuse a true one: scaled constants, dropped rules, pools."""
    deployment = DeploymentProblem.model_validate(
        {
            "name": "pools",
            "architecture": "meta-llama/Llama-3.1-8B",
            "hardware": [{"chip": "h100", "usd_per_chip_hour": 2}, {"chip": "b200", "usd_per_chip_hour": 4}],
            "deployment": {
                "tensor_parallel": [1, 2],
                "batch": [8, 64],
                "mode": ["aggregated", "disaggregated"],
            },
            "workload": {"input_tokens": 1000, "output_tokens": 200, "requests_per_s": 50},
            "constraints": {"tpot_ms_max": 30},
            "minimize": ["usd_per_hour"],
        }
    )
    for problem in (samples.problem(), deployment):
        path = tmp_path / f"{study}-{problem.name}"
        ask = {
            "frontier": lambda p=problem, j=path: frontier(p, points=4, journal=j),
            "perturb": lambda p=problem, j=path: perturb(
                p, [Variation("hardware.hbm_bandwidth", 1.1)], journal=j
            ),
        }[study]
        first = json.loads(to_json(ask()))
        before = path.read_bytes()
        assert json.loads(to_json(ask())) == first
        assert path.read_bytes() == before


def test_a_journal_of_the_form_without_checksums_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    run(path)
    old = path.read_bytes().replace(b'"journal": 2', b'"journal": 1', 1)
    path.write_bytes(old)
    with pytest.raises(InputError, match="checksums; begin a new one, it is left as it is"):
        run(path)
    assert path.read_bytes() == old


def test_a_full_disk_keeps_what_is_written(tmp_path: Path) -> None:
    """A limit on the file's size stands for the end of the disk."""
    path = tmp_path / "j"
    code = (
        "import resource, samples, signal\n"
        "from pathlib import Path\n"
        "from optimizer import InputError\n"
        "from optimizer.studies.frontier import frontier\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
        "try:\n"
        f"    frontier(samples.problem(), {NAMES!r}, {STEPS!r}, journal=Path({str(path)!r}))\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(samples.__file__).parent), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert "answers are safe in it" in done.stdout, done.stdout + done.stderr
    assert path.read_bytes().endswith(b"\n")
    assert run(path) == run(None)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 6000


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="journal"):
        run(tmp_path / "no" / "j")


def test_interrupted_it_is_a_frontier_with_gaps_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "j"
    honest = Questions.ask
    asked: list[int] = []

    def interrupted(*rest):
        asked.append(1)
        if len(asked) > 6:
            raise Stopped
        return honest(*rest)

    whole = frontier(samples.problem(), NAMES, STEPS)
    monkeypatch.setattr(Questions, "ask", interrupted)
    part = frontier(samples.problem(), NAMES, STEPS, journal=path)
    assert part.status == "partial"
    assert part.gaps
    assert 0 < len(part.points) < len(whole.points)
    assert all(point in whole.points for point in part.points)
    monkeypatch.setattr(Questions, "ask", honest)
    assert run(path) == to_json(whole)


def test_no_time_at_all_is_no_frontier_and_no_error() -> None:
    found = frontier(samples.problem(), NAMES, options=Options(time_limit_s=1e-9))
    assert (found.status, found.points, found.conflict) == ("unknown", (), None)
