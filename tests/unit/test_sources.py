"""Where a problem's chips, models and tables come from: beside its file, or from documents alone.

Guards a file found beside the caller instead of beside the problem, a document that answers otherwise than
the file that holds it, and a request that reads a file of the machine: nothing may, whatever it names.
"""

import copy
import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import samples
import yaml

from optimizer import InputError, catalog, load_problem, read_problem, solve
from optimizer.cli import main
from optimizer.errors import OddInput
from optimizer.questions import problems
from optimizer.questions.kinds import kinds
from optimizer.references import FIELDS, linked
from optimizer.spec.loading import read_yaml

CHIP = samples.CHIP | {"name": "made-up", "usd_per_chip_hour": 2.0}
ENGINE = {"name": "mine", "title": "x", "host_ms": 0.5, "sources": {"default": "made up"}}
CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
ROWS = [
    {"mode": "aggregated", "chip": "red", "chips": 1, "requests_per_s": 1, "ttft_ms": 100, "tpot_ms": 10},
    {"mode": "aggregated", "chip": "red", "chips": 2, "requests_per_s": 3, "ttft_ms": 50, "tpot_ms": 9},
]
TABLE = "\n".join([",".join(ROWS[0]), *(",".join(map(str, row.values())) for row in ROWS)]) + "\n"
DEPLOYMENT: dict[str, Any] = {
    "name": "served",
    "architecture": "model.json",
    "hardware": [{"chip": "chip.yaml", "usd_per_chip_hour": 1.5}],
    "deployment": {"engine": "engine.yaml", "tensor_parallel": [1, 2]},
    "workload": {"input_tokens": 512, "output_tokens": 128, "requests_per_s": 20},
    "minimize": "usd_per_hour",
}
TABLED: dict[str, Any] = {
    "name": "tabled",
    "performance_table": "table.csv",
    "hardware": [{"chip": "red", "usd_per_chip_hour": 1, "node": 8}],
    "deployment": {"tensor_parallel": [1]},
    "workload": {"input_tokens": 10, "output_tokens": 10, "requests_per_s": 4},
    "minimize": "usd_per_hour",
}
FLEET: dict[str, Any] = {
    "name": "fleet",
    "hardware": [{"chip": "red", "usd_per_chip_hour": 1, "node": 8}],
    "services": [
        {
            "name": "a",
            "performance_table": ["table.csv"],
            "traffic": [{"input_tokens": 10, "output_tokens": 10, "requests_per_s": 4}],
        }
    ],
    "minimize": "chips",
}
PIPELINE: dict[str, Any] = {
    "name": "stages",
    "architecture": "model.json",
    "pipeline": {"stages": [{"chip": "chip.yaml", "chips": 2, "tensor_parallel": 1}]},
    "deployment": {"engine": "engine.yaml", "batch": [1]},
    "workload": {"input_tokens": 512, "output_tokens": 128},
    "minimize": "tpot_ms",
}
TRAINING: dict[str, Any] = {
    "name": "trained",
    "train_model": "model.json",
    "hardware": "chip.yaml",
    "chips": 4,
    "global_batch": 8,
    "sequence_length": 1024,
    "setup": {"dtype": "bf16", "microbatch": 1, "zero_stage": 1, "recompute": "none", "schedule": "1f1b"},
    "maximize": "train_tokens_per_s",
}
ACROSS: dict[str, Any] = {
    "name": "trained across",
    "train_model": "model.json",
    "train_on": [{"chip": "chip.yaml", "chips": 2}],
    "global_batch": 2,
    "sequence_length": 1024,
    "setup": {"microbatch": 1, "zero_stage": 1, "recompute": "none"},
    "minimize": "step_s",
}
LATTICE: dict[str, Any] = samples.PROBLEM | {
    "hardware": ["chip.yaml"],
    "training": {"hardware": "chip.yaml"},
    "baseline": "model.json",
    "deployment": {"engine": "engine.yaml"},
}
PROBLEMS = {p["name"]: p for p in (DEPLOYMENT, TABLED, FLEET, PIPELINE, TRAINING, ACROSS, LATTICE)}
INLINE = {"chip.yaml": CHIP, "engine.yaml": ENGINE, "model.json": CONFIG, "table.csv": ROWS}


