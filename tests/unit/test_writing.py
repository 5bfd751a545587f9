"""Files written are files read: every chip and engine of the catalogue comes back the same."""

import warnings

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer import catalog
from optimizer.errors import OddInput
from optimizer.spec.chip import Chip
from optimizer.spec.quantity import UNITS, format_quantity, parse_quantity
from optimizer.spec.writing import to_yaml


@pytest.mark.parametrize("name", sorted(catalog.chips()))
def test_a_chip_written_and_read_again_is_the_same_chip(name: str, tmp_path) -> None:
    path = tmp_path / "chip.yaml"
    path.write_text(to_yaml(catalog.chip(name)), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OddInput)  # one that ships is odd, and true
        again = catalog.chip(str(path))
    assert again == catalog.chip(name)
    assert again.model_fields_set == catalog.chip(name).model_fields_set


@pytest.mark.parametrize("name", sorted(catalog.engines()))
def test_an_engine_written_and_read_again_is_the_same(name: str, tmp_path) -> None:
    path = tmp_path / "engine.yaml"
    path.write_text(to_yaml(catalog.engine(name)), encoding="utf-8")
    assert catalog.engine(str(path)) == catalog.engine(name)


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(sorted(UNITS)), st.floats(1e-12, 1e18))
def test_a_quantity_written_and_read_again_is_the_same(dimension: str, value: float) -> None:
    assert parse_quantity(format_quantity(value, dimension), dimension) == value


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (3.35e12, "bytes/s", "3.35 TB/s"),
        (80 * 2**30, "bytes", "80 GiB"),
        (9.89e14, "FLOP/s", "989 TFLOP/s"),
        (2.5 * 1e-6, "s", "2.5 us"),
        (700, "W", "700 W"),
    ],
)
def test_quantities_are_written_as_people_do(value: float, dimension: str, text: str) -> None:
    assert format_quantity(value, dimension) == text


def test_units_are_in_the_file_and_not_in_the_json() -> None:
    chip = catalog.chip("h100")
    assert yaml.safe_load(to_yaml(chip))["hbm_bandwidth"] == "3.35 TB/s"
    assert chip.model_dump(mode="json")["hbm_bandwidth"] == 3.35e12


def test_what_cannot_be_read_again_is_not_written() -> None:
    """model_copy does not validate: a wrong value is met before the file is."""
    broken = catalog.chip("h100").model_copy(update={"n_cores": -1})
    with pytest.raises(Exception, match="n_cores"):
        to_yaml(broken)
    assert isinstance(broken, Chip)
