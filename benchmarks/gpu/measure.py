"""Measures a CUDA GPU and prints the cost model's prediction beside each time. NOT YET RUN ON A GPU.

    pip install torch
    python benchmarks/gpu/measure.py --chip nvidia-h200-sxm --out measured.csv
    torchrun --nproc-per-node 8 benchmarks/gpu/measure.py --chip nvidia-h200-sxm --out measured.csv

torch is imported here alone and is no dependency of the project. Without a GPU at hand, only the grid, the
predictions, the table and the file were tested, with a made-up clock (tests/unit/test_gpu_script.py); what
needs torch is in `CudaClock`.

Each case is warmed up, then timed with CUDA events, several calls between two events; the median counts.
Under torchrun each process has one GPU and the exchanges between all are measured as well; rank 0 reports.
Inputs rotate through more memory than the L2 cache holds, as weights do in a model.

The file has one row per case, with these columns; those that an operator does not have are empty:

    chip         catalogue name, as given
    operator     gemm, copy, prefill_attention, decode_attention, all_reduce, all_gather, reduce_scatter,
                 all_to_all
    dtype        bf16 or fp8: of both inputs of a product, of the cache in attention, of the bytes otherwise
    m, n, k      gemm: (m x k) times (k x n), the k x n are weights; 16 bit out
    batch, context, heads, kv_heads, d_head
                 attention: prompts of `context` tokens, causal; or `batch` sequences that each attend with
                 one new token to `context` cached ones
    size         copy: bytes read, as many are written. Exchanges: bytes of the full tensor on one chip; in
                 all_to_all what one chip holds
    n_chips      chips of an exchange, all in one domain
    measured_us  median time of one call
    predicted_us this version's cost model

`archsat calibrate measured.csv --chip CHIP` reads it.
"""

import argparse
import csv
import os
import statistics
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from optimizer import catalog
from optimizer.blocks import operators as ops
from optimizer.cost import collectives
from optimizer.cost.roofline import Roofline
from optimizer.errors import ArchsatError
from optimizer.spec.chip import Chip

EXCHANGES = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all")


@dataclass(frozen=True)
class Case:
    """One thing to time; fields that its operator does not have are None."""

    operator: str
    dtype: str = "bf16"
    m: int | None = None
    n: int | None = None
    k: int | None = None
    batch: int | None = None
    context: int | None = None
    heads: int | None = None
    kv_heads: int | None = None
    d_head: int | None = None
    size: int | None = None
    n_chips: int | None = None


COLUMNS = ["chip", *(field.name for field in fields(Case)), "measured_us", "predicted_us"]


def grid(n_chips: int, fp8: bool) -> list[Case]:
    """Cases that tell the constants apart: bound by bytes, by arithmetic, by starting."""
    shapes = [(n, k) for n, k in ((4096, 4096), (8192, 8192), (28672, 8192), (8192, 28672))]
    rows = (1, 8, 32, 128, 512, 2048, 8192)
    dtypes = ("bf16", "fp8") if fp8 else ("bf16",)
    heads = ((32, 8, 128), (64, 8, 128), (32, 32, 128), (32, 8, 64))
    cases = [Case("gemm", dtype, m=m, n=n, k=k) for dtype in dtypes for n, k in shapes for m in rows]
    cases += [Case("copy", size=2**i) for i in range(16, 33, 2)]
    cases += [
        Case("prefill_attention", batch=1, context=tokens, heads=h, kv_heads=kv, d_head=d)
        for h, kv, d in heads
        for tokens in (512, 2048, 8192)
    ]
    cases += [
        Case("decode_attention", batch=batch, context=context, heads=h, kv_heads=kv, d_head=d)
        for h, kv, d in heads
        for batch in (1, 16, 128)
        for context in (1024, 8192)
    ]
    if n_chips > 1:
        cases += [Case(op, size=2**i, n_chips=n_chips) for op in EXCHANGES for i in range(10, 31, 2)]
    return cases


def predicted_us(case: Case, chip: Chip) -> float:
    """Microseconds of a case by the cost model."""
    if case.operator in EXCHANGES:
        c: Any = case
        group = collectives.group_of(c.n_chips, chip)
        seconds, _ = getattr(collectives, f"{case.operator}_s")(float(c.size), group, chip)
        return 1e6 * float(seconds)
    rates = Roofline(chip, 1, case.dtype, "bf16")
    return 1e6 * float(rates.cost(operator_of(case)).seconds)


