"""Pictures: what they show is said once, both back ends draw it, and labels are only read."""

import html
import json
import re
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import samples
from matplotlib.figure import Figure

from optimizer import InputError, enumerate_plans
from optimizer.metrics import metric
from optimizer.plugins import plugins
from optimizer.report.chart import bars, scatter
from optimizer.report.pictures import facets, frontier, heatmap, page, parity, still, style, tornado, write
from optimizer.report.pictures.scene import Axis, Bars, Cells, Panel, Picture, Region, Scale, Series
from optimizer.report.words import chip_title, measured_in, plain, title_of
from optimizer.spec.plan import Plan
from optimizer.spec.studies import Aim, Change, Frontier, Gap, Perturbation, Work
from optimizer.studies.frontier import frontier as frontier_of
from optimizer.studies.sweep import sweep

HOSTILE = "a$x_1$ <script>alert(1)</script> </script>\n& b\x1b[31m --> \u202e"
STARTS = {".html": b"<!doctype html>", ".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


@pytest.fixture(scope="module")
def found() -> Frontier:
    problem = samples.problem(baseline="meta-llama/Llama-3.2-1B")
    return frontier_of(problem, ("tpot_ms", "loss", "n_params"), models=["Qwen/Qwen2.5-1.5B"])


def pool(chip: str, phase: str = "aggregated", chips: int = 4) -> dict[str, Any]:
    counts = dict.fromkeys(("tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel"), 1)
    formats = {"weight_dtype": "bf16", "kv_dtype": "bf16", "domains": "1", "source": "made up"}
    missing = dict.fromkeys(("ttft_ms", "tpot_ms", "memory_gib", "hbm_usable_gib", "usd_per_hour", "power_w"))
    own = {"phase": phase, "chip": chip, "chips": chips, "replicas": chips, "batch": 8}
    return own | counts | formats | missing | {"requests_per_s": 1.0, "utilisation": 0.5}


def deployed(*points: tuple[float, float, list[dict[str, Any]]], **fields: Any) -> Frontier:
    """A frontier of deployments in chips and tpot_ms, 1,000 tokens/s of output each."""
    plans = [
        Plan.model_validate(
            {
                "architecture": "m",
                "deployment": {"pools": pools},
                "metrics": {"chips": chips, "tpot_ms": tpot, "output_tokens_per_s": 1000.0},
            }
        )
        for chips, tpot, pools in points
    ]
    aims = (
        Aim(metric="chips", sense="min", unit="chips", step=1),
        Aim(metric="tpot_ms", sense="min", unit="ms", step=0.1),
    )
    whole: dict[str, Any] = {
        "status": "complete", "objectives": aims, "points": tuple(plans), "gaps": (), "placed": (),
        "conflict": None, "notes": (), "work": Work(), "confirmed_by": (), "lattice_points": 1,
        "version": "0", "problem": {"name": "fleet"},
    }  # fmt: skip
    return Frontier(**whole | fields)


TWO_CHIPS = (
    (4, 40.0, [pool("nvidia-h100-sxm")]),
    (8, 25.0, [pool("nvidia-h100-sxm")]),
    (10, 20.0, [pool("amd-mi300x", "prefill"), pool("nvidia-h100-sxm", "decode")]),
)


def series(picture: Picture, panel: int = 0) -> list[Series]:
    return [m for m in picture.panels[panel].marks if isinstance(m, Series)]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_frontier_shows_every_point_and_every_model(found: Frontier) -> None:
    drawn = frontier.picture(found)
    points, *beside = series(drawn)
    assert list(points.x) == [p.metrics["tpot_ms"] for p in found.points]
    assert list(points.y) == [p.metrics["loss"] for p in found.points]
    assert list(points.values) == pytest.approx([p.metrics["n_params"] / 1e9 for p in found.points])
    assert points.label == "H100 SXM"
    assert [s.label.split(":")[0] for s in beside] == ["Llama-3.2-1B", "Qwen2.5-1.5B"]
    assert len({s.colour for s in beside}) == 2
    assert any("d_ff" in line for line in points.hover[0])
    assert drawn.panels[0].x.title == "Time per output token (ms), lower is better"
    assert drawn.scale is not None and drawn.scale.title == "Parameters (billion), lower is better"
    assert f"{len(found.points)} points, complete" in drawn.subtitle


def test_a_frontier_of_deployments_has_a_look_for_each_mix_of_chips_and_a_curve_of_throughput() -> None:
    drawn = frontier.picture(deployed(*TWO_CHIPS))
    trade, service = series(drawn), series(drawn, 1)
    listed = {s.label: (s.colour, s.marker) for s in trade if s.listed}
    assert list(listed) == ["H100 SXM", "MI300X prefill, H100 SXM decode"]
    assert len({colour for colour, _ in listed.values()}) == len({m for _, m in listed.values()}) == 2
    assert {s.label: (s.colour, s.marker) for s in service if s.listed} == listed
    points = {(x, y) for s in service if s.marker for x, y in zip(s.x, s.y, strict=True)}
    assert points == {(25.0, 250.0), (40.0, 125.0), (50.0, 100.0)}
    assert "each user" in drawn.panels[1].x.title and "each chip" in drawn.panels[1].y.title
    assert [line.x for line in service if not line.marker] == [(25.0, 40.0), (50.0,)]


def test_points_have_bars_to_the_ends_of_their_bands(found: Frontier) -> None:
    """On the axes that have bands, in both back ends and in the table; a metric without bands has no bars."""
    assert [axis.limits for axis in (frontier.picture(found).panels[0].x,)] != [None]
    bars = [(s.x, s.x_ends, s.y_ends) for s in series(frontier.picture(found)) if s.x_ends]
    assert sum(len(x) for x, *_ in bars) == len(found.points)
    for x, ends, across in bars:
        assert all(low <= at <= high for at, (low, high) in zip(x, ends, strict=True))
        assert across == ()  # the loss has none
    drawn = page.traces(frontier.picture(found))
    error = next(trace["error_x"] for trace in drawn if "error_x" in trace)
    assert all(below >= 0 for below in error["array"] + error["arrayminus"])
    assert still.still(frontier.picture(found), "svg") != still.still(
        frontier.picture(found.model_copy(update={"bands": ()})), "svg"
    )
    row = found.table()[0]
    assert row["tpot_ms_low"] < row["tpot_ms"] < row["tpot_ms_high"] and "loss_low" not in row


def test_pools_of_one_kind_of_chip_are_named_once() -> None:
    apart = deployed((8, 20.0, [pool("nvidia-h100-sxm", "prefill"), pool("nvidia-h100-sxm", "decode")]))
    assert frontier.pools_of(apart.points[0]) == "H100 SXM, prefill and decode apart"


def test_gaps_are_shaded_and_those_that_touch_are_one() -> None:
    gaps = (
        Gap(bounds={"tpot_ms": 30.0}, beyond={"tpot_ms": 27.0}),
        Gap(bounds={"tpot_ms": 27.0}, beyond={"tpot_ms": 26.0}),
        Gap(bounds={"tpot_ms": 19.0}),
    )
    drawn = frontier.picture(deployed(*TWO_CHIPS, gaps=gaps, status="partial"))
    low = drawn.panels[0].y.limits
    assert low is not None
    bands = [(m.low, m.high) for m in drawn.panels[0].marks if isinstance(m, Region)]
    assert bands == [(low[0], 19.0), (26.0, 30.0)]
    rates = [(m.low, m.high) for m in drawn.panels[1].marks if isinstance(m, Region)]
    assert rates[-1] == pytest.approx((1000 / 30, 1000 / 26))
    assert "shaded" in drawn.subtitle
    figure = still.figure(drawn)
    assert frontier.GAP in legend(figure)
    assert sum(1 for patch in figure.axes[0].patches if patch.get_hatch()) == 2
    assert [s["y0"] for s in page.layout_of(drawn)["shapes"][:2]] == [low[0], 26.0]


def test_a_frontier_without_a_bound_is_unsearched_to_the_end_of_the_axis() -> None:
    drawn = frontier.picture(deployed(*TWO_CHIPS, gaps=(Gap(bounds={}),), status="partial"))
    (band,) = [m for m in drawn.panels[0].marks if isinstance(m, Region)]
    assert (band.low, band.high) == drawn.panels[0].y.limits


def test_a_frontier_without_points_is_a_picture_too() -> None:
    for form in ("png", "svg", "pdf"):
        assert still.still(frontier.picture(deployed(status="infeasible")), form)
    assert page.page(frontier.picture(deployed(status="unknown", gaps=(Gap(bounds={}),))))


@pytest.mark.parametrize("sense", ["min", "max"])
def test_the_line_never_promises_what_no_point_has(sense: str) -> None:
    """From each point, which comes from the best x on, the line goes along the axis first."""
    points = [(1, 9.0, [pool("c")]), (2, 5.0, [pool("c")])]
    drawn = frontier.picture(deployed(*(points if sense == "min" else points[::-1])))
    line = series(drawn)[0]
    assert line.line == "steps" and not line.listed
    figure = still.figure(drawn)
    assert figure.axes[0].lines[0].get_drawstyle() == "steps-post"
    assert page.traces(drawn)[0]["line"]["shape"] == "hv"


def everything(label: str) -> Picture:
    """A picture with a mark of every kind and one text at every place for text."""
    hover = ((label,), (label,))
    x = Axis(label, limits=(0.0, 5.0))
    named = Axis(label, categories=(label, "other"))
    marks = (
        Region(label, "y", 1.0, 2.0),
        Series(label, (1.0, 2.0), (3.0, 4.0), "#0072B2", line="straight", hover=hover),
        Series(label + "2", (1.0, 2.0), (3.0, 4.0), "#0072B2", values=(0.0, 1.0), hover=hover),
    )
    panels = (
        Panel(x, Axis(label, limits=(0.1, 9.0), log=True), marks, label),
        Panel(x, named, (Bars(label + "3", (0, 1), (2.0, -1.0), "#009E73", (label, label), hover),), label),
        Panel(named, named, (Cells(((1.0, None), (0.0, 1.0))),), label),
    )
    return Picture(label, label, panels, columns=2, scale=Scale(label, 0.0, 1.0))


@pytest.mark.parametrize("ending", write.ENDINGS)
def test_every_format_is_written_whole_in_a_folder_with_spaces(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "a folder" / f"my picture{ending}"
    path.parent.mkdir()
    write.save(everything("plain"), str(path))
    data = path.read_bytes()
    assert data.startswith(STARTS[ending])
    assert len(data) > 5000
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_picture_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="plot"):
        write.save(everything("plain"), str(tmp_path / "no" / "picture.html"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", ["png", "pdf"])
def test_one_picture_gives_one_file(form: str) -> None:
    assert still.still(everything("x"), form) == still.still(everything("x"), form)


def texts(figure: Figure) -> set[str]:
    from matplotlib.text import Text

    found = figure.findobj(Text, include_self=False)
    return {text.get_text() for text in found if isinstance(text, Text)}


@pytest.mark.parametrize("label", [HOSTILE, "$", "$$", r"\$\alpha$", "x^2_3", "%s {0} {x}", "日本語 😀"])
def test_a_label_is_text_and_nothing_else(label: str) -> None:
    """No mathematics in a still, no markup in a page: what stands in a user's file is read, not run."""
    label = plain(label)
    drawn = everything(label)
    figure = still.figure(drawn)
    shown = texts(figure)
    assert still.safe(label) in shown
    for text in shown:
        assert text.count("$") == text.count(r"\$"), text
    assert still.still(drawn, "svg")
    whole = page.page(drawn).decode()
    assert whole.count("<script") == whole.count("</script>") == 2
    own = whole.rpartition("<script>")[2]
    assert "alert(1)<" not in own and "<script" not in own
    for trace in page.traces(drawn):
        said = json.dumps([trace.get("name"), trace.get("text"), trace.get("customdata")])
        assert "<" not in said.replace("<br>", "")
    assert html.unescape(page.traces(drawn)[1]["name"]) == label


def test_what_a_user_wrote_is_one_harmless_line_wherever_it_shows() -> None:
    own = deployed((4, 40.0, [pool(HOSTILE)]), problem={"name": HOSTILE})
    for drawn in (
        frontier.picture(own),
        parity.picture([parity.Pair(HOSTILE, (HOSTILE,), 1.0, 1.0)], HOSTILE),
    ):
        said = [drawn.title, *(text for s in series(drawn) for text in (s.label, *sum(s.hover, ())))]
        assert sum("<script>" in text for text in said) >= 2
        assert all(text.isprintable() for text in said)
        assert ElementTree.fromstring(still.still(drawn, "svg")).tag.endswith("svg")
        assert page.page(drawn).count(b"<script>alert") == 0


def test_a_page_fetches_and_sends_nothing() -> None:
    whole = page.page(everything("plain")).decode()
    assert "default-src 'none'" in whole
    assert 'src="http' not in whole
    assert "sendChartToCloud" in page.CONFIG["modeBarButtonsToRemove"]
    assert '"plotlyServerURL": ""' in whole.rpartition("<script>")[2]


def test_the_two_back_ends_draw_the_same(found: Frontier) -> None:
    for drawn in (frontier.picture(found), frontier.picture(deployed(*TWO_CHIPS)), everything("x")):
        figure, traces = still.figure(drawn), page.traces(drawn)
        in_page = [t["name"] for t in traces if t.get("name") and t.get("showlegend", True)]
        assert legend(figure) == in_page
        for axes, panel, number in zip(figure.axes, drawn.panels, range(1, 9), strict=False):
            assert axes.get_xlabel() == panel.x.title
            assert page.layout_of(drawn)[f"xaxis{number}"]["title"]["text"] == panel.x.title
            marks = [m for m in panel.marks if isinstance(m, Series)]
            on_axes = sum(len(line.get_xdata()) for line in axes.lines)  # type: ignore[arg-type]
            on_axes += sum(len(c.get_offsets()) for c in axes.collections if hasattr(c, "get_sizes"))  # type: ignore[arg-type]
            if marks:
                assert on_axes == sum(len(m.x) for m in marks)
        points = sum(len(m.x) for panel in drawn.panels for m in panel.marks if isinstance(m, Series))
        assert sum(len(t["x"]) for t in traces if t["type"] == "scatter" and t["x"] != [None]) == points


def test_svg_keeps_its_words_for_those_who_search_it() -> None:
    drawn = still.still(frontier.picture(deployed(*TWO_CHIPS)), "svg").decode()
    for words in ("fleet: Chips against time per output token", "H100 SXM", "Throughput over interactivity"):
        assert words in drawn


def test_a_pdf_is_vectors_in_one_page() -> None:
    data = still.still(frontier.picture(deployed(*TWO_CHIPS)), "pdf")
    assert len(re.findall(rb"/Type /Page\b", data)) == 1
    streams = re.findall(rb"stream\r?\n(.*?)endstream", data, re.DOTALL)
    assert any(b" l\n" in inflated(s) for s in streams)


def inflated(stream: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(stream)
    except zlib.error:
        return b""


def change(**fields: Any) -> Change:
    whole: dict[str, Any] = {
        "kind": "constraint", "name": "kv_sharing", "move": "= 16", "from_": 8, "to": 16, "objective": 5.0,
        "difference": -0.5, "price": None, "metrics": {}, "plan": {"n_kv_heads": (8, 4)},
    }  # fmt: skip
    return Change(**whole | fields)


def test_a_tornado_has_a_bar_for_each_change_that_matters_in_words() -> None:
    changes = (
        change(),
        change(name="parameter_window", move="low -5 %", difference=-0.25),
        change(name="tpot_ms_max", move="dropped", difference=0.125),
        change(kind="dimension", name="d_model", move="= 5056", difference=0.0625),
        change(
            kind="constant", name="hardware.nvidia-h100-sxm.hbm_bandwidth", move="+10 %", difference=-0.03
        ),
        change(kind="dimension", name="n_heads", move="= 2", difference=0.0),
        change(kind="constraint", name="inventory:amd-mi300x", move="= 4", difference=None, objective=None),
    )
    aim = Aim(metric="tpot_ms", sense="min", unit="ms", step=0.1)
    whole: dict[str, Any] = {"plan": None, "bearings": (), "critical": (), "conflict": None, "work": Work()}
    found = Perturbation(
        status="complete",
        objective=aim,
        value=5.5,
        changes=changes,
        version="0",
        problem={"name": "p"},
        **whole,
    )
    drawn = tornado.picture(found)
    (panel,) = drawn.panels
    assert panel.y.categories[::-1] == (
        "Query heads per key-value head: 16",
        "Number of parameters: least -5%",
        "Time per output token, at most: rule dropped",
        "Model width: 5056",
        "Memory bandwidth of H100 SXM: +10%",
    )
    placed = {
        p: n for m in panel.marks if isinstance(m, Bars) for p, n in zip(m.places, m.lengths, strict=True)
    }
    assert placed == {4: -0.5, 3: -0.25, 2: 0.125, 1: 0.0625, 0: -0.03}
    assert "5 changes" in drawn.subtitle and "5.5 ms" in drawn.subtitle
    assert "Key-value heads: 8 to 4" in next(m.hover[0] for m in panel.marks if isinstance(m, Bars))
    assert len(still.figure(drawn).axes[0].patches) == 5
    assert "left" in panel.x.title


def test_a_heat_map_has_a_cell_for_each_pair() -> None:
    result = enumerate_plans(samples.problem(), top=100, distinct=("d_model", "n_layers"))
    drawn = heatmap.picture(result, ("d_model", "n_layers"))
    cells, star = drawn.panels[0].marks
    assert isinstance(cells, Cells) and isinstance(star, Series)
    values = [v for row in cells.values for v in row if v is not None]
    assert sorted(values) == sorted(p.metrics["tpot_ms"] for p in result.plans)
    assert cells.values[int(star.y[0])][int(star.x[0])] == min(values) == result.objective.value
    assert drawn.panels[0].x.title == "Model width"
    assert drawn.scale is not None and drawn.scale.reverse
    (heat,) = [t for t in page.traces(drawn) if t["type"] == "heatmap"]
    assert heat["z"] == [list(row) for row in cells.values]


def test_facets_have_a_panel_for_each_value_of_the_third_field() -> None:
    over = {
        "workload.batch": [1, 8],
        "workload.input_tokens": [128, 512],
        "training_tokens": [10**12, 10**13],
    }
    found = sweep(samples.problem(), over)
    drawn = facets.picture(found)
    assert [panel.title for panel in drawn.panels] == ["Training tokens 1T", "Training tokens 10T"]
    for panel in drawn.panels:
        lines = [m for m in panel.marks if isinstance(m, Series)]
        assert [m.label for m in lines] == ["Prompt tokens 128", "Prompt tokens 512"]
        assert [m.x for m in lines] == [(1.0, 8.0)] * 2
    assert legend(still.figure(drawn)) == ["Prompt tokens 128", "Prompt tokens 512"]
    names = [t["name"] for t in page.traces(drawn) if t["showlegend"]]
    assert names == ["Prompt tokens 128", "Prompt tokens 512"]


def test_parity_puts_what_is_right_on_the_line() -> None:
    pairs = [
        parity.Pair("a", ("x", "m"), 1.0, 1.0),
        parity.Pair("b", ("y",), 10.0, 12.0),
        parity.Pair("b", ("z",), 0.0, 1),
    ]
    drawn = parity.picture(pairs, "title")
    assert drawn.subtitle == "2 points, 1 without two positive values left out"
    *_, last = series(drawn)
    assert (last.label, last.x, last.y) == ("b (1)", (10.0,), (12.0,))
    assert "+20.0%" in last.hover[0][-1]
    assert drawn.panels[0].x.log and drawn.panels[0].y.log
    assert still.figure(drawn).axes[0].get_xscale() == "log"
    assert parity.picture([], "title").subtitle == "0 points"
    assert still.still(parity.picture([], "title"), "png")


def test_every_metric_and_rule_has_a_title_for_people() -> None:
    modules = plugins("objectives") | plugins("constraints")
    titles = [module.TITLE for module in modules.values()]
    assert len(set(titles)) == len(titles)
    for title in titles:
        assert title[0].isupper() and "_" not in title
    assert measured_in("chips", metric("chips").UNIT) == "Chips"
    assert measured_in("ttft_ms", "ms") == "Time to first token (ms)"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("workload.batch", "Batch"),
        ("constraints.ttft_ms_max", "Time to first token, at most"),
        ("loss_increase_max", "Predicted pre-training loss above the baseline"),
        ("inventory:google-tpu-v5e", "Supply of TPU V5E"),
        ("hardware.hbm_bandwidth", "Memory bandwidth"),
        ("some_new_field", "Some new field"),
    ],
)
def test_fields_in_words(name: str, words: str) -> None:
    assert title_of(name) == words


def test_a_chip_of_the_users_own_keeps_its_name() -> None:
    assert chip_title("my-fast-chip") == "my-fast-chip"
    assert chip_title("nvidia-h100-sxm") == "H100 SXM"
    assert chip_title("nvidia") == "nvidia"


def test_text_on_one_line() -> None:
    assert plain(HOSTILE).startswith("a$x_1$ <script>")
    assert not set("\n\x1b\u202e") & set(plain(HOSTILE))
    assert len(plain("x" * 500)) == 80 and plain("x" * 500).endswith("…")


def test_looks_differ_and_hold() -> None:
    look = style.looks(f"chip {i}" for i in range(40))
    assert len(set(look.values())) == 40
    assert style.looks(["b", "a", "b"])["b"] == style.looks(["b"])["b"]


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


def test_the_smaller_lock_is_part_of_the_larger() -> None:
    """`make demo` installs what archsat runs on; `make test` the same releases and the tools."""
    root = Path(__file__).resolve().parents[2]
    run, dev = ((root / f"requirements{name}.lock").read_text() for name in ("", "-dev"))
    pins = [line for line in run.splitlines() if line[:1].isalnum()]
    hashes = set(re.findall(r"sha256:[0-9a-f]{64}", run))
    assert set(pins) <= set(dev.splitlines())
    assert hashes <= set(re.findall(r"sha256:[0-9a-f]{64}", dev))
    assert not any(tool in pin for pin in pins for tool in ("mypy", "pytest", "kaleido", "plotly"))
    for text in (run, dev):
        assert "http" not in text and "--index" not in text and "file:" not in text
