"""Measures a CUDA GPU: products, attention, copies, small kernels, experts, decode steps of whole models.

Run on 2026-11-27 on one H100 SXM and one H200 SXM, 90 seconds each (benchmarks/points/gpu_*); `--exchanges`
has not been run. Tested without a GPU, with made-up times, in tests/unit/test_gpu_script.py.

    python benchmarks/gpu/measure.py --out measured --seconds 330            # on the machine with the GPU
    python benchmarks/gpu/measure.py --predict measured --to benchmarks/points              # with archsat
    torchrun --nproc-per-node 8 benchmarks/gpu/measure.py --exchanges --out measured            # many GPUs

Measuring needs torch (Triton and PyYAML where there are), this folder and `models/`, not archsat; predicting
needs archsat, not torch. `--device cpu --tiny` runs everything once on the CPU, to find typos. The files:
`grid.py` the cases, `clock.py` how calls are timed, `operators.py` single operators, `fused.py` small
kernels, `moe.py` experts, `layers.py` decode steps, `processes.py` processes and their time,
`results.py` the file of rows, `machine.py` clocks and versions, `predict.py` the predictions, `exchanges.py`
links.

A time is the median of several replays of a captured CUDA graph that holds many calls, between two events;
inputs rotate through more than the L2 cache. Where several kernels can run a case the fastest counts.

The folder `--out` gets `rows.csv`, `machine.json` (GPU, driver, versions, clocks and power every few seconds)
and `log.txt`. Columns of `rows.csv`; those that an operator does not have are empty:

    chip         catalogue name
    part         group of cases
    operator     gemm, copy, read, add, rms_norm, silu_mul, prefill_attention, decode_attention, experts;
                 layers (a decode step); empty (from one smallest kernel to the next in a graph),
                 empty_eager (launched one by one), graph_replay (from one graph of one kernel to the next);
                 all_reduce, all_gather, reduce_scatter, all_to_all
    dtype        bf16 or fp8: of both inputs of a product, of the cache in attention
    m, n, k      gemm: (m x k) times (k x n), the k x n are weights; 16 bit out. Small kernels: m rows of k.
                 experts: m rows, k wide, experts of width n, router and sum included
    batch, context, heads, kv_heads, d_head
                 attention: `batch` prompts of `context` tokens, causal; or `batch` sequences that each attend
                 with one new token to `context` cached ones
    size         copy: bytes read, as many are written; read: bytes read; small kernels: bytes read and
                 written. Exchanges: bytes of the full tensor on one chip; in all_to_all what one chip holds
    experts, active  experts of a layer, and those of a token
    n_chips      chips of an exchange, all in one domain
    model, layers  layers: catalogue name, and how many of its layers (empty: all)
    measured_us  median time of one call
    spread       slowest tenth less fastest tenth of the repeats, as a share of the median
    calls, launch  calls between two events; graph or eager
    backend      what ran
    others       times of other kernels tried, and why some did not run
    skipped      why there is no time

`--predict` writes two files and copies a third. `gpu_kernels_CHIP.csv` has the rows of single operators with
predicted_us, this version's cost model, for `archsat calibrate`. `gpu_layers_CHIP.csv` has one row per decode
step, as inference points for `archsat validate`: isl + osl / 2 is the context, metric tpot_ms, value the
milliseconds; beside them layers, context, measured_us, predicted_us. Rows of models cut short have the
point_type part_of_model, which `validate` leaves out. `gpu_machine_CHIP.json` is `machine.json`.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import grid  # noqa: E402
import machine  # noqa: E402
import processes  # noqa: E402
import results  # noqa: E402


def measure_all(given: argparse.Namespace) -> int:
    """All parts, each group in its process; a summary at the end."""
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    gpu = machine.Machine(given.out / "machine.json")
    chip = given.chip or gpu.chip
    gpu.write(chip=chip)
    gpu.watch()
    options = ["--out", str(given.out), "--chip", chip, "--device", given.device]

    def command(parts: tuple[str, ...], seconds: float, attempt: int) -> list[str]:
        own = ["--parts", ",".join(parts), "--seconds", f"{seconds:.0f}"]
        plain = ["--no-triton"] if attempt and not ready(given.out, ",".join(parts)).exists() else []
        return processes.python(str(HERE / "measure.py"), *options, *own, *plain, *["--tiny"] * given.tiny)

    def begin(parts: str) -> None:
        gpu.part = parts
        gpu.write()

    told = processes.run_groups(processes.GROUPS, command, given.seconds, given.out / "log.txt", begin)
    gpu.close()
    every = grid.tiny() if given.tiny else grid.grid()
    processes.fill([case for cases in every.values() for case in cases], results.Rows(given.out, chip))
    for parts in processes.GROUPS:
        ready(given.out, ",".join(parts)).unlink(missing_ok=True)
    versions = given.out / "versions.json"
    used = json.loads(versions.read_text(encoding="utf-8")) if versions.exists() else {}
    versions.unlink(missing_ok=True)
    gpu.write(versions=used, processes=told, seconds=round(time.monotonic() - began, 1))
    print("\n".join([*told, *summary(results.read(given.out / "rows.csv"))]))
    return 0


def measure_parts(given: argparse.Namespace) -> int:
    """The cases of some parts in this process."""
    began = time.monotonic()
    parts = grid.tiny() if given.tiny else grid.grid()
    own = results.Rows(given.out, given.chip)
    try:
        import clock
        import fused
        import layers
        import operators

        own_clock: Any = clock.CudaClock() if given.device == "cuda" else clock.HostClock()
        kernels, told = fused.choose(given.device, not given.no_triton)
        one = operators.Operators(own_clock, kernels)
        steps = layers.Steps(one)
        (given.out / "versions.json").write_text(json.dumps({**machine.versions(), "fused": told}))
        ready(given.out, given.parts).touch()
        print(f"{given.parts}: {told}")
    except Exception as error:
        print(f"measure: needs torch and a CUDA GPU ({one_line(error)})", file=sys.stderr)
        return 2
    for part in given.parts.split(","):
        left = given.seconds - (time.monotonic() - began)
        measure = steps if part == "layers" else one
        if status := processes.run_cases(parts[part], measure, own, left, clock.fatal):
            return status
    return 0


def ready(folder: Path, parts: str) -> Path:
    """The file that a process makes once its small kernels are chosen: before, they may have ended it."""
    return folder / f"ready.{parts.replace(',', '-')}"


def one_line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split())[:300]


def summary(found: list[dict[str, str]]) -> list[str]:
    """Cases by part: measured, skipped for which reasons."""
    lines = []
    for part in dict.fromkeys(row["part"] for row in found):
        own = [row for row in found if row["part"] == part]
        reasons: dict[str, int] = {}
        for row in own:
            if row["skipped"]:
                reasons[row["skipped"][:100]] = reasons.get(row["skipped"][:100], 0) + 1
        n = len(own) - sum(reasons.values())
        lines.append(
            f"{part}: {n} measured" + "".join(f"; {count} x {why}" for why, count in reasons.items())
        )
    return lines


def main(arguments: list[str] | None = None) -> int:
    """Measure, or predict what was measured."""
    parser = argparse.ArgumentParser(description="measured against predicted on the GPU at hand")
    parser.add_argument("--out", type=Path, default=Path("measured"), help="folder to write")
    parser.add_argument("--seconds", type=float, default=330, help="for all parts together")
    parser.add_argument("--chip", default="", help="the catalogue's name of this GPU; else by nvidia-smi")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="one small case of everything")
    parser.add_argument("--parts", default="", help="these alone, in this process")
    parser.add_argument("--no-triton", action="store_true", help="torch's own kernels alone")
    parser.add_argument("--exchanges", action="store_true", help="links, under torchrun")
    parser.add_argument("--predict", type=Path, help="a folder that was measured: write files of points")
    parser.add_argument("--to", type=Path, default=Path("."), help="where --predict writes")
    given = parser.parse_args(arguments)
    if given.predict:
        import predict

        return predict.main(given.predict, given.to)
    if given.exchanges:
        import exchanges

        return exchanges.main(given.out, given.chip)
    return measure_parts(given) if given.parts else measure_all(given)


if __name__ == "__main__":
    sys.exit(main())
