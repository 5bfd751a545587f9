"""Two ways to ask one question give one answer: architectures, on any chip and engine.

Guards what no enumeration sees, since it shares the reading of the problem: the order of domains, units,
values fixed or listed, rules dropped or never given, and metrics that say the same in other words.
"""

from typing import Any

import drawn
import pytest
from hypothesis import HealthCheck, given, settings

import optimizer
from optimizer import catalog
from optimizer.cost.training.long_run import effective_share
from optimizer.questions.architecture.frame_rules import symbol
from optimizer.questions.architecture.moves import can_be_dropped
from optimizer.questions.architecture.problem import Problem
from optimizer.questions.architecture.search import Search
from optimizer.questions.architecture.space import resolve
from optimizer.questions.question import Ask
from optimizer.studies.asking import Questions, text_of

SETTINGS = settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
REL = 1e-9


def document(problem: Problem, **changes: Any) -> dict[str, Any]:
    """The file of a problem, with other values of some fields; nested ones are joined."""
    found = problem.model_dump(mode="json", exclude_unset=True)
    for name, value in changes.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    return {name: value for name, value in found.items() if value is not None}


def value_of(asked: Problem | dict[str, Any]) -> float | None:
    """The optimum of the first objective; None if there is no plan."""
    problem = asked if isinstance(asked, Problem) else Problem.model_validate(asked)
    space = resolve(problem)
    (name, sense), *_ = problem.objectives
    outcome = Search(space, space.rules, symbol(name), sense).run()
    return sense * outcome.best.key if outcome.best else None


def equal(one: float | None, other: float | None, factor: float = 1.0) -> bool:
    if one is None or other is None:
        return one is other
    return one * factor == pytest.approx(other, rel=REL)


@SETTINGS
@given(drawn.by_hypothesis(drawn.problem))
def test_the_order_of_values_and_chips_does_not_matter(problem: Problem) -> None:
    space = {k: v[::-1] if isinstance(v, list) else v for k, v in document(problem)["architecture"].items()}
    deployment = {
        k: v[::-1] if isinstance(v, list) else v for k, v in document(problem)["deployment"].items()
    }
    chips = document(problem)["hardware"][::-1]
    turned = document(problem, architecture=space, deployment=deployment, hardware=chips)
    assert equal(value_of(problem), value_of(turned))


@SETTINGS
@given(drawn.by_hypothesis(lambda d: (drawn.problem(d), d.of(["d_model", "n_layers", "d_ff", "d_head"]))))
def test_the_best_of_the_values_one_by_one_is_the_optimum(drawing: Any) -> None:
    """A value fixed is a domain of one, and a domain holds what its values hold."""
    problem, name = drawing
    whole, (_, sense) = document(problem)["architecture"][name], problem.objectives[0]
    alone = [value_of(document(problem, architecture={name: value})) for value in whole]
    listed = [value_of(document(problem, architecture={name: [value]})) for value in whole]
    assert alone == listed
    best = min((sense * value for value in alone if value is not None), default=None)
    assert equal(value_of(problem), None if best is None else sense * best)


def one_setting(d: drawn.Draw) -> Problem:
    """A problem on one chip in one batch, where rates and times are inverse."""
    problem = drawn.problem(d)
    own = document(problem)
    split = {"batch": d.of([1, 64]), "tensor_parallel": d.of([1, 2])}
    return Problem.model_validate(document(problem, hardware=own["hardware"][0], deployment=split))


@SETTINGS
@given(drawn.by_hypothesis(one_setting))
def test_a_rate_and_its_inverse_have_one_optimum(problem: Problem) -> None:
    def best(sense: str, metric: str) -> float | None:
        other = {"minimize": None, "maximize": None} | {sense: metric}
        return value_of(document(problem, **other))

    batch, chips = problem.deployment.batch[0], problem.deployment.tensor_parallel[0]
    rate = best("maximize", "output_tokens_per_s")
    time = best("minimize", "tpot_steady_ms")
    assert (rate is None) == (time is None)
    if rate is None or time is None:
        return
    assert time == pytest.approx(1e3 * batch / rate, rel=REL)
    assert best("maximize", "output_tokens_per_s_per_chip") == pytest.approx(rate / chips, rel=REL)
    price = resolve(problem).chips[0].usd_per_chip_hour
    rent = best("minimize", "usd_per_million_tokens")
    assert rent == pytest.approx(price * chips / 3600 / rate * 1e6, rel=REL)
    assert best("minimize", "usd_per_hour") is not None
    run = resolve(problem).training
    trained = best("maximize", "train_tokens_per_s_per_chip")
    paid = best("minimize", "train_usd")
    share = effective_share(run.long_run, run.setup.n_chips)
    assert paid == pytest.approx(
        run.chip.usd_per_chip_hour / 3600 / trained * problem.training_tokens / share, rel=REL
    )


