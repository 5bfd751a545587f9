"""Exchanges between chips against measurements, and against each other."""

import numpy as np
import pytest
from samples import chip

from optimizer import catalog
from optimizer.cost import collectives as c
from optimizer.errors import InputError

MIB = 2**20
TORUS = {"topology": "torus2d", "domain": 256, "bandwidth": "45 GB/s", "axis": 16}
EXCHANGES = [c.all_reduce_s, c.all_gather_s, c.reduce_scatter_s, c.all_to_all_s]

# nccl-tests rows of ai-dynamo/aiconfigurator @095f58a5 in us; the chip files were fitted to them (in sample)
NCCL = [
    ("nvidia-h100-sxm", 8, c.all_gather_s, 1024, 10.4),
    ("nvidia-h100-sxm", 8, c.all_gather_s, 16 * MIB, 67.09),
    ("nvidia-h100-sxm", 8, c.all_gather_s, 512 * MIB, 1398.06),
    ("nvidia-h100-sxm", 8, c.reduce_scatter_s, 1024, 10.39),
    ("nvidia-h100-sxm", 8, c.reduce_scatter_s, 512 * MIB, 1399.23),
    ("nvidia-h100-sxm", 8, c.all_to_all_s, 1024, 7.89),
    ("nvidia-h100-sxm", 8, c.all_to_all_s, 16 * MIB, 72.39),
    ("nvidia-h100-sxm", 8, c.all_to_all_s, 512 * MIB, 1480.22),
    ("nvidia-h100-sxm", 8, c.all_reduce_s, 512 * MIB, 2111.43),
    ("nvidia-b200-sxm", 4, c.all_gather_s, MIB, 14.43),
    ("nvidia-b200-sxm", 4, c.reduce_scatter_s, 512 * MIB, 727.06),
    ("nvidia-b200-sxm", 4, c.all_to_all_s, 16 * MIB, 45.66),
]


@pytest.mark.parametrize(("name", "n", "exchange", "size", "measured_us"), NCCL)
def test_measured_exchanges(name, n, exchange, size, measured_us) -> None:
    seconds, latency = exchange(size, c.Group(n, n), catalog.chip(name))
    assert 1e6 * float(seconds) == pytest.approx(measured_us, rel=0.15)
    assert 0 < float(latency) <= float(seconds)


def test_four_nodes_of_eight_h200() -> None:
    """364.9 GB/s bus bandwidth of 4 GiB over 32 ranks (stas00/ml-engineering @744d01e1): the network's share
    was read from this row, the domain's was not."""
    size = 4 * 2**30
    seconds, _ = c.all_reduce_s(size, c.Group(32, 8), catalog.chip("h200"))
    assert 2 * 31 / 32 * size / float(seconds) == pytest.approx(364.9e9, rel=0.05)


# Expert dispatch (7392 bytes a token) and combine (14336) of DeepEP's low-latency kernels, 8 copies each,
# rows of sglang 0.5.6 and 0.5.12 in ai-dynamo/aiconfigurator @095f58a5, in us. No constant was fitted here;
# that the latencies of both networks add up was read from the rows of 8 tokens.
DEEPEP = [
    (8, 8, 128 * 8 * 7392, 36.72),
    (16, 8, 8 * 8 * 14336, 36.23),
    (16, 8, 128 * 8 * 14336, 186.17),
    (32, 8, 128 * 8 * 7392, 142.97),
    (64, 8, 8 * 8 * 14336, 42.8),
    (64, 8, 128 * 8 * 14336, 304.73),
]


@pytest.mark.parametrize(("n", "per_domain", "size", "measured_us"), DEEPEP)
def test_expert_exchanges_of_deepep_on_h100(n, per_domain, size, measured_us) -> None:
    seconds, _ = c.all_to_all_s(size, c.Group(n, per_domain), catalog.chip("h100"))
    assert 1e6 * float(seconds) == pytest.approx(measured_us, rel=0.18)


@pytest.mark.parametrize(("n", "bus"), [(2, 47.7e9), (8, 312.9e9)])
def test_a_mesh_group_owns_its_own_links_only(n: int, bus: float) -> None:
    """MI300X, 4 GiB (stas00/ml-engineering @744d01e1), held out: no kernel of AMD's was fitted."""
    size = 4 * 2**30
    seconds, _ = c.all_reduce_s(size, c.Group(n, n), catalog.chip("mi300x"))
    assert 2 * (n - 1) / n * size / float(seconds) == pytest.approx(bus, rel=0.15)


