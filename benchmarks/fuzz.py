"""Damaged inputs for every loader: none may crash, hang, warn from inside, or be believed as nonsense.

    python benchmarks/fuzz.py --inputs 100000 --processes 1000 --seed 1

Seeds are valid documents; each input is one of them, cut, joined, or with a value replaced by one that has
been trouble before. What comes must be an answer whose figures are finite, or one InputError of moderate
length. A finding names its loader and seed, and is printed with the input; the exit code is 1 if there is
one.
"""

import argparse
import contextlib
import copy
import io
import json
import math
import random
import re
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer import Options, catalog, read_problem, solve  # noqa: E402
from optimizer.anatomy.estimate import estimate  # noqa: E402
from optimizer.anatomy.training import train_estimate  # noqa: E402
from optimizer.cli import main as command  # noqa: E402
from optimizer.columns.performance_table import replicas_of  # noqa: E402
from optimizer.commands._arguments import overrides  # noqa: E402, PLC2701 - a helper of commands, by its name
from optimizer.errors import InputError, OddInput  # noqa: E402
from optimizer.evidence.validate import validate_points  # noqa: E402
from optimizer.hugging_face import import_config  # noqa: E402
from optimizer.hugging_face.config import parse_fields  # noqa: E402
from optimizer.questions import problems  # noqa: E402
from optimizer.spec.architecture import Architecture  # noqa: E402
from optimizer.spec.cells import parse_cells  # noqa: E402
from optimizer.spec.chip import Chip, System  # noqa: E402
from optimizer.spec.engine import Engine  # noqa: E402
from optimizer.spec.loading import parse_yaml, validate  # noqa: E402
from optimizer.spec.setup import Setup  # noqa: E402
from optimizer.spec.training import TrainingSetup  # noqa: E402
from optimizer.studies.journal import Journal, sealed  # noqa: E402
from optimizer.version import VERSION  # noqa: E402

SLOW_S = 5.0
"""CPU of one small input from which it counts as a hang."""
LONGEST = 6_000
"""Characters of a message."""

NASTY: list[Any] = [
    *(True, False, None, 0, -1, 1, 2, 3, 7, 1e308, -1e308, 1e-308, 5e-324, 10**7, 10**18, 10**30, 10**400),
    *(0.5, 1.5, 0.1 + 0.2, "", " ", "0", "1", "-1", "true", "null", "1:30", "010", "0x10", "1_000", "yes"),
    *("64k", "64K", "64Ki", "4s", "1.5h", "8.03B", "1e999", "nan", "inf", "-inf", "\uff18", "\u0663", "½"),
    *(
        "x" * 300,
        "../x",
        "/etc/passwd",
        "./x.yaml",
        "~",
        "a\0b",
        "\x1b[31m",
        "\u202e",
        "\ud800",
        "[red]x[/red]",
    ),
    *("80 GiB", "80 GB", "1e308 PFLOP/s", "1e-300 s", "0 W", "bf16", "fp7", "h100", "h100 ", "H100"),
    *([], {}, [[]], [None], {"": 1}, {"a": {"b": {}}}, [1, 2], [True, 5], ["x"], {"min": 1}, [1] * 300),
    *({"min": 1, "max": 10**7}, {"min": 5, "max": 1}, {"min": 64, "max": 128, "multiple_of": 0}),
]
TOKENS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "-",
        "#",
        "&a",
        "*a",
        "!!int ",
        "!",
        "|",
        ">",
        "'",
        '"',
        "\n",
        "\t",
        "\\",
        "%",
    ),
    *(
        "---\n",
        "...\n",
        "<<: ",
        "? ",
        "\x00",
        "\x07",
        "\ufeff",
        "\u2028",
        "9" * 400,
        "." * 50,
        "{" * 50,
        "[" * 50,
    ),
]


class Finding(Exception):
    """What must not happen."""


@dataclass(frozen=True)
class Loader:
    """One way in: valid documents, and what is done with a damaged one."""

    seeds: tuple[str, ...]
    load: Callable[[str], Any]
    structured: str = ""
    """yaml or json, where values may be replaced in the parsed document; csv where cells may."""


