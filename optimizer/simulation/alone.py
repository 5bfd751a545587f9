"""Equal replicas of one setup, without any problem, as a replay sees them."""

from dataclasses import asdict, replace
from typing import Any

from optimizer.anatomy.estimate import estimate, served_metrics
from optimizer.cost import serving
from optimizer.cost.frame import Frame, frame_of
from optimizer.errors import InputError
from optimizer.simulation.asked import Size
from optimizer.simulation.replay import Station
from optimizer.simulation.requests import Requests
from optimizer.simulation.scene import Kind, Scene
from optimizer.simulation.stations import station
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.protocol import Protocol
from optimizer.spec.setup import Setup


def alone(model: Architecture, chip: Chip, setup: Setup, replicas: int = 1, most: bool = False) -> Scene:
    """So many replicas of a setup; `most`: run as many sequences together as engine and memory allow.

    InputError for a setup that cannot run.
    """
    frame = frame_of(model, chip, setup)
    if most:
        lanes = frame.split.lanes
        batch = serving.largest_batch(replace(frame, batch=lanes), model)
        frame = replace(frame, batch=max(lanes, batch // lanes * lanes))
        setup = replace(setup, batch=frame.batch)
    said = estimate(model, chip, setup)
    if said.breaks:
        why = "; ".join(f"{name}: {why}" for name, why in said.why.items())
        raise InputError(f"{model.name} on {chip.name}: breaks {', '.join(said.breaks)}. {why}".strip(" ."))
    pool = said.deployment.pools[0].changed(replicas=replicas, chips=replicas * frame.n_chips)

    def stations(requests: Requests) -> tuple[Station, ...]:
        return (station(f"{model.name} on {chip.name}", frame, model, requests, replicas),)

    return Scene(
        name=model.name,
        words=f"{model.name} on {replicas} x {frame.n_chips} {chip.name}, {frame.engine.name}",
        kinds=(Kind("requests", Size(setup.input_tokens, setup.output_tokens, 1.0)),),
        pools=(pool,),
        stations=stations,
        claims=_open(frame, model, replicas),
        prefix_tokens=setup.prefix_tokens,
        at_clients=lambda asked: _closed(frame, model, asked, replicas),
        problem=_given(model, chip, setup, replicas),
    )


def _open(frame: Frame, model: Architecture, replicas: int) -> dict[str, float]:
    """What full replicas claim."""
    full = serving.aggregated(frame, model)
    rate = replicas * float(full.requests_per_s)
    return {"ttft_ms": 1e3 * float(full.ttft_s), "tpot_ms": 1e3 * float(full.tpot_s), "requests_per_s": rate}


def _closed(frame: Frame, model: Architecture, asked: Protocol, replicas: int) -> dict[str, float]:
    """What clients are told that share replicas evenly."""
    seen = served_metrics(frame, model, replace(asked, clients=max(1, round(asked.clients / replicas))))
    return {name: seen[name] for name in ("ttft_ms", "tpot_ms")} | {
        "requests_per_s": replicas * seen["requests_per_s"]
    }


def _given(model: Architecture, chip: Chip, setup: Setup, replicas: int) -> dict[str, Any]:
    engine = setup.engine if isinstance(setup.engine, str) else setup.engine.name
    said = {name: value for name, value in asdict(setup).items() if name not in ("engine", "training_tokens")}
    return {"model": model.name, "chip": chip.name, "replicas": replicas, "engine": engine} | said
