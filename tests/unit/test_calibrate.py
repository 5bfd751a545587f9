"""Calibration: the constants that made the rows come back, of chips and of engines; bad input is named.

The rows are the cost model's own, exact or with noise, so the truth is known.
"""

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import samples

from optimizer import InputError, catalog
from optimizer.evidence.calibrate import Calibrated, calibrate
from optimizer.evidence.calibrate_engine import Predictor
from optimizer.evidence.kernels import predicted, read_kernel
from optimizer.evidence.points import Point, read_points, read_rows
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    return path


TRUE = samples.chip(
    dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"},
    alignment={"bf16": 64, "fp8": 128},
    efficiency={
        "gemm": {
            "bf16": {"compute": 0.71, "memory": 0.83, "overhead": "3.7 us"},
            "fp8": {"compute": 0.59, "memory": 0.77, "overhead": "4.9 us"},
        },
        "attention_prefill": {64: {"peak": 0.41, "half": 800}, 128: {"peak": 0.6, "half": 500}},
        "attention_decode": {
            "bf16": {"memory": 0.86, "overhead": "7 us"},
            "fp8": {"memory": 0.64, "overhead": "9 us"},
        },
        "elementwise": {"memory": 0.9, "overhead": "2 us"},
        "all_reduce": {
            4: {
                "one_shot": {"latency": "3 us", "link": 0.5},
                "two_shot": {"latency": "9 us", "link": 0.8},
            }
        },
    },
)
START = samples.chip(
    dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"}, alignment={"bf16": 64, "fp8": 128}
)


def shapes() -> list[dict[str, Any]]:
    """Kernels of every part, small and large."""
    found: list[dict[str, Any]] = []
    for dtype, m, n in itertools.product(("bf16", "fp8"), (1, 16, 128, 1024, 8192), (1024, 4096, 28672)):
        found.append({"operator": "gemm", "dtype": dtype, "m": m, "n": n, "k": 4096})
    for size in (2**12, 2**16, 2**20, 2**24, 2**28, 2**30):
        found.append({"operator": "copy", "size": size})
        found.append({"operator": "all_reduce", "size": size, "n_chips": 4})
        found.append({"operator": "all_reduce", "size": 3 * size, "n_chips": 4})
    for tokens, width in itertools.product((128, 512, 1024, 2048, 8192, 16384), (64, 128)):
        heads = {"n_heads": 32, "n_kv_heads": 8, "d_head": width}
        found.append({"operator": "prefill_attention", "dtype": "bf16", "tokens": tokens, **heads})
    for dtype, batch, context in itertools.product(("bf16", "fp8"), (1, 8, 64), (256, 2048, 16384)):
        heads = {"n_heads": 32, "n_kv_heads": 8, "d_head": 128}
        found.append(
            {"operator": "decode_attention", "dtype": dtype, "batch": batch, "context": context, **heads}
        )
    return found


def kernels(path: Path, noise: float = 0.0, chip: Chip = TRUE, seed: int = 0) -> Path:
    """A file of kernels as the cost model times them on a chip."""
    rng = np.random.default_rng(seed)
    rows = []
    for number, shape in enumerate(shapes(), 2):
        row = {"chip": "sample"} | shape
        text = {name: str(value) for name, value in row.items()} | {"measured_us": "1"}
        kernel = read_kernel(number, text, chip)
        seconds = float(predicted(kernel.part, [kernel], chip)[0])
        rows.append(row | {"measured_us": f"{seconds * 1e6 * np.exp(rng.normal(0, noise)):.9g}"})
    return write(path, rows)


def efficiencies(chip: Chip) -> dict[str, float]:
    """All figures of the parts measured, by name."""
    e = chip.efficiency
    found: dict[str, float] = {}
    for dtype, gemm in e.gemm.items():
        found |= {f"gemm {dtype} {name}": value for name, value in gemm.model_dump().items()}
    for width in (64, 128):
        curve = e.attention_prefill[width].model_dump()
        found |= {f"prefill {width} {name}": value for name, value in curve.items()}
    for dtype, stream in e.attention_decode.items():
        found |= {f"decode {dtype} {name}": value for name, value in stream.model_dump().items()}
    found |= {f"copy {name}": value for name, value in e.elementwise.model_dump().items()}
    for name in ("one_shot", "two_shot"):
        found |= {
            f"{name} {key}": value for key, value in getattr(e.all_reduce[4], name).model_dump().items()
        }
    return found


def chip_of(found: Calibrated) -> Chip:
    assert isinstance(found.item, Chip)
    return found.item


