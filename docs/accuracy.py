"""Writes accuracy.md: predicted against measured for every file of measured points that ships.

python docs/accuracy.py            write the page, half a minute
python docs/accuracy.py --check    exit 1 if data, constants or cost code changed since it was written

Predicting all points takes too long for every test run: the page carries a digest of what it was made from.
"""

import csv
import hashlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

from generate import markdown_table  # noqa: E402
from left_out import left_out, stale  # noqa: E402

from optimizer.blocks import n_experts  # noqa: E402
from optimizer.evidence.points import Point, read_points  # noqa: E402
from optimizer.evidence.train_points import training_rows  # noqa: E402
from optimizer.evidence.train_validate import scored_rows  # noqa: E402
from optimizer.evidence.validate import Scored, predict  # noqa: E402

PAGE = HERE / "accuracy.md"
POINTS = ROOT / "benchmarks" / "points"
PREDICTED_FROM = (
    "benchmarks/points/*.csv",
    "engines/*.yaml",
    "hardware/*/*.yaml",
    "models/*.yaml",
    "optimizer/blocks/*.py",
    "optimizer/degrees/*.py",
    "optimizer/cost/**/*.py",
    *(
        f"optimizer/spec/{name}.py"
        for name in (
            "architecture",
            "checkpoint",
            "chip",
            "dtypes",
            "engine",
            "links",
            "norms",
            "protocol",
            "split",
            "training",
        )
    ),
    "optimizer/evidence/*points.py",
    "optimizer/evidence/*validate.py",
    "optimizer/evidence/protocols.py",
)
"""Data, constants and code that predictions of measured rows come from."""
MADE_FROM = (*PREDICTED_FROM, "docs/accuracy.py", "docs/left_out.py", "benchmarks/tables/left_out.json")
HEADS = ("points", "n", "median predicted/measured", "mean error", "median error", "within 25 %")
GPUS = ("h100", "h200")
VENDORS = ("trtllm", "fastertransformer", "splitwise", "nim")

INTRO = """\
# Accuracy

What the cost model predicts against what others measured and published, for every file of points in
`benchmarks/points`. Each row there has its source; what a row leaves out is read as
[problem-files.md](problem-files.md#measured-points) says. An error is predicted / measured - 1; its size is
averaged, or the median taken. `archsat validate FILE` repeats a table and `make docs` rewrites this page; a
test fails while the page is older than the data, the constants or the code.

**Left out first; all tables after [Left out](#left-out) are in sample, except where a line says held out.**
The constants of the engines, and of some chips (`host_speed`, decode attention of MI300X), were fitted by
hand from 2026-11-21 on to rows of `inference.csv`, `serving.csv` and `served.csv`; `archsat engines NAME`
says to which. Constants of kernels and links were fitted to kernel measurements, not to these rows. In no
fit: the 30 rows of Llama-3.1-70B in `trtllm_max_throughput_dense.csv`, those fixed batches of `trtllm` and
`nim` that the engines' files name, `vultr`, `tpu-recipes`. Training has constants of its own:
[training.md](training.md).
"""


@dataclass(frozen=True)
class Scores:
    """The scored points of a file, and how many were not scored for which reason."""

    items: list[Any]
    unscored: Counter[str]

    def where(self, keep: Callable[[Any], bool]) -> list[Any]:
        """The scored points that are of interest."""
        return [item for item in self.items if keep(item.point)]


def main(arguments: list[str]) -> int:
    """Write or check the page; return the exit code."""
    if "--check" in arguments:
        if stale(digest(PREDICTED_FROM)):
            print("bands/groups.csv is stale: run python benchmarks/left_out", file=sys.stderr)
            return 1
        if digest() in PAGE.read_text(encoding="utf-8"):
            return 0
        print("docs/accuracy.md is stale: run python docs/accuracy.py", file=sys.stderr)
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    print("docs/accuracy.md written")
    return 0


def digest(made_from: Iterable[str] = MADE_FROM) -> str:
    """A digest of the data, the constants and the code that the page, or another file, rests on."""
    found = sorted({path for pattern in made_from for path in ROOT.glob(pattern) if path != PAGE})
    whole = hashlib.sha256()
    for path in (path for path in found if path.is_file()):
        whole.update(f"{path.relative_to(ROOT).as_posix()}\n".encode() + path.read_bytes())
    return f"Made from {whole.hexdigest()[:24]}"