def inline(value: Any) -> Any:
    """A problem with the documents in place of the names of their files."""
    if isinstance(value, dict):
        return {key: inline(item) for key, item in value.items()}
    if isinstance(value, list):
        if value == ["table.csv"]:
            return ROWS
        return [inline(item) for item in value]
    return INLINE.get(value, value) if isinstance(value, str) else value


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with every kind of file, and another one that the caller stands in."""
    place = tmp_path / "there"
    place.mkdir()
    (place / "chip.yaml").write_text(yaml.safe_dump(CHIP))
    (place / "engine.yaml").write_text(yaml.safe_dump(ENGINE))
    (place / "model.json").write_text(json.dumps(CONFIG))
    (place / "table.csv").write_text(TABLE)
    for name, problem in PROBLEMS.items():
        (place / f"{name}.yaml").write_text(yaml.safe_dump(problem))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return place


@pytest.mark.parametrize("name", PROBLEMS)
def test_files_are_found_beside_the_problem_and_documents_answer_as_their_files_do(folder, name: str) -> None:
    beside = solve(load_problem(f"../there/{name}.yaml"))
    assert beside.status == "optimal"
    document = inline(copy.deepcopy(PROBLEMS[name]))
    given = solve(read_problem(document))
    assert beside.objective.value == given.objective.value
    assert beside.metrics == given.metrics
    assert document == inline(PROBLEMS[name])


def test_documents_may_be_given_apart_by_name() -> None:
    problem = DEPLOYMENT | {"architecture": "a", "deployment": DEPLOYMENT["deployment"] | {"engine": "e"}}
    problem |= {"hardware": [{"chip": "c", "usd_per_chip_hour": 1.5}]}
    apart = {"models": {"a": CONFIG}, "engines": {"e": ENGINE}, "chips": {"c": CHIP | {"name": "c"}}}
    assert solve(read_problem(problem, apart)).metrics == solve(read_problem(inline(DEPLOYMENT))).metrics
    tables = {"tables": {"t": TABLE}}
    assert solve(read_problem(TABLED | {"performance_table": "t"}, tables)).objective.value == 3
    rows = {"tables": {"t": ROWS}}
    assert solve(read_problem(TABLED | {"performance_table": "t"}, rows)).objective.value == 3


def test_a_problem_with_documents_is_the_same_after_json() -> None:
    for problem in PROBLEMS.values():
        read = read_problem(inline(problem))
        assert type(read).model_validate_json(read.model_dump_json(exclude_unset=True)) == read
        assert read.documents.files is False


def test_an_override_is_beside_the_caller(folder, tmp_path: Path) -> None:
    (tmp_path / "here" / "faster.yaml").write_text(yaml.safe_dump(CHIP | {"hbm_bandwidth": "6 TB/s"}))
    slow = solve(load_problem("../there/small.yaml")).metrics["tpot_ms"]
    assert solve(load_problem("../there/small.yaml", {"hardware": "faster.yaml"})).metrics["tpot_ms"] < slow
    with pytest.raises(InputError, match=r"there/faster.yaml: no such file"):
        solve(load_problem(write(folder, LATTICE | {"hardware": "faster.yaml"})))


def write(folder: Path, problem: Any) -> str:
    (folder / "other.yaml").write_text(yaml.safe_dump(problem))
    return str(folder / "other.yaml")


def test_a_model_folder_is_beside_the_problem(folder) -> None:
    (folder / "mine").mkdir()
    (folder / "mine" / "config.json").write_text(json.dumps(CONFIG))
    for name in ("mine", "./mine"):
        assert load_problem(write(folder, LATTICE | {"baseline": name})).baseline.endswith("there/mine")


def test_what_was_changed_is_said_beside_the_question() -> None:
    changed = problems.load("dense-8b-b200", {"hardware": "h100", "workload.batch": 4})
    plain = problems.load("dense-8b-b200").question
    assert changed.question == f'{plain} (asked with hardware="h100", workload.batch=4)'
    assert problems.load("dense-8b-b200", {"question": "Mine?"}).question == "Mine?"


def test_the_vocabulary_is_the_baselines_where_it_is_not_given() -> None:
    space = {name: value for name, value in samples.SPACE.items() if name != "vocab_size"}
    told = {}
    for name, given in {"taken": {}, "own": {"vocab_size": 32000, "tied_embeddings": False}}.items():
        problem = samples.PROBLEM | {"architecture": space | given, "baseline": "Qwen/Qwen3-4B"}
        result = solve(read_problem(problem))
        told[name] = [a for a in result.assumptions if a.name == "vocabulary"]
        assert result.architecture.vocab_size == (32000 if given else 151936)
        assert result.architecture.tied_embeddings is not bool(given)
    assert not told["own"]
    assert "151936 tokens" in told["taken"][0].value and "Qwen3-4B" in told["taken"][0].source
    alone = solve(read_problem(samples.PROBLEM | {"architecture": space}))
    assert [a.source for a in alone.assumptions if a.name == "vocabulary"] == ["default of archsat"]


def test_every_field_that_names_something_is_linked() -> None:
    """A new field that names a chip, a model, an engine or a table must be in the table of them."""
    named = {"hardware", "architecture", "baseline", "train_model", "engine", "performance_table", "chip"}
    for kind in kinds().values():
        schema = kind.load().model_json_schema()
        for path, _ in leaves(schema, schema, ()):
            if path[-1] in named and "documents" not in path and path != ("setup", "engine"):
                assert ".".join(path) in {*FIELDS, "training.engine"}, path


def leaves(node: Any, schema: Any, path: tuple[str, ...]) -> Any:
    """Dotted fields of a JSON schema, lists left out."""
    if "$ref" in node:
        yield from leaves(schema["$defs"][node["$ref"].rpartition("/")[2]], schema, path)
        return
    for inner in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
        yield from leaves(inner, schema, path)
    if "items" in node:
        yield from leaves(node["items"], schema, path)
    for name, inner in node.get("properties", {}).items():
        if len(path) < 5:
            yield (*path, name), inner
            if name != "documents" and not (path and path[-1] == "engine"):
                yield from leaves(inner, schema, (*path, name))


SECRET = "root:x:0:0:s3cret:/root\n"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    for name in ("secret", "secret.yaml", "secret.csv", "secret.json"):
        (tmp_path / name).write_text(SECRET)
    return tmp_path / "secret"


ATTACK = """
import json, os, sys
from optimizer import catalog, frontier, read_problem, solve, sweep
from optimizer.errors import InputError

