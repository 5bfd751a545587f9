"""Every class of transformers: what it saves by default is read to torch's count, or refused by name.

Guards against a row of the table that counts a bias, a norm or a matrix too many or too few, and against a
default that is not the class's. The counts were taken once (`benchmarks/classes.py --record`): no torch here.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from optimizer import InputError
from optimizer.cost.parameters import parameter_counts
from optimizer.hugging_face import import_config
from optimizer.hugging_face.classes import recorded, version
from optimizer.hugging_face.families import FAMILIES
from optimizer.hugging_face.mixers import READERS
from optimizer.hugging_face.order import LETTERS, ORDERS
from optimizer.hugging_face.sparse import RULES

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent.parent / "data" / "classes.json").read_text())
COUNTS: dict[str, Any] = RECORDED["classes"]


def ours(name: str) -> int:
    """Our count of what a class saves by default."""
    return parameter_counts(
        import_config(dict(COUNTS[name]["config"]), "config.json", name).architecture
    ).total


def read(name: str) -> bool:
    """Whether the default of a class is read."""
    try:
        ours(name)
    except InputError as error:
        assert "config.json: " in str(error)
        return False
    return True


@pytest.mark.parametrize("name", [name for name in COUNTS if read(name)])
def test_a_class_has_the_parameters_that_torch_counts(name: str) -> None:
    """To the last one."""
    assert ours(name) == COUNTS[name]["parameters"]


@pytest.mark.parametrize("name", [name for name in COUNTS if "layer_types" in COUNTS[name]["config"]])
def test_a_file_without_its_order_of_layers_has_that_of_its_class(name: str) -> None:
    """Windows change no count: the class's own list is the witness. So is a list of layers with experts."""
    config = dict(COUNTS[name]["config"])
    if not read(name):
        return
    listed = import_config(dict(config), "config.json", name).architecture
    for field in ("layer_types", "mlp_layer_types", "sliding_window_pattern", "_sliding_window_pattern"):
        config.pop(field, None)
    if name == "lfm2_moe":  # its class has no order of its own
        with pytest.raises(InputError, match="layer_types: is missing"):
            import_config(config, "config.json", name)
        return
    assert import_config(config, "config.json", name).architecture.layers == listed.layers


def test_most_classes_that_write_text_are_read() -> None:
    """A change that loses some is seen."""
    assert sum(map(read, COUNTS)) >= 181


def test_a_row_without_a_class_says_what_its_files_leave_out() -> None:
    """Either transformers has its defaults, or the row has, or it is like another."""
    for name, family in FAMILIES.items():
        known = recorded(name).defaults or recorded(f"{name}_text").defaults
        assert known or family.defaults or recorded(family.like).defaults, name


def test_every_row_names_what_there_is() -> None:
    """Readers of mixers, orders of layers, rules of experts and letters."""
    for name, family in FAMILIES.items():
        assert set(family.kinds.values()) <= set(READERS), name
        assert family.order in ORDERS, name
        assert set(family.sparse) <= set(RULES), name
        assert set(family.cycle + family.lead + family.last) <= set(LETTERS), name


def test_defaults_and_counts_are_of_one_version() -> None:
    """Recorded together."""
    assert version() == RECORDED["source"]