def finite(value: Any, what: str) -> None:
    """Finding if a figure of an answer is no finite number."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            raise Finding(f"{what} answers with {item}")
        stack += item.values() if isinstance(item, dict) else item if isinstance(item, list) else []


def _problem(text: str) -> None:
    problem = read_problem(parse_yaml(text, "problem"))
    again = type(problem).model_validate_json(problem.model_dump_json(exclude_unset=True))
    if again != problem:
        raise Finding("a problem is another after JSON")
    finite(problem.model_dump(mode="json"), "a problem")


def _answered(text: str) -> None:
    with contextlib.suppress(MemoryError):
        solve(read_problem(parse_yaml(text, "problem")), Options(time_limit_s=0.02))


def _estimated(model: Architecture, chip: Chip, engine: Engine | str = "trtllm") -> None:
    found = estimate(model, chip, Setup(engine=engine)).model_dump(mode="json")
    finite(found, "an estimate")
    none = ("loss", "kv_cache_tokens", "max_context_tokens")  # there may be no room for a cache
    if any(value <= 0 for name, value in found["metrics"].items() if name not in none):
        raise Finding("an estimate of nothing or less")


def _chip(text: str) -> None:
    _estimated(catalog.model("llama-3.1-8b"), validate(Chip, parse_yaml(text, "chip"), "chip"))


def _engine(text: str) -> None:
    engine = validate(Engine, parse_yaml(text, "engine"), "engine")
    _estimated(catalog.model("llama-3.1-8b"), catalog.chip("h100"), engine)


def _model(text: str) -> None:
    _estimated(validate(Architecture, parse_yaml(text, "model"), "model"), catalog.chip("h200"))


def _config(text: str) -> None:
    fields = parse_fields(text, "config.json")
    _estimated(import_config(fields, "config.json", "config").architecture, catalog.chip("h200"))


def _setup(text: str) -> None:
    setup = validate(TrainingSetup, parse_yaml(text, "setup"), "setup")
    finite(
        train_estimate(catalog.model("llama-3.1-8b"), catalog.chip("h100"), setup, 10**12).model_dump(
            mode="json"
        ),
        "a training estimate",
    )


def _points(text: str) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".csv", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text)
        file.flush()
        finite(validate_points(Path(file.name)).model_dump(mode="json"), "a validation")


def _table(text: str) -> None:
    replicas = replicas_of(parse_cells(text, "table"))
    finite([replicas.requests_per_s.tolist(), replicas.ttft_ms.tolist()], "a table")


HEAD = {"study": "frontier", "problem": "abc"}


def _journal(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "j"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        before = path.read_bytes()
        whole = set(_JOURNAL.splitlines())
        try:
            journal = Journal(path, HEAD)
        except InputError:
            if path.read_bytes() != before:
                raise Finding("a journal that is refused was changed") from None
            raise
        journal.close()
        for line in before.decode("utf-8", "replace").splitlines()[1:]:
            with contextlib.suppress(ValueError, TypeError, KeyError):
                if json.loads(line)["key"] in journal.answers and line not in whole and not _same_line(line):
                    raise Finding("a journal's changed line is believed")


def _same_line(line: str) -> bool:
    """Whether a line says what its seed says, in other white space."""
    return any(json.loads(line) == json.loads(seed) for seed in _JOURNAL.splitlines()[1:])


def _override(text: str) -> None:
    problem = problems.load("dense-1b-b200", overrides(text.split("\x1f")))
    finite(problem.model_dump(mode="json"), "a problem")


def _arguments(text: str) -> None:
    out, err = io.StringIO(), io.StringIO()
    words = text.split("\x1f")
    if any(word.startswith(("--o", "--pl", "--res", "--tab", "--ex")) for word in words):
        return  # these write files, or reach other machines
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = command(words)
        except SystemExit as stop:  # --help, --version
            code = int(str(stop.code or 0))
    said = err.getvalue()
    if code not in (0, 2, 3, 4) or "internal error" in said:
        raise Finding(f"exit {code}: {said[:500]}")
    if not said.replace("\n", "").replace("\t", "").isprintable():
        raise Finding("a message that steers the terminal")
    if code == 2:
        raise InputError(said)


def _files(folder: str, pattern: str = "*.yaml", most: int = 40) -> tuple[str, ...]:
    paths = sorted((ROOT / folder).glob(pattern))
    return tuple(path.read_text(encoding="utf-8") for path in paths[:: max(1, len(paths) // most)])


def _rows(name: str, count: int) -> tuple[str, ...]:
    lines = [
        line for line in (ROOT / name).read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    ]
    starts = range(1, len(lines) - count, max(1, len(lines) // 20))
    return tuple("\n".join([lines[0], *lines[i : i + count]]) + "\n" for i in starts)


_SETUPS = tuple(
    yaml.safe_dump(fields)
    for fields in (
        {"tensor_parallel": 8, "pipeline_parallel": 4, "microbatch": 1, "global_batch": 64, "zero_stage": 1},
        {"data_parallel": 8, "zero_stage": 3, "recompute": "full", "global_batch": 64, "dtype": "fp8"},
        {"pipeline_parallel": 4, "pipeline_interleave": 2, "schedule": "1f1b", "sequence_length": 8192},
        {
            "context_parallel": 2,
            "overlap": False,
            "engine": "pytorch",
            "gradient_bytes": 2.0,
            "dropout": True,
        },
    )
)
_PLAIN = {"plan": None, "slices": 3, "solves": 2, "enumerated": 5}
_JOURNAL = (
    json.dumps({"journal": 2, "version": VERSION, **HEAD})
    + "\n"
    + "".join(json.dumps(sealed({"key": f"k{i}", "answer": _PLAIN | {"slices": i}})) + "\n" for i in range(4))
)
_SETS = (
    "workload.batch=64",
    "workload.input_tokens=63k\x1fconstraints.ttft_ms_max=4s",
    "hardware=[h100, b200]\x1fdeployment.tensor_parallel=[1, 2]",
    "architecture.d_model={min: 1024, max: 4096, multiple_of: 128}",
    "constraints.ffn_ratio=[2, 5]\x1fconstraints.aspect_ratio=false",
    "minimize=[loss, tpot_ms]\x1fmaximize=",
)
_ARGV = (
    "estimate\x1f--model\x1fllama-3.1-8b\x1f--chip\x1fh100\x1f--batch\x1f8\x1f--input-tokens\x1f64k",
    "estimate\x1f--model\x1fllama-3.1-8b\x1f--chip\x1fh100\x1f--users\x1f8\x1f--draft-tokens\x1f2\x1f--json",
    "estimate\x1f--phase\x1ftrain\x1f--model\x1fllama-3.1-8b\x1f--chip\x1fh100\x1f--data-parallel\x1f4\x1f--zero\x1f3",
    "estimate\x1f--model\x1fqwen3-30b-a3b\x1f--chip\x1fb200\x1f--explain\x1fattention\x1f--phase\x1fprefill",
    "chips\x1fh100\x1f--json",
    "models\x1fllama-3.1-8b",
    "engines\x1ftrtllm\x1f-h",
    "problems\x1fdense-8b-b200",
    "schema\x1ffleet",
    "validate\x1f" + str(ROOT / "tests" / "data" / "points.csv") + "\x1f--json",
    "solve\x1fno-such-problem\x1f--set\x1fworkload.batch=64\x1f--time-limit\x1f1.5h\x1f-q",
    "enumerate\x1fno-such-problem\x1f--top\x1f3\x1f--within\x1f1%",
)


def loaders() -> dict[str, Loader]:
    """All ways in, by name."""
    problems = _files("problems")
    return {
        "problem": Loader(problems, _problem, "yaml"),
        "answer": Loader(tuple(text for text in problems if len(text) < 1_200), _answered, "yaml"),
        "chip": Loader(_files("hardware/chips"), _chip, "yaml"),
        "system": Loader(
            _files("hardware/systems"), lambda text: validate(System, parse_yaml(text, "s"), "s"), "yaml"
        ),
        "engine": Loader(_files("engines"), _engine, "yaml"),
        "model": Loader(_files("models"), _model, "yaml"),
        "config.json": Loader(_files("tests/data/configs", "*.json"), _config, "json"),
        "setup": Loader(_SETUPS, _setup, "yaml"),
        "points": Loader(
            (*_rows("benchmarks/points/inference.csv", 2), *_rows("benchmarks/points/serving.csv", 2)),
            _points,
            "csv",
        ),
        "training points": Loader(_rows("benchmarks/points/training.csv", 2), _points, "csv"),
        "table": Loader(_rows("benchmarks/tables/llama-70b-h100-4000-500.csv", 3), _table, "csv"),
        "journal": Loader((_JOURNAL,), _journal),
        "--set": Loader(_SETS, _override, "words"),
        "argv": Loader(_ARGV, _arguments, "words"),
    }


def damaged(loader: Loader, draw: random.Random) -> str:
    """One of the loader's documents with one to three things done to it."""
    text = draw.choice(loader.seeds)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        how = draw.random()
        if loader.structured in ("yaml", "json") and how < 0.6:
            text = _value_replaced(text, loader.structured, draw)
        elif loader.structured in ("csv", "words") and how < 0.6:
            text = _cell_replaced(text, "," if loader.structured == "csv" else "\x1f", draw)
        elif how < 0.8:
            text = _number_replaced(text, draw)
        else:
            text = _cut(text, draw)
    return text


