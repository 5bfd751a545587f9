"""Times calls: CUDA events around the replay of a captured graph; a host clock where there is no GPU."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Call = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """Median microseconds of one call, and how it was timed."""

    us: float
    spread: float
    """Slowest tenth less fastest tenth of the repeats, as a share of the median."""
    calls: int
    launch: str


class CudaClock:
    """Events around many calls in one captured graph; eager where a call cannot be captured."""

    REPEATS, GOAL_US, MOST = 11, 300.0, 64
    HELD_CYCLES = 800_000  # 0.4 ms: the GPU waits until the work is queued, so that no launch is timed
    device = "cuda"

    def __init__(self) -> None:
        """Brings the GPU's clock up from idle."""
        a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            for _ in range(20):
                torch.matmul(a, a)
            torch.cuda.synchronize()

    def time(self, calls: list[Call], most: int = MOST, capture: bool = True) -> Timing:
        """Calls are taken in turn, so that their inputs rotate through more than the L2 cache."""
        self._warm_up(calls)
        one = self._between(calls[0], 1, held=True)
        n = max(min(len(calls), most), min(most, int(self.GOAL_US / max(one, 1.0))), 1)

        def run() -> None:
            for i in range(n):
                calls[i % len(calls)]()

        graph = self.graph(run) if capture else None
        repeats = self.REPEATS if one * n < 2e4 else 5
        replay = graph.replay if graph else run
        replay()
        times = sorted(self._between(replay, n, held=capture) for _ in range(repeats))
        middle = statistics.median(times)
        tenth = max(1, repeats // 10)
        spread = (times[-1 - tenth] - times[tenth]) / middle if repeats > 2 * tenth else 0.0
        return Timing(middle, spread, n, "graph" if graph else "eager")

    def graph(self, run: Call) -> Any:
        """A captured graph, or None if the calls cannot be captured."""
        found = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(found):
                run()
        except RuntimeError as error:
            if fatal(error):
                raise
            torch.cuda.synchronize()
            return None
        return found

    def room(self) -> float:
        """Bytes that can still be taken."""
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info()[0])

    def settle(self) -> None:
        """Wait for all that runs; errors show here."""
        torch.cuda.synchronize()

    def _warm_up(self, calls: list[Call]) -> None:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for call in (calls[0], *calls):
                call()
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()

    def _between(self, run: Call, n: int, held: bool) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        if held:
            torch.cuda._sleep(self.HELD_CYCLES)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return 1e3 * float(start.elapsed_time(end)) / n


class HostClock:
    """Runs every call once or twice on the CPU: to find typos, not to measure."""

    device = "cpu"

    def time(self, calls: list[Call], most: int = 2, capture: bool = True) -> Timing:
        """One call of each input."""
        start = time.perf_counter()
        for call in calls:
            call()
        return Timing(1e6 * (time.perf_counter() - start) / len(calls), 0.0, len(calls), "host")

    def graph(self, run: Call) -> Any:
        """There are none."""
        return None

    def room(self) -> float:
        """Enough for small shapes."""
        return 1e9

    def settle(self) -> None:
        """Nothing runs by itself."""


def fatal(error: BaseException) -> bool:
    """Whether the process can use its GPU no more."""
    text = str(error).lower()
    lost = ("illegal memory", "illegal instruction", "misaligned", "unspecified launch", "device-side assert")
    if any(word in text for word in lost):
        return True
    try:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False