def engine_of(found: Calibrated) -> Engine:
    assert isinstance(found.item, Engine)
    return found.item


def test_a_chip_is_recovered_from_exact_kernels(tmp_path) -> None:
    found = calibrate(kernels(tmp_path / "k.csv"), START)
    assert efficiencies(chip_of(found)) == pytest.approx(efficiencies(TRUE), rel=2e-3)
    assert len(found.report.parts) == 8
    for part in found.report.parts:
        unseen = next(e for e in part.errors if e.rows == "held out")
        assert unseen.mean_after < 0.001
        assert unseen.mean_after < unseen.mean_before


def test_a_chip_is_recovered_from_noisy_kernels(tmp_path) -> None:
    """5 % noise: the large terms come back within 12 %, and errors on rows held out are of its size."""
    found = calibrate(kernels(tmp_path / "k.csv", noise=0.05), START)
    true, got = efficiencies(TRUE), efficiencies(chip_of(found))
    large = [n for n in true if n.endswith(("compute", "memory", "peak")) and not n.startswith("copy")]
    assert {n: got[n] for n in large} == pytest.approx({n: true[n] for n in large}, rel=0.12)
    unseen = [e for part in found.report.parts for e in part.errors if e.rows == "held out"]
    assert max(e.mean_after for e in unseen) < 0.12
    assert all(e.mean_after < e.mean_before for e in unseen)


def test_the_file_says_what_it_was_fitted_to(tmp_path) -> None:
    chip = chip_of(calibrate(kernels(tmp_path / "mine.csv"), START, name="lab"))
    assert (chip.name, chip.efficiency.measured) == ("lab", True)
    assert "sample" in chip.aliases
    source = chip.sources["efficiency"]
    for part in ("mine.csv", "every second row held out", "gemm fp8: fitted to 8", "made up for tests"):
        assert part in source


def test_only_what_was_measured_is_replaced(tmp_path) -> None:
    """Copies tell nothing of products."""
    path = kernels(tmp_path / "k.csv")
    rows = [row for row in read_rows(path)[1] if row["operator"] == "copy"]
    old = catalog.chip("h100")
    chip = chip_of(calibrate(write(tmp_path / "c.csv", [row | {"chip": "H100"} for row in rows]), old))
    changed = {
        name
        for name in type(old.efficiency).model_fields
        if getattr(chip.efficiency, name) != getattr(old.efficiency, name)
    }
    assert changed == {"elementwise"}
    assert chip.hbm_bandwidth == old.hbm_bandwidth


def test_rows_that_cannot_be_used_say_why(tmp_path) -> None:
    path = kernels(tmp_path / "k.csv")
    good = [row for row in read_rows(path)[1] if row["operator"] in ("copy", "all_reduce")]
    copy = good[0]
    bad = [
        copy | {"chip": "tpu-v9"},
        copy | {"operator": "sort"},
        copy | {"measured_us": "-1"},
        copy | {"measured_us": ""},
        copy | {"size": "many"},
        copy | {"operator": "gemm", "dtype": "fp4", "m": "1", "n": "1", "k": "1"},
        copy | {"operator": "gemm", "dtype": "int4", "m": "1.5", "n": "1", "k": "1"},
        copy | {"operator": "all_reduce", "n_chips": "1"},
    ]
    report = calibrate(write(tmp_path / "b.csv", [*bad, *good]), START).report
    reasons = " | ".join(report.unscored)
    for part in (
        "tpu-v9",
        "'sort' is not fitted",
        "not a positive",
        "not a number",
        "'fp4'",
        "whole",
        "one chip",
    ):
        assert part in reasons
    assert sum(report.unscored.values()) == len(bad)


def test_the_spellings_of_the_script_that_measures_are_read(tmp_path) -> None:
    """heads, kv_heads, and context for the tokens of a prompt."""
    rows = read_rows(kernels(tmp_path / "k.csv"))[1]
    other = {"n_heads": "heads", "n_kv_heads": "kv_heads", "tokens": "context", "size": "size_bytes"}
    kinds = ("prefill_attention", "copy")
    rows = [{other.get(k, k): v for k, v in row.items() if v} for row in rows if row["operator"] in kinds]
    report = calibrate(write(tmp_path / "h.csv", rows), START).report
    assert [part.name for part in report.parts] == [
        "copy",
        "prefill_attention 128 wide",
        "prefill_attention 64 wide",
    ]
    assert report.unscored == {}


