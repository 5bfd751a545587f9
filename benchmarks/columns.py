"""How many layer kinds the cost model prices a second on one core, dense and mixtures of experts.

    python benchmarks/columns.py        (half a minute; prints one table)

A column is one kind of half a layer (an attention or a feed-forward kind) priced for all phases of a study:
its parameters, its bytes and its seconds of a decode, a prefill and a mixed step. The decode column alone is
what a search with one latency in it needs. Medians of seven runs; numpy is held to one thread.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from optimizer import catalog
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.quantities import QUANTITIES, Quantity
from optimizer.questions.architecture.table import priced
from optimizer.spec.norms import Norms
from optimizer.spec.setup import Setup
from optimizer.spec.split import Split

RUNS = 7
KINDS = 20_000
"""As many as a large lattice has; the search prices them in blocks."""


class Kinds(SimpleNamespace):
    """Layer kinds as arrays, beside what holds for all of them."""

    def __len__(self) -> int:
        return KINDS

    def take(self, rows: Any) -> SimpleNamespace:
        """Some of the kinds."""
        own = {name: v[rows] if isinstance(v, np.ndarray) else v for name, v in vars(self).items()}
        return SimpleNamespace(**own)


def kinds(n: int) -> dict[str, tuple[str, Any]]:
    """Random kinds of each family as arrays: the half they are, and the kinds."""
    rng = np.random.default_rng(0)
    pick = lambda values: rng.choice(values, n)  # noqa: E731
    groups = pick([1, 2, 4, 8])
    attention = {"attention_window": None, "qkv_bias": False, "output_bias": False, "qk_norm": True}
    experts = {"gated_ffn": True, "expert_bias": False, "router_bias": False, "shared_gate": False}
    return {
        "grouped-query attention": (
            "mixer",
            Kinds(
                kind="gqa",
                n_heads=groups * pick([8, 16]),
                n_kv_heads=groups,
                d_head=pick([64, 96, 128, 256]),
                **attention,
            ),
        ),
        "latent attention": (
            "mixer",
            Kinds(
                kind="mla",
                n_heads=pick([16, 32, 64, 128]),
                d_kv_latent=pick([256, 512]),
                d_q_latent=pick([768, 1536]),
                d_nope=128,
                d_rope=64,
                d_value=128,
            ),
        ),
        "dense feed-forward": (
            "ffn",
            Kinds(kind="dense_ffn", d_ff=128 * rng.integers(16, 256, n), gated_ffn=True, ffn_bias=False),
        ),
        "mixture of experts": ("ffn", _mixtures(n, rng, n_shared_experts=1, **experts)),
        "the same, some without shared experts": (
            "ffn",
            _mixtures(n, rng, n_shared_experts=pick([0, 1, 2]), **experts),
        ),
    }


def _mixtures(n: int, rng: Any, **fields: Any) -> Kinds:
    return Kinds(
        kind="moe",
        n_experts=rng.choice([8, 16, 32, 64, 128, 256], n),
        n_active_experts=rng.choice([1, 2, 4, 6, 8], n),
        d_expert=128 * rng.integers(4, 64, n),
        d_shared=None,
        **fields,
    )


def rate(price: Callable[[], Any], n: int) -> float:
    """Kinds priced a second, the median of some runs after a first."""
    price()
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        price()
        seconds.append(time.perf_counter() - start)
    return n / statistics.median(seconds)


def every_quantity(frame: Frame, half: str, part: Any) -> None:
    """All that a study may ask of a column."""
    for quantity in QUANTITIES.values():
        priced(price_of(quantity, half), frame, part)


def decode_alone(frame: Frame, half: str, part: Any) -> None:
    """The seconds of a decode step."""
    priced(price_of(QUANTITIES["decode_s"], half), frame, part)


def price_of(quantity: Quantity, half: str) -> Callable[[Frame, Any], Any]:
    """Of a layer half, its norms with the mixer."""
    return (lambda frame, part: quantity.mixer(frame, part, Norms())) if half == "mixer" else quantity.ffn


def main() -> None:
    """Print the table."""
    plain = frame_of(
        catalog.model("llama-3.1-8b"),
        catalog.chip("b200"),
        Setup(batch=64, weight_dtype="fp8", kv_dtype="fp8"),
    )
    wide = replace(plain, split=Split(1, 1, 8, 8), batch=512)
    print(f"{platform.machine()}, one core, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"{KINDS} kinds, priced in the blocks of a search, columns a second\n")
    print("| kinds | decode step | all five quantities | the same, 8 attention ranks |")
    print("|---|---|---|---|")
    for name, (half, part) in kinds(KINDS).items():
        rates = [
            rate(partial(price, frame, half, part), KINDS)
            for price, frame in ((decode_alone, plain), (every_quantity, plain), (every_quantity, wide))
        ]
        print(f"| {name} | " + " | ".join(f"{r:.1e}" for r in rates) + " |")


if __name__ == "__main__":
    main()
