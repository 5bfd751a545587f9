"""Bands: which rows a prediction's group is of, what it falls back to, and how the ends of a group are made.

Guards figures that answers show beside predictions, and that robust plans are held to.
"""

import json
from dataclasses import replace
from io import StringIO

import pytest
import samples
import small_problems
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from optimizer import bands, catalog, estimate, solve
from optimizer.bands import Key, band_of, key_of
from optimizer.evidence.banding import (
    FEWEST,
    Error,
    covered,
    csv_of,
    ends_of,
    percentiles,
    reaches,
    stretches,
)
from optimizer.questions.question import question_of
from optimizer.report.architecture import report
from optimizer.spec.setup import Setup
from optimizer.studies.changes import change_of, tries_of_bands

CHIP, ENGINE = catalog.chip("nvidia-h100-sxm"), catalog.engine("vllm")
ENGINE_OF_SMALL = catalog.engine("trtllm")
MODEL = catalog.model("meta-llama/Llama-3.1-8B")


def test_a_band_is_of_the_narrowest_group_with_rows() -> None:
    """A chip, an engine or a model that nobody measured falls back, and the words say to what."""
    own = band_of(CHIP, ENGINE, MODEL, "tpot_ms")
    assert "nvidia-h100-sxm, vllm, dense, under load" in own.group
    strange = CHIP.changed(name="my-chip")
    assert band_of(strange, ENGINE, MODEL, "tpot_ms").group.startswith("vllm, dense, under load")
    assert band_of(strange, ENGINE.changed(name="mine"), MODEL, "tpot_ms").group.startswith(
        "dense, under load"
    )
    assert band_of(None, None, None, "tpot_ms").group.startswith("under load")
    assert band_of(CHIP, ENGINE.changed(name="vllm-calibrated"), MODEL, "tpot_ms") == own


def test_rates_are_one_metric_and_others_have_none() -> None:
    assert band_of(CHIP, ENGINE, MODEL, "requests_per_s") == band_of(
        CHIP, ENGINE, MODEL, "output_tok_s_total"
    )
    with pytest.raises(ValueError, match="loss has no band"):
        band_of(CHIP, ENGINE, MODEL, "loss")


def test_every_group_of_the_file_holds_its_prediction() -> None:
    """And each metric has one for everything, so that no prediction is without."""
    known = bands.groups()
    assert all(0 < b.low <= 1 <= b.high and b.rows > 0 for b in known.values())
    assert all(b.rows >= FEWEST for key, b in known.items() if any(key[1:]))
    assert {key.metric for key in known if not any(key[1:])} == {"ttft_ms", "tpot_ms", "rate"}


def test_groups_widen_one_part_at_a_time() -> None:
    key = key_of(CHIP, None, MODEL, "tpot_ms", "single")
    assert list(key.wider()) == [
        key,
        Key("tpot_ms", "single", "dense"),
        Key("tpot_ms", "single"),
        Key("tpot_ms"),
    ]


def errors(ratios: list[float], source: str = "a", chip: str = "c") -> list[Error]:
    return [
        Error(f"{source}{chip}{i}", source, Key("rate", "load", "dense", "e", chip), r)
        for i, r in enumerate(ratios)
    ]


def test_ends_by_hand() -> None:
    """Ten rows of one source, evenly in logarithms: the ends are the second lowest and highest, halfway."""
    low, high = percentiles(errors([2.0**i for i in range(11)]))
    assert (low, high) == (pytest.approx(2**0.6), pytest.approx(2**9.4))


def test_a_lone_source_keeps_half_of_its_own() -> None:
    """Its ends are drawn half way, in logarithms, to those of all rows; few rows have no ends."""
    own, other = errors([1.0] * 9, "a", "c"), errors([4.0] * 9, "b", "d")
    found = ends_of([*own, *other, *errors([9.0] * (FEWEST - 1), "b", "few")])
    wide = found[Key("rate", "load", "dense", "e")]
    assert found[Key("rate", "load", "dense", "e", "c")].high == pytest.approx(wide.high**0.5)
    assert Key("rate", "load", "dense", "e", "few") not in found
    assert (wide.rows, wide.sources) == (25, 2)


