"""A plan under stress, against replays of replicas that are slower, busier or fewer in truth."""

from dataclasses import replace

import numpy as np
import pytest
from test_replay import Linear, server

from optimizer import InputError, Replaying, simulate, stress
from optimizer.report.stress import report
from optimizer.simulation.asked import Size
from optimizer.simulation.replay import Station
from optimizer.simulation.scene import Kind, Scene
from optimizer.spec.plan import Pool
from optimizer.watch import Stopped, Watch

HOW = Replaying(requests=400)
LIMITS = {"ttft_ms_max": 150.0, "tpot_ms_max": 20.0}


def scene(slow: float = 1.0, replicas: int = 2, rate: float = 5.0, front_s: float = 0.004) -> Scene:
    """Replicas by hand, their times so many times as long, for prompts of 100 tokens and answers of 20."""
    times = Linear(fixed=0.006 * slow, sequence=0.0005 * slow, prompt=0.0004 * slow)
    station = Station(server(times, slots=8), replicas, 1.0, front_s=front_s * slow)
    pool = Pool(
        phase="aggregated", chip="red", replicas=replicas, batch=8, chips=replicas, requests_per_s=20.0
    )
    return Scene(
        name="by hand",
        words="two replicas",
        kinds=(Kind("requests", Size(100, 20, 1.0), LIMITS),),
        pools=(pool,),
        stations=lambda requests: (station,),
        claims={},
        rate=rate,
    )


def within(own: Scene) -> float:
    return simulate(own, HOW).within[-1].share


@pytest.mark.parametrize("delays, traffic", [(1.0, 1.0), (1.3, 1.0), (1.0, 1.5), (1.25, 1.2)])
def test_a_cell_is_the_replay_of_replicas_that_are_slower_and_busier(delays: float, traffic: float) -> None:
    """Whose step times and front are so many times as long, at so many times the rate."""
    busy = scene(rate=20.0)
    table = stress(busy, HOW, (1.0, delays), (1.0, traffic))
    share = within(scene(slow=delays, rate=20.0 * traffic))
    assert 0.01 < share < 1
    assert table.at(delays, traffic).share == pytest.approx(share, abs=1e-9)


def test_a_replica_that_is_lost_is_one_less() -> None:
    table = stress(scene(rate=16.0), HOW, (1.0,), (1.0,))
    [lost] = [cell for cell in table.cells if cell.lost]
    assert lost.lost == "aggregated red x1"
    assert lost.share == within(scene(replicas=1, rate=16.0)) < table.at(1.0, 1.0).share
    [gone] = [cell for cell in stress(scene(replicas=1), HOW, (1.0,), (1.0,)).cells if cell.lost]
    assert (gone.share, gone.grows) == (0.0, True)


def test_cells_of_one_product_share_a_replay() -> None:
    table = stress(scene(), HOW, (1.0, 1.2, 1.5), (1.0, 1.2, 1.5))
    assert table.replays == 6 + 3
    assert len(table.cells) == 9 + 3 and table.counted == 320
    assert np.all(np.diff([table.at(d, 1.0).share for d in table.delays]) <= 0)
    assert table.headline() == f"by hand: {table.at(1.5, 1.5).share:.1%} at delays x1.5, traffic x1.5"
    assert table.table()[0] == {"delays": 1.0, "traffic": 1.0, "lost": "", "share": 1.0, "grows": False}
    with pytest.raises(KeyError):
        table.at(9.0, 1.0)
    assert report(table) is not None


def test_what_cannot_be_put_under_stress_is_named() -> None:
    own = scene()
    with pytest.raises(InputError, match="stress: of which bound"):
        stress(replace(own, kinds=(replace(own.kinds[0], limits={}),)), HOW)
    with pytest.raises(InputError, match="stress: clients wait for answers"):
        stress(own, replace(HOW, arrivals="clients:4"))
    with pytest.raises(InputError, match="a factor of 0; give numbers above 0"):
        stress(own, HOW, (0.0,))
    with pytest.raises(Stopped):
        stress(own, HOW, watch=Watch.within(0))