def page() -> str:
    """The whole page."""
    serving, inference, dense = (
        score(name) for name in ("serving", "inference", "trtllm_max_throughput_dense")
    )
    training = score_training("training")
    gpus = {name: score(f"gpu_layers_{name}") for name in GPUS}
    single, served = score("single_user"), score("served")
    note = f"<!-- Written by docs/accuracy.py; change the code or the data, not this page. {digest()} -->\n"
    parts = [
        note,
        INTRO,
        *left_out(),
        "## Goals, in sample\n",
        markdown_table(
            ("what", "rows", "n", "goal", "now", "met"), goals(inference, serving, dense, single, served)
        ),
        *section(
            "inference.csv",
            "Throughput and latencies of fixed batches and of saturated and loaded servers.",
            inference,
            {
                "source": lambda p: p.source,
                "engine profile": lambda p: p.setup.engine,
                "source, regime, metric": lambda p: f"{p.source}, {p.regime}, {p.metric}",
                "chip": lambda p: p.chip.name,
                "saturated TensorRT-LLM": lambda p: saturated(p) and p.model.name,
            },
        ),
        *section(
            "serving.csv",
            "Latencies that clients of a closed loop saw; each row gives two points.",
            serving,
            {
                "engine, metric": lambda p: f"{p.source}, {p.metric}",
                "engine and version, metric": versions("serving"),
                "model, metric": lambda p: f"{p.model.name}, {p.metric}",
                "chip, metric": lambda p: f"{p.chip.name}, {p.metric}",
            },
        ),
        *section(
            "served.csv",
            "Mixtures of experts under load: runs of InferenceX and InferenceMAX, clients in a closed loop, "
            "the protocol the suite's where rows do not say it. In sample: `host_hidden` and `request_ms` of "
            "the engines and what a captured graph leaves of expert kernels were set by hand on these rows.",
            served,
            {
                "metric": lambda p: p.metric,
                "model, metric": lambda p: f"{p.model.name}, {p.metric}",
                "chip, metric": lambda p: f"{p.chip.name}, {p.metric}",
                "engine profile, metric": lambda p: f"{p.setup.engine}, {p.metric}",
            },
        ),
        *section(
            "trtllm_max_throughput_dense.csv",
            "Maximum throughput of dense models, at the largest batch that fits.",
            dense,
            {
                "model": lambda p: p.model.name,
                "chip": lambda p: p.chip.name,
                "ranks": lambda p: f"tensor_parallel {p.setup.tensor_parallel}",
            },
        ),
        *section(
            "single_user.csv",
            "Decode for one user on consumer and unified-memory chips, as people published it. Rows 'kept' "
            "were set apart before memory shares and overheads of these chips were fitted to the others. "
            "They were scored three times: before the fit (mixtures 9.9 % in the median, 75 % within 25 %; "
            "dense 18.3 %, 82 %), with a first, simpler fit (18.8 %, 75 %; 7.5 %, 92 %), and as here. Rows "
            "'later' were collected when the fit was made, and scored once.",
            single,
            {
                "split and kind": split("single_user"),
                "chip": lambda p: p.chip.name,
                "engine profile": lambda p: p.setup.engine,
                "mixture": lambda p: experts(p) and p.model.name,
            },
        ),
        *section(
            "training.csv",
            "Training steps, as tokens per second and chip; formulas and fit: [training.md](training.md).",
            training,
            {
                "source": lambda p: p.source,
                "tier": lambda p: f"tier {p.tier}",
                "precision": lambda p: p.precision,
                "chip": lambda p: p.chip.name,
            },
        ),
        *(part for name, scores in gpus.items() for part in measured_here(name, scores)),
    ]
    return "\n".join(parts)


def measured_here(name: str, scores: Scores) -> Iterable[str]:
    """The tables of decode steps measured for this project on one GPU; nothing was fitted to them."""
    return section(
        f"gpu_layers_{name}.csv",
        "Held out: decode steps of whole models with random weights, captured in a CUDA graph, measured by "
        "`benchmarks/gpu/measure.py` on 2026-11-27 on one GPU (clocks, driver and versions: "
        f"`benchmarks/points/gpu_machine_{name}.json`; single kernels: `gpu_kernels_{name}.csv`). The "
        "kernels are PyTorch's and small ones of our own, the fastest of those tried; the mixture's experts "
        "run as `grouped_mm` or as one product of all experts, not as the fused kernels of engines.",
        scores,
        {
            "model": lambda p: p.model.name,
            "batch": lambda p: f"batch {p.setup.batch}",
            "context": lambda p: f"context {p.setup.input_tokens + 1}",
        },
    )


def score(name: str) -> Scores:
    """Predict each point of a file of inference or serving points."""
    items, unscored = [], Counter[str]()
    for point in read_points(POINTS / f"{name}.csv"):
        found = predict(point) if isinstance(point, Point) else point.reason
        if isinstance(found, str):
            unscored[found] += 1
        else:
            items.append(Scored(point, found))
    return Scores(items, unscored)


def score_training(name: str) -> Scores:
    """Predict each step of a file of training points."""
    found = list(scored_rows(training_rows(POINTS / f"{name}.csv") or []))
    return Scores(
        [s for s in found if not isinstance(s, str)], Counter(s for s in found if isinstance(s, str))
    )


