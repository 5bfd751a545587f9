"""Chip files: each figure has a unit and a source, and slips between them are refused.

Guards a user's own chip, which nobody else reviews, and the catalogue, which everybody trusts.
"""

import pytest
import samples
import yaml

from optimizer import InputError, catalog
from optimizer.spec.chip import Chip
from optimizer.spec.loading import read_yaml, validate


def refused(**fields: object) -> str:
    with pytest.raises(InputError) as error:
        validate(Chip, samples.CHIP | fields, "mine.yaml")
    return str(error.value)


def test_the_sample_is_accepted() -> None:
    assert samples.chip().hbm_capacity == 80 * 2**30


def test_a_figure_without_a_source_is_named() -> None:
    message = refused(sources={"hbm_capacity": "data sheet"})
    assert "sources lacks" in message
    assert "hbm_bandwidth" in message
    assert "hbm_capacity" not in message


def test_every_figure_with_its_own_source_needs_no_default() -> None:
    figures = set(samples.CHIP) - {"name", "title", "vendor", "sources"}
    assert samples.chip(sources=dict.fromkeys(figures, "data sheet"))


def test_usable_memory_above_the_capacity() -> None:
    """79 GiB is more than 80 GB: the label of the part was read in the wrong unit."""
    assert "hbm_usable is larger" in refused(hbm_capacity="80 GB", hbm_usable="79 GiB")
    assert samples.chip(hbm_capacity="80 GiB", hbm_usable="80 GB")


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("hbm_capacity", 80, "no unit"),
        ("hbm_capacity", "80", "no unit of bytes"),
        ("hbm_capacity", "640 Gbit", "no unit of bytes"),
        ("hbm_capacity", "80 GB/s", "no unit of bytes"),
        ("hbm_bandwidth", "3 TB", "no unit of bytes/s"),
        ("hbm_bandwidth", "3 Tb/s", "no unit of bytes/s"),
        ("hbm_bandwidth", "0 TB/s", "greater than"),
        ("dense_flops", {"bf16": "1 PFLOPS"}, "no unit of FLOP/s"),
        ("dense_flops", {"bf16": 1e15}, "no unit"),
        ("dense_flops", {"fp8": "2 PFLOP/s"}, "needs bf16"),
        ("dense_flops", {"bf16": "1 PFLOP/s", "fp6": "1 PFLOP/s"}, "fp6"),
        ("efficiency", {"gemm": {"fp8": {"compute": 0.5, "memory": 0.5, "overhead": "1 us"}}}, "bf16"),
        ("efficiency", {"elementwise": {"memory": 80, "overhead": "1 us"}}, "less than or equal"),
        ("efficiency", {"elementwise": {"memory": 0.8, "overhead": 1e-6}}, "no unit"),
        ("scaleup", {"topology": "star", "domain": 8, "bandwidth": "450 GB/s"}, "switch"),
        ("scaleup", {"topology": "switch", "domain": 0, "bandwidth": "450 GB/s"}, "greater than or"),
        ("name", "My Chip", "pattern"),
        ("usd_per_chip_hour", 0, "greater than"),
        ("hbm_bandwith", "3 TB/s", "Did you mean hbm_bandwidth"),
    ],
)
def test_slips_are_refused_by_name(field: str, value: object, named: str) -> None:
    message = refused(**{field: value})
    assert named in message
    assert message.startswith("mine.yaml: ")


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_every_figure_of_the_catalogue_has_its_own_source(name: str) -> None:
    """`default` is for a user's own chip; here each figure can be looked up."""
    chip = catalog.chip(name)
    assert "default" not in chip.sources
    assert all(len(source) > 8 for source in chip.sources.values())


SRAM = {"cerebras-wse-3", "groq-lpu-v1", "nvidia-groq-3-lpu"}
"""Chips whose memory is on them: petabytes a second, and little or much of it."""


@pytest.mark.parametrize("name", sorted(set(catalog.chips()) - SRAM))
def test_figures_of_the_catalogue_are_of_the_right_order(name: str) -> None:
    """Catches TB for GB, slips of a thousand, and a peak per byte that no balanced part has."""
    chip = catalog.chip(name)
    bf16 = chip.dense_flops["bf16"]
    assert 1e13 < bf16 < 1e16
    assert 30 < bf16 / chip.hbm_bandwidth < 700  # FLOP per byte: a sparse peak doubles it
    for dtype in ("fp8", "fp4"):
        assert 1 <= chip.dense_flops.get(dtype, bf16) / bf16 < 16
    assert 10 < chip.hbm_capacity / 2**30 < 600
    lent = 0.74 if chip.vendor == "Apple" else 0.9  # macOS keeps a quarter for itself
    assert lent < chip.hbm_usable / chip.hbm_capacity <= 1
    assert 0.2e12 < chip.hbm_bandwidth < 3e13
    assert 5e9 <= chip.scaleup.bandwidth <= 2e12
    assert chip.name == name


@pytest.mark.parametrize("name", sorted(SRAM))
def test_figures_of_sram_chips_are_of_the_right_order(name: str) -> None:
    chip = catalog.chip(name)
    assert 1e13 < chip.hbm_bandwidth < 1e17
    assert chip.hbm_capacity / chip.hbm_bandwidth < 1e-5  # seconds to read it once
    assert 0.5 < chip.dense_flops["bf16"] / chip.hbm_bandwidth < 10
    assert not chip.efficiency.measured


@pytest.mark.parametrize("folder", ["hardware/chips", "hardware/systems", "models", "problems"])
def test_file_names_are_the_names_inside(folder: str) -> None:
    for path in catalog.data_folder(folder).glob("*.yaml"):
        assert read_yaml(path)["name"].replace("/", "--") == path.stem


def test_systems_name_chips_of_the_catalogue() -> None:
    for name, system in catalog.systems().items():
        assert system.chip in catalog.chips()
        assert catalog.chip(name).scaleup.domain == system.scaleup_domain


def test_a_users_own_file_by_path(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(samples.CHIP))
    assert catalog.chip(str(path)) == samples.chip()


def test_unknown_chip_names_the_nearest() -> None:
    with pytest.raises(InputError, match="nvidia-b200-sxm"):
        catalog.chip("nvidia-b200-smx")
    with pytest.raises(InputError, match="archsat chips"):
        catalog.chip("abacus")


def test_alignment_follows_the_arithmetic_of_the_weights() -> None:
    """128 bytes: 64 elements of bf16 and 128 of fp8; int4 weights multiply in bf16."""
    h100 = catalog.chip("h100")
    assert [h100.aligned(d) for d in ("bf16", "fp8", "int4")] == [64, 128, 64]
    assert h100.arithmetic("nvfp4") == "bf16"
    assert catalog.chip("b200").arithmetic("nvfp4") == "fp4"
