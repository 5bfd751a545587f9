"""Every kind of layer half that can be searched: the optimum is that of plain enumeration, bounds hold.

Guards what a new block file promises: that its dimensions say rightly which way they drive costs. Lattices
are enumerated without arrays, tables or the search: one architecture at a time through `check`, each rule on
plain numbers. Chips, engines and training setups are drawn as well.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import drawn
import numpy as np
import pytest
from drawn import Draw, Seeded, some

from optimizer import Setup, catalog, estimate, solve
from optimizer.anatomy.check import check
from optimizer.blocks import block, least, searched
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError
from optimizer.metrics import metric
from optimizer.plugins import plugins
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.kinds import kinds_of
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import Space, resolve
from optimizer.questions.architecture.witness import look_again

MIXERS, FFNS = searched("mixer"), searched("ffn")
PAIRS = [(mixer, "dense_ffn") for mixer in MIXERS] + [("gqa", ffn) for ffn in FFNS if ffn != "dense_ffn"]
PAIRS += [
    ("csa", "latent_moe"),
    ("mla", "latent_moe"),
    ("kda", "moe"),
    ("mla", "moe"),
    ("lightning", "moe"),
    ("mamba2", "no_ffn"),
]
VALUES: dict[str, list[int]] = {
    "n_heads": [8, 12, 16, 24], "n_kv_heads": [2, 4, 8], "d_head": [64, 96, 128, 256],
    "d_ff": [2048, 4096, 6144],
    "d_kv_latent": [256, 384, 512], "d_nope": [64, 128, 192], "d_rope": [32, 64], "d_value": [64, 128, 256],
    "d_inner": [1024, 2048, 3072, 4096], "d_ssm_head": [32, 64, 128], "d_state": [16, 64, 128],
    "n_groups": [1, 2, 8], "d_dt": [64, 128], "n_key_heads": [2, 4, 8], "n_value_heads": [8, 16, 32],
    "d_key": [64, 128], "n_experts": [4, 8, 16], "n_active_experts": [1, 2, 4], "d_expert": [512, 768, 2048],
    "n_shared_experts": [0, 1, 2], "d_latent": [128, 256, 512],
    "d_q_latent": [256, 384], "n_index_heads": [8, 16], "d_index": [32, 64, 128],
    "d_output_latent": [128, 256], "n_linear_heads": [4, 8, 16], "d_linear_head": [64, 128], "d_conv": [3, 4],
}  # fmt: skip
SWITCHES: dict[str, dict[str, list[Any]]] = {
    "gqa": {"attention_window": [None, 256], "qkv_bias": [False, True], "qk_norm": [False, True]},
    "mla": {"d_q_latent": [None, 384]},
    "dsa": {"n_selected": [256, 2048], "own_index": [True, True, False]},
    "msa": {"n_blocks": [4, 16], "qkv_bias": [False, True], "qk_norm": [False, True]},
    "csa": {"compression": [None, 4, 128], "n_index_heads": [0, 8], "n_output_groups": [8],
            "n_selected": [64, 512]},
    "moe": {"d_shared": [None, 256, 4096], "gated_ffn": [True, False], "expert_bias": [False, True],
            "router_bias": [False, True], "shared_gate": [False, True]},
    "latent_moe": {"d_shared": [None, 256], "gated_ffn": [True, False], "latent_norm": [False, True],
                   "router_bias": [False, True], "shared_gate": [False, True]},
    "kda": {"d_conv": [4], "full_rank_gate": [False, True]},
    "dense_ffn": {"gated_ffn": [True, False], "ffn_bias": [False, True]},
    "mamba1": {"d_conv": [4, 8]}, "mamba2": {"d_conv": [4, 8]}, "gated_deltanet": {"d_conv": [4]},
}  # fmt: skip
METRICS = (
    "tpot_ms",
    "ttft_ms",
    "memory_gib",
    "output_tokens_per_s",
    "n_params",
    "train_usd",
    "train_memory_gib",
)


def problem(d: Draw, mixer: str, ffn: str, wanted: str) -> Problem:
    """A lattice of two kinds with one to three values a dimension, on a drawn chip with a drawn engine."""
    architecture: dict[str, Any] = {
        "mixer": mixer, "ffn": ffn, "vocab_size": 32000, "tied_embeddings": d.of([True, False]),
        "d_model": some(d, [512, 1024, 1536], 2), "n_layers": some(d, [4, 6, 9], 2), "n_norms": d.of([2, 4]),
    }  # fmt: skip
    for kind in (mixer, ffn):
        dimensions = plugins("blocks")[kind].FIELDS.dimensions()
        few = (
            len(dimensions) <= 5
        )  # of more, three are free, which ones is drawn: eight kinds of half at most
        free = dimensions if few else {d.of(list(dimensions)) for _ in range(3)}
        for name in dimensions:
            architecture[name] = some(d, VALUES[name], 3 if few else 2 if name in free else 1)
        architecture |= {name: d.of(values) for name, values in SWITCHES.get(kind, {}).items()}
    setup = drawn.training_setup(d, [1]) | {
        "hardware": d.of(["nvidia-h100-sxm", drawn.written(drawn.chip(d))])
    }
    constraints = {rule: False for rule in drawn.RULES if d.of([True, True, False])}
    limits = {"memory_gib_max": [4.0, 20.0], "tpot_ms_max": [1.0, 5.0], "ttft_ms_max": [20.0, 500.0]}
    constraints |= {bound: d.of(limits[bound]) for bound in some(d, sorted(limits), 1, 0)}
    better = metric(wanted).BETTER
    return Problem.model_validate(
        {
            "name": "kinds",
            "architecture": architecture,
            "hardware": drawn.written(drawn.chip(d)),
            "deployment": {
                "tensor_parallel": some(d, [1, 2, 4], 2),
                "weight_dtype": d.of(drawn.WEIGHTS),
                "kv_dtype": d.of(drawn.CACHES),
                "engine": drawn.written(drawn.engine(d)),
            },
            "workload": {
                "input_tokens": d.of([1, 64, 2000, 32000]),
                "output_tokens": d.of([1, 128]),
                "batch": d.of([1, 16, 200]),
            },
            "training": setup,
            "minimize" if better == "lower" else "maximize": wanted,
            "constraints": constraints,
        }
    )


def enumerated(space: Space, wanted: str) -> float | None:
    """The best value of a metric over all legal plans that keep every rule, one by one."""
    found = []
    sense = 1 if metric(wanted).BETTER == "lower" else -1
    for frame, n_layers in product(space.frames(), space.depths):
        for i, j in product(range(len(space.attention)), range(len(space.ffn))):
            a, f = space.attention.take(i), space.ffn.take(j)
            if space.illegal(a, f):
                continue
            checked = check(frame, space.architecture_of(frame, int(n_layers), a, f), space.rules)
            if not checked.broken:
                found.append(sense * checked.metrics[wanted])
    return sense * min(found) if found else None


def test_every_kind_is_in_a_pair() -> None:
    """A block file with dimensions is searched here; its dimensions have values above."""
    assert (
        {m for m, _ in PAIRS} | {f for _, f in PAIRS} == {*MIXERS, *FFNS} >= {"gqa", "moe", "mla", "mamba2"}
    )
    named = {n for kind in (*MIXERS, *FFNS) for n in plugins("blocks")[kind].FIELDS.dimensions()}
    assert named == VALUES.keys()


@pytest.mark.parametrize(("mixer", "ffn"), PAIRS)
@pytest.mark.parametrize("seed", range(2))
def test_the_optimum_is_that_of_enumeration(mixer: str, ffn: str, seed: int) -> None:
    """And every frame that was left out is below no bound: all are looked at again."""
    d = Seeded(100 * PAIRS.index((mixer, ffn)) + seed)
    wanted = METRICS[seed % len(METRICS)]
    space = resolve(problem(d, mixer, ffn, wanted))
    sense = 1 if metric(wanted).BETTER == "lower" else -1
    search = Search(space, space.rules, symbol(wanted), sense)
    outcome = search.run()
    look_again(search, few=10**6)
    expected = enumerated(space, wanted)
    assert outcome.finished
    if expected is None:
        assert outcome.best is None
    else:
        assert outcome.best is not None
        assert sense * outcome.best.key == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("mixer", "ffn"), PAIRS)
def test_no_kind_is_below_the_least_of_all(mixer: str, ffn: str) -> None:
    """In any frame, each quantity of a plan is at least that of the least layers with as many parameters."""
    for seed in range(40):
        d = Seeded(seed)
        space = resolve(problem(d, mixer, ffn, "tpot_ms"))
        frame = replace(d.of(list(space.frames())), batch=d.of([1, 7, 300]))
        halves = (space.attention, space.ffn)
        models = [
            space.architecture_of(frame, int(space.depths[0]), a, f)
            for a, f in product(*([h.take(i) for i in range(len(h))] for h in halves))
            if not space.illegal(a, f)
        ]
        if not models:
            continue
        plan = d.of(models)
        known = drawn.least_among(frame, plan, halves)
        for name, quantity in QUANTITIES.items():
            exact = quantity.total(frame, plan)
            assert np.min(quantity.floor(frame, known)) <= exact * (1 + 1e-12), name


def test_least_of_some_kinds_by_hand() -> None:
    """Of what costs rise with the least, of what they fall with the most, of the rest each value there is."""
    free = type(
        "Free", (), {"d_inner": (512, 1024), "d_ssm_head": (32, 64), "d_state": (16, 32), "n_groups": (1,)}
    )
    kinds = kinds_of("mamba2", free, {})
    assert len(kinds) == 8
    kept = np.array([np.ones(8, bool), (kinds.d_inner == 1024) & (kinds.d_ssm_head == 32)])
    found = {name: values.tolist() for name, values in least(kinds, kept).items()}
    assert found == {
        "d_inner": [[512, 1024]],
        "d_ssm_head": [[64, 32]],
        "d_state": [[16, 16]],
        "n_groups": [[1, 1]],
    }
    assert block(kinds).ROLE == "mixer"


def test_rules_that_say_nothing_of_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out with the reason where they are on by default, refused where the problem asks for them."""
    space = resolve(problem(Seeded(3), "mla", "moe", "tpot_ms").changed(constraints={}))
    assert set(space.silent) >= {"attention_ratio"} and "attention_ratio" not in space.rules.values
    lightning = plugins("blocks")["lightning"]
    monkeypatch.setattr(lightning, "stands_for", lambda mixer: {})  # heads alone: no key-value heads
    own = problem(Seeded(3), "lightning", "dense_ffn", "tpot_ms")
    space = resolve(own.changed(constraints={}))
    assert space.silent["kv_sharing"] == "lightning and dense_ffn have no n_kv_heads"
    assert "n_kv_heads" not in space.attention.words() and set(space.attention.n_kv_heads) == {1}
    with pytest.raises(AttributeError, match="lightning has no d_ff"):
        _ = space.attention.d_ff
    with pytest.raises(InputError, match="names n_kv_heads, which layers of lightning and dense_ffn do not"):
        resolve(own.changed(constraints={"kv_sharing": 4}))
    best = Search(space, space.rules, symbol("tpot_ms"), 1).run().best
    assert best is not None


