"""Arguments: a flag that does nothing is an error, and nothing of a user's steers the terminal.

Guards options that are replaced, ignored or read as another number in silence; names that no file system
takes; and a full disk behind stdout.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optimizer import catalog
from optimizer.cli import main
from optimizer.commands._once import refuse, typed
from optimizer.commands._train import TRAINING_ONLY
from optimizer.commands.estimate import _SERVING_ONLY
from optimizer.errors import nearest, printable
from optimizer.questions import problems
from optimizer.report.json import to_json
from optimizer.spec.engine_words import SPELLINGS

ESTIMATE = ("estimate", "--model", "llama-3.1-8b", "--chip", "h100")
LONG = "x" * 300


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run one command in this process; return code, stdout, stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = main(list(arguments))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def test_no_command_shows_the_help(run) -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    assert "solve" in out and "--version" in out


@pytest.mark.parametrize("name", sorted(catalog.problem_files()))
def test_a_shipped_problem_is_printed_byte_for_byte_and_loads_again(run, tmp_path: Path, name: str) -> None:
    code, out, err = run("problems", name)
    assert (code, err) == (0, "")
    assert out.encode() == catalog.problem_files()[name].read_bytes()
    copy = tmp_path / "copy.yaml"
    copy.write_text(out, encoding="utf-8")
    assert problems.load(str(copy)) == problems.load(name)
    assert json.loads(run("problems", name, "--json")[1])["name"] == name


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        (("--zero", "3"), "--zero: does nothing"),
        (("--global-batch", "64"), "--global-batch: does nothing"),
        (("--recompute", "full"), "--recompute: does nothing"),
        (("--no-overlap",), "--no-overlap: does nothing"),
        (("--setup", "x.yaml"), "--setup: does nothing"),
        (("--phase", "train", "--users", "4"), "--users: does nothing with --phase train"),
        (("--phase", "train", "--draft-tokens", "2"), "--draft-tokens: does nothing"),
        (("--phase", "train", "--input-tokens", "9"), "--input-tokens: does nothing"),
        (("--phase", "train", "--explain", "attention"), "--explain: does nothing"),
        (("--phase", "prefill"), "--phase: does nothing without --explain"),
        (("--draft-cost", "0.1"), "--draft-cost: does nothing without --draft-tokens"),
        (("--model", "llama-3.1-70b"), "--model: is given twice"),
        (("--batch", "2", "--batch", "2"), "--batch: is given twice"),
        (("-v", "--verbose"), "--verbose: is given twice"),
        (("--json", "-v"), "--verbose: does nothing with --json"),
    ],
)
def test_a_flag_that_does_nothing_is_an_error(run, extra: tuple[str, ...], named: str) -> None:
    code, out, err = run(*ESTIMATE, *extra)
    assert (code, out) == (2, "")
    assert named in err


def test_every_option_of_estimate_is_of_both_phases_or_of_one() -> None:
    """A new option that is of one phase must say so beside its definition."""
    both = {"model", "chip", "phase", "verbose", "json", "out", "engine", "help"}
    both |= {"tensor-parallel", "pipeline-parallel", "data-parallel", "expert-parallel", "context-parallel"}
    assert not _SERVING_ONLY & TRAINING_ONLY
    from optimizer.cli import _parser

    commands = next(a for a in _parser()._actions if a.dest != "help" and a.choices)
    estimate = commands.choices["estimate"]  # type: ignore[index,call-overload]
    options = {
        o.removeprefix("--")
        for a in estimate._actions
        for o in a.option_strings
        if o.startswith("--") and o[2:].replace("-", "_") not in SPELLINGS
    }
    assert options == both | _SERVING_ONLY | TRAINING_ONLY


@pytest.mark.parametrize(
    "arguments",
    [
        ("chips", LONG),
        ("models", LONG),
        ("engines", LONG),
        ("engines", "x" * 2000),
        ("problems", LONG),
        ("solve", LONG),
        ("solve", f"./{LONG}.yaml"),
        ("validate", LONG),
        ("validate", "a\0b"),
        ("chips", "./a\0b.yaml"),
        ("solve", "dense-1b-b200", "--out", LONG),
        ("solve", "dense-1b-b200", "--out", "x" * 250),
        ("solve", "dense-1b-b200", "--set", f"hardware={LONG}"),
        ("enumerate", "dense-1b-b200", "--distinct", "d_ff,d_model", "--plot", f"{LONG}.png"),
        ("validate", str(Path(__file__).parent.parent / "data" / "points.csv"), "--plot", f"{LONG}.svg"),
        (*ESTIMATE, "--engine", LONG),
        (*ESTIMATE[:3], "--chip", LONG),
        ("calibrate", LONG, "--chip", "h100"),
        (*ESTIMATE, "--batch", "\u0663"),
        (*ESTIMATE, "--batch", "1_0"),
        (*ESTIMATE, "--draft-acceptance", "0_0.5", "--draft-tokens", "1"),
        (*ESTIMATE, "--input-tokens", "64K"),
        ("solve", "dense-1b-b200", "--time-limit", "1_0"),
        ("solve", "dense-1b-b200", "--set", "workload.batch=1", "--set", "workload.batch=2"),
    ],
)
def test_what_cannot_be_used_is_one_message_and_code_2(run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("archsat: ") and err.count("archsat: ") == 1 and "internal" not in err
    assert len(err) < 2500


def test_counts_and_times_take_suffixes(run) -> None:
    plain = run(*ESTIMATE, "--input-tokens", "63000", "--json")
    assert run(*ESTIMATE, "--input-tokens", "63k", "--json") == plain
    assert run("solve", "dense-1b-b200", "-q", "--time-limit", "1.5h")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("solve", "dense-1b-b200", "--set", "work\x1b[31mload=1"),
        ("chips", "\x1b]0;title\x07"),
        ("chips", "\u202egnp.exe"),
        ("\x9b31m",),
        ("solve", "\x1b[31m"),
    ],
)
def test_no_message_steers_the_terminal(run, arguments: tuple[str, ...]) -> None:
    code, _, err = run(*arguments)
    assert code == 2
    assert err.replace("\n", "").isprintable()


def test_no_report_steers_the_terminal(run, tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    text = catalog.problem_files()["dense-1b-b200"].read_text()
    file.write_text(
        text.replace("name: dense-1b-b200", 'name: "a\\e[31mb\\x9bc [red]d[/red] :smile: \\u202e"')
    )
    code, out, _ = run("solve", str(file))
    assert code == 0
    assert out.replace("\n", "").isprintable()
    assert "[red]d[/red] :smile:" in out
    code, out, _ = run("solve", str(file), "--json")
    assert out.replace("\n", "").isprintable()
    assert json.loads(out)["problem"]["name"].startswith("a\x1b[31mb\x9bc")


def test_printable_text_is_left_alone() -> None:
    assert printable("Größe: 3 µs\n\ttab") == "Größe: 3 µs\n\ttab"
    assert printable("a\x1bb\x7f\ud800") == r"a\x1bb\x7f\ud800"
    assert json.loads(to_json({"a": "\x1b\x9b\ud800"})) == {"a": "\x1b\x9b\ud800"}


@pytest.mark.parametrize("arguments", ["solve dense-1b-b200 -q", "--help", "chips", "", "solve --help"])
def test_a_full_disk_behind_stdout_is_a_message(arguments: str) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "optimizer", *arguments.split()]
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )
    assert done.returncode == 2
    assert done.stderr == "archsat: stdout: No space left on device; give --out FILE\n"


CHIPS = [name for chip in catalog.chips().values() for name in (chip.name, *chip.aliases)]
MODELS = [name for model in catalog.models().values() for name in (model.name, *model.aliases)]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("llama-3", MODELS, "llama-3-8b"),
        ("Qwen/Qwen3-235B-A22B-FP8", MODELS, "Qwen/Qwen3-235B-A22B"),
        ("lama-3.1-8b", MODELS, "llama-3.1-8b"),
        ("nvidia-h100-smx", CHIPS, "nvidia-h100-sxm"),
        ("tpot_s", ["tpot_steady_ms", "tpot_ms"], "tpot_ms"),
    ],
)
def test_near_names_are_those_that_are_meant(word: str, known: list[str], meant: str) -> None:
    assert meant in nearest(word, known)


@pytest.mark.parametrize("word", ["v3", "p5", "rtx-9090", "", "h700", "zzz"])
def test_another_chip_is_not_meant(word: str) -> None:
    """A number is what tells chips apart: t4 is not v4."""
    assert nearest(word, ["v4", "t4", "nvidia-rtx-4090", "nvidia-h100-sxm", "h200"]) == ""


def test_what_was_typed_is_known_by_its_long_name() -> None:
    import argparse

    space = argparse.Namespace(typed={"verbose": "--verbose"})
    assert typed(space) == {"verbose": "--verbose"}
    refuse(space, ["json"], "here")


@pytest.mark.parametrize("command", ["frontier", "perturb", "sweep", "explain"])
def test_studies_of_many_solves_have_no_engine_options(run, command: str) -> None:
    """They leave the engine as it is: an option that does nothing is not offered."""
    over = ("--over", "workload.batch=1") if command == "sweep" else ()
    code, _, err = run(command, "dense-1b-b200", *over, "--seed", "3")
    assert code == 2 and "--seed" in err


def test_training_asks_no_engine(run) -> None:
    code, _, err = run("solve", "gpt3-175b-training", "--seed", "3")
    assert code == 2 and "--seed: does nothing for training" in err


def test_a_file_named_like_an_option_is_a_file(run, tmp_path, monkeypatch) -> None:
    """`chip-mine.yaml` once became `--chip-mine.yaml` in the message."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chip-mine.yaml").write_text("{name: mine, n_cores: true}")
    code, _, err = run("estimate", "--model", "llama-3.1-8b", "--chip", "./chip-mine.yaml")
    assert code == 2
    assert err.startswith("archsat: chip-mine.yaml:")
