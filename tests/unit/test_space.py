"""The space of a problem: its frames in order, its size, and what is left when some choices are held."""

from itertools import product
from math import prod
from typing import Any

import numpy as np
import pytest
import samples

from optimizer import catalog
from optimizer.errors import InputError
from optimizer.questions.architecture import kinds
from optimizer.questions.architecture import space as spaces
from optimizer.questions.architecture.space import Space, resolve

LATTICE: dict[str, Any] = samples.SPACE | {
    "d_model": [1024, 2048], "n_layers": [8, 16, 20], "d_head": [64, 128], "tied_embeddings": True,
    "position_embeddings": 7, "n_norms": 4, "norm_bias": True, "qkv_bias": True, "attention_window": 512,
    "gated_ffn": False, "ffn_bias": True,
}  # fmt: skip
DEPLOYMENT: dict[str, Any] = {
    "tensor_parallel": [1, 2], "weight_dtype": ["bf16", "fp8"], "kv_dtype": ["fp8", "bf16"],
    "batch": [1, 4, 8], "engine": "vllm", "host_ms": 3.0, "reserve_gib": 2.0,
}  # fmt: skip
CHIPS = ["nvidia-h100-sxm", "nvidia-b200"]


@pytest.fixture(scope="module")
def space() -> Space:
    return resolve(samples.problem(architecture=LATTICE, deployment=DEPLOYMENT, hardware=CHIPS))


def test_frames_in_order(space: Space) -> None:
    """Widths vary fastest, then batches, cache formats, weight formats, splits, chips."""
    names = [catalog.chip(name).name for name in CHIPS]
    keys = ("tensor_parallel", "weight_dtype", "kv_dtype", "batch")
    expected = list(product(names, *(DEPLOYMENT[key] for key in keys), LATTICE["d_model"]))
    frames = list(space.frames())
    found = [
        (f.chip.name, f.split.tensor_parallel, *f.formats.chosen().values(), f.batch, f.d_model)
        for f in frames
    ]
    assert found == expected
    assert (space.n_frames, space.n_settings) == (len(expected), len(expected) // 2)
    points = prod(len(LATTICE[k]) for k in ("n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff"))
    assert space.lattice_points == len(expected) * points
    for number in (0, 1, 2, 7, len(expected) - 1):
        assert space.frame(number) == frames[number]
    settings = list(space.settings())
    assert [s.d_model.tolist() for s in settings] == [[1024.0, 2048.0]] * len(settings)
    assert [s.batch for s in settings] == [f.batch for f in frames[::2]]


def test_what_every_frame_has_of_the_problem(space: Space) -> None:
    frame = next(space.frames())
    assert (frame.input_tokens, frame.output_tokens, frame.training_tokens) == (1024, 256, 2e12)
    assert (frame.requests_per_s, frame.vocab_size, frame.tied_embeddings) == (5000.0, 32000, True)
    assert (frame.position_embeddings, frame.final_bias) == (7, True)
    assert frame.training == space.training is not None
    engine = catalog.engine("vllm").model_copy(update={"host_ms": 3.0, "reserve_gib": 2.0})
    assert frame.engine == engine
    alone = resolve(samples.problem(architecture=LATTICE))
    assert [f.batch for f in alone.frames()] == [8, 8]  # the traffic's, where no deployment says


def test_kinds_are_all_equal_groups(space: Space) -> None:
    a = space.attention
    found = set(zip(a.n_heads.tolist(), a.n_kv_heads.tolist(), a.d_head.tolist(), strict=True))
    heads = product(LATTICE["n_heads"], LATTICE["n_kv_heads"], LATTICE["d_head"])
    assert found == {(h, kv, d) for h, kv, d in heads if h % kv == 0}
    assert len(a) == len(found)
    assert space.ffn.d_ff.tolist() == LATTICE["d_ff"]
    off = resolve(samples.problem(architecture=LATTICE, constraints={"gqa_divisibility": False}))
    assert len(off.attention) == 4 * 2 * 2
    none = LATTICE | {"n_heads": [7], "n_kv_heads": [4]}
    assert (
        len(resolve(samples.problem(architecture=none)).attention) == 2
    )  # the rule itself then says why not


def test_kinds_by_rows(space: Space) -> None:
    some = space.attention.take(np.array([2, 0]))
    assert some.n_heads.tolist() == [space.attention.n_heads[2], space.attention.n_heads[0]]
    assert (some.qkv_bias, some.attention_window, some.kind) == (True, 512, "gqa")
    one = space.ffn.take(1)
    assert (int(one.d_ff), one.gated_ffn, one.ffn_bias) == (7168, False, True)


def test_the_architecture_of_a_plan(space: Space) -> None:
    frame = next(space.frames())
    model = space.architecture_of(frame, 16, space.attention.take(0), space.ffn.take(2))
    assert (model.name, model.d_model, model.n_layers, model.vocab_size) == ("small", 1024, 16, 32000)
    assert (model.tied_embeddings, model.position_embeddings) == (True, 7)
    assert model.first.model_dump() == {
        "mixer": {
            "kind": "gqa", "n_heads": 16, "n_kv_heads": 4, "d_head": 64, "attention_window": 512,
            "qkv_bias": True, "output_bias": False, "qk_norm": False,
        },
        "ffn": {"kind": "dense_ffn", "d_ff": 8192, "gated_ffn": False, "ffn_bias": True},
        "n_norms": 4,
        "norm_bias": True,
    }  # fmt: skip


HELD = [
    ("n_layers", 16), ("n_heads", 20), ("n_kv_heads", 8), ("d_head", 128), ("d_ff", 7168), ("d_model", 2048),
    ("tensor_parallel", 2), ("weight_dtype", "fp8"), ("kv_dtype", "bf16"), ("batch", 4),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), HELD)
