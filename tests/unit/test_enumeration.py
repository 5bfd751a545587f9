"""The oracle, the search and the listing against plans built one by one and rules read from their sentences.

Guards the enumeration that every other proof is compared with: it reads columns, masks and the compiler of
rules, so an error in those is its own too. Here each point of a lattice is built as a model, evaluated
operator by operator, and held to rules written apart from the package.
"""

from dataclasses import dataclass
from functools import cache
from itertools import product
from random import Random
from typing import Any

import numpy as np
import pytest
import samples
from sentences import SENTENCES

from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_gib
from optimizer.metrics import evaluate
from optimizer.questions.architecture.cells import SliceCells
from optimizer.questions.architecture.enumeration import all_values, brute_force
from optimizer.questions.architecture.frame_rules import Compiler, symbol
from optimizer.questions.architecture.listing import best_plans
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import Space, resolve

METRICS = ("tpot_ms", "ttft_ms", "output_tokens_per_s", "n_params", "loss", "memory_gib", "train_usd")
VALUES: dict[str, list[Any]] = {
    "aspect_ratio": [[100, 140], [90, 130]],
    "attention_ratio": [[0.75, 1.25], [0.5, 1.0]],
    "ffn_ratio": [[2.5, 3.5], [3.0, 4.0]],
    "kv_sharing": [2, 4, 8],
    "tile_alignment": [True, 96, 128],
    "tensor_parallel_divisibility": [True],
    "gqa_divisibility": [True],
    "scaleup_domain": [True],
    "memory_capacity": [1.0],
}


@dataclass
class Truth:
    """Every point of a space with its metrics, rules not yet applied."""

    points: list[dict[str, Any]]
    metrics: list[dict[str, float]]

    def kept(self, rules: dict[str, Any]) -> list[int]:
        return [i for i in range(len(self.points)) if all(self._keeps(i, *rule) for rule in rules.items())]

    def _keeps(self, i: int, name: str, value: Any) -> bool:
        own = self.metrics[i]
        if name in SENTENCES:
            return SENTENCES[name](value, self.points[i] | own)
        metric, side = name.rsplit("_", 1)
        noise = 1e-11 * abs(value)
        return own[metric] <= value + noise if side == "max" else own[metric] >= value - noise


def truth_of(space: Space) -> Truth:
    found = Truth([], [])
    for frame in space.frames():
        for point in points(space, frame):
            found.points.append(point)
            own = evaluate(frame, samples.dense(point, frame))
            found.metrics.append({name: own[name] for name in METRICS})
    return found


def points(space: Space, frame: Frame) -> list[dict[str, Any]]:
    a = space.architecture
    facts = {
        "d_model": int(frame.d_model), "tensor_parallel": frame.split.tensor_parallel,
        "batch": int(frame.batch), "scaleup_domain": frame.chip.scaleup.domain,
        "alignment": frame.chip.aligned(frame.formats.weight_dtype),
        "room_gib": room_gib(frame.chip, frame.engine), "hardware": frame.chip.name,
        "weight_dtype": frame.formats.weight_dtype,
    }  # fmt: skip
    facts |= {name: getattr(a, name) for name in ("qk_norm", "gated_ffn")}
    names = ("n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff")
    lattice = product(*(getattr(a, name) for name in names))
    return [facts | dict(zip(names, own, strict=True)) for own in lattice]