def test_a_part_with_too_few_rows_is_skipped_and_says_how_many_it_needs(tmp_path) -> None:
    rows = read_rows(kernels(tmp_path / "k.csv"))[1]
    few = [row for row in rows if row["operator"] == "copy"]
    few += [row for row in rows if row["operator"] == "gemm" and row["dtype"] == "bf16"][:4]
    report = calibrate(write(tmp_path / "f.csv", few), START).report
    assert [part.name for part in report.parts] == ["copy"]
    assert "it takes 6" in report.skipped["gemm bf16"]


@pytest.mark.parametrize(
    ("change", "named"),
    [({"chip": "h200"}, "measured on 'h200', not on sample"), ({"operator": "sort"}, "'sort' is not fitted")],
)
def test_no_row_that_can_be_used_is_refused(tmp_path, change: dict[str, str], named: str) -> None:
    rows = [row | change for row in read_rows(kernels(tmp_path / "k.csv"))[1]]
    with pytest.raises(InputError, match=named):
        calibrate(write(tmp_path / "x.csv", rows), START)


def test_kernels_need_a_chip_and_points_an_engine(tmp_path) -> None:
    path = kernels(tmp_path / "k.csv")
    with pytest.raises(InputError, match="name the chip"):
        calibrate(path)
    with pytest.raises(InputError, match="name the chip, and no engine"):
        calibrate(path, START, catalog.engine("vllm"))
    with pytest.raises(InputError, match="name the engine"):
        calibrate(SERVING)


SERVING = Path(__file__).parent.parent.parent / "benchmarks" / "points" / "serving.csv"
TRUE_ENGINE = {
    "host_ms": 2.5,
    "host_us_per_sequence": 90.0,
    "cache_share": 0.8,
    "request_ms": 60.0,
}


@pytest.fixture(scope="module")
def served() -> list[Point]:
    """Points of one backend of the file that ships: real set-ups."""
    found = [p for p in read_points(SERVING) if isinstance(p, Point) and p.setup.engine == "vllm"]
    return found[::6]


def serving(path: Path, noise: float = 0.0, **figures: float) -> Path:
    """Rows of the file that ships, with the latencies of an engine of known figures."""
    rng = np.random.default_rng(0)
    rows = [row for row in read_rows(SERVING)[1] if row["backend"] == "vllm"]
    rows = [row for row in rows if row["model"] == "Qwen3-32B"][::2]
    points = [p for p in read_points(write(path, rows)) if isinstance(p, Point)]
    times = Predictor(points, catalog.engine("vllm").model_copy(update=figures))({})
    for point, ms in zip(points, times, strict=True):
        rows[point.row - 2][f"silicon_{point.metric}"] = str(ms * np.exp(rng.normal(0, noise)))
    return write(path, rows)


@pytest.mark.parametrize(("noise", "tolerance"), [(0.0, 0.02), (0.05, 0.2)])
def test_an_engine_is_recovered_from_its_points(tmp_path, noise: float, tolerance: float) -> None:
    """To within the whole number of sequences, and of blocks of tokens, that the cache holds."""
    path = serving(tmp_path / "s.csv", noise, **TRUE_ENGINE)
    found = calibrate(path, engine=catalog.engine("vllm"), figures=tuple(TRUE_ENGINE))
    engine = engine_of(found)
    exact = {n: v for n, v in TRUE_ENGINE.items() if n != "cache_share"}
    assert {n: getattr(engine, n) for n in exact} == pytest.approx(exact, rel=tolerance)
    assert engine.cache_share == pytest.approx(TRUE_ENGINE["cache_share"], rel=2 * tolerance)  # whole blocks
    unseen = {e.name: e for e in found.report.parts[0].errors if e.rows == "held out"}
    assert set(unseen) == {"all", "tpot_ms", "ttft_ms"}
    assert all(e.mean_after < 0.015 + noise < e.mean_before for e in unseen.values())


def test_dense_rows_tell_nothing_of_experts(tmp_path) -> None:
    path = serving(tmp_path / "s.csv", host_ms=3.0)
    found = calibrate(path, engine=catalog.engine("vllm"), figures=("host_ms", "host_us_per_expert_layer"))
    left = {c.name: c.left for c in found.report.parts[0].constants}
    assert left == {"host_ms": "", "host_us_per_expert_layer": "no row depends on it"}
    assert engine_of(found).host_ms == pytest.approx(3.0, rel=1e-3)
    assert set(engine_of(found).sources) == {*catalog.engine("vllm").sources, "host_ms"}


SATURATED = [
    {
        "model": "meta-llama/Llama-3.1-8B",
        "chip": "h100",
        "tp": 1,
        "weight_dtype": "fp8",
        "isl": isl,
        "osl": osl,
        "metric": "output_tok_s_total",
        "value": 1,
        "point_type": "saturation",
        "source_key": "mine",
    }
    for isl, osl in itertools.product((128, 512, 2048, 4096), (128, 512, 1024, 2048))
]


