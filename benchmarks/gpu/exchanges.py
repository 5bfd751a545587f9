"""Exchanges between the GPUs of one domain, one process each under torchrun. NOT YET RUN ON GPUS."""

import os
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from grid import Case, exchanges
from machine import chip_of
from operators import Measured
from results import Rows
from torch import distributed

CALLS, REPEATS = 8, 15


def main(out: Path, chip: str) -> int:
    """Time every exchange between all processes; rank 0 writes."""
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    distributed.init_process_group("nccl")
    rows = Rows(out, chip or chip_of(torch.cuda.get_device_name()))
    out.mkdir(parents=True, exist_ok=True)
    for case in exchanges(world):
        call = _call(case, world)
        call()
        times = [_once(call) for _ in range(REPEATS)]
        if rank == 0:
            rows.add(case, Measured(statistics.median(times), 0.0, CALLS, "eager", "nccl"))
    distributed.destroy_process_group()
    return 0


def _once(call: Callable[[], Any]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    distributed.barrier()
    torch.cuda.synchronize()
    start.record()
    for _ in range(CALLS):
        call()
    end.record()
    torch.cuda.synchronize()
    return 1e3 * float(start.elapsed_time(end)) / CALLS


def _call(case: Case, world: int) -> Callable[[], Any]:
    """An exchange of 16-bit elements that divide among the ranks."""
    elements = -(-(case.size or 2) // (2 * world)) * world
    whole = torch.zeros(elements, dtype=torch.bfloat16, device="cuda")
    shard, other = whole[: elements // world].clone(), torch.empty_like(whole)
    return {
        "all_reduce": lambda: distributed.all_reduce(whole),
        "all_gather": lambda: distributed.all_gather_into_tensor(whole, shard),
        "reduce_scatter": lambda: distributed.reduce_scatter_tensor(shard, whole),
        "all_to_all": lambda: distributed.all_to_all_single(other, whole),
    }[case.operator]