@cache
def question(seed: int) -> tuple[Space, Truth, dict[str, Any]]:
    """A random small problem; its truth; the rules in force with their values."""
    rng = Random(seed)
    lattice = {
        "vocab_size": 32000,
        "d_model": rng.choice(([2048], [1920, 2048])),
        "n_layers": rng.choice(([16], [16, 20])),
        "n_heads": sorted(rng.sample((12, 15, 16, 20, 24), 3)),
        "n_kv_heads": sorted(rng.sample((2, 3, 4, 8), 2)),
        "d_head": rng.choice(([128], [96, 128])),
        "d_ff": sorted(rng.sample((4992, 6144, 6272, 7168, 8192), 3)),
        "qk_norm": rng.random() < 0.5,
        "gated_ffn": rng.random() < 0.7,
        "tied_embeddings": rng.random() < 0.5,
    }
    deployment = {"tensor_parallel": rng.choice(([1], [2], [1, 4])), "batch": rng.choice(([8], [1, 64]))}
    deployment["weight_dtype"] = rng.choice((["bf16"], ["bf16", "fp8"]))
    hardware = rng.choice((["nvidia-h100-sxm"], ["nvidia-h100-sxm", "nvidia-b200"]))
    off = dict.fromkeys(VALUES, False)
    asked = samples.problem(
        architecture=lattice, deployment=deployment, hardware=hardware, constraints=off, training={}
    )
    space = resolve(asked)
    truth = truth_of(space)
    rules = {name: rng.choice(values) for name, values in VALUES.items() if rng.random() < 0.5}
    for name in rng.sample(METRICS[:6], 2):
        side = rng.choice(("max", "min"))
        own = sorted(m[name] for m in truth.metrics)
        rules[f"{name}_{side}"] = own[
            int(len(own) * (rng.uniform(0.5, 1) if side == "max" else rng.uniform(0, 0.5)))
        ]
    chosen = space.rules
    for name, value in rules.items():
        chosen = chosen.with_value(name, value)
    return space, truth, {"rules": chosen, "values": rules}


@pytest.mark.parametrize("seed", range(14))
def test_enumeration_search_and_listing_are_the_truth(seed: int) -> None:
    space, truth, asked = question(seed)
    rules, rng = asked["rules"], Random(seed)
    kept = truth.kept(asked["values"])
    symbols = tuple(symbol(name) for name in METRICS)
    found = all_values(space, rules, symbols)
    expected = np.array([[truth.metrics[i][name] for name in METRICS] for i in kept]).reshape(
        -1, len(METRICS)
    )
    assert found.shape == expected.shape
    order = [np.lexsort(np.round(np.log(values[:, :4]), 7).T) for values in (found, expected)]
    np.testing.assert_allclose(found[order[0]], expected[order[1]], rtol=1e-9)
    for name, sense in (
        ("tpot_ms", 1),
        ("output_tokens_per_s", -1),
        (rng.choice(METRICS), rng.choice((1, -1))),
    ):
        keys = np.sort(sense * expected[:, METRICS.index(name)])
        best = float(keys.min(initial=np.inf))
        assert brute_force(space, rules, symbol(name), sense) == pytest.approx(best, rel=1e-9)
        answer = Search(space, rules, symbol(name), sense).run()
        assert answer.finished
        assert (answer.best is None) == (not len(kept))
        if answer.best is not None:
            assert answer.best.key == pytest.approx(best, rel=1e-9)
        listed = best_plans(space, rules, symbol(name), sense, 5)
        assert [plan.key for plan in listed] == pytest.approx(keys[:5].tolist(), rel=1e-9)


@pytest.mark.parametrize("seed", range(14))
def test_what_the_compiler_leaves_is_what_the_rules_on_dimensions_keep(seed: int) -> None:
    """Kinds go only where every plan with them breaks a rule; pairs and depths are told apart exactly."""
    space, truth, asked = question(seed)
    values = {name: value for name, value in asked["values"].items() if name in SENTENCES}
    values.pop("memory_capacity", None)
    compiler = Compiler(space, asked["rules"])
    at = 0
    for frame in space.frames():
        own = points(space, frame)
        kept = {i for i in truth.kept(values) if at <= i < at + len(own)}
        compiled = compiler.compile(frame)
        shape = (len(space.depths), len(space.attention), len(space.ffn))
        allowed = np.zeros(shape, dtype=bool)
        allowed[np.ix_(compiled.depths, compiled.attention, compiled.ffn)] = True
        for _, mask in compiled.pairs:
            allowed &= np.broadcast_to(mask.reshape((1,) * (3 - mask.ndim) + mask.shape), shape)
        found = set()
        for d, a, f in zip(*np.nonzero(allowed), strict=True):
            kind = space.attention.take(a)
            words = (int(space.depths[d]), int(kind.n_heads), int(kind.n_kv_heads), int(kind.d_head))
            found.add((*words, int(space.ffn.d_ff[f])))
        names = ("n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff")
        assert found == {tuple(truth.points[i][name] for name in names) for i in kept}
        assert compiled.alive == bool(len(compiled.depths) and len(compiled.attention) and len(compiled.ffn))
        at += len(own)