def saturated(path: Path, **figures: float) -> Path:
    points = [p for p in read_points(write(path, SATURATED)) if isinstance(p, Point)]
    rates = Predictor(points, catalog.engine("trtllm").model_copy(update=figures))({})
    return write(path, [row | {"value": rate} for row, rate in zip(SATURATED, rates, strict=True)])


def test_throughput_tells_nothing_of_how_clients_arrive(tmp_path) -> None:
    path = saturated(tmp_path / "t.csv", cache_share=0.9, host_us_per_sequence=10.0)
    names = ("cache_share", "host_us_per_sequence", "request_ms")
    found = calibrate(path, engine=catalog.engine("trtllm"), figures=names)
    left = {c.name for c in found.report.parts[0].constants if c.left == "no row depends on it"}
    assert left == {"request_ms"}
    assert engine_of(found).cache_share == pytest.approx(0.9, rel=0.01)
    assert engine_of(found).host_us_per_sequence == pytest.approx(10.0, rel=0.02)


def test_a_whole_group_can_be_held_out(tmp_path) -> None:
    path = saturated(tmp_path / "t.csv", host_us_per_sequence=10.0)
    found = calibrate(
        path, engine=catalog.engine("trtllm"), held_out="isl=4096.0", figures=("host_us_per_sequence",)
    )
    counts = {(e.name, e.rows): e.n for e in found.report.parts[0].errors}
    assert counts == {("all", "fitted"): 12, ("all", "held out"): 4}
    assert found.report.held_out == "rows whose isl is 4096.0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"figures": ("host_mss",)}, "Did you mean host_ms"),
        ({"held_out": "isl"}, "COLUMN=VALUE"),
        ({"held_out": "isl=7"}, "'isl' is 128, 512, 2048, 4096"),
        ({"held_out": "islands=3"}, "no column 'islands'"),
        ({"chip": catalog.chip("b200")}, "on nvidia-h100-sxm, not nvidia-b200-sxm"),
        ({"held_out": "chip=h100"}, "0 points are left"),
    ],
)
def test_what_cannot_be_asked_of_points_is_refused(tmp_path, change: dict[str, Any], message: str) -> None:
    path = saturated(tmp_path / "t.csv")
    with pytest.raises(InputError, match=message):
        calibrate(path, **({"engine": catalog.engine("trtllm")} | change))


def test_too_few_points_name_how_many_are_needed(tmp_path) -> None:
    path = write(tmp_path / "t.csv", SATURATED[:5])
    with pytest.raises(InputError, match="at least 16 scorable points"):
        calibrate(path, engine=catalog.engine("trtllm"))


def test_rows_of_another_engine_are_left_out(tmp_path) -> None:
    path = write(tmp_path / "t.csv", [row | {"source_key": "sglang"} for row in SATURATED])
    with pytest.raises(InputError, match="16 x of engine sglang, not trtllm"):
        calibrate(path, engine=catalog.engine("trtllm"))


def test_rows_of_an_engine_nobody_knows_are_of_the_engine_asked_for(tmp_path) -> None:
    """A user's own engine has no profile yet; but beside rows that name the profile they are another's."""
    unknown = [row | {"source_key": "home-made"} for row in SATURATED]
    figures = ("host_us_per_sequence",)
    path = write(tmp_path / "t.csv", unknown)
    assert (
        sum(calibrate(path, engine=catalog.engine("trtllm"), figures=figures).report.unscored.values()) == 0
    )
    named = [row | {"source_key": "trtllm"} for row in SATURATED]
    report = calibrate(
        write(path, [*unknown, *named]), engine=catalog.engine("trtllm"), figures=figures
    ).report
    assert report.unscored == {"of an engine without a profile, not trtllm": 16}


def test_what_is_computed_once_is_what_is_computed_afresh(served: list[Point]) -> None:
    """The cache of a fit must not serve one figure's seconds for another's."""
    engine = catalog.engine("vllm")
    warm = Predictor(served, engine)
    changes: list[dict[str, float]] = [
        {"host_ms": 5.0, "cache_share": c, "request_ms": b} for c in (0.5, 0.9) for b in (0.0, 70.0)
    ]
    changes += [{"host_ms": 1.0, "cache_share": 0.5, "request_ms": 70.0}]
    for values in [*changes, *reversed(changes)]:
        afresh = Predictor(served, engine.model_copy(update=values))({})
        assert warm(values) == pytest.approx(afresh, rel=1e-12)
