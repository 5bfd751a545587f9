"""Replicas of a frame as a replay sees them: their room, and the habits of their engine."""

from dataclasses import replace

from optimizer.blocks.operators import Number
from optimizer.cost.disaggregation import cache_on_a_chip
from optimizer.cost.frame import Frame
from optimizer.cost.memory_tokens import kv_cache_tokens
from optimizer.errors import InputError
from optimizer.simulation.replay import Station
from optimizer.simulation.requests import Requests
from optimizer.simulation.server import Role, Server
from optimizer.simulation.step_times import StepTimes
from optimizer.spec.architecture import Architecture


def station(
    name: str,
    frame: Frame,
    architecture: Architecture,
    requests: Requests,
    replicas: int = 1,
    role: Role = "aggregated",
    requests_per_s: Number = 1.0,
    network: float = 0.0,
    serves: frozenset[int] | None = None,
) -> Station:
    """So many replicas of a frame, whose batch is the most sequences that one runs together.

    `requests` are those it may get, of the kinds it `serves`; `requests_per_s` of each replica is what
    they are spread by; `network`, in bytes/s a chip, takes the caches of prefill replicas away. InputError
    where a replica has no room for any cache.
    """
    engine, split = frame.engine, frame.split
    longest = int((requests.input_tokens + requests.output_tokens).max())
    mean = replace(
        frame,
        input_tokens=max(1, round(float(requests.input_tokens.mean()))),
        output_tokens=max(1, round(float(requests.output_tokens.mean()))),
    )
    blocks = int(kv_cache_tokens(mean, architecture)) // engine.block_tokens
    if blocks < 1:
        raise InputError(f"{name}: weights leave no room for a cache; take more chips, or a smaller format")
    server = Server(
        name=name,
        role=role,
        times=StepTimes(frame, architecture, int(frame.batch), longest),
        slots=int(frame.batch),
        blocks=blocks,
        block_tokens=engine.block_tokens,
        step_tokens=int(frame.step_tokens * split.lanes),
        prompt_tokens=int(frame.step_tokens * split.pipeline_parallel),
        gained=frame.tokens_per_step,
        queries=1 + frame.draft_tokens,
        token_s=engine.host_us_per_sequence * 1e-6,
        whole_requests=engine.admits == "request",
        prompts_alone=engine.prompts == "alone",
        ranks=split.data_parallel,
    )
    sent = cache_on_a_chip(mean, architecture) / mean.input_tokens / network if network else 0.0
    return Station(server, replicas, float(requests_per_s), sent, engine.request_ms * 1e-3, serves)
