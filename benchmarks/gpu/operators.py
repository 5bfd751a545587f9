"""Single operators: their inputs, and the kernels that may run them; the fastest that works counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import clock
import moe
import torch
import torch.nn.functional as F
from grid import Case, bytes_needed
from torch.nn.attention import SDPBackend, sdpa_kernel

Tensor = torch.Tensor
Form = Callable[..., Any]
ROTATED_BYTES = 256 << 20  # some L2 caches' worth, so that weights and caches come from memory
MOST_COPIES = 32


@dataclass(frozen=True)
class Measured:
    """What is written of a case that ran."""

    us: float
    spread: float
    calls: int
    launch: str
    backend: str
    others: str = ""


class NotRun(Exception):
    """Why a case has no time."""


class Operators:
    """Measures the cases of one operator each."""

    def __init__(self, own_clock: Any, fused: dict[str, Form]) -> None:
        self.clock, self.fused, self.device = own_clock, fused, own_clock.device

    def __call__(self, case: Case) -> Measured:
        """The fastest form of a case."""
        if case.part == "launch":
            return self._launch(case)
        needed = bytes_needed(case)
        room = self.clock.room()
        if 3 * needed > room:
            raise NotRun(f"needs {needed / 2**30:.1f} GiB of {room / 2**30:.1f}")
        copies = max(1, min(MOST_COPIES, int(room / 4 / needed), -(-ROTATED_BYTES // needed)))
        sets = [getattr(self, f"_{case.operator}")(case) for _ in range(copies)]
        return self.best(self.forms(case), sets)[1]

    def best(self, forms: dict[str, Form], sets: Sequence[Sequence[Any]]) -> tuple[Form, Measured]:
        """The fastest of the forms on these inputs, and its time; NotRun if none works."""
        found: list[tuple[clock.Timing, str, Form]] = []
        failed = []
        for name, form in forms.items():
            try:
                form(*sets[0])
                self.clock.settle()
                timing = self.clock.time([lambda own=own, form=form: form(*own) for own in sets])
                found.append((timing, name, form))
            except Exception as error:
                if clock.fatal(error):
                    raise
                failed.append(f"{name}: {brief(error)}")
        if not found:
            raise NotRun("; ".join(failed))
        found.sort(key=lambda entry: entry[0].us)
        (t, name, form), rest = found[0], found[1:]
        others = [f"{other} {timing.us:.2f} us" for timing, other, _ in rest] + failed
        return form, Measured(t.us, t.spread, t.calls, t.launch, name, "; ".join(others))

    def forms(self, case: Case) -> dict[str, Form]:
        """The kernels that may run a case; they take the inputs made for it."""
        c: Any = case
        match case.operator:
            case "gemm" if case.dtype == "bf16":
                return {"torch linear": F.linear}
            case "gemm":
                return {"torch scaled_mm": self._scaled} | (
                    {"torch scaled_mm, rows padded to 16": self._padded} if c.m % 16 else {}
                )
            case "copy":
                return {"torch copy": lambda source, target: target.copy_(source)}
            case "read":
                return {"torch sum": lambda source: source.sum(dtype=torch.float32)}
            case "add":
                return {"torch add": torch.add}
            case "rms_norm":
                return {self._told("add_norm"): self.fused["add_norm"]}
            case "silu_mul":
                return {self._told("silu_mul"): self.fused["silu_mul"]}
            case "decode_attention":
                return self.attention()
            case "prefill_attention":
                return {
                    "torch flash": self._causal(SDPBackend.FLASH_ATTENTION),
                    "torch cudnn": self._causal(SDPBackend.CUDNN_ATTENTION),
                } | ({} if self.device == "cuda" else {"torch math": self._causal(SDPBackend.MATH)})
            case "experts":
                return moe.forms(c.m, c.active, self.fused["silu_mul"])
        raise NotRun(f"no operator '{case.operator}'")

    def attention(self) -> dict[str, Form]:
        """Forms of decode attention: q (batch, heads, d), keys and values (batch, kv heads, context, d)."""

        def by(backend: Any) -> Form:
            def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
                with sdpa_kernel(backend):
                    gqa = q.shape[1] != keys.shape[1]
                    own = q.unsqueeze(2)
                    return F.scaled_dot_product_attention(own, keys, values, enable_gqa=gqa).squeeze(2)

            return attend

        own = {"triton split-k": self.fused["attend"]} if "triton" in self._told("attend") else {}
        if self.device != "cuda":
            return own | {"torch math": by(SDPBackend.MATH)}
        return own | {
            "torch flash": by(SDPBackend.FLASH_ATTENTION),
            "torch cudnn": by(SDPBackend.CUDNN_ATTENTION),
        }

    def random(self, *shape: int) -> Tensor:
        """Normal numbers in 16 bit: zeros would run faster than real data."""
        return torch.randn(*shape, device=self.device, dtype=torch.bfloat16)

    def _told(self, name: str) -> str:
        return "triton" if self.fused[name].__name__.startswith("triton") else "torch"

    def _launch(self, case: Case) -> Measured:
        """Microseconds from one smallest kernel to the next, each waiting for the last."""
        one = torch.zeros(1, device=self.device)

        def add() -> None:
            one.add_(1.0)

        if case.operator == "empty":
            t = self.clock.time([add] * 512, most=512)
        elif case.operator == "empty_eager":
            t = self.clock.time([add] * 512, most=512, capture=False)
        else:
            graph = self.clock.graph(add)
            if graph is None:
                raise NotRun("no graph")
            t = self.clock.time([graph.replay] * 256, most=256, capture=False)
        return Measured(t.us, t.spread, t.calls, t.launch, "torch add_ of one number")

    def _scaled(self, a: Tensor, b: Tensor, one: Tensor) -> Tensor:
        return torch._scaled_mm(
            a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16, use_fast_accum=self.device == "cuda"
        )

    def _padded(self, a: Tensor, b: Tensor, one: Tensor) -> Tensor:
        return self._scaled(F.pad(a.view(torch.uint8), (0, 0, 0, -len(a) % 16)).view(a.dtype), b, one)

    def _causal(self, backend: Any) -> Form:
        def attend(q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            gqa = q.shape[1] != keys.shape[1]
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, keys, values, is_causal=True, enable_gqa=gqa)

        return attend

    def _gemm(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        a, b = self.random(c.m, c.k), self.random(c.n, c.k)
        if case.dtype == "bf16":
            return a, b
        eight = torch.float8_e4m3fn
        return a.to(eight), b.to(eight), torch.ones((), device=self.device)

    def _copy(self, case: Case) -> tuple[Tensor, ...]:
        (source,) = self._read(case)
        return source, torch.empty_like(source)

    def _read(self, case: Case) -> tuple[Tensor, ...]:
        return (torch.ones((case.size or 4) // 4, dtype=torch.float32, device=self.device),)

    def _add(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        return self.random(c.m, c.k), self.random(c.m, c.k)

    def _rms_norm(self, case: Case) -> tuple[Tensor, ...]:
        return *self._add(case), self.random(case.k or 1)

    def _silu_mul(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        return (self.random(c.m, 2 * c.k),)

    def _prefill_attention(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        heads = (c.heads, c.kv_heads, c.kv_heads)
        return tuple(self.random(c.batch, n, c.context, c.d_head) for n in heads)

    def _decode_attention(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        caches = [self.random(c.batch, c.kv_heads, c.context, c.d_head) for _ in range(2)]
        return self.random(c.batch, c.heads, c.d_head), *caches

    def _experts(self, case: Case) -> tuple[Tensor, ...]:
        c: Any = case
        up, down = self.random(c.experts, 2 * c.n, c.k), self.random(c.experts, c.k, c.n)
        return self.random(c.m, c.k), self.random(c.experts, c.k), up, down


def brief(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:160]