def slices(space: Space, rules: Any, metric: str, sense: int) -> Any:
    """(frame, table, bounds) of every run of depths that the queue would price."""
    queue = SliceCells(space, rules, symbol(metric), sense)
    for number, frame in enumerate(space.frames()):
        for table, bounds in queue.priced(number):
            yield frame, table, bounds


@pytest.mark.parametrize("seed", range(14))
def test_no_bound_of_a_depth_is_above_a_plan(seed: int) -> None:
    """Of the depth, and of each kind of attention in it; windows hold every plan's parameters."""
    space, truth, asked = question(seed)
    names = ("n_layers", "n_heads", "n_kv_heads", "d_head")
    facts = ("hardware", "tensor_parallel", "batch", "d_model", "weight_dtype")
    for metric, sense in (("tpot_ms", 1), ("output_tokens_per_s", -1), ("loss", 1), ("n_params", -1)):
        best: dict[Any, float] = {}
        params: dict[Any, list[float]] = {}
        for i in truth.kept(asked["values"]):
            point = truth.points[i]
            key = (*(point[n] for n in facts), *(point[n] for n in names))
            best[key] = min(best.get(key, np.inf), sense * truth.metrics[i][metric])
            params.setdefault(key[: len(facts) + 1], []).append(truth.metrics[i]["n_params"])
        seen = set()
        for frame, table, bounds in slices(space, asked["rules"], metric, sense):
            own = (
                frame.chip.name,
                frame.split.tensor_parallel,
                frame.batch,
                frame.d_model,
                frame.formats.weight_dtype,
            )
            kinds = space.attention.take(table.rules.attention)
            for d, depth in enumerate(table.depths.tolist()):
                window = params.get((*own, depth), [])
                assert all(bounds.low[d] * (1 - 1e-9) <= n <= bounds.high[d] * (1 + 1e-9) for n in window)
                assert bounds.key[d] == bounds.by_attention[d].min()
                for a in range(len(kinds)):
                    key = (*own, depth, *(int(getattr(kinds, n)[a]) for n in names[1:]))
                    if key in best:
                        seen.add(key)
                        assert bounds.by_attention[d, a] <= best[key] + 1e-9 * abs(best[key])
        assert seen == set(best)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("windowed", [False, True])
def test_bounds_are_exact_where_nothing_but_parameters_is_asked(seed: int, windowed: bool) -> None:
    """Costs rise with the width of the network, so the cheapest in the window is the best plan."""
    space, truth, _ = question(seed)
    rules, values = space.rules, {}
    if windowed:
        own = sorted(m["n_params"] for m in truth.metrics)
        values = {"parameter_window": (own[len(own) // 3], own[2 * len(own) // 3])}
        rules = rules.with_value("parameter_window", values["parameter_window"])
    for metric, sense in (("tpot_ms", 1), ("output_tokens_per_s", -1), ("memory_gib", 1), ("n_params", 1)):
        best: dict[Any, float] = {}
        for i in truth.kept(values):
            p = truth.points[i]
            key = (
                p["hardware"],
                p["tensor_parallel"],
                p["batch"],
                p["weight_dtype"],
                p["d_model"],
                p["n_layers"],
            )
            best[key] = min(best.get(key, np.inf), sense * truth.metrics[i][metric])
        found = {
            (f.chip.name, f.split.tensor_parallel, f.batch, f.formats.weight_dtype, f.d_model, depth): float(
                bounds.key[d]
            )
            for f, table, bounds in slices(space, rules, metric, sense)
            for d, depth in enumerate(table.depths.tolist())
            if np.isfinite(bounds.key[d])
        }
        assert found == pytest.approx(best, rel=1e-9)
