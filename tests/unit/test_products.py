"""Chips by the names that people write; an unknown one suggests a near product, never a near spelling."""

import pytest

from optimizer import InputError, catalog
from optimizer.spec.products import key, near

KNOWN = {chip.name: [chip.name, *chip.aliases] for chip in catalog.chips().values()}


def hint(name: str) -> str:
    with pytest.raises(InputError) as error:
        catalog.chip(name)
    return str(error.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("t4", "nvidia-t4"),
        ("Tesla T4", "nvidia-t4"),
        ("3090", "nvidia-rtx-3090"),
        ("rtx3090", "nvidia-rtx-3090"),
        ("geforce rtx 3090", "nvidia-rtx-3090"),
        ("NVIDIA GeForce RTX 3090 Ti", "nvidia-rtx-3090-ti"),
        ("RTX 3090 24GB", "nvidia-rtx-3090"),
        ("a6000", "nvidia-rtx-a6000"),
        ("NVIDIA RTX 6000 Ada Generation", "nvidia-rtx-6000-ada"),
        ("l20", "nvidia-l20"),
        ("a800", "nvidia-a800-80-sxm"),
        ("h20-141", "nvidia-h20-141"),
        ("NVIDIA H20-3e", "nvidia-h20-141"),
        ("H20 96GB", "nvidia-h20"),
        ("gb10", "nvidia-gb10"),
        ("DGX Spark", "nvidia-gb10"),
        ("m3 ultra", "apple-m3-ultra"),
        ("Apple M4 Max", "apple-m4-max"),
        ("rtx-5070-ti", "nvidia-rtx-5070-ti"),
        ("a40", "nvidia-a40"),
        ("h100 pcie", "nvidia-h100-pcie"),
        ("NVIDIA H100 80GB HBM3", "nvidia-h100-sxm"),
        ("NVIDIA A100-SXM4-80GB", "nvidia-a100-80-sxm"),
        ("A100 80GB PCIe", "nvidia-a100-80-pcie"),
        ("Tesla V100-SXM2-16GB", "nvidia-v100-16-sxm"),
        ("mi300", "amd-mi300x"),
        ("AMD Instinct MI210", "amd-mi210"),
        ("v4", "google-tpu-v4"),
        ("nvidia-h100-sxm", "nvidia-h100-sxm"),
    ],
)
def test_names_as_people_write_them(written: str, meant: str) -> None:
    assert catalog.chip(written).name == meant


def test_no_two_chips_or_systems_share_a_spelling() -> None:
    taken: dict[tuple[str, ...], str] = {}
    for item in (*catalog.chips().values(), *catalog.systems().values()):
        for spelling in (item.name, *item.aliases):
            assert key(spelling), f"{spelling} of {item.name} says nothing"
            assert taken.setdefault(key(spelling), item.name) == item.name, spelling


@pytest.mark.parametrize(
    "item", [*catalog.chips().values(), *catalog.systems().values()], ids=lambda i: i.name
)
def test_an_alias_says_something_of_its_own(item) -> None:
    """Two spellings of one key are one: an alias is there for a name that nothing else covers."""
    for spelling in item.aliases:
        assert catalog.chip(spelling).name == catalog.chip(item.name).name


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("nvidia-b200-smx", "nvidia-b200-sxm"),
        ("h100-sxm-96gb", "nvidia-h100-sxm"),
        ("m4 ultra", "apple-m4-max"),
        ("m5-max", "apple-m4-max"),
        ("rtx 4080", "nvidia-rtx-4090"),
        ("mi308x", "amd-mi300x"),
        ("tpu v8", "google-tpu-v7"),
        ("trainum2", "aws-trainium2"),
        ("gaudi", "intel-gaudi2"),
        ("h300", "nvidia-h200-sxm"),
        ("b100", "nvidia-b200-sxm"),
        ("b2000", "nvidia-b200-sxm"),
        ("a16", "nvidia-a10"),
    ],
)
def test_a_near_product_is_suggested(written: str, first: str) -> None:
    message = hint(written)
    assert "Did you mean" in message
    assert first in message


@pytest.mark.parametrize(
    ("written", "never"),
    [
        ("t5", "v4"),
        ("a5000", "pro-6000"),
        ("m2000", "rtx"),
        ("l400", "h100"),
        ("v5000", "rtx"),
        ("h20x", "gh200"),
    ],
)
def test_a_near_spelling_is_not_a_near_product(written: str, never: str) -> None:
    assert never not in hint(written).partition("Did you mean")[2]


@pytest.mark.parametrize("written", ["", "abacus", "zzz", "nvidia", "gtx 1080", "t400", "9" * 300, "é"])
def test_nothing_is_suggested_where_nothing_is_near(written: str) -> None:
    assert near(written, KNOWN) == []


def test_only_its_own_variants_are_suggested_for_a_known_number() -> None:
    found = near("h100-foo", KNOWN)
    assert len(found) == 3
    assert all("h100" in name for name in found)


def test_a_memory_that_the_chip_has_not_is_not_taken_for_it() -> None:
    assert "apple-m3-ultra" in hint("m3 ultra 256gb")
    assert "nvidia-rtx-3090" in hint("rtx 3090 48GB")