def test_a_metric_without_a_law_is_refused() -> None:
    own = problem(Seeded(1), "gqa", "moe", "tpot_ms")
    for changes in ({"minimize": "loss"}, {"constraints": {"loss_max": 2.0}}):
        with pytest.raises(InputError, match="loss: no law covers moe layers"):
            solve(own.changed(**changes))
    assert "loss" not in solve(own.changed(constraints={})).metrics


def test_a_published_model_of_one_kind_of_layer_is_a_lattice_of_one() -> None:
    """Mixtral in an architecture problem costs what `estimate` says."""
    model, chip = catalog.model("mistralai/Mixtral-8x7B-v0.1"), catalog.chip("nvidia-b200")
    traffic = {"input_tokens": 1000, "output_tokens": 100, "batch": 8}
    given = {"name": "m", "architecture": model.name, "hardware": chip.name, "minimize": "tpot_ms"}
    best = solve(Problem.model_validate(given | {"workload": traffic}))
    assert best.architecture.n_experts == 8 and best.architecture.n_active_params < best.architecture.n_params
    expected = estimate(model, chip, Setup(**traffic)).metrics
    assert {name: best.metrics[name] for name in expected if name in best.metrics} == pytest.approx(
        {name: value for name, value in expected.items() if name in best.metrics}, rel=1e-9
    )
