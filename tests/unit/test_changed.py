"""A model with other values: validated as a file is, but for quantities, which are numbers by then."""

import pytest
from pydantic import ValidationError

from optimizer import catalog
from optimizer.questions.vary import scaled_chip
from optimizer.spec.chip import Streaming


def test_a_changed_model_is_validated_again() -> None:
    chip = catalog.chip("nvidia-h100-sxm")
    assert chip.changed() == chip
    faster = chip.changed(hbm_bandwidth=5e12)
    assert faster.hbm_bandwidth == 5e12 and faster.hbm_usable == chip.hbm_usable
    for wrong in ({"hbm_bandwidth": "5 GiB"}, {"hbm_bandwidth": 1.0}, {"hbm_bandwidth": 5}, {"n_cores": 0}):
        with pytest.raises(ValidationError):
            chip.changed(**wrong)
    with pytest.raises(ValidationError, match="larger than hbm_capacity"):
        chip.changed(hbm_usable=chip.hbm_capacity * 2)
    with pytest.raises(ValidationError, match="unknown field 'bandwidth'"):
        chip.changed(bandwidth=5e12)


def test_a_file_still_gives_its_units() -> None:
    with pytest.raises(ValidationError, match="has no unit"):
        Streaming.model_validate({"memory": 0.5, "overhead": 3e-6})
    assert Streaming.model_validate({"memory": 0.5, "overhead": "3 us"}).overhead == pytest.approx(3e-6)


def test_what_was_not_given_stays_not_given() -> None:
    own = Streaming.model_validate({"memory": 0.5, "overhead": "3 us"})
    assert own.changed(memory=0.6).model_fields_set == {"memory", "overhead"}


def test_a_network_has_its_source() -> None:
    chip = catalog.chip("nvidia-h100-sxm")
    own = chip.with_network(2e9, "a guess")
    assert (own.scaleout_bandwidth, own.source("scaleout_bandwidth")) == (2e9, "a guess")


def test_a_what_if_may_go_beyond_a_file() -> None:
    """Twice the usable memory is more than there is; the plan is asked for all the same."""
    chip = catalog.chip("nvidia-h100-sxm")
    more = scaled_chip(chip, {"hbm_usable": 2.0})
    assert more.hbm_usable == 2 * chip.hbm_usable > chip.hbm_capacity
    with pytest.raises(TypeError, match="Chip has no bandwidth"):
        chip.supposed(bandwidth=1.0)
