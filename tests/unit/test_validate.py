"""Scoring of measured points: right numbers, right groups, and a reason for every row left out."""

from collections import Counter
from pathlib import Path

import pytest

from optimizer import catalog
from optimizer.cost.frame import frame_of
from optimizer.cost.quantities import QUANTITIES
from optimizer.errors import InputError
from optimizer.evidence.points import Point, Unscored, read_points
from optimizer.evidence.validate import predict, validate_points
from optimizer.spec.setup import Setup

POINTS = Path(__file__).parent.parent / "data" / "points.csv"


def test_every_row_is_scored_or_has_a_reason():
    found = read_points(POINTS)
    assert Counter(type(item) for item in found) == {Point: 5, Unscored: 4}
    validation = validate_points(POINTS)
    assert validation.scored == 4
    assert sum(validation.unscored.values()) == 5
    reasons = " | ".join(validation.unscored)
    for part in ("variant not stated", "'joy'", "not a whole number", "positive", "breaks memory_capacity"):
        assert part in reasons
    totals = Counter()
    for group in validation.groups:
        totals[group.group] += group.n
    assert set(totals.values()) == {4}


def test_a_prediction_is_the_cost_models_own():
    first = next(item for item in read_points(POINTS) if isinstance(item, Point))
    model, chip = catalog.model("meta-llama/Llama-2-70b-hf"), catalog.chip("h100")
    setup = Setup(tensor_parallel=2, input_tokens=512, output_tokens=128, engine=first.setup.engine)
    frame = frame_of(model, chip, setup)
    assert (first.model, first.chip) == (model, chip)
    assert predict(first) == pytest.approx(1e3 * QUANTITIES["decode_s"].total(frame, model), rel=1e-12)


def test_errors_are_relative_to_the_measurement():
    scored = [p for p in read_points(POINTS) if isinstance(p, Point)][:4]
    ratios = sorted(predict(p) / p.measured for p in scored)
    whole = validate_points(POINTS).groups[0]
    assert whole.median_ratio == pytest.approx((ratios[1] + ratios[2]) / 2)
    assert whole.mean_abs_error == pytest.approx(sum(abs(r - 1) for r in ratios) / 4)


def test_trtllm_points_are_predicted_within_a_third():
    """Vendor-tuned engines are what the constants stand for; the splitwise row is a 2023 engine."""
    groups = {(g.group, g.value): g for g in validate_points(POINTS).groups}
    assert groups["source", "trtllm"].mean_abs_error < 0.33


@pytest.mark.parametrize(
    ("text", "message"),
    [("a,b\n1,2\n", "not a file of points"), ("", "is empty"), (b"\xff\xfe\x00", "UTF-8")],
)
def test_other_files_are_refused(tmp_path, text, message):
    path = tmp_path / "points.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=message):
        read_points(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_points(tmp_path / "none.csv")
    with pytest.raises(InputError, match="directory"):
        read_points(tmp_path)


@pytest.mark.parametrize(("batch", "scored"), [(1, True), (64, True), (2000, False)])
def test_a_fixed_batch_needs_memory_and_no_schedule(tmp_path, batch, scored):
    """Two tokens after a long prompt: an engine would never schedule 64 of these together, a measurement of
    a fixed batch does; 2,000 caches do not fit."""
    path = tmp_path / "steps.csv"
    path.write_text(
        "source_key,model,chip,tp,weight_dtype,kv_dtype,engine,batch_or_concurrency,isl,osl,metric,value,point_type\n"
        f"own,meta-llama/Llama-3.2-1B,nvidia-h200-sxm,1,bf16,bf16,ideal,{batch},8191,2,tpot_ms,1.5,fixed_batch\n"
    )
    validation = validate_points(path)
    assert validation.scored == scored
    assert validation.unscored == ({} if scored else {"the setup breaks memory_capacity": 1})


def test_a_chip_alone_in_its_server_is_joined_where_a_row_has_a_group(tmp_path):
    """GH200: one in a server, but a group of four in a row is joined by NVLink, as in an NVL4."""
    row = "llama-3.1-8b,gh200,{},bf16,8,128,128,output_tok_s_total,1000,fixed_batch\n"
    head = "model,chip,tp,weight_dtype,batch_or_concurrency,isl,osl,metric,value,point_type\n"
    path = tmp_path / "points.csv"
    path.write_text(head + row.format(1) + row.format(4))
    domains = [point.chip.scaleup.domain for point in read_points(path)]
    assert domains == [1, 4]
