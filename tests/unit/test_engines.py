"""Engine profiles of the catalogue: each figure says where it comes from, and in or out of sample."""

import pytest

from optimizer import catalog

DESCRIBED = {"name", "title", "aliases", "sources", "notes"}


@pytest.mark.parametrize("name", sorted(catalog.engines()))
def test_every_figure_has_its_own_source(name: str) -> None:
    engine = catalog.engine(name)
    figures = engine.model_fields_set - DESCRIBED
    assert set(engine.sources) - {"default"} == figures
    assert all(len(source) > 8 and "todo" not in source for source in engine.sources.values())
    assert not any("fitted" in s and "20" not in s for s in engine.sources.values() if "in-sample" in s)


@pytest.mark.parametrize("path", sorted(catalog.data_folder("engines").glob("*.yaml")), ids=lambda p: p.stem)
def test_file_names_are_the_names_inside(path) -> None:
    assert catalog.engine(str(path)).name == path.stem


def test_a_profile_that_was_fitted_says_its_errors() -> None:
    for engine in catalog.engines().values():
        if any("fitted by hand" in source for source in engine.sources.values()):
            assert "In-sample" in engine.notes, engine.name
            assert "%" in engine.notes, engine.name
