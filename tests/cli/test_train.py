"""The command line of training: what a step costs, what does not fit, and points of measured steps.

Guards what a user sees: the units, both conventions of MFU, one message for what is wrong, no traceback.
"""

import json
from pathlib import Path

import pytest

from optimizer.cli import main

POINTS = Path(__file__).parents[2] / "benchmarks" / "points" / "training.csv"
ESTIMATE = ("estimate", "--phase", "train", "--model", "llama-3.1-70b", "--chip", "h100")
FITS = ("--tensor-parallel", "4", "--pipeline-parallel", "4", "--data-parallel", "4", "--global-batch", "64")


@pytest.fixture
def run(capsys):
    def go(*arguments: str) -> tuple[int, str, str]:
        code = main([*arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return go


def test_a_step_by_part(run) -> None:
    code, out, err = run(*ESTIMATE, *FITS, "--training-tokens", "15e12")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for text in (
        "trained on 64 nvidia-h100-sxm chips",
        "mfu, causal attention, of the bf16 peak",
        "mfu, full attention",
        "train_usd",
        "tensor_parallel",
        "bubble",
        "Memory on the fullest chip",
        "optimizer",
        "of 79.11 usable",
    ):
        assert text in out


def test_json_and_a_setup_file(run, tmp_path) -> None:
    path = tmp_path / "setup.yaml"
    path.write_text("tensor_parallel: 8\npipeline_parallel: 8\nglobal_batch: 32\nrecompute: full\n")
    code, out, _ = run(*ESTIMATE, "--setup", str(path), "--pipeline-parallel", "4", "--json")
    data = json.loads(out)
    assert code == 0
    assert data["setup"]["pipeline_parallel"] == 4, "an option goes over the file"
    assert data["setup"]["recompute"] == "full"
    assert data["metrics"]["step_s"] == pytest.approx(sum(data["step_ms"].values()) / 1e3)
    assert data["n_chips"] == 32


def test_what_does_not_fit_exits_3_and_says_why(run) -> None:
    code, out, err = run(*ESTIMATE, "--data-parallel", "8")
    assert (code, err) == (3, "")
    assert "CANNOT RUN" in out and "memory_capacity: needs" in out and "tokens/s" not in out
    code, out, _ = run(*ESTIMATE, *FITS, "--microbatch", "3")
    assert code == 3
    assert "batch_divides: microbatch x data_parallel divides global_batch" in out


def test_what_a_setup_leaves_out_is_said(run) -> None:
    """DeepSeek-V3 with whole layers computed again in a plain pipeline: what it ran is named too."""
    h800 = ("estimate", "--phase", "train", "--model", "deepseek-v3", "--chip", "h800", "--dtype", "fp8")
    split = ("--pipeline-parallel", "16", "--data-parallel", "128", "--expert-parallel", "64")
    code, out, _ = run(*h800, *split, "--global-batch", "15360", "--recompute", "full")
    assert code == 0 and "not modelled: states and activations on hosts" in out
    said = " ".join(out.partition("Faster on the same split")[2].split())
    assert "recompute light, schedule dualpipe: 1,5" in said and "79.11 usable: does not fit" in said
    assert "recompute light, schedule zero_bubble" in said
    code, out, _ = run(*h800, *split, "--global-batch", "15360", "--json")
    faster = json.loads(out)["faster"]
    assert code == 3 and [way["fits"] for way in faster] == [False, True], "nor none computed again"
    code, out, _ = run(*ESTIMATE[:3], "--model", "llama-3.1-8b", "--chip", "h100", "--tensor-parallel", "8")
    assert code == 0 and "same split" not in out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--recompute", "some"), "'none', 'light', 'selective' or 'full'"),
        (("--zero", "4"), "less than or equal to 3"),
        (("--dtype", "fp7"), "'bf16', 'fp8'"),
        (("--engine", "jax"), "'megatron'"),
        (("--setup", "missing.yaml"), "no such file"),
        (("--chip", "h101"), "unknown chip"),
    ],
)
def test_bad_input_is_one_message(run, extra: tuple[str, ...], message: str) -> None:
    chip = [] if "--chip" in extra else ["--chip", "h100"]
    code, out, err = run(*ESTIMATE[:5], *chip, *extra)
    assert (code, out) == (2, "")
    assert message in err and err.count("archsat:") == 1 and "Traceback" not in err


def test_the_shipped_points_are_within_their_goals(run) -> None:
    """Half of the NVIDIA rows of tier A are in sample; see benchmarks/training_fit.py for the other half."""
    code, out, _ = run("validate", str(POINTS), "--json")
    groups = {(g["group"], g["value"]): g for g in json.loads(out)["groups"]}
    assert code == 0
    assert groups["tier", "A"]["median_abs_error"] < 0.07
    for source in ("bigscience", "korthikanti-2022", "llm-foundry", "maxtext-readme", "megatron-sc21"):
        assert groups["source", source]["median_abs_error"] <= 0.10, source
    counted = {name: sum(g["n"] for key, g in groups.items() if key[0] == name) for name, _ in groups}
    assert set(counted.values()) == {json.loads(out)["scored"]}