def goals(
    inference: Scores, serving: Scores, dense: Scores, single: Scores, served: Scores
) -> list[tuple[str, ...]]:
    """What the predictions are held to, and where they are."""
    of = split("single_user")
    one = single.where(lambda p: of(p) in ("kept, mixture", "later, mixture"))
    mixtures = inference.where(lambda p: saturated(p) and experts(p))
    load = {m: serving.where(lambda p, m=m: p.metric == m) for m in ("tpot_ms", "ttft_ms")}
    rows = [
        mean_goal("dense throughput", "trtllm_max_throughput_dense.csv", dense.items, 0.08, 0.98),
        mean_goal(
            "throughput of mixtures of experts", "inference.csv, trtllm, saturation", mixtures, 0.13, 0.87
        ),
        median_goal("one user, mixtures", "single_user.csv, in no fit", one, 0.25),
        median_goal("TPOT under load", "serving.csv", load["tpot_ms"], 0.10),
        median_goal("TTFT under load", "serving.csv", load["ttft_ms"], 0.30),
    ]
    rows += [
        median_goal(
            f"mixtures under load, {m}", "served.csv", served.where(lambda p, m=m: p.metric == m), most
        )
        for m, most in (("tpot_ms", 0.15), ("ttft_ms", 0.35), ("output_tok_s_total", 0.15))
    ]
    for source in VENDORS:
        own = inference.where(lambda p, s=source: p.source == s and (s == "nim" or p.regime == "fixed_batch"))
        which = "all rows" if source == "nim" else "fixed_batch"
        rows.append(median_goal(f"{source}", f"inference.csv, {which}", own, 0.15))
    return rows


def mean_goal(what: str, rows: str, items: list[Any], least: float, near: float) -> tuple[str, ...]:
    """A goal of mean error and of the share of rows within a quarter."""
    size = [abs(item.error) for item in items]
    share = sum(e <= 0.25 for e in size) / len(size)
    wanted = f"mean <= {least:.0%}, >= {near:.0%} within 25 %"
    now = f"{mean(size):.1%}, {share:.1%}"
    return what, rows, str(len(size)), wanted, now, "yes" if mean(size) <= least and share >= near else "no"


def median_goal(what: str, rows: str, items: list[Any], least: float) -> tuple[str, ...]:
    """A goal of median error."""
    found = median(abs(item.error) for item in items)
    met = "yes" if found <= least else "no"
    return what, rows, str(len(items)), f"median <= {least:.0%}", f"{found:.1%}", met


def section(file: str, text: str, scores: Scores, keys: dict[str, Callable[[Any], Any]]) -> Iterable[str]:
    """The tables of one file: by each key, then the rows without a prediction."""
    yield f"## {file}\n"
    yield f"{text} `archsat validate benchmarks/points/{file}`\n"
    yield markdown_table(HEADS, [errors("all", scores.items)])
    for title, key in keys.items():
        groups: dict[str, list[Any]] = {}
        for item in scores.items:
            if name := key(item.point):
                groups.setdefault(name, []).append(item)
        rows = [errors(name, items) for name, items in sorted(groups.items())]
        yield f"By {title}:\n"
        yield markdown_table((title, *HEADS[1:]), rows)
    if scores.unscored:
        yield f"Not scored, {sum(scores.unscored.values())} rows:\n"
        yield markdown_table(("reason", "rows"), [(why, str(n)) for why, n in scores.unscored.most_common()])


def errors(name: str, items: list[Any]) -> tuple[str, ...]:
    """One row of a table of errors."""
    found = [item.error for item in items]
    size = [abs(e) for e in found]
    near = sum(e <= 0.25 for e in size) / len(size)
    figures = f"{1 + median(found):.2f}", f"{mean(size):.1%}", f"{median(size):.1%}", f"{near:.0%}"
    return name, str(len(items)), *figures


def saturated(point: Point) -> bool:
    """A row of TensorRT-LLM's maximum throughput."""
    return point.source == "trtllm" and point.regime == "saturation"


def experts(point: Point) -> bool:
    """A mixture of experts."""
    return any(n_experts(group.block.ffn) for group in point.model.layers)


def split(name: str) -> Callable[[Point], Any]:
    """Whether a row was kept apart from every fit, and of a mixture or not."""
    with (POINTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return lambda p: f"{rows[p.row - 2]['split']}, {'mixture' if experts(p) else 'dense'}"


def versions(name: str) -> Callable[[Any], str]:
    """Engine, version and metric of a serving point, read from its row."""
    with (POINTS / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    def of(point: Point) -> str:
        row = rows[point.row - 2]
        return f"{row['backend']} {row['backend_version']}, {point.metric}"

    return of


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
