"""The memory of a chip is what a device shows, with the reading in its source; else assumed.

Guards answers that fill a card to its label, on which nothing runs.
"""

import re

import pytest
import samples

from optimizer import InputError, catalog
from optimizer.spec.chip import Chip
from optimizer.spec.loading import validate

GIB = 2**30
READINGS = ("torch", "llama.cpp", "nvidia-smi", "hl-smi", "XLA", "torch_npu", "torchtitan", "assumed")
"""What a figure may come from."""


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_usable_memory_says_who_read_it(name: str) -> None:
    source = catalog.chip(name).source("hbm_usable")
    assert any(word in source for word in READINGS), source


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_the_label_is_not_taken_for_a_reading(name: str) -> None:
    chip = catalog.chip(name)
    if chip.hbm_usable == chip.hbm_capacity:
        assert re.search(r"assumed|smi \d+ MiB|docs.cloud.google.com", chip.source("hbm_usable"))


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_readings_are_the_figures(name: str) -> None:
    """The first reading that a source quotes is the file's figure: a slip of a digit shows."""
    chip = catalog.chip(name)
    first = re.match(r"(?:assumed: as[^,]*, )?nvidia-smi (\d+) MiB", chip.source("hbm_usable"))
    if first:
        assert chip.hbm_usable / 2**20 == pytest.approx(int(first[1]), abs=52)
    left = re.match(r"([\d.]+) GiB left", chip.source("hbm_reserved"))
    if left:
        assert chip.hbm_for_programs / GIB == pytest.approx(float(left[1]), abs=0.02)


@pytest.mark.parametrize(
    ("name", "gib"),
    [
        ("nvidia-a100-80-sxm", 79.25),
        ("nvidia-a100-40-sxm", 39.38),
        ("l4", 22.49),
        ("rtx-5090", 31.84),
        ("h20", 95.58),
        ("h100", 79.6),
        ("mi300x", 191.98),
    ],
)
def test_what_people_read_off_their_cards(name: str, gib: float) -> None:
    assert catalog.chip(name).hbm_usable / GIB == pytest.approx(gib, abs=0.005)


def test_programs_have_what_the_driver_leaves() -> None:
    chip = samples.chip(hbm_usable="79.5 GiB", hbm_reserved="0.5 GiB")
    assert chip.hbm_for_programs == 79 * GIB
    assert samples.chip().hbm_for_programs == samples.chip().hbm_usable


def test_a_driver_that_keeps_everything_is_refused() -> None:
    document = samples.CHIP | {"hbm_usable": "70 GiB", "hbm_reserved": "70 GiB"}
    with pytest.raises(InputError, match="hbm_reserved leaves nothing"):
        validate(Chip, document, "mine.yaml")