def test_all_to_all_is_a_quarter_of_an_all_gather_on_a_ring() -> None:
    """jax-ml/scaling-book @0819a7d8, sharding.md: V/(4 W) against V/W; V = 16 ranks' bytes."""
    line = chip(scaleup=TORUS | {"axis": 32})
    group, own = c.Group(13, 13), 1e9  # a prime number of chips is one side
    wrapped = chip(scaleup=TORUS | {"axis": 13})
    whole, _ = c.all_gather_s(13 * own, group, wrapped)
    assert float(c.all_to_all_s(own, group, wrapped)[0]) == pytest.approx(float(whole) / 4)
    assert float(c.all_to_all_s(own, group, line)[0]) == pytest.approx(float(whole) / 2)  # no wrap: double
    assert float(c.all_gather_s(13 * own, group, line)[0]) == pytest.approx(2 * float(whole))


def test_a_v5e_all_gather() -> None:
    """An all-gather of 34 MB along an axis of 16 takes about 377 us at 90 GB/s both ways (scaling-book)."""
    v5e = catalog.chip("v5e")
    line = v5e.model_copy(update={"scaleup": v5e.scaleup.model_copy(update={"axis": 7})})
    seconds, _ = c.all_gather_s(34e6, c.Group(7, 7), line)
    assert 1e6 * float(seconds) == pytest.approx(377, rel=0.01)


@pytest.mark.parametrize(
    ("n", "stride", "expected"),
    [(8, 1, (8, 8)), (32, 1, (32, 8)), (4, 8, (4, 1)), (8, 2, (8, 4)), (12, 1, (12, 6))],
)
def test_how_a_group_lies_in_domains(n: int, stride: int, expected: tuple[int, int]) -> None:
    group = c.group_of(n, chip(), stride)
    assert (group.n_chips, group.per_domain) == expected


def test_a_group_across_a_rack() -> None:
    """Every eighth chip of an NVL72: nine in the rack."""
    assert c.group_of(18, catalog.chip("gb200"), stride=8) == c.Group(18, 9)


@pytest.mark.parametrize("exchange", EXCHANGES)
@pytest.mark.parametrize("group", [c.Group(8, 8), c.Group(32, 8), c.Group(4, 1)])
@pytest.mark.parametrize("name", ["h100", "mi300x", "v5e", "l40s", "gb200"])
def test_arrays_equal_numbers_and_time_grows_with_size(exchange, group, name) -> None:
    part = catalog.chip(name)
    sizes = np.array([1e3, 1e5, 1e7, 1e9])
    seconds, latency = exchange(sizes, group, part)
    assert seconds.tolist() == [float(exchange(size, group, part)[0]) for size in sizes]
    assert np.all(np.diff(seconds) >= 0)
    assert np.all(latency <= seconds)
    assert seconds[-1] > 10 * seconds[0]


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_leaving_the_domain_costs_more(exchange) -> None:
    part = catalog.chip("h100")
    inside, outside = (float(exchange(1e9, group, part)[0]) for group in (c.Group(8, 8), c.Group(8, 1)))
    assert outside > 3 * inside


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_one_chip_exchanges_nothing(exchange) -> None:
    assert float(exchange(1e9, c.Group(1, 1), catalog.chip("h100"))[0]) == 0


def test_a_group_that_cannot_leave_its_domain() -> None:
    assert not c.connected(c.Group(16, 8), chip())
    for exchange in EXCHANGES:
        with pytest.raises(InputError, match=r"sample: .* leaves the domain of 8 .*scaleout_bandwidth"):
            exchange(1e6, c.Group(16, 8), chip())


def test_an_impossible_group_is_refused() -> None:
    with pytest.raises(InputError, match="12 chips cannot have 8"):
        c.Group(12, 8)


def test_one_message() -> None:
    """396.4 of 450 GB/s between two H200, by nvbandwidth (stas00/ml-engineering @744d01e1)."""
    seconds, latency = c.point_to_point_s(1e9, catalog.chip("h200"), inside=True)
    assert 1e9 / (float(seconds) - float(latency)) == pytest.approx(396.4e9, rel=0.01)
    mesh, start = c.point_to_point_s(1e9, catalog.chip("mi300x"), inside=True)
    assert 1e9 / (float(mesh) - float(start)) == pytest.approx(0.88 * 64e9)
    network, _ = c.point_to_point_s(1e9, catalog.chip("h200"), inside=False)
    assert float(network) > 5 * float(seconds)


def test_the_latency_of_a_longer_ring() -> None:
    """NCCL, protocol LL: 6.6 us and 0.6 us a step (NVIDIA/nccl @5067397c src/graph/tuning.cc), 10.8 us for an
    all-gather over 8 chips; H100 measured 10.4. Here two chips are measured and six steps added."""
    own = chip(efficiency={"collectives": {"all_gather": {2: [{"latency": "7.2 us", "link": 0.7}]}}})
    seconds, _ = c.all_gather_s(0.0, c.Group(8, 8), own)
    assert 1e6 * float(seconds) == pytest.approx(10.8, rel=0.001)
