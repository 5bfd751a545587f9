"""Boxes, pairs and rings of chips: their links are data, with a source, and exchanges cost what they say."""

import pytest

from optimizer import InputError, catalog
from optimizer.cost.collectives import all_reduce_s, all_to_all_s, group_of, point_to_point_s
from optimizer.spec.chip import System
from optimizer.spec.loading import validate

PAIR = {
    "name": "pair",
    "title": "two of them",
    "chip": "nvidia-gb10",
    "n_chips": 2,
    "scaleup_domain": 2,
    "links": {"topology": "switch", "bandwidth": "10 GB/s", "exchange": {"latency": "50 us", "link": 0.5}},
    "sources": dict.fromkeys(("n_chips", "scaleup_domain", "links"), "made up for tests"),
}


@pytest.mark.parametrize("name", sorted(catalog.systems()))
def test_figures_of_systems_have_sources(name: str) -> None:
    assert all(len(source) > 8 for source in catalog.systems()[name].sources.values())


def test_links_without_a_source_are_refused() -> None:
    with pytest.raises(InputError, match="sources lacks links"):
        validate(System, PAIR | {"sources": {"n_chips": "x", "scaleup_domain": "x"}}, "pair.yaml")


def test_exchanges_take_the_systems_latency_and_share() -> None:
    """One message of 10 kB: 50 us, and 1e4 bytes (two ranks exchange one half twice) at 5 GB/s."""
    chip = validate(System, PAIR, "pair.yaml").wired(catalog.chip("gb10"))
    group = group_of(2, chip)
    assert float(all_reduce_s(1e4, group, chip)[0]) == pytest.approx(50e-6 + 1e4 / 5e9)
    assert float(all_to_all_s(1e4, group, chip)[0]) == pytest.approx(50e-6 + 5e3 / 5e9)
    assert float(point_to_point_s(1e4, chip, inside=True)[0]) == pytest.approx(50e-6 + 1e4 / 5e9)


def test_a_system_without_links_keeps_those_of_its_chip() -> None:
    own, boxed = catalog.chip("nvidia-l40s"), catalog.chip("nvidia-l40s-8")
    assert boxed.scaleup == own.scaleup
    assert boxed.efficiency == own.efficiency


def test_cards_without_peer_to_peer_exchange_more_slowly() -> None:
    with_it, without = (catalog.chip(f"nvidia-rtx-4090-8-{how}") for how in ("p2p", "no-p2p"))
    for size in (1e4, 1e6, 1e8):
        assert float(all_reduce_s(size, group_of(8, without), without)[0]) > float(
            all_reduce_s(size, group_of(8, with_it), with_it)[0]
        )


def test_a_ring_of_macs_over_tcp_waits_longer_than_one_with_rdma() -> None:
    ring, rdma = catalog.chip("apple-mac-studio-m3-ultra-4-ring"), catalog.chip("4x mac studio")
    slow, fast = (float(all_reduce_s(1e4, group_of(4, chip), chip)[0]) for chip in (ring, rdma))
    assert slow > 10 * fast


@pytest.mark.parametrize(
    ("written", "system"),
    [
        ("dgx h100", "nvidia-dgx-h100"),
        ("DGX Spark pair", "nvidia-dgx-spark-2"),
        ("mac ring", "apple-mac-studio-m3-ultra-4-ring"),
    ],
)
def test_systems_by_the_names_that_people_write(written: str, system: str) -> None:
    found = catalog.system(written)
    assert found is not None
    assert found.name == system


def test_a_chips_name_is_no_systems() -> None:
    assert catalog.system("dgx spark") is None
    assert catalog.system("./mine.yaml") is None
    assert catalog.system("abacus") is None