def operator_of(case: Case) -> ops.Operator:
    """The cost model's operator of a case on one chip."""
    c: Any = case
    match case.operator:
        case "gemm":
            return ops.Gemm("", c.m, c.n, c.k)
        case "copy":
            return ops.Elementwise("", 2 * c.size)
        case "prefill_attention":
            return ops.PrefillAttention("", c.context, c.context, c.heads, c.kv_heads, c.d_head, c.batch)
        case "decode_attention":
            return ops.DecodeAttention("", c.batch, c.context, c.heads, c.kv_heads, c.d_head)
    raise ArchsatError(f"no operator '{case.operator}'")


def bytes_needed(case: Case) -> int:
    """Memory a case takes for one set of inputs, for skipping what does not fit."""
    c: Any = case
    width = 1 if case.dtype == "fp8" else 2
    match case.operator:
        case "gemm":
            return int(width * (c.m * c.k + c.k * c.n) + 2 * c.m * c.n)
        case "prefill_attention":
            return int(2 * c.batch * c.context * c.d_head * 2 * (c.heads + c.kv_heads))
        case "decode_attention":
            return int(2 * c.batch * c.d_head * (2 * c.kv_heads * c.context + 2 * c.heads))
    return int(2 * c.size)


def measure(cases: Iterable[Case], chip: Chip, clock: Callable[[Case], float | None]) -> list[dict[str, Any]]:
    """One row per case; a case that the clock cannot run (None) is left out."""
    rows = []
    for case in cases:
        microseconds = clock(case)
        if microseconds is None:
            continue
        own = {"chip": chip.name, **asdict(case)}
        rows.append(own | {"measured_us": round(microseconds, 3), "predicted_us": predicted_us(case, chip)})
    return rows


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """The rows as a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({**row, "predicted_us": f"{row['predicted_us']:.3f}"} for row in rows)


def table(rows: list[dict[str, Any]]) -> str:
    """Predicted against measured, one line per case and a median per operator and format."""
    lines = [f"{'operator':18} {'dtype':5} {'case':44} {'measured us':>12} {'predicted us':>13} {'ratio':>6}"]
    ratios: dict[str, list[float]] = {}
    for row in rows:
        ratio = row["predicted_us"] / row["measured_us"]
        ratios.setdefault(f"{row['operator']:18} {row['dtype']:5}", []).append(ratio)
        dims = [f.name for f in fields(Case)[2:] if row[f.name] is not None]
        text = " ".join(f"{name}={row[name]}" for name in dims)
        lines.append(
            f"{row['operator']:18} {row['dtype']:5} {text:44} {row['measured_us']:12.2f} "
            f"{row['predicted_us']:13.2f} {ratio:6.2f}"
        )
    lines.append("")
    for name, values in ratios.items():
        errors = [abs(value - 1) for value in values]
        lines.append(
            f"{name} {len(values):4} cases, median ratio {statistics.median(values):.2f}, "
            f"median error {statistics.median(errors):.0%}"
        )
    return "\n".join(lines)


class CudaClock:
    """Times a case on this process's GPU. All use of torch is here."""

    WARM_UP, REPEATS, CALLS = 3, 15, 8
    ROTATED_BYTES = 512 << 20  # more than any L2 cache, so that weights come from memory

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        if self.world > 1:
            torch.distributed.init_process_group("nccl")

    @property
    def has_fp8(self) -> bool:
        """Whether torch can multiply 8-bit floats on this GPU."""
        capability: tuple[int, int] = self.torch.cuda.get_device_capability()
        return capability >= (8, 9) and hasattr(self.torch, "_scaled_mm")

    def __call__(self, case: Case) -> float | None:
        """Median microseconds of one call, or None if the GPU cannot run the case."""
        _, total = self.torch.cuda.mem_get_info()  # the same on all ranks: none may skip what others run
        needed = bytes_needed(case)
        if 3 * needed > total:
            return None
        copies = max(1, min(self.CALLS, self.ROTATED_BYTES // needed))
        calls = [getattr(self, f"_{case.operator}")(case) for _ in range(copies)]
        for _ in range(self.WARM_UP):
            calls[0]()
        return statistics.median(self._once(calls) for _ in range(self.REPEATS))

    def _once(self, calls: list[Callable[[], Any]]) -> float:
        """Microseconds of one call, from two events around several."""
        start, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        if self.world > 1:
            self.torch.distributed.barrier()
        self.torch.cuda.synchronize()
        start.record()
        for i in range(self.CALLS):
            calls[i % len(calls)]()
        end.record()
        self.torch.cuda.synchronize()
        milliseconds: float = start.elapsed_time(end)
        return 1e3 * milliseconds / self.CALLS

    def _random(self, *shape: int) -> Any:
        return self.torch.randn(*shape, device="cuda", dtype=self.torch.bfloat16)

    def _gemm(self, case: Case) -> Callable[[], Any]:
        c: Any = case
        a, b = self._random(c.m, c.k), self._random(c.n, c.k).t()
        if case.dtype == "bf16":
            return lambda: self.torch.matmul(a, b)
        rows = max(16, -(-c.m // 16) * 16)  # scaled products take multiples of 16 rows
        eight, one = self.torch.float8_e4m3fn, self.torch.ones((), device="cuda")
        a8, b8 = self._random(rows, c.k).to(eight), b.to(eight)
        return lambda: self.torch._scaled_mm(a8, b8, scale_a=one, scale_b=one, out_dtype=self.torch.bfloat16)

    def _copy(self, case: Case) -> Callable[[], Any]:
        source = self.torch.empty(case.size, dtype=self.torch.uint8, device="cuda")
        target = self.torch.empty_like(source)
        return lambda: target.copy_(source)

    def _prefill_attention(self, case: Case) -> Callable[[], Any]:
        c: Any = case
        q = self._random(c.batch, c.heads, c.context, c.d_head)
        k, v = (self._random(c.batch, c.kv_heads, c.context, c.d_head) for _ in range(2))
        attend = self.torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(q, k, v, is_causal=True, enable_gqa=c.heads != c.kv_heads)

    def _decode_attention(self, case: Case) -> Callable[[], Any]:
        c: Any = case
        q = self._random(c.batch, c.heads, 1, c.d_head)
        k, v = (self._random(c.batch, c.kv_heads, c.context, c.d_head) for _ in range(2))
        attend = self.torch.nn.functional.scaled_dot_product_attention
        return lambda: attend(q, k, v, enable_gqa=c.heads != c.kv_heads)

    def _halves(self, case: Case) -> Any:
        """The tensor of an exchange as 16-bit elements that divide among the ranks."""
        elements = -(-(case.size or 2) // (2 * self.world)) * self.world
        return self.torch.zeros(elements, dtype=self.torch.bfloat16, device="cuda")

    def _all_reduce(self, case: Case) -> Callable[[], Any]:
        whole = self._halves(case)
        return lambda: self.torch.distributed.all_reduce(whole)

    def _all_gather(self, case: Case) -> Callable[[], Any]:
        whole = self._halves(case)
        shard = whole[: whole.numel() // self.world].clone()
        return lambda: self.torch.distributed.all_gather_into_tensor(whole, shard)

    def _reduce_scatter(self, case: Case) -> Callable[[], Any]:
        whole = self._halves(case)
        shard = whole[: whole.numel() // self.world].clone()
        return lambda: self.torch.distributed.reduce_scatter_tensor(shard, whole)

    def _all_to_all(self, case: Case) -> Callable[[], Any]:
        held = self._halves(case)
        received = self.torch.empty_like(held)
        return lambda: self.torch.distributed.all_to_all_single(received, held)


def main(arguments: list[str] | None = None, clock: Any = None) -> int:
    """Measure, print, write; 2 if the chip is unknown or torch cannot be used."""
    parser = argparse.ArgumentParser(description="measured against predicted on the GPU at hand")
    parser.add_argument("--chip", required=True, help="the catalogue's name of this GPU, or a file")
    parser.add_argument("--out", type=Path, default=Path("measured.csv"), help="CSV file to write")
    given = parser.parse_args(arguments)
    try:
        chip = catalog.chip(given.chip)
        clock = clock or CudaClock()
    except ArchsatError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 2
    except (ImportError, RuntimeError, AssertionError) as error:
        print(f"measure: needs torch and a CUDA GPU ({error})", file=sys.stderr)
        return 2
    rows = measure(grid(clock.world, clock.has_fp8 and "fp8" in chip.dense_flops), chip, clock)
    if clock.rank == 0:
        print(table(rows))
        write(rows, given.out)
        print(f"\n{len(rows)} rows in {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
