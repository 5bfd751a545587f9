"""Pictures: written whole, with the right points, in every format, with no network and no browser."""

from pathlib import Path

import pytest
import samples

from optimizer import InputError, enumerate_plans
from optimizer.report.chart import bars, scatter
from optimizer.report.pictures import facets, frontier, heatmap, parity, tornado
from optimizer.studies.frontier import frontier as frontier_of
from optimizer.studies.perturb import perturb
from optimizer.studies.sweep import sweep


@pytest.fixture(scope="module")
def found():
    problem = samples.problem(baseline="meta-llama/Llama-3.2-1B")
    return frontier_of(problem, ("tpot_ms", "loss", "memory_gib"), models=["Qwen/Qwen2.5-1.5B"])


def test_a_frontier_shows_every_point_and_every_model(found) -> None:
    drawn = frontier.picture(found)
    assert list(drawn.data[0].x) == [p.metrics["tpot_ms"] for p in found.points]
    assert list(drawn.data[0].marker.color) == [p.metrics["memory_gib"] for p in found.points]
    assert [trace.name for trace in drawn.data[1:]] == ["meta-llama/Llama-3.2-1B", "Qwen/Qwen2.5-1.5B"]
    assert "d_ff" in drawn.data[0].text[0]


FORMATS = {".html": b"<html", ".png": b"\x89PNG", ".svg": b"<svg"}


@pytest.mark.parametrize(("ending", "starts"), FORMATS.items())
def test_every_format(found, tmp_path: Path, ending: str, starts: bytes) -> None:
    path = tmp_path / f"picture{ending}"
    frontier.draw(found, str(path))
    data = path.read_bytes()
    assert starts in data[:40]
    assert len(data) > 5000
    if ending == ".html":
        assert b"Plotly.newPlot" in data
        assert b'src="http' not in data
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_picture_that_cannot_be_written(found, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plot"):
        frontier.draw(found, str(tmp_path / "no" / "picture.html"))


def test_a_tornado_has_a_bar_for_each_change_that_matters() -> None:
    found = perturb(samples.problem())
    drawn = tornado.picture(found)
    bars_drawn = {name for trace in drawn.data for name in trace.y}
    assert bars_drawn == {f"{c.name} {c.move}" for c in found.changes if c.difference}


def test_a_heat_map_has_a_cell_for_each_pair() -> None:
    result = enumerate_plans(samples.problem(), top=100, distinct=("d_model", "n_layers"))
    drawn = heatmap.picture(result, ("d_model", "n_layers"))
    cells = [z for row in drawn.data[0].z for z in row if z is not None]
    assert sorted(cells) == sorted(p.metrics["tpot_ms"] for p in result.plans)
    assert min(cells) == result.objective.value


def test_facets_have_a_panel_for_each_value_of_the_third_field() -> None:
    over = {
        "workload.batch": [1, 8],
        "workload.input_tokens": [128, 512],
        "training_tokens": [10**12, 10**13],
    }
    found = sweep(samples.problem(), over)
    drawn = facets.picture(found)
    assert len(drawn.data) == 4
    assert [a.text for a in drawn.layout.annotations] == [
        "training_tokens 1000000000000",
        "training_tokens 10000000000000",
    ]
    assert list(drawn.data[0].x) == [1, 8]


def test_parity_puts_what_is_right_on_the_line() -> None:
    pairs = [
        parity.Pair("a", "x", 1.0, 1.0),
        parity.Pair("b", "y", 10.0, 12.0),
        parity.Pair("b", "z", 0.0, 1),
    ]
    drawn = parity.picture(pairs, "title")
    assert "2 points" in drawn.layout.title.text
    assert list(drawn.data[-1].x) == [10.0]
    assert drawn.layout.xaxis.type == drawn.layout.yaxis.type == "log"
    assert parity.picture([], "title").layout.title.text.endswith("0 points")


def test_characters_are_enough_for_a_shape() -> None:
    chart = scatter({"o": [(0.0, 0.0), (1.0, 1.0)], "x": [(0.0, 1.0)]}, "title")
    lines = chart.splitlines()
    assert lines[0] == "title"
    assert lines[1].split("|")[1][0] == "x"
    assert lines[1].rstrip().endswith("o")
    assert scatter({"o": [(1.0, 1.0)]}).count("o") == 1
    assert bars({"up": 2.0, "down": -1.0}, "ms", width=4).splitlines() == [
        "up       |#### +2 ms",
        "down   ##|     -1 ms",
    ]