def _value_replaced(text: str, form: str, draw: random.Random) -> str:
    try:
        data = yaml.safe_load(text) if form == "yaml" else json.loads(text)
    except (ValueError, yaml.YAMLError, RecursionError):
        return _cut(text, draw)
    if not isinstance(data, dict):
        return _cut(text, draw)
    places = list(_places(data))
    node, key = draw.choice(places)
    what = draw.random()
    if what < 0.1:
        del node[key]
    elif what < 0.2:
        other, name = draw.choice(places)
        node[key] = copy.deepcopy(other[name])
    else:
        node[key] = copy.deepcopy(draw.choice(NASTY))
    with contextlib.suppress(ValueError, yaml.YAMLError, RecursionError):
        return yaml.safe_dump(data, allow_unicode=draw.random() < 0.5) if form == "yaml" else json.dumps(data)
    return text


def _places(data: Any) -> Iterator[tuple[Any, Any]]:
    stack = [data]
    while stack:
        node = stack.pop()
        for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
            yield node, key
            if isinstance(value, dict | list) and value:
                stack.append(value)


def _cell_replaced(text: str, between: str, draw: random.Random) -> str:
    lines = text.split("\n")
    line = draw.randrange(len(lines))
    cells = lines[line].split(between)
    place = draw.randrange(len(cells))
    value = draw.choice(NASTY)
    if between == "\x1f" and "=" in cells[place] and draw.random() < 0.7:
        value = f"{cells[place].partition('=')[0]}={_shown(value)}"
    cells[place] = _shown(value)
    if draw.random() < 0.2:
        cells.insert(place, draw.choice(cells))
    lines[line] = between.join(cells)
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _number_replaced(text: str, draw: random.Random) -> str:
    found = list(re.finditer(r"[0-9][0-9.]*", text))
    if not found:
        return _cut(text, draw)
    at = draw.choice(found)
    return text[: at.start()] + _shown(draw.choice(NASTY)) + text[at.end() :]