def test_broken_rows_have_reasons_and_the_rest_is_scored(run, tmp_path) -> None:
    lines = POINTS.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",")
    good = dict(zip(names, lines[1].split(","), strict=False)) | {"notes": ""}
    changes = [
        {},
        {"chip": "abacus"},
        {"value": "-1", "tokens_per_s_per_chip": ""},
        {"value": "nan", "tokens_per_s_per_chip": "x"},
        {"precision": "fp3"},
        {"tp": "7"},
        {"layers": "0.5"},
        {"heads": "999999999"},
        {"activation_recompute": "sometimes"},
        {"framework": "abacus"},
        {"hidden": "", "model": "nobody"},
    ]
    rows = [good | change for change in changes]
    columns = [*names, "framework"]
    text = [",".join(columns)] + [",".join(row.get(c, "") for c in columns) for row in rows]
    path = tmp_path / "points.csv"
    path.write_text("\n".join(text) + "\n")
    code, out, err = run("validate", str(path), "--json")
    data = json.loads(out)
    assert (code, err) == (0, "")
    assert data["scored"] == 1
    assert sum(data["unscored"].values()) == len(changes) - 1
    reasons = " | ".join(data["unscored"])
    for part in (
        "'abacus'",
        "positive",
        "not a number",
        "'fp3'",
        "no multiple",
        "whole number",
        "'sometimes'",
        "'nobody'",
    ):
        assert part in reasons


PROBLEM = """
name: mine
question: How fast?
train_model: meta-llama/Llama-3.1-8B
hardware: nvidia-h100-sxm
chips: 16
global_batch: 64
sequence_length: 4096
maximize: train_tokens_per_s
"""


@pytest.fixture
def problem(tmp_path):
    def write(more: str = "", text: str = PROBLEM) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text + more)
        return str(path)

    return write


def test_solve_answers_a_training_problem(run, problem) -> None:
    code, out, err = run("solve", problem())
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    for text in ("OPTIMAL  train_tokens_per_s", "nvidia-h100-sxm", "settings in", "checker: step, memory"):
        assert text in out
    code, out, _ = run("solve", problem(), "--json")
    data = json.loads(out)
    assert data["objective"]["gap"] == 0.0
    assert data["estimate"]["setup"]["global_batch"] == 64
    assert data["metrics"]["train_tokens_per_s"] == pytest.approx(data["estimate"]["metrics"]["tokens_per_s"])


def test_an_impossible_deadline_is_explained(run, problem) -> None:
    code, out, err = run("solve", problem("constraints: {train_days_max: 1}\n"))
    assert (code, err) == (3, "")
    assert "INFEASIBLE" in out and "The conflict" in out and "train_days_max: at least" in out
    code, out, _ = run("solve", problem("setup: {recompute: none, zero_stage: 0}\n"), "--set", "chips=1")
    assert code == 3
    assert "memory_capacity" in out


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("minimize: chips\n", "either minimize or maximize"),
        ("constraints: {mfu_max: 0.5}\n", "write mfu_min"),
        ("constraints: {tpot_ms_max: 5}\n", "no metric of training"),
        ("constraints: {train_days_max: -5}\n", "greater than 0"),
        ("setup: {recompute: often}\n", "'none', 'light', 'selective' or 'full'"),
        ("setup: {reserve_gib: 100}\n", "leaves no memory"),
        ("setup: {tensor_parallel: []}\n", "the domain is empty"),
        ("chip: h100\n", "unknown field 'chip'"),
    ],
)
def test_bad_training_problems_are_one_message(run, problem, more: str, message: str) -> None:
    code, out, err = run("solve", problem(more))
    assert (code, out) == (2, "")
    assert message in err and err.count("Traceback") == 0


def test_the_wrong_direction_is_refused(run, problem) -> None:
    code, _, err = run("solve", problem(text=PROBLEM.replace("maximize:", "minimize:")))
    assert code == 2 and "maximize it" in err
    code, _, err = run("solve", problem(), "--set", "train_model=nobody/none")
    assert code == 2 and "unknown model" in err


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("just text\n", "holds text, not fields"),
        ("- 1\n", "holds a list, not fields"),
        ("microbatch: {min: 1}\n", "microbatch"),
        ("pipeline_parallel: true\n", "pipeline_parallel"),
        ("pipeline_parallel: 1:30\n", "YAML 1.1"),
    ],
)
def test_a_setup_that_is_none_is_one_message(run, tmp_path, text: str, named: str) -> None:
    path = tmp_path / "setup.yaml"
    path.write_text(text)
    code, out, err = run(
        "estimate", "--phase", "train", "--model", "llama-3.1-8b", "--chip", "h100", "--setup", str(path)
    )
    assert (code, out) == (2, "")
    assert named in err and "internal" not in err


def test_a_setup_is_used_and_only_what_is_typed_replaces_it(run, tmp_path) -> None:
    path = tmp_path / "setup.yaml"
    path.write_text("pipeline_parallel: 4\ndata_parallel: 2\ntensor_parallel: 2\nglobal_batch: 16\n")
    command = ("estimate", "--phase", "train", "--model", "llama-3.1-8b", "--chip", "h100", "--json")
    in_file = json.loads(run(*command, "--setup", str(path))[1])
    typed = (
        "--pipeline-parallel",
        "4",
        "--data-parallel",
        "2",
        "--tensor-parallel",
        "2",
        "--global-batch",
        "16",
    )
    assert json.loads(run(*command, *typed)[1]) == in_file
    other = json.loads(run(*command, "--setup", str(path), "--tensor-parallel", "1")[1])
    assert other["setup"]["tensor_parallel"] == 1 and in_file["setup"]["tensor_parallel"] == 2
