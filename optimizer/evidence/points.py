"""Measured points: a CSV of the two kinds people keep, read row by row; what cannot be read says why.

Inference points have the columns model, chip, tp, weight_dtype, kv_dtype, batch_or_concurrency, isl, osl,
metric, value, point_type and source_key; serving points have system, backend, precision, tp_size, isl, osl,
concurrency, silicon_ttft_ms and silicon_tpot_ms. Of clients in a closed loop `n_prompts`, `range_ratio` and
`stream_interval` say how they ask (`spec.protocol`); without them as InferenceMAX does. Other columns are
ignored. A row with `bits` is of a checkpoint that stores all its weights so, tables too; `expert_bits` are
those of its routed experts.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from optimizer import catalog
from optimizer.blocks import n_experts
from optimizer.errors import InputError
from optimizer.spec.architecture import Architecture
from optimizer.spec.cells import number, read_cells, whole
from optimizer.spec.checkpoint import COMPONENTS, Checkpoint, Storage
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import BYTES
from optimizer.spec.engine import Engine
from optimizer.spec.protocol import PER_CLIENT, RANGE_RATIO
from optimizer.spec.setup import Setup
from optimizer.spec.split import DEGREES

Item = TypeVar("Item", bound=Architecture | Chip)

REGIMES = ("fixed_batch", "saturation", "concurrency")
METRICS = ("ttft_ms", "tpot_ms", "output_tok_s_total", "total_tok_s")
_INFERENCE = {"model", "chip", "tp", "weight_dtype", "isl", "osl", "metric", "value", "point_type"}
_BATCHED = ("fixed_batch", "concurrency")
_SERVING = {"model", "system", "tp_size", "isl", "osl", "silicon_ttft_ms", "silicon_tpot_ms", "concurrency"}
_FORMATS = {"fp16": "bf16", "fp16/bf16": "bf16", "bfloat16": "bf16", "fp4": "nvfp4", "": "bf16"}
_INFERENCEX_INTERVAL = 10
"""SemiAnalysisAI/InferenceX: stream_interval of its scripts for TensorRT-LLM and SGLang."""
_RUN = re.compile(r"runs? (\d{4}-\d{2}-\d{2})")
_IGNORED = re.compile(r"(instruct|chat|hf|it|meta|fp8|fp4|nvfp4|kv|dynamic|gb|nvidia|amd|google|intel)")


@dataclass(frozen=True)
class Point:
    """One measurement and everything needed to predict it."""

    row: int
    source: str
    model: Architecture
    chip: Chip
    setup: Setup
    regime: str
    metric: str
    measured: float
    unknown_engine: str = ""
    """The engine's name where it has no profile: the setup's engine is then `ideal`."""
    assumed: tuple[str, ...] = ()
    """What its row does not say, and is taken to be as usual."""


@dataclass(frozen=True)
class Unscored:
    """A row that cannot be predicted, and why."""

    row: int
    reason: str


class _Unreadable(Exception):
    """Why a row is not scored."""


def read_points(path: Path) -> list[Point | Unscored]:
    """All points of a file, in order; a serving row gives one point per latency.

    InputError if the file cannot be read, has the columns of neither kind, or a row without all its cells.
    """
    return list(points_of(path)[1])


def points_of(path: Path) -> tuple[int, Iterator[Point | Unscored]]:
    """How many rows a file has, and its points, each read when asked for. InputError as `read_points`."""
    columns, rows = read_rows(path)
    if not (columns >= _INFERENCE or columns >= _SERVING):
        nearer = min((_INFERENCE, _SERVING), key=lambda kind: len(kind - columns))
        kind = "inference" if nearer is _INFERENCE else "serving"
        missing = ", ".join(sorted(nearer - columns))
        raise InputError(f"{path}: not a file of points; {kind} points need the columns {missing} too")
    serving = columns >= _SERVING
    if "batch_or_concurrency" not in columns and any(
        row["point_type"] in _BATCHED for row in rows if not serving
    ):
        raise InputError(
            f"{path}: points of {' and '.join(_BATCHED)} need the column batch_or_concurrency too"
        )
    return len(rows), (p for i, row in enumerate(rows, 2) for p in _points(i, row, serving))


def read_rows(path: Path) -> tuple[set[str], list[dict[str, str]]]:
    """The columns and the rows of a CSV file, the first on line 2. InputError if it cannot be read."""
    cells = read_cells(path)
    return set(cells.columns), list(cells.rows)


def _points(line: int, row: dict[str, str], serving: bool) -> Iterator[Point | Unscored]:
    for read in (_serving_ttft, _serving_tpot) if serving else (_inference,):
        try:
            yield read(line, row)
        except _Unreadable as reason:
            yield Unscored(line, str(reason))


def _inference(line: int, row: dict[str, str]) -> Point:
    regime = row["point_type"]
    if regime not in REGIMES:
        raise _Unreadable(f"point_type '{regime[:30]}' is not predicted")
    if row["metric"] not in METRICS:
        raise _Unreadable(f"metric '{row['metric'][:30]}' is not predicted")
    weight_dtype = _format(row["weight_dtype"])
    model = _model(row["model"])
    if row.get("bits"):
        model = model.changed(checkpoint=_checkpoint(row, weight_dtype))
    own = model.checkpoint if weight_dtype != "bf16" else None
    setup = Setup(
        **_split(row, model, regime),
        weight_dtype=own.weight_dtype if own else weight_dtype,
        kv_dtype=_cache_format(row.get("kv_dtype", ""), weight_dtype),
        batch=1 if regime == "saturation" else _count(row, "batch_or_concurrency"),
        **_protocol(row, row["batch_or_concurrency"], regime),
        input_tokens=_count(row, "isl"),
        output_tokens=_count(row, "osl"),
        engine=_engine(
            row.get("engine") or row.get("source_key", ""),
            row.get("engine_version", ""),
            regime,
            row.get("source_commit_or_date", ""),
        ),
    )
    return Point(
        row=line,
        source=row.get("source_key") or "unnamed",
        model=model,
        chip=_chip(row["chip"]),
        setup=setup,
        regime=regime,
        metric=row["metric"],
        measured=_number(row, "value"),
        unknown_engine=_unknown(row.get("engine", ""), setup),
        assumed=_assumed(row, regime),
    )


def _checkpoint(row: dict[str, str], weight_dtype: str) -> Checkpoint:
    """How all weights are stored where a row says the mean bits of one, scales included."""
    given = {name: row.get(name) or row["bits"] for name in ("bits", "expert_bits")}
    bits = {name: _number(given, name) for name in given}
    if not all(0 < size <= 16 for size in bits.values()):
        raise _Unreadable(f"bits are {' and '.join(given.values())}: give more than 0 and at most 16")
    stored = {name: Storage(dtype=weight_dtype, bits=bits["bits"]) for name in COMPONENTS}
    stored["experts"] = Storage(dtype=weight_dtype, bits=bits["expert_bits"])
    return Checkpoint(method="as measured", **stored)


def _serving_ttft(line: int, row: dict[str, str]) -> Point:
    return _serving(line, row, "ttft_ms")


def _serving_tpot(line: int, row: dict[str, str]) -> Point:
    return _serving(line, row, "tpot_ms")


def _serving(line: int, row: dict[str, str], metric: str) -> Point:
    weight_dtype = _format(row.get("precision", ""))
    users = row.get("batch_size") or row["concurrency"]
    setup = Setup(
        tensor_parallel=_count(row, "tp_size"),
        weight_dtype=weight_dtype,
        kv_dtype=_cache_format(row.get("kv_dtype", ""), weight_dtype),
        batch=_count({"batch": users}, "batch"),
        **_protocol(row, users, "concurrency"),
        input_tokens=_count(row, "isl"),
        output_tokens=_count(row, "osl"),
        engine=_engine(row.get("backend", ""), row.get("backend_version", ""), "concurrency"),
    )
    return Point(
        row=line,
        source=row.get("backend") or "unnamed",
        model=_model(row["model"]),
        chip=_chip(row["system"]),
        setup=setup,
        regime="concurrency",
        metric=metric,
        measured=_number(row, f"silicon_{metric}"),
        unknown_engine=_unknown(row.get("backend", ""), setup),
        assumed=_assumed(row, "concurrency"),
    )


def _protocol(row: dict[str, str], users: str, regime: str) -> dict[str, Any]:
    """How clients ask, as far as a row says."""
    if regime != "concurrency":
        return {}
    found: dict[str, Any] = {"users": _count({"users": users}, "users")}
    if row.get("n_prompts"):
        found["per_client"] = max(1.0, _count(row, "n_prompts") / found["users"])
    if row.get("range_ratio"):
        found["range_ratio"] = _number(row, "range_ratio")
        if found["range_ratio"] > 1:
            raise _Unreadable("range_ratio is not a share of the length from 0 to 1")
    if row.get("stream_interval"):
        found["stream_interval"] = _count(row, "stream_interval")
    elif _streams_slowly(row):
        found["stream_interval"] = _INFERENCEX_INTERVAL
    return found


def _streams_slowly(row: dict[str, str]) -> bool:
    """Whether a row is of a suite whose scripts have such servers send several tokens together."""
    engine = _word(row.get("engine", ""))
    return row.get("source_key") == "inferencex" and engine.startswith(("tensorrtllm", "trtllm", "sglang"))


def _assumed(row: dict[str, str], regime: str) -> tuple[str, ...]:
    """What a row does not say of its clients and its cache, in words."""
    if regime != "concurrency":
        return ()
    said = {
        f"{PER_CLIENT:g} requests a client": row.get("n_prompts"),
        f"lengths from {RANGE_RATIO:g} of the nominal": row.get("range_ratio"),
        f"{_INFERENCEX_INTERVAL} tokens sent together": row.get("stream_interval")
        or not _streams_slowly(row),
        "cache of 8 bit beside weights of 8 bit or less, else of 16": (row.get("kv_dtype") or "").strip(),
    }
    return tuple(words for words, given in said.items() if not given)


def _split(row: dict[str, str], model: Architecture, regime: str) -> dict[str, int]:
    """Degrees of parallelism.

    A saturated mixture of experts for which a source names tensor parallelism only is read as attention ranks
    with shared experts on those chips: what its engines run for throughput.
    """
    given = {name: degree.short for name, degree in DEGREES.items() if row.get(degree.short)}
    split = {name: _count(row, short) for name, short in ({"tensor_parallel": "tp"} | given).items()}
    experts = any(n_experts(group.block.ffn) for group in model.layers)
    tp, spread = split["tensor_parallel"], given.keys() & {"expert_parallel", "data_parallel"}
    if regime == "saturation" and experts and tp > 1 and not spread:
        return split | {"tensor_parallel": 1, "data_parallel": tp, "expert_parallel": tp}
    return split


def _engine(name: str, version: str, regime: str, when: str = "") -> str:
    """The profile of an engine by the name and version a source gives; `ideal` where there is none.

    Where it gives no version but the day of its run, the last profile since then.
    """
    spelled = _word(re.sub(r"\(.*?\)", "", name) + version)
    profiles = catalog.engines()
    known = {_word(alias): engine.name for engine in profiles.values() for alias in engine.aliases}
    found = max((alias for alias in known if spelled.startswith(alias)), key=len, default=None)
    if found is None:
        return "ideal"
    own = known[found]
    if not version and (day := _RUN.search(when)):
        later = [e for e in profiles.values() if e.since and e.since <= day[1] and _named(e, found)]
        own = max(later, key=lambda e: e.since or "", default=profiles[own]).name
    served = f"{own}-serve"
    return served if regime == "concurrency" and served in profiles else own


def _named(engine: Engine, word: str) -> bool:
    return any(_word(alias).startswith(word) for alias in engine.aliases)


def _unknown(name: str, setup: Setup) -> str:
    """The name of an engine that a row gives and no profile spells."""
    spelled = _word(re.sub(r"\(.*?\)", "", name))
    known = map(_word, catalog.engines()["ideal"].aliases)
    return name if name.strip() and setup.engine == "ideal" and not spelled.startswith(tuple(known)) else ""


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def _number(row: dict[str, str], name: str) -> float:
    try:
        return number(row.get(name, ""))
    except ValueError as error:
        raise _Unreadable(f"{name} is {error}") from None


def _count(row: dict[str, str], name: str) -> int:
    try:
        return whole(row.get(name, ""))
    except ValueError as error:
        raise _Unreadable(f"{name} is {error}") from None


def _format(text: str) -> str:
    wanted = _FORMATS.get(text.strip().lower(), text.strip().lower())
    if wanted not in BYTES:
        raise _Unreadable(f"format '{text[:20]}' is not known")
    return wanted


def _cache_format(text: str, weight_dtype: str) -> str:
    """The cache's format; where a source does not say, fp8 beside weights of at most 8 bit, else bf16."""
    if not text.strip():
        return "bf16" if BYTES[weight_dtype] > 1.5 else "fp8"
    if re.match(r"(fp8|int8)\b", text.strip().lower()):
        return "fp8"
    if _FORMATS.get(text.strip().lower(), text.strip().lower()) != "bf16":
        raise _Unreadable(f"cache format '{text[:20]}' is not known")
    return "bf16"


