"""A seeded part of the fuzzing of all loaders: `benchmarks/fuzz.py` runs the rest.

Guards loaders against damage that nobody thought of: no exception but InputError, no endless figure, no hang.
"""

import random
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from optimizer import InputError, catalog
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.loading import validate

PLACE = Path(__file__).parent.parent.parent / "benchmarks" / "fuzz.py"
SPEC = spec_from_file_location("fuzz", PLACE)
assert SPEC is not None and SPEC.loader is not None
fuzz = module_from_spec(SPEC)
sys.modules["fuzz"] = fuzz
SPEC.loader.exec_module(fuzz)

LOADERS = {name: loader for name, loader in fuzz.loaders().items() if name != "answer"}  # which solves


@pytest.mark.parametrize("name", LOADERS)
def test_damaged_documents_are_read_or_refused(name: str) -> None:
    inputs = {"argv": 60, "points": 80, "training points": 80}.get(name, 150)
    counts, findings = fuzz.run(inputs, 20261127, name)
    assert findings == []
    assert sum(counts.values()) == inputs


@pytest.mark.parametrize("name", LOADERS)
def test_the_documents_themselves_are_read(name: str) -> None:
    """A loader that refused its seeds would find nothing."""
    for text in LOADERS[name].seeds[:2]:
        assert fuzz.tried(LOADERS[name], text) in ("read", "refused" if name == "argv" else "read")


def test_the_harness_sees_what_must_not_happen() -> None:
    def crash(text: str) -> None:
        raise KeyError(text)

    with pytest.raises(fuzz.Finding, match="KeyError"):
        fuzz.tried(fuzz.Loader(("a",), crash), "a")
    with pytest.raises(fuzz.Finding, match="inf"):
        fuzz.tried(fuzz.Loader(("a",), lambda text: fuzz.finite({"x": [float("inf")]}, "it")), "a")

    def long(text: str) -> None:
        raise InputError("x" * 10_000)

    with pytest.raises(fuzz.Finding, match="10000 characters"):
        fuzz.tried(fuzz.Loader(("a",), long), "a")
    draw = random.Random(1)
    made = {fuzz.damaged(LOADERS["chip"], draw) for _ in range(50)}
    assert len(made) > 45


# What the fuzzing found, as it was found.


def test_a_chip_needs_the_alignment_that_others_fall_back_on() -> None:
    with pytest.raises(InputError, match="alignment needs bf16"):
        data = catalog.chip("h100").model_dump(context={"units": True}, exclude_unset=True)
        validate(Chip, data | {"alignment": {"fp8": 128}}, "chip")


@pytest.mark.parametrize("kind", [{"a": 1}, [], 5, None])
def test_the_kind_of_a_layer_is_a_word(kind: object) -> None:
    fields = {"name": "x", "d_model": 64, "vocab_size": 99, "n_layers": 1, "d_ff": 64}
    fields |= {"n_heads": 1, "n_kv_heads": 1, "d_head": 64}
    with pytest.raises(InputError, match="is no kind"):
        validate(Architecture, fields | {"layers": [{"count": 1, "mixer": kind}]}, "model")


def test_no_figure_of_a_part_is_so_small_that_times_overflow() -> None:
    data = catalog.chip("h100").model_dump(context={"units": True}, exclude_unset=True)
    for field, value in (
        ("hbm_bandwidth", "1e-300 TB/s"),
        ("usd_per_chip_hour", 5e-324),
        ("n_cores", 10**12),
    ):
        with pytest.raises(InputError, match="than or equal"):
            validate(Chip, data | {field: value}, "chip")