@SETTINGS
@given(drawn.by_hypothesis(lambda d: (drawn.problem(d), d.real(0, 1))))
def test_a_dropped_rule_is_a_file_without_it(drawing: Any) -> None:
    problem, place = drawing
    rules = [rule for rule in resolve(problem).rules.values if can_be_dropped(rule)]
    rule = rules[int(place * (len(rules) - 1))]
    name, sense = problem.objectives[0]
    aim = {"metric": name, "sense": "min" if sense > 0 else "max", "step": 1.0}
    plan = Questions().ask(text_of(problem), Ask(aims=(aim,), without=(rule,))).plan
    given_, own = document(problem).get("constraints", {}), document(problem)
    left = {k: v for k, v in given_.items() if k != rule}
    own["constraints"] = left if rule in given_ and rule.endswith(("_max", "_min")) else {**left, rule: False}
    assert equal(plan.metrics[name] if plan else None, value_of(own))


@SETTINGS
@given(drawn.by_hypothesis(drawn.problem))
def test_a_sweep_gives_the_answers_of_its_problems(problem: Problem) -> None:
    widths = document(problem)["architecture"]["d_model"]
    found = optimizer.sweep(problem, {"architecture.d_model": widths, "workload.output_tokens": [1, 64]})
    name, _ = problem.objectives[0]
    assert len(found.rows) == 2 * len(widths)
    for row in found.rows:
        at = row.at
        alone = document(
            problem,
            architecture={"d_model": at["architecture.d_model"]},
            workload={"output_tokens": at["workload.output_tokens"]},
        )
        assert equal(row.plan.metrics[name] if row.plan else None, value_of(alone))


def clocked(d: drawn.Draw) -> tuple[Problem, Problem]:
    """A problem on one chip of its own, and on the same at half its clock: every time doubles."""
    chip, engine, problem = drawn.chip(d), drawn.engine(d), drawn.problem(d)
    chip["efficiency"] = {
        "gemm": {"bf16": {"compute": 0.5, "memory": 0.75, "overhead": "4 us"}},
        "attention_decode": {"bf16": {"memory": 0.5, "overhead": "8 us"}},
        "elementwise": {"memory": 0.5, "overhead": "2 us"},
    }
    slow = {**chip, "efficiency": {k: dict(v) for k, v in chip["efficiency"].items()}}
    for fit in (slow["efficiency"]["gemm"], slow["efficiency"]["attention_decode"]):
        fit["bf16"] = {**fit["bf16"], "overhead": "8 us" if "compute" in fit["bf16"] else "16 us"}
    slow["efficiency"]["elementwise"]["overhead"] = "4 us"
    slow["dense_flops"] = {k: f"{float(v.split()[0]) / 2:.0f} FLOP/s" for k, v in chip["dense_flops"].items()}
    slow["hbm_bandwidth"] = f"{float(chip['hbm_bandwidth'].split()[0]) / 2} GB/s"
    times = ("host_ms", "host_us_per_sequence", "launch_us_per_layer", "all_reduce_us")
    slower = engine | {name: 2 * engine[name] for name in times}

    def on(chip: dict[str, Any], engine: dict[str, Any]) -> Problem:
        deployment = {"engine": drawn.written(engine), "tensor_parallel": 1}
        metric = {"minimize": "tpot_steady_ms", "maximize": None, "constraints": None}
        return Problem.model_validate(
            document(problem, hardware=drawn.written(chip), deployment=deployment, **metric)
        )

    return on(chip, engine), on(slow, slower)


@SETTINGS
@given(drawn.by_hypothesis(clocked))
def test_half_the_clock_is_twice_the_time(pair: tuple[Problem, Problem]) -> None:
    fast, slow = pair
    assert equal(value_of(fast), value_of(slow), factor=2.0)


@SETTINGS
@given(drawn.by_hypothesis(lambda d: (drawn.chip(d), drawn.problem(d))))
def test_a_chip_offered_twice_is_one_chip(drawing: Any) -> None:
    chip, problem = drawing
    names = [drawn.written({**chip, "name": name}) for name in ("red", "blue")]
    once, twice = (document(problem, hardware=own) for own in (names[:1], names))
    assert equal(value_of(once), value_of(twice))


@SETTINGS
@given(drawn.by_hypothesis(drawn.problem))
def test_units_do_not_matter(problem: Problem) -> None:
    chip = drawn.chip(drawn.Seeded(1))
    words = {"hbm_bandwidth": "3.35 TB/s", "hbm_capacity": "80 GiB", "hbm_usable": "79 GiB"}
    other = {"hbm_bandwidth": "3350 GB/s", "hbm_capacity": "81920 MiB", "hbm_usable": "80896 MiB"}
    own, same = (document(problem, hardware=drawn.written(chip | said)) for said in (words, other))
    assert equal(value_of(own), value_of(same))


def test_a_published_model_is_the_lattice_of_its_dimensions() -> None:
    traffic = {"workload": {"input_tokens": 2000, "output_tokens": 100, "batch": 16}}
    model = catalog.model("meta-llama/Llama-3.1-8B")
    a, f = model.first.mixer, model.first.ffn
    lattice = {
        "vocab_size": model.vocab_size,
        "d_model": model.d_model,
        "n_layers": model.n_layers,
        "n_heads": a.n_heads,
        "n_kv_heads": a.n_kv_heads,
        "d_head": a.d_head,
        "d_ff": f.d_ff,
    }
    own = {"name": "fixed", "hardware": "h100", "minimize": "tpot_ms", **traffic}
    named = value_of({**own, "architecture": model.name})
    assert named is not None
    assert named == value_of({**own, "architecture": lattice})