def test_what_was_left_out_decides_what_an_error_is_of() -> None:
    """A chip left out tells of chips without rows; an engine left out, of engines without rows."""
    key = Key("rate", "load", "dense", "e", "c")
    seen = [Error(f"{i}", "a", key, 1.0) for i in range(9)]
    no_chip = [Error(f"{i}", "a", key, 2.0, chip_seen=False) for i in range(9)]
    no_engine = [Error(f"{i}", "a", key, 4.0, engine_seen=False) for i in range(9)]
    found = ends_of([*seen, *no_chip, *no_engine])
    own, chips, engines = (found[Key(*key[:n])].high for n in (5, 4, 3))
    assert own < chips < engines
    assert found[key].rows == 9


SMALL = samples.problem(constraints={"ttft_ms_max": 1000.0})


def test_answers_show_ends_of_what_they_predict() -> None:
    """In JSON and in the report; a deployment by a table of rates has none."""
    result = solve(SMALL)
    band = result.bands["tpot_ms"]
    assert band.low < result.metrics["tpot_ms"] < band.high
    assert "nvidia-h100-sxm, trtllm, dense" in band.group
    assert set(result.bands) <= set(bands.METRICS)
    shown = json.loads(result.model_dump_json())
    assert list(shown).index("bands") == list(shown).index("metrics") + 1
    screen = Console(file=StringIO(), width=200, color_system=None)
    screen.print(report(result))
    assert f"ends: eight in ten of {band.rows} rows left out" in screen.file.getvalue()
    assert "bands" not in json.loads(solve(small_problems.problem("deployment")).model_dump_json())


def test_an_estimate_shows_ends_of_steps_and_of_what_clients_see() -> None:
    setup = Setup(batch=16, users=16, input_tokens=1000, output_tokens=200, engine="vllm")
    found = estimate(MODEL, CHIP, setup)
    assert found.served_bands["ttft_ms"].rows == found.bands["ttft_ms"].rows
    assert found.served_bands["ttft_ms"].low < found.served["ttft_ms"] < found.served_bands["ttft_ms"].high
    assert estimate(MODEL, CHIP, replace(setup, tensor_parallel=3)).bands == {}


def test_the_far_end_of_the_bands_is_a_tighter_bound() -> None:
    """A bound on a latency divided by the end; the plan is that of the problem with such a bound."""
    free = question_of(samples.problem())
    base = free.best().plan
    assert base is not None
    assert tries_of_bands(free, free.own_aims(), base) == []  # no bound would feel it
    tight = question_of(samples.problem(constraints={"ttft_ms_max": base.metrics["ttft_ms"] * 1.01}))
    [item] = tries_of_bands(tight, tight.own_aims(), base)
    high = band_of(CHIP, ENGINE_OF_SMALL, MODEL, "ttft_ms").high
    assert item.ask.values == {"ttft_ms_max": pytest.approx(base.metrics["ttft_ms"] * 1.01 / high)}
    change = change_of(tight, tight.own_aims()[0], base, item, tight.optimum(item.ask).plan)
    assert (change.kind, change.move) == ("band", f"ttft_ms x {high:.3g}")
    assert change.alone_breaks == ("ttft_ms_max",)  # the old plan, at the end of its band
    assert change.objective is None or change.objective > base.metrics["tpot_ms"]


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=40))
def test_a_prediction_lies_in_its_band(ratios: list[float]) -> None:
    for ends in ends_of(errors(ratios)).values():
        assert ends.low <= 1 <= ends.high


def test_bands_are_wide_enough_for_sources_left_out() -> None:
    """Two sources far apart: each lies outside the other's bands until these are made wider."""
    made = [*errors([1.0, 1.1] * 10, "a"), *errors([1.5, 1.6] * 10, "b")]
    reached = reaches([replace(error, scheme="source") for error in made])
    stretch = stretches(reached)
    [line] = covered(reached, stretch)
    assert line["plain"] < 0.8 <= line["inside"] and 1 < stretch["rate", "load", True] <= 2
    plain, wide = ends_of(made), ends_of(made, stretch)
    for key in plain:
        if key.engine:
            assert wide[key].high == pytest.approx(plain[key].high * stretch["rate", "load", True])


def test_no_errors_are_no_bands() -> None:
    with pytest.raises(ValueError, match="nothing to make bands of"):
        ends_of([])


def test_what_is_written_is_read() -> None:
    found = ends_of(errors([0.8, 1.2] * 5))
    lines = csv_of(found, "made\nby hand").splitlines()
    assert lines[:3] == ["# made", "# by hand", "metric,regime,kind,engine,chip,low,high,rows,sources"]
    assert len(lines) == 3 + len(found)