catalog.chips(), catalog.systems(), catalog.models(), catalog.engines(), catalog.problem_files()
root, cases = json.loads(sys.stdin.read())
touched = []

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and arguments and str(arguments[0]).startswith(root):
        touched.append((event, str(arguments[0])))

sys.addaudithook(watch)
for name in ("exists", "isfile", "isdir"):  # these ask the system without an audit event
    old = getattr(os.path, name)
    def asked(path, old=old, name=name):
        if root in str(path):
            touched.append((name, str(path)))
        return old(path)
    setattr(os.path, name, asked)
old_stat = os.stat
def stat(path, *more, **named):
    if isinstance(path, (str, os.PathLike)) and root in str(path):
        touched.append(("stat", str(path)))
    return old_stat(path, *more, **named)
os.stat = stat
said = []
for problem, documents in cases:
    try:
        solve(read_problem(problem, documents))
        said.append("answered")
    except InputError as error:
        said.append(str(error))
sealed = read_problem(cases[0][0] | {"hardware": "nvidia-h100-sxm", "baseline": "meta-llama/Llama-3.2-1B",
                                     "training": None, "deployment": {}})
for over in ({"hardware": [root + "/secret.yaml"]}, {"deployment.engine": [root + "/secret.yaml"]},
             {"documents.files": [True]}, {"baseline": [root + "/secret.json"]}):
    try:
        said += [row.reason or "answered" for row in sweep(sealed, over).rows]
    except InputError as error:
        said.append(str(error))
try:
    frontier(sealed, ["tpot_ms", "loss"], points=1, models=[root + "/secret.json"])
    said.append("answered")
except InputError as error:
    said.append(str(error))
