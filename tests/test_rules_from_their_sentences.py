"""Each rule against its own sentence, written here again in exact fractions and never read from `rule`.

Solver, oracle and checker all call the same `rule`, so a wrong one is agreed by all of them. Each sentence
is therefore tried at and one step beside every border of every term, in the three places where it counts:
the mask on numbers, the rows of the solver, and the checker of an answer.
"""

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
import samples
from kinds import DenseFeedForward, GroupedQueryAttention, Mla, NoMixer
from pydantic import TypeAdapter
from rows import allowed_pairs
from sentences import SENTENCES, Point

from optimizer.anatomy.check import check
from optimizer.columns.rules import (
    Reference,
    Rules,
    baseline_frame,
    default_values,
    frame_values,
    resolve_rules,
    split_bound,
)
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import room_gib
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError
from optimizer.metrics import evaluate, having
from optimizer.plugins import plugins
from optimizer.questions.architecture.frame_rules import Compiler
from optimizer.questions.architecture.slice_model import SliceModel
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.table import frame_table
from optimizer.scope import Scope, holds
from optimizer.spec.architecture import Architecture

GIB = 2**30


RULES = sorted(SENTENCES)


def beside(*numbers: Any) -> list[int]:
    """Whole numbers at and one step from each number, those above zero."""
    found = {int(n // 1) + step for n in numbers for step in (-1, 0, 1, 2)}
    return sorted(n for n in found if n > 0)


def band(rng: Random) -> tuple[float, float]:
    """Eighths, so that a band times a whole number is exact in floating point."""
    low = rng.randint(1, 60)
    return low / 8, (low + rng.randint(0, 60)) / 8


def points(name: str, rng: Random) -> Iterator[tuple[Any, Point]]:
    """(value, point) at and beside each border of a rule."""
    n, pair = rng.randint(1, 90), band(rng)
    if name == "aspect_ratio":
        yield from ((pair, {"n_layers": n, "d_model": d}) for d in beside(pair[0] * n, pair[1] * n))
    elif name == "attention_ratio":
        for width in beside(pair[0] * n, pair[1] * n):
            d_head = rng.choice([k for k in range(1, width + 1) if width % k == 0])
            yield pair, {"d_model": n, "n_heads": width // d_head, "d_head": d_head}
    elif name == "ffn_ratio":
        yield from ((pair, {"d_model": n, "d_ff": d}) for d in beside(pair[0] * n, pair[1] * n))
    elif name == "gqa_divisibility":
        kv = rng.randint(1, 12)
        yield from ((True, {"n_heads": h, "n_kv_heads": kv}) for h in beside(kv * rng.randint(1, 9)))
    elif name == "kv_sharing":
        for kv in (1, 3, 4, 7, 8, 9, rng.randint(1, 12)):
            group = rng.randint(1, 12)
            yield from ((group, {"n_heads": h, "n_kv_heads": kv}) for h in beside(group * kv))
    elif name == "memory_capacity":
        share, usable = rng.randint(1, 64) / 64, rng.randint(1, 1000) / 8
        edge = share * usable
        for used in (edge, np.nextafter(edge, 0), np.nextafter(edge, np.inf), edge * 0.99, edge * 1.01):
            yield share, {"memory_gib": float(used), "room_gib": usable}
    elif name == "parameter_window":
        low, width = rng.randint(10, 10**11), rng.randint(0, 10**9)
        own = (float(low), float(low + width))
        yield from ((own, {"n_params": float(count)}) for count in beside(*own))
    elif name == "quantisation_blocks":
        edge, t = rng.choice((1, 2, 4)), rng.choice((1, 2, 3, 4))
        for p in sharded(rng, t, edge):
            for d_head in (1, edge, 3 * edge):
                yield edge, p | {"d_head": d_head, "network_ranks": t}
                yield edge, p | {"d_head": d_head, "network_ranks": 1}
    elif name == "scaleup_domain":
        yield from ((True, {"tensor_parallel": t, "scaleup_domain": n}) for t in beside(n))
    elif name == "tensor_parallel_divisibility":
        yield from ((True, p) for p in sharded(rng, rng.choice((1, 2, 3, 4, 6, 8)), 1))
    else:
        step = rng.choice((1, 2, 8, 12, 64))
        own = {"alignment": step, "d_model": step * rng.randint(1, 9)}
        for p in sharded(rng, rng.choice((1, 2, 3, 4)), step):
            for d_model in (own["d_model"], own["d_model"] + 1):
                p = p | own | {"d_model": d_model, "d_head": rng.choice((1, 2, step))}
                yield step, p
                yield True, p
                yield 2 * step, p


def sharded(rng: Random, t: int, step: int) -> Iterator[Point]:
    """Widths that fall into equal shards, and each of them one or one tile too wide, alone."""
    own = {"n_heads": t * step * rng.randint(1, 4), "n_kv_heads": t * rng.randint(1, 3)}
    own |= {"d_ff": t * step * rng.randint(1, 5), "tensor_parallel": t}
    yield own
    for name in ("n_heads", "n_kv_heads", "d_ff"):
        for more in (1, step, -1):
            if own[name] + more > 0:
                yield own | {name: own[name] + more}
    yield from (own | {"n_kv_heads": kv} for kv in range(1, t + 1))  # whole heads, or ranks per head


def mask(name: str, value: Any, point: Point) -> np.ndarray:
    scope = Scope(point, point.__getitem__)
    return np.asarray(holds(plugins("constraints")[name].rule(scope, value)))


def test_every_rule_has_its_sentence() -> None:
    assert sorted(plugins("constraints")) == RULES


@pytest.mark.parametrize("name", RULES)
def test_the_mask_is_the_sentence_at_every_border(name: str) -> None:
    rng, answers = Random(name), []
    for _ in range(60):
        tried = list(points(name, rng))
        for value, point in tried:
            answers.append(SENTENCES[name](value, point))
            assert bool(mask(name, value, point)) == answers[-1], (value, point)
        value = tried[0][0]
        own = [p for v, p in tried if v == value and type(v) is type(value)]
        arrays = {key: np.array([p[key] for p in own]) for key in own[0]}
        assert mask(name, value, arrays).tolist() == [SENTENCES[name](value, p) for p in own]
    assert {True, False} <= set(answers)


def lattice(name: str, rng: Random) -> tuple[Any, Space]:
    """A small lattice that lies on both sides of one rule, the only one that holds, and the rule's value."""
    t = rng.choice((1, 2, 3, 4))
    d_model, n_layers = rng.choice((64, 128)), [4, 8, 16]
    own: dict[str, Any] = {
        "vocab_size": 512,
        "d_model": d_model,
        "n_layers": n_layers,
        "n_heads": [*sorted(rng.sample(range(1, 25), 5)), t * 28],
        "n_kv_heads": sorted({1, 7, 8, *rng.sample(range(1, 13), 3), t}),
        "d_head": rng.sample((2, 4, 8, 12), 2),
        "d_ff": sorted({*rng.sample(range(16, 700), 5), 64 * t, 128 * t}),
    }
    values: dict[str, Any] = {
        "aspect_ratio": (d_model / rng.choice((8, 16)), d_model / rng.choice((4, 8))),
        "attention_ratio": (own["n_heads"][1] * own["d_head"][0] / d_model, 1.5),
        "ffn_ratio": (own["d_ff"][1] / d_model, own["d_ff"][-2] / d_model),
        "kv_sharing": rng.choice((1, 2, 3)),
        "tile_alignment": rng.choice((2, 4, 64)),
        "quantisation_blocks": rng.choice((2, 4)),
        "memory_capacity": 1.0,
        "parameter_window": (1.0, 2.0),
    }
    off = dict.fromkeys(RULES, False)
    deployment = {"tensor_parallel": t}
    space = resolve(samples.problem(architecture=own, deployment=deployment, constraints=off))
    value = values.get(name, True)
    return value, replace(space, rules=space.rules.with_value(name, value))


def lattice_points(space: Space, frame: Frame) -> Iterator[tuple[tuple[int, int, int], Point]]:
    """Every point of a lattice, with its rows."""
    facts = {"d_model": frame.d_model, "tensor_parallel": frame.split.tensor_parallel}
    for row, n_layers in enumerate(space.depths):
        for i in range(len(space.attention)):
            own = {k: int(getattr(space.attention, k)[i]) for k in ("n_heads", "n_kv_heads", "d_head")}
            for j, d_ff in enumerate(space.ffn.d_ff):
                yield (row, i, j), facts | own | {"n_layers": int(n_layers), "d_ff": int(d_ff)}


def rows_allow(space: Space, frame: Frame) -> set[tuple[int, int, int]]:
    compiled = Compiler(space, space.rules).compile(frame)
    if not compiled.alive:
        return set()
    table = frame_table(space, frame, compiled, list(QUANTITIES))
    kinds = np.arange(len(compiled.attention)), np.arange(len(compiled.ffn))
    found = set()
    for row in compiled.depths:
        model = SliceModel(table, int(row), int(space.depths[row]), *kinds)
        model.add_rules()
        found |= {(int(row), i, j) for i, j in allowed_pairs(model)}
    return found


ON_DIMENSIONS = [n for n in RULES if n not in ("memory_capacity", "parameter_window", "scaleup_domain")]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ON_DIMENSIONS)
def test_rows_and_checker_are_the_sentence(name: str, seed: int) -> None:
    rng = Random(f"{name} {seed}")
    value, space = lattice(name, rng)
    frame = next(space.frames())
    everything = dict(lattice_points(space, frame))
    facts = {"alignment": frame.chip.aligned(frame.formats.weight_dtype)}
    truth = {rows for rows, point in everything.items() if SENTENCES[name](value, point | facts)}
    assert rows_allow(space, frame) == truth
    for rows in rng.sample(sorted(everything), 25):
        broken = check(frame, samples.dense(everything[rows], frame), space.rules).broken
        assert broken == (() if rows in truth else (name,)), everything[rows]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ["memory_capacity", "parameter_window"])
def test_rows_and_checker_hold_a_metric_to_its_border(name: str, seed: int) -> None:
    """The border lies on a plan exactly: that plan is kept, those a millionth beyond are not."""
    rng = Random(seed)
    _, space = lattice(name, rng)
    space = space.restricted({"n_layers": 8, "d_head": int(space.attention.d_head[0])})
    frame = next(space.frames())
    everything = dict(lattice_points(space, frame))
    metric = {"memory_capacity": "memory_gib", "parameter_window": "n_params"}[name]
    own = {rows: evaluate(frame, samples.dense(point, frame))[metric] for rows, point in everything.items()}
    ordered = sorted(own.values())
    low, high = ordered[len(ordered) // 4], ordered[len(ordered) // 2]
    if name == "memory_capacity":
        low, value = 0.0, high / room_gib(frame.chip, frame.engine)
    space = replace(space, rules=space.rules.with_value(name, (low, high) if low else value))
    found = rows_allow(space, frame)
    for rows, amount in own.items():
        if low <= amount <= high:
            assert rows in found
        elif amount > high * (1 + 1e-6) or amount < low * (1 - 1e-6):
            assert rows not in found
    for rows in rng.sample(sorted(everything), 25):
        broken = check(frame, samples.dense(everything[rows], frame), space.rules).broken
        assert broken == (() if low <= own[rows] <= high else (name,))


@pytest.mark.parametrize(("t", "domain", "broken"), [(8, 8, ()), (9, 8, ("scaleup_domain",)), (7, 8, ())])
def test_the_checker_holds_a_group_to_its_domain(t: int, domain: int, broken: tuple[str, ...]) -> None:
    frame = samples.frame("llama-3.1-8b", samples.chip(), tensor_parallel=t)
    assert frame.chip.scaleup.domain == domain
    rules = Rules({"scaleup_domain": True}, Reference(None))
    assert check(frame, llama(), rules).broken == broken


def llama() -> Architecture:
    flat = {"name": "m", "d_model": 4096, "vocab_size": 128256, "n_layers": 32}
    return Architecture.model_validate(flat | {"n_heads": 32, "n_kv_heads": 8, "d_head": 128, "d_ff": 14336})


METRICS = sorted(having("value"))


@pytest.mark.parametrize("side", ["max", "min"])
@pytest.mark.parametrize("name", ["tpot_ms", "loss", "n_params", "output_tokens_per_s"])
def test_the_checker_holds_a_metric_to_its_bound(name: str, side: str) -> None:
    """Within the noise of adding floats in another order, and no further."""
    frame = samples.frame("llama-3.1-8b")
    value = evaluate(frame, llama())[name]
    sign = 1 if side == "max" else -1
    for beyond, kept in ((0.0, True), (1e-12, True), (1e-6, False), (0.02, False), (-1e-6, True)):
        rules = Rules({f"{name}_{side}": value / (1 + sign * beyond)}, Reference(None))
        assert check(frame, llama(), rules).broken == (() if kept else (f"{name}_{side}",))


def test_an_increase_is_over_the_baseline_in_sixteen_bit_on_the_same_chips() -> None:
    baseline = llama().model_copy(update={"tied_embeddings": True, "position_embeddings": 64})
    fields = {"tensor_parallel": 2, "batch": 4, "d_model": 2048, "vocab_size": 1000, "weight_dtype": "fp8"}
    frame = samples.frame("llama-3.1-8b", **fields, kv_dtype="fp8", final_bias=True)
    own = samples.frame(baseline, tensor_parallel=2, batch=4)
    reference = Reference(baseline)
    for name in ("loss", "tpot_ms", "n_params", "memory_gib"):
        rules = Rules({f"{name}_increase_max": 0.25, f"{name}_max": 7.0, f"{name}_min": 3.0}, reference)
        was = evaluate(own, baseline)[name]
        assert rules.limit(f"{name}_increase_max", frame) == pytest.approx(1.25 * was, rel=1e-12)
        assert rules.limit(f"{name}_max", frame) == 7.0
        scope = Scope({}, {name: np.array([1.24 * was, 1.26 * was])}.__getitem__)
        kept = holds(rules.relation(f"{name}_increase_max", scope, frame))
        assert kept.tolist() == [True, False]
        scope = Scope({}, {name: np.array([2.9, 3.0, 7.0, 7.1])}.__getitem__)
        assert holds(rules.relation(f"{name}_max", scope, frame)).tolist() == [True, True, True, False]
        assert holds(rules.relation(f"{name}_min", scope, frame)).tolist() == [False, True, True, True]
    assert baseline_frame(frame, baseline) == samples.changed(own, weight_dtype="fp8", kv_dtype="fp8")


def test_a_reference_is_one_of_each_chip_split_and_batch() -> None:
    reference = Reference(llama())
    frames = [
        samples.frame("llama-3.1-8b", chip, tensor_parallel=t, batch=b)
        for chip in ("nvidia-h100-sxm", "nvidia-b200")
        for t in (1, 2)
        for b in (1, 8)
    ]
    found = [reference.value("tpot_ms", frame) for frame in frames]
    assert found == [evaluate(frame, llama())["tpot_ms"] for frame in frames]
    assert len(set(found)) == 8
    with pytest.raises(InputError, match="tpot_ms_increase_max needs a baseline"):
        Reference(None).value("tpot_ms", frames[0])


def test_the_checker_looks_at_every_group_of_layers_in_its_own_words() -> None:
    """Broken in the last group only, in the first only, and by a layer that lacks one half."""
    good = GroupedQueryAttention(n_heads=16, n_kv_heads=8, d_head=64)
    wide = GroupedQueryAttention(n_heads=64, n_kv_heads=8, d_head=64)
    narrow, broad = DenseFeedForward(d_ff=4096), DenseFeedForward(d_ff=8192)
    values: dict[str, Any] = {"attention_ratio": (0.5, 2.0), "ffn_ratio": (2.0, 4.0)}

    def broken(*halves: tuple[Any, Any], **own: Any) -> tuple[str, ...]:
        layers = tuple({"count": 2, "block": {"mixer": a, "ffn": f}} for a, f in halves)
        model = Architecture(name="m", d_model=1024, vocab_size=1000, layers=layers)
        rules = Rules(values | own, Reference(None))
        return check(samples.frame(model, d_model=1024), model, rules).broken

    assert broken((good, narrow), (good, narrow)) == ()
    assert broken((good, narrow), (wide, narrow)) == ("attention_ratio",)
    assert broken((wide, narrow), (good, narrow)) == ("attention_ratio",)
    assert broken((good, broad), (good, narrow)) == ("ffn_ratio",)
    assert broken((good, narrow), (good, broad)) == ("ffn_ratio",)
    assert broken((wide, broad), (good, narrow)) == ("attention_ratio", "ffn_ratio")
    # A layer without a mixer has the words of the first that has one; a layer with one has its own.
    assert broken((NoMixer(), narrow), (good, narrow), (good, narrow)) == ()
    assert broken((good, narrow), (NoMixer(), narrow)) == ()
    assert broken((NoMixer(), broad), (good, narrow)) == ("ffn_ratio",)
    # All layers count as the depth, of whatever group they are.
    assert broken((good, narrow), (good, narrow), aspect_ratio=(256.0, 256.0)) == ()
    assert broken((good, narrow), (good, narrow), aspect_ratio=(257.0, 512.0)) == ("aspect_ratio",)
    # A kind says in the words of the rules what it has.
    mla = Mla(n_heads=16, d_kv_latent=64, d_nope=32, d_rope=32, d_value=8)
    assert broken((mla, narrow), attention_ratio=(1.0, 1.0), kv_sharing=1) == ()


def test_frame_facts() -> None:
    chip = samples.chip(
        dense_flops={"bf16": "1 PFLOP/s", "fp8": "2 PFLOP/s"}, alignment={"bf16": 64, "fp8": 128}
    )
    frame = samples.frame("llama-3.1-8b", chip, tensor_parallel=4, batch=3, weight_dtype="fp8")
    assert frame_values(frame) == {
        "d_model": 4096,
        "tensor_parallel": 4,
        "network_ranks": 4,
        "batch": 3,
        "vocab_size": 128256,
        "scaleup_domain": 8,
        "alignment": 128,
        "room_gib": 79.0,
    }
    assert frame_values(samples.changed(frame, weight_dtype="bf16"))["alignment"] == 64


def test_defaults_are_those_of_the_sentences() -> None:
    shapes = {
        "aspect_ratio": [32, 200],
        "attention_ratio": [0.75, 2.0],
        "ffn_ratio": [2.5, 5.5],
        "kv_sharing": 8,
        "tile_alignment": True,
    }
    always = {
        "gqa_divisibility": True,
        "memory_capacity": 1.0,
        "scaleup_domain": True,
        "tensor_parallel_divisibility": True,
    }
    assert default_values(published=False) == shapes | always
    assert default_values(published=True) == always


WEAKER = {
    "aspect_ratio": (
        [32, 200],
        [[30.4762, 210], [29.0909, 220], [25.6, 250], [21.3333, 300], [16, 400], [8, 800]],
    ),
    "attention_ratio": (
        [0.5, 2],
        [[0.4762, 2.1], [0.4545, 2.2], [0.4, 2.5], [0.3333, 3], [0.25, 4], [0.125, 8]],
    ),
    "ffn_ratio": ([2, 4], [[1.9048, 4.2], [1.8182, 4.4], [1.6, 5], [1.3333, 6], [1, 8], [0.5, 16]]),
    "kv_sharing": (8, [12, 16, 32, 64, 128]),
    "tile_alignment": (True, [64, 32, 16, 8]),
}


@pytest.mark.parametrize("name", RULES)
def test_weaker_values_are_the_next_ones(name: str) -> None:
    module = plugins("constraints")[name]
    assert hasattr(module, "weaker") == (name in WEAKER)
    if name in WEAKER:
        value, nearest_first = WEAKER[name]
        assert np.asarray(module.weaker(value)).tolist() == nearest_first


def test_weaker_values_stop_at_the_weakest() -> None:
    kv, tile = (plugins("constraints")[name].weaker for name in ("kv_sharing", "tile_alignment"))
    assert (kv(11), kv(12), kv(16), kv(127), kv(128)) == (
        [12, 16, 32, 64, 128],
        [16, 32, 64, 128],
        [32, 64, 128],
        [128],
        [],
    )
    assert (tile(128), tile(129), tile(64), tile(9), tile(8)) == (
        [64, 32, 16, 8],
        [128, 64, 32, 16, 8],
        [32, 16, 8],
        [8],
        [],
    )


BANDS = ([[1, 2], (1, 1), [0.001, 1e6]], [[2, 1], [0, 1], [-1, 1], [1], [1, 2, 3], 3, "wide", [1, None]])
SWITCH = ([True], [0, 1, 1.0, 2, "yes", [1, 2], 0.5])
ACCEPTED: dict[str, tuple[list[Any], list[Any]]] = {
    "aspect_ratio": BANDS,
    "attention_ratio": BANDS,
    "ffn_ratio": BANDS,
    "gqa_divisibility": SWITCH,
    "kv_sharing": ([1, 8, 128], [0, -1, 1.5, [1, 2], "many"]),
    "memory_capacity": ([1.0, 0.5, 1e-6], [0, -0.1, 1.0001, 2, "half", [0.5, 1]]),
    "parameter_window": BANDS,
    "quantisation_blocks": ([1, 64, 128], [0, -8, 1.5, [8, 16], "all"]),
    "scaleup_domain": SWITCH,
    "tensor_parallel_divisibility": SWITCH,
    "tile_alignment": ([True, 1, 64], [0, -8, 1.5, [8, 16], "all"]),
}


def resolved(**constraints: Any) -> dict[str, Any]:
    problem = samples.problem(constraints=constraints)
    free: Any = problem.architecture
    return dict(resolve_rules(problem.constraints, free.window, Reference(None), published=False).values)


@pytest.mark.parametrize("name", RULES)
def test_accepted_values(name: str) -> None:
    default = default_values(published=False)
    accepted, refused = ACCEPTED[name]
    for value in accepted:
        kept = tuple(value) if isinstance(value, list) else value
        read = TypeAdapter(plugins("constraints")[name].Value).validate_python(value)
        assert (read, type(read)) == (kept, type(kept))
        assert resolved(**{name: value}) == default | {name: kept}
    for value in refused:
        with pytest.raises(InputError, match=rf"constraints\.{name}: .* is not accepted; use "):
            resolved(**{name: value})
    assert resolved(**{name: False}) == {k: v for k, v in default.items() if k != name}
    if name in default:
        assert resolved(**{name: True}) == default


def test_a_bound_is_a_number_of_its_metric() -> None:
    own = resolved(tpot_ms_max=3, loss_min=2.5, n_params_max=False)
    assert {k: v for k, v in own.items() if k not in RULES} == {"tpot_ms_max": 3.0, "loss_min": 2.5}
    for value in (True, "3", None, [1], float("nan"), 1e300, -1e300):
        with pytest.raises(InputError, match=r"constraints\.tpot_ms_max: .* is not a number of ms"):
            resolved(tpot_ms_max=value)
    with pytest.raises(InputError, match=r"tpot_ms_increase_max: needs a baseline to compare with"):
        resolved(tpot_ms_increase_max=0.1)
    for value in (-1, 0, -1e299):
        with pytest.raises(InputError, match="below every plan's; give a positive number"):
            resolved(tpot_ms_max=value)
    with pytest.raises(InputError, match="below every plan's"):
        resolved(tpot_ms_min=-1)
    own = resolved(tpot_ms_min=0, n_params_max="7B", ttft_ms_max="2 s", loss_max=1e299)
    assert [own[n] for n in ("tpot_ms_min", "n_params_max", "ttft_ms_max", "loss_max")] == [
        0,
        7e9,
        2e3,
        1e299,
    ]
    for text in ("3", "fast"):
        with pytest.raises(InputError, match=r"constraints\.loss_max: .* is not a number of nats"):
            resolved(loss_max=text)
    for name in ("tpot_max", "tpot_ms_most", "aspect_ratios"):
        for value in (1, False):
            with pytest.raises(InputError, match=rf"constraints\.{name}"):
                resolved(**{name: value})


def test_an_increase_may_be_a_decrease() -> None:
    """Twenty per cent less than the baseline, or just as much, are bounds like any other."""
    problem = samples.problem(constraints={"tpot_ms_increase_max": -0.2, "loss_increase_max": 0})
    free: Any = problem.architecture
    values = resolve_rules(problem.constraints, free.window, Reference(llama()), published=False).values
    assert (values["tpot_ms_increase_max"], values["loss_increase_max"]) == (-0.2, 0.0)


def test_names_that_are_no_rule_are_told_those_that_are() -> None:
    with pytest.raises(InputError, match="Did you mean aspect_ratio"):
        resolved(aspect_ratios=1)
    with pytest.raises(InputError, match="Did you mean tpot_ms_max"):
        resolved(tpot_ms_maxx=1)
    for known in ("aspect_ratio", "loss_max", "loss_min"):
        with pytest.raises(InputError, match=f"Accepted: .*{known}"):
            resolved(zzzzzzzz=1)


def test_names_of_bounds() -> None:
    assert split_bound("tpot_ms_max") == ("tpot_ms", "_max")
    assert split_bound("tpot_ms_min") == ("tpot_ms", "_min")
    assert split_bound("loss_increase_max") == ("loss", "_increase_max")
    assert split_bound("aspect_ratio") == ("", "")


def test_the_window_of_a_target_is_its_tolerance_on_both_sides() -> None:
    space = samples.SPACE | {"n_params": 8_000_000_000, "n_params_tolerance": 0.25}
    problem = samples.problem(architecture=space)
    free: Any = problem.architecture
    rules = resolve_rules(problem.constraints, free.window, Reference(None), published=False)
    assert rules.values["parameter_window"] == [6e9, 10e9]
    assert "parameter_window" not in resolved()


def test_rules_are_switched_by_name() -> None:
    rules = Rules({"a": 1, "b": 2, "c": 3}, Reference(None))
    assert rules.without("a", "c").values == {"b": 2}
    assert rules.only({"a", "c"}).values == {"a": 1, "c": 3}
    assert rules.with_value("b", 5).values == {"a": 1, "b": 5, "c": 3}
    assert rules.values == {"a": 1, "b": 2, "c": 3}
