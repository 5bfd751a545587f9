"""Prefill and decode on workers of their own: what the hand-over of a prompt's cache costs, and the rates.

A prompt's cache goes from the chips of a prefill worker to those that will decode it, all links at once:

    transfer    max(bytes sent a chip, bytes received a chip) / (share x W) + messages x latency
    exposed     transfer / L + (L - 1)/L max(0, transfer - prefill)      sent layer by layer

W is the slower end's link, of the scale-up domain or of the network. A layer is sent as soon as it is
computed, so that of a transfer shorter than the prefill only the last layer shows. If tensor_parallel
differs, bytes stay and messages multiply; heads and latents that the decode ranks replicate are sent to each.
Pool shares of 0.90 and 0.92 are planning values of ai-dynamo/aiconfigurator @095f58a5 (sdk/picking.py).
"""

from dataclasses import dataclass, replace
from math import ceil

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.collectives import point_to_point_s
from optimizer.cost.frame import Frame
from optimizer.cost.memory import kv_bytes, state_bytes
from optimizer.cost.quantities import n_chunks
from optimizer.cost.queueing import prefill_pool_ttft_s
from optimizer.spec.architecture import Architecture
from optimizer.spec.split import Split

PREFILL_SHARE = 0.90
DECODE_SHARE = 0.92


def prompt_cache_bytes(frame: Frame, architecture: Architecture) -> float:
    """Cache and state of one prompt, all layers, each element once."""
    return cache_on_a_chip(replace(frame, split=Split()), architecture)


def cache_on_a_chip(frame: Frame, architecture: Architecture) -> float:
    """Cache and state of one prompt on each chip of its attention rank, the mean over pipeline stages."""
    prompt = replace(frame, output_tokens=0)
    layers = sum(
        group.count * (kv_bytes(group.block.mixer, prompt) + state_bytes(group.block.mixer, prompt))
        for group in architecture.layers
    )
    return float(layers / frame.split.pipeline_parallel)


@dataclass(frozen=True)
class HandOver:
    """A prompt's cache on its way from a prefill worker to a decode worker."""

    received_bytes: float
    """By each chip of the attention rank that decodes the prompt."""
    sent_bytes: float
    """By each chip of the attention rank that prefilled it."""
    transfer_s: float
    """From the first byte to the last, the cache lying ready."""
    n_layers: int

    def exposed_s(self, prefill_s: Number) -> Number:
        """Seconds by which the hand-over delays a prompt whose prefill takes `prefill_s`, layer by layer."""
        late = np.maximum(0.0, self.transfer_s - prefill_s)
        return (self.transfer_s + (self.n_layers - 1) * late) / self.n_layers


def hand_over(
    prefill: Frame, decode: Frame, architecture: Architecture, same_domain: bool = False
) -> HandOver:
    """Price the hand-over between two workers, over the network unless both lie in one scale-up domain."""
    senders, receivers = _attention_chips(prefill), _attention_chips(decode)
    received = cache_on_a_chip(decode, architecture)
    sent = received * receivers / senders
    largest = max(received, sent)
    ends = [point_to_point_s(largest, chip, same_domain) for chip in (prefill.chip, decode.chip)]
    total, latency = max((float(total), float(latency)) for total, latency in ends)
    messages = ceil(max(senders, receivers) / min(senders, receivers))
    return HandOver(received, sent, total + (messages - 1) * latency, architecture.n_layers)


def _attention_chips(frame: Frame) -> int:
    """Chips that hold the cache of one sequence."""
    return int(frame.split.rank * frame.split.pipeline_parallel)


def prefill_worker_rate(frame: Frame, prefill_s: Number) -> Number:
    """Prompts a second of a prefill worker that always has work.

    Its attention ranks each have a prompt, and a pipeline takes the next prompt's chunks without a gap.
    """
    chunks = n_chunks(frame)
    busy = prefill_s * chunks / (chunks + frame.split.pipeline_parallel - 1)
    return frame.split.data_parallel / busy


def decode_worker_rate(frame: Frame, decode_s: Number) -> Number:
    """Answers a second of a decode worker with a full batch."""
    return frame.batch * frame.tokens_per_step / (decode_s * frame.output_tokens)


def pool_ratio(
    prefill_rate: Number,
    decode_rate: Number,
    prefill_share: float = PREFILL_SHARE,
    decode_share: float = DECODE_SHARE,
) -> Number:
    """Prefill workers per decode worker (or chips per chip) so that neither pool waits for the other."""
    return decode_rate * decode_share / (prefill_rate * prefill_share)


def pools_rate(
    n_prefill: Number,
    prefill_rate: Number,
    n_decode: Number,
    decode_rate: Number,
    prefill_share: float = PREFILL_SHARE,
    decode_share: float = DECODE_SHARE,
) -> Number:
    """Requests a second of two pools: what the slower one sustains."""
    return np.minimum(n_prefill * prefill_rate * prefill_share, n_decode * decode_rate * decode_share)


def ttft_s(
    handed: HandOver,
    prefill_s: Number,
    rate: Number = 0.0,
    workers: int = 1,
    variation: Number = 0.0,
    quantile: float | None = None,
) -> Number:
    """Seconds to the first token: the queue of the prefill pool, the prefill, what shows of the hand-over."""
    return prefill_pool_ttft_s(rate, prefill_s, workers, variation, quantile) + handed.exposed_s(prefill_s)