def test_one_choice_held(space: Space, name: str, value: Any) -> None:
    found = space.restricted({name: value})
    whole, part = (choices(own) for own in (space, found))
    assert part == {p for p in whole if p[name_index(name)] == value}
    assert found.rules is space.rules
    assert found.lattice_points * domain(name) == space.lattice_points


def domain(name: str) -> int:
    return len((LATTICE | DEPLOYMENT)[name])


NAMES = ("hardware", "tensor_parallel", "weight_dtype", "kv_dtype", "batch", "d_model", "n_layers")
KINDS = ("n_heads", "n_kv_heads", "d_head", "d_ff")


def name_index(name: str) -> int:
    return (*NAMES, *KINDS).index(name)


def choices(own: Space) -> set[tuple[Any, ...]]:
    frames = [
        (f.chip.name, f.split.tensor_parallel, f.formats.weight_dtype, f.formats.kv_dtype, f.batch, f.d_model)
        for f in own.frames()
    ]
    a = own.attention
    heads = zip(a.n_heads.tolist(), a.n_kv_heads.tolist(), a.d_head.tolist(), strict=True)
    rest = product(own.depths.tolist(), list(heads), own.ffn.d_ff.tolist())
    return {(*frame, depth, *kind, d_ff) for frame, (depth, kind, d_ff) in product(frames, list(rest))}


def test_a_chip_held_and_several_choices(space: Space) -> None:
    chip = catalog.chip("nvidia-b200").name
    found = choices(space.restricted({"hardware": chip, "n_layers": 8, "d_ff": 8192, "batch": 1}))
    own = [(name_index(n), v) for n, v in (("hardware", chip), ("n_layers", 8), ("d_ff", 8192), ("batch", 1))]
    assert found == {p for p in choices(space) if all(p[i] == v for i, v in own)}
    assert choices(space.restricted({})) == choices(space)


def test_parts_of_a_wide_space_hold_each_width_once(space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    [(widths, whole)] = space.parts()
    assert (list(widths), whole) == ([0, 1], space)
    monkeypatch.setattr(spaces, "_PART_KINDS", len(space.attention) + len(space.ffn))
    found = resolve(space.problem).parts()
    assert [list(run) for run, _ in found] == [[0], [1]]
    assert [part.architecture.d_model for _, part in found] == [(1024,), (2048,)]
    monkeypatch.setattr(spaces, "_PART_KINDS", 10**9)
    for cells, runs in ((6, [[0, 1]]), (5, [[0], [1]]), (0, [[0], [1]])):
        monkeypatch.setattr(spaces, "_PART_CELLS", cells)
        assert [list(run) for run, _ in resolve(space.problem).parts()] == runs


def test_what_cannot_be_resolved() -> None:
    for fields, words in (
        ({"hardware": ["nvidia-h100-sxm", "h100"]}, "nvidia-h100-sxm is named twice"),
        ({"architecture": "deepseek-v3"}, "a fixed architecture with one kind of layer"),
        ({"training": {"tensor_parallel": 3}}, "3 must divide every deployment.tensor_parallel"),
        (
            {"training": {"global_batch": 7, "microbatch": 2}},
            "must be a multiple of microbatch x data_parallel",
        ),
    ):
        with pytest.raises(InputError, match=words):
            resolve(samples.problem(**fields))
    assert resolve(samples.problem(training=None)).training is None
    fixed = resolve(samples.problem(architecture="llama-3.1-8b"))
    assert (fixed.lattice_points, fixed.architecture.d_ff) == (1, (14336,))
    assert "aspect_ratio" not in fixed.rules.values


def test_groups_without_a_rule_need_a_network() -> None:
    lone = next(c for c in catalog.chips().values() if c.scaleout_bandwidth is None)
    t = 2 * lone.scaleup.domain
    asked: dict[str, Any] = {"hardware": lone.name, "deployment": {"tensor_parallel": [1, t]}}
    with pytest.raises(InputError, match=f"{t} chips of {lone.name} leave its domain of {t // 2}"):
        resolve(samples.problem(**asked, constraints={"scaleup_domain": False}))
    resolve(samples.problem(**asked))  # the rule is on


def test_a_lattice_has_its_baselines_vocabulary_unless_it_says() -> None:
    """Both what is compared and what it is compared with read the same tokens."""
    lattice = {k: v for k, v in samples.SPACE.items() if k != "vocab_size"}
    own = resolve(samples.problem(architecture=lattice, baseline="qwen2.5-0.5b")).architecture
    assert (own.vocab_size, own.tied_embeddings) == (151936, True)
    own = resolve(samples.problem(architecture=samples.SPACE, baseline="qwen2.5-0.5b")).architecture
    assert (own.vocab_size, own.tied_embeddings) == (32000, True)
    own = resolve(samples.problem(architecture=lattice | {"tied_embeddings": False})).architecture
    assert (own.vocab_size, own.tied_embeddings) == (128256, False)


def test_lattices_too_large_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, kept in ((2 * 4 * 2, True), (2 * 4 * 2 - 1, False), (7, False)):
        monkeypatch.setattr(kinds, "MOST_KINDS", most)
        problem = samples.problem(architecture=LATTICE, constraints={"gqa_divisibility": False})
        if kept:
            assert len(resolve(problem).attention) == most
        else:
            with pytest.raises(InputError, match="the lattice has 16 kinds of gqa"):
                resolve(problem)