def _cut(text: str, draw: random.Random) -> str:
    i, j = sorted(draw.randrange(len(text) + 1) for _ in range(2))
    j = min(j, i + draw.choice((0, 1, 1, 5, 40)))
    what = draw.random()
    if what < 0.4:
        return text[:i] + text[j:]
    if what < 0.5:
        return text[:i] + text[i:j] * 2 + text[j:]
    if what < 0.6:
        return text[: draw.randrange(len(text) + 1)]
    return text[:i] + draw.choice(TOKENS) + text[j:]


def tried(loader: Loader, text: str) -> str:
    """What became of one input: 'read' or 'refused'. Finding for anything else."""
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", OddInput)
            loader.load(text)
        outcome = "read"
    except InputError as error:
        if not 0 < len(str(error)) <= LONGEST:
            raise Finding(f"a message of {len(str(error))} characters") from None
        outcome = "refused"
    except Finding:
        raise
    except Exception:
        raise Finding(traceback.format_exc(limit=-4)) from None
    if (spent := time.process_time() - start) > SLOW_S:
        raise Finding(f"{spent:.1f} s of CPU")
    return outcome


def run(inputs: int, seed: int, only: str = "", tell: bool = False) -> tuple[Counter[str], list[str]]:
    """Counts of what became of the inputs, by loader, and the findings."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    ways = {name: loader for name, loader in loaders().items() if only in name}
    slow = {"answer": 0.05, "argv": 0.5, "points": 0.7, "training points": 0.7}
    weights = [slow.get(name, 1.0) for name in ways]
    order = random.Random(seed)
    for i in range(inputs):
        name = order.choices(list(ways), weights)[0]
        text = damaged(ways[name], random.Random(f"{seed} {i}"))
        try:
            counts[f"{name}: {tried(ways[name], text)}"] += 1
        except Finding as finding:
            counts[f"{name}: FOUND"] += 1
            findings.append(f"{name}, input {i} of seed {seed}: {finding}\n{text[:1500]!r}")
            if tell:
                print(findings[-1], flush=True)
    return counts, findings


def processes(n: int, seed: int) -> list[str]:
    """Findings of whole processes: exit codes, tracebacks, hangs."""
    draw, findings = random.Random(seed), []
    ways = loaders()
    with tempfile.TemporaryDirectory() as folder:
        for i in range(n):
            kind, text, arguments = _whole(ways, draw, Path(folder))
            try:
                done = subprocess.run(
                    [sys.executable, "-m", "optimizer", *arguments],
                    capture_output=True,
                    check=False,
                    timeout=120,
                    cwd=ROOT,
                )
            except subprocess.TimeoutExpired:
                findings.append(f"process {i}, {kind}: no end after 120 s: {arguments}\n{text[:1500]!r}")
                continue
            said = done.stderr.decode("utf-8", "replace")
            if done.returncode not in (0, 2, 3, 4) or "Traceback" in said:
                findings.append(f"process {i}, {kind}: exit {done.returncode}: {said[:800]}\n{text[:1500]!r}")
    return findings


def _whole(ways: dict[str, Loader], draw: random.Random, folder: Path) -> tuple[str, str, list[str]]:
    """A command over a damaged file, or a damaged command."""
    estimate_of = ["estimate", "--model", "llama-3.1-8b", "--chip", "h100"]
    kind = draw.choice(
        ["answer", "chip", "engine", "config.json", "setup", "points", "table", "argv", "--set"]
    )
    text = damaged(ways[kind], draw)
    ending = {"config.json": "json", "points": "csv", "table": "csv"}.get(kind, "yaml")
    path = folder / f"input.{ending}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    if kind in ("argv", "--set"):
        words = [word.replace("\0", "") for word in text.split("\x1f")]
        words = [word.encode("utf-8", "replace").decode() for word in words]
        written = ("--o", "--pl", "--res", "--tab", "--ex")
        words = [word for word in words if not word.startswith(written)]
        sets = [part for word in words for part in ("--set", word)]
        return (
            kind,
            text,
            words if kind == "argv" else ["solve", "dense-1b-b200", "-q", "--time-limit", "5", *sets],
        )
    table = ["solve", "llama-70b-chat", "-q", "--time-limit", "5", "--set", f"performance_table={path}"]
    return (
        kind,
        text,
        {
            "answer": ["solve", str(path), "-q", "--time-limit", "5"],
            "chip": [*estimate_of[:3], "--chip", str(path)],
            "engine": [*estimate_of, "--engine", str(path)],
            "config.json": ["estimate", "--model", str(path), "--chip", "h200"],
            "setup": [*estimate_of, "--phase", "train", "--setup", str(path)],
            "points": ["validate", str(path)],
            "table": table,
        }[kind],
    )


def main() -> int:
    """Run, print counts and findings; 1 if there is a finding."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="loaders whose name holds this")
    options = parser.parse_args()
    start = time.process_time()
    counts, findings = run(options.inputs, options.seed, options.only, tell=True)
    for name, count in sorted(counts.items()):
        print(f"{count:8d}  {name}")
    print(f"{options.inputs} inputs, {len(findings)} findings, {time.process_time() - start:.0f} s of CPU")
    whole = processes(options.processes, options.seed)
    print("\n".join(whole))
    print(f"{options.processes} processes, {len(whole)} findings")
    return 1 if findings or whole else 0


if __name__ == "__main__":
    sys.exit(main())
