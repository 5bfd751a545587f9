"""Answers of fleet studies that were once wrong: loads that round, caches nobody reads, one service's mix."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimizer import load_problem, solve
from optimizer.errors import InputError

HEAD = "mode,chip,chips,requests_per_s,ttft_ms,tpot_ms"
SIZES = {"input_tokens": 100, "output_tokens": 100}


def study(at: Path, table: str, services: list[dict[str, Any]], **rest: Any) -> Any:
    """The answer to a fleet of services that share one table."""
    (at / "table.csv").write_text(table)
    problem = {
        "name": "fleet",
        "hardware": [{"chip": "nvidia-h100-sxm", "max_count": 64}],
        "services": [{"performance_table": "table.csv"} | s for s in services],
        "minimize": "chips",
    } | rest
    (at / "fleet.yaml").write_text(yaml.safe_dump(problem))
    return solve(load_problem(str(at / "fleet.yaml")))


def bucket(requests_per_s: float, **rows: str) -> dict[str, Any]:
    return SIZES | {"requests_per_s": requests_per_s} | ({"rows": rows} if rows else {})


@pytest.mark.parametrize("chips", [1, 8])
def test_thirds_add_up_to_one_replica(tmp_path: Path, chips: int) -> None:
    table = f"{HEAD},size\nagg,nvidia-h100-sxm,1,3,100,10,short\nagg,nvidia-h100-sxm,1,3,100,10,long\n"
    traffic = [bucket(1, size="short"), bucket(2, size="long")]
    hardware = [{"chip": "nvidia-h100-sxm", "max_count": chips}]
    found = study(tmp_path, table, [{"name": "a", "traffic": traffic}], hardware=hardware)
    assert (found.status, found.objective.value) == ("optimal", 1)


def test_traffic_is_split_as_finely_as_it_helps(tmp_path: Path) -> None:
    """7 requests/s on one chip of 1 and four of 6: no eighth of 7 is 1."""
    table = f"{HEAD}\nagg,nvidia-h100-sxm,1,1,100,10\nagg,nvidia-h100-sxm,4,6,100,10\n"
    found = study(tmp_path, table, [{"name": "a", "traffic": [bucket(7)]}])
    assert (found.status, found.objective.value) == ("optimal", 5)


def test_slices_of_older_files_are_answered_for(tmp_path: Path) -> None:
    table = f"{HEAD}\nagg,nvidia-h100-sxm,1,1,100,10\n"
    found = study(tmp_path, table, [{"name": "a", "traffic": [bucket(1)]}], slices=8)
    assert any(a.name == "slices" and "freely" in a.value for a in found.assumptions)


def test_a_prefill_hands_its_cache_to_a_decode_that_reads_it(tmp_path: Path) -> None:
    rows = [("prefill", 1, "fp8"), ("decode", 1, "bf16"), ("prefill", 3, "bf16"), ("decode", 3, "fp8")]
    lines = [f"{mode},nvidia-h100-sxm,{n},5,100,10,{cache}" for mode, n, cache in rows]
    way, traffic = {"mode": "disaggregated"}, [{"name": "a", "traffic": [bucket(4)]}]
    alone = "\n".join([f"{HEAD},kv_dtype", *lines[:2]])
    with pytest.raises(InputError, match=r"services: a: no whole replica.*kv_dtype"):
        study(tmp_path, alone, traffic, deployment=way)
    every = "\n".join([f"{HEAD},kv_dtype", *lines])
    found = study(tmp_path, every, traffic, deployment=way)
    assert (found.status, found.objective.value) == ("optimal", 4)
    assert len({pool.kv_dtype for pool in found.deployment.pools}) == 1


@pytest.mark.parametrize("mix, chips", [("any", 6), ("same", 6)])
def test_one_services_mix_binds_that_service_alone(tmp_path: Path, mix: str, chips: int) -> None:
    """8 requests/s on 1 chip of 1 and 4 of 7, beside 1 on 1 chip; 8 chips were needed of one setup each."""
    table = f"{HEAD}\nagg,nvidia-h100-sxm,1,1,100,10\nagg,nvidia-h100-sxm,4,7,100,10\n"
    services = [
        {"name": "free", "traffic": [bucket(8)]},
        {"name": "uniform", "traffic": [bucket(1)], "deployment": {"mix": mix}},
    ]
    found = study(tmp_path, table, services)
    assert (found.status, found.objective.value) == ("optimal", chips)
    all_alike = study(tmp_path, table, services, deployment={"mix": "same"})
    assert all_alike.objective.value == 9


def test_the_most_traffic_of_one_setup_a_phase(tmp_path: Path) -> None:
    table = f"{HEAD}\nagg,nvidia-h100-sxm,1,1,100,10\nagg,nvidia-h100-sxm,4,7,100,10\n"
    way = {"deployment": {"mix": "same"}, "minimize": None, "maximize": "requests_per_s"}
    hardware = [{"chip": "nvidia-h100-sxm", "max_count": 6}]
    found = study(tmp_path, table, [{"name": "a", "traffic": [bucket(20)]}], hardware=hardware, **way)
    assert (found.status, found.objective.value, found.chips) == ("optimal", 7, {"nvidia-h100-sxm": 4})