print(json.dumps([touched, said]))
"""


def attacks(secret: Path) -> list[tuple[Any, Any]]:
    """Problems of all kinds with a file of the machine in each field that names something."""
    cases = []
    for name in (
        str(secret),
        f"{secret}.yaml",
        f"{secret}.csv",
        f"{secret}.json",
        "~/secret.yaml",
        "./secret.yaml",
    ):
        for problem in [LATTICE, DEPLOYMENT, TABLED, FLEET, PIPELINE, TRAINING]:
            sound = inline(copy.deepcopy(problem))
            for field in FIELDS:
                changed = copy.deepcopy(sound)
                if put(changed, field.split("."), name):
                    cases.append((changed, {}))
    sound = inline(copy.deepcopy(LATTICE))
    cases += [
        (sound | {"documents": {"files": True}, "hardware": f"{secret}.yaml"}, {}),
        (sound | {"hardware": "x"}, {"files": True, "chips": {"x": f"{secret}.yaml"}}),
        (inline(TABLED) | {"performance_table": "t"}, {"tables": {"t": f"{secret}.csv"}}),
        (inline(TABLED) | {"performance_table": [{**ROWS[0], "chip": f"{secret}.yaml"}]}, {}),
        (f"{secret}.yaml", {}),
    ]
    return cases


def put(node: Any, parts: list[str], name: str) -> bool:
    """Set a dotted field, where the problem has it."""
    if isinstance(node, list):
        return sum(put(item, parts, name) for item in node) > 0
    if not isinstance(node, dict) or parts[0] not in node:
        return False
    if len(parts) == 1:
        node[parts[0]] = name
        return True
    return put(node[parts[0]], parts[1:], name)


def test_nothing_that_a_document_names_reaches_the_file_system(secret: Path) -> None:
    """In a process of its own, where every look at the files is watched."""
    cases = attacks(secret)
    assert len(cases) > 60
    done = subprocess.run(
        [sys.executable, "-c", ATTACK],
        input=json.dumps([str(secret.parent), cases]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=secret.parent,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    touched, said = json.loads(done.stdout)
    assert touched == []
    assert "answered" not in said
    assert not [message for message in said if "s3cret" in message]
    assert all("--" not in message for message in said)


@pytest.mark.parametrize("ending", ["", ".yaml", ".csv", ".json"])
@pytest.mark.parametrize(
    "field", ["hardware", "baseline", "architecture", "deployment.engine", "performance_table"]
)
def test_a_file_that_is_something_else_is_not_printed(secret: Path, capsys, field: str, ending: str) -> None:
    """With files allowed, too: what another file holds is not for a message."""
    for file in (DEPLOYMENT, LATTICE, TABLED):
        problem = inline(copy.deepcopy(file))
        if put(problem, field.split("."), f"{secret}{ending}"):
            path = secret.parent / "problem.yaml"
            path.write_text(yaml.safe_dump(problem))
            assert main(["solve", str(path)]) == 2
            out = capsys.readouterr()
            assert "s3cret" not in out.out + out.err


def test_a_document_named_like_the_catalogues_is_refused() -> None:
    with pytest.raises(InputError, match="another name"):
        read_problem(inline(LATTICE) | {"hardware": CHIP | {"name": "h100"}})
    with pytest.raises(InputError, match="two unlike documents"):
        read_problem(inline(DEPLOYMENT) | {"hardware": [{"chip": CHIP}, {"chip": CHIP | {"n_cores": 7}}]})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"hardware": {"title": "x"}}, "needs a name"),
        ({"hardware": CHIP | {"name": "./x.yaml"}}, "no path"),
        ({"hardware": CHIP | {"name": "a", "n_cores": True}}, "n_cores"),
        ({"baseline": CONFIG | {"hidden_size": -1}}, "hidden_size -1"),
        ({"deployment": {"engine": ENGINE | {"compute": 3}}}, "deployment.engine.compute"),
        ({"deployment": {"engine": 5}}, "deployment.engine"),
        ({"documents": 5}, "documents"),
        ({"documents": {"chip": {}}}, "Did you mean chips"),
        ({"question": "x" * (1 << 10), "name": ["x"] * 30_000}, "values"),
    ],
)
def test_a_document_that_is_wrong_is_one_message(change: Any, named: str) -> None:
    with pytest.raises(InputError, match=named):
        solve(read_problem(inline(LATTICE) | change))
    assert linked([1], None) == [1]


def test_a_chip_that_looks_wrong_is_told_once_in_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(CHIP | {"dense_flops": {"bf16": "1 PFLOP/s", "fp8": "4 PFLOP/s"}}))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("default", OddInput)
        for _ in range(5):
            catalog.chip(str(path))
    assert len(told) == 1
    code = f"from optimizer import catalog\nfor _ in range(5): catalog.chip({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("four times bf16") == 1


def test_the_command_says_it_once(tmp_path: Path, capsys) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(yaml.safe_dump(CHIP | {"dense_flops": {"bf16": "1 PFLOP/s", "fp8": "4 PFLOP/s"}}))
    problem = tmp_path / "problem.yaml"
    problem.write_text(yaml.safe_dump(samples.PROBLEM | {"hardware": "odd.yaml"}))
    for _ in range(2):
        assert main(["frontier", str(problem), "--objectives", "tpot_ms,loss", "--points", "1"]) == 0
        assert capsys.readouterr().err.count("archsat: warning: ") == 1


def test_a_shipped_problem_reads_as_a_document() -> None:
    for name, path in catalog.problem_files().items():
        read = read_problem(read_yaml(path))
        assert read.model_copy(update={"documents": problems.load(name).documents}) == problems.load(name)