def _key(name: str) -> str:
    """A name without its organisation, format and finish, in letters and digits."""
    words = re.split(r"[^a-z0-9.]+", name.split("/")[-1].lower())
    kept = (re.sub(r"(?<=\d)gb$", "", word) for word in words)
    return "".join(word for word in kept if word and not _IGNORED.fullmatch(word))


def _model(name: str) -> Architecture:
    found = _spelled(catalog.models().values()).get(_key(name))
    if found is None:
        raise _Unreadable(f"model '{name[:40]}' is not in the catalogue")
    return found


def _chip(name: str) -> Chip:
    found = _spelled(catalog.chips().values()).get(_key(name))
    if found is None:
        raise _Unreadable(f"chip '{name[:40]}' is not in the catalogue")
    return found


def same_name(name: str, item: Architecture | Chip) -> bool:
    """Whether a source's spelling means this model or chip."""
    return _key(name) in map(_key, (item.name, *item.aliases))


def same_engine(profile: str, engine: Engine) -> bool:
    """Whether rows read with the profile of this name are of that engine, or of one spelled like it."""
    known = catalog.engines().get(profile)
    return profile == engine.name or (known is not None and bool(set(known.aliases) & set(engine.aliases)))


def _spelled(items: Iterable[Item]) -> dict[str, Item]:
    """Items by every spelling, without organisations, formats and finishes."""
    found: dict[str, Item] = {}
    for item in items:
        names: tuple[str, ...] = (item.name, *item.aliases)
        found |= dict.fromkeys(map(_key, names), item)
    return found
