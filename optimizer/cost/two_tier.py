"""Two tiers of memory: what the fast one cannot hold waits in a larger, slower one and is streamed in.

    read, overlapped    max(fast bytes / fast rate, slow bytes / slow rate)      else their sum
    hidden from         tokens >= peak x bytes per weight / (2 x slow rate)

A layer's weights are known ahead, so they arrive while the layers before are computed; that needs room for
two layers' slow parts in the fast tier. Streamed tensors pass through that room: kernels read everything from
the fast tier, and a step lasts as long as the slower of computing and streaming. Shares are equal in all
layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.errors import InputError

BUFFER_LAYERS = 2
_NOISE = 1e-9


def read_s(
    fast_bytes: float, slow_bytes: float, fast_rate: float, slow_rate: float, overlapped: bool = True
) -> float:
    """Seconds to read bytes split over the tiers; rates are those achieved, in bytes a second."""
    fast, slow = fast_bytes / fast_rate, slow_bytes / slow_rate
    return max(fast, slow) if overlapped else fast + slow


def hiding_tokens(peak: float, bytes_per_weight: float, slow_rate: float) -> float:
    """The fewest tokens in a step whose arithmetic takes as long as streaming all weights."""
    return peak * bytes_per_weight / (2 * slow_rate)


@dataclass(frozen=True)
class Tensor:
    """A kind of data of all layers: what it occupies, and what one decode step reads of it."""

    name: str
    stored: float
    read: float
    room: float = 1.0
    """Bytes of the fast tier that each byte of it asks for there: more where an engine keeps some free."""


@dataclass(frozen=True)
class Placement:
    """Share of each tensor in the slow tier, and the bytes that follow from it."""

    slow_share: dict[str, float]
    slow_bytes: float
    buffer_bytes: float
    slow_read: float
    """Bytes of the slow tier that one decode step reads."""


def place(tensors: Sequence[Tensor], free: float, n_layers: int, slow_capacity: float) -> Placement:
    """Move to the slow tier what must go there, least read first: then a step streams the least.

    `free` is what the fast tier has for these tensors. Moving x bytes out takes 2 x / n_layers of room for
    layers on their way, so x = overflow / (room - 2 / n_layers). InputError if the slow tier is too small.
    """
    overflow = max(0.0, sum(t.room * t.stored for t in tensors) - free)
    left, out = overflow, dict[str, float]()
    for tensor in sorted(tensors, key=lambda t: t.read / t.stored if t.stored else 0.0):
        freed = tensor.room - BUFFER_LAYERS / n_layers
        out[tensor.name] = min(tensor.stored, left / freed) if freed > 0 else 0.0
        left = max(0.0, left - out[tensor.name] * freed)
    moved = sum(out.values())
    most = min(slow_capacity, sum(t.stored for t in tensors))
    if left > _NOISE * overflow or moved > slow_capacity * (1 + 1e-12):
        raise InputError(
            f"{overflow / 2**30:.3g} GiB are over what the fast memory holds, and the second tier can take "
            f"{most / 2**30:.3g} GiB of weights and cache, {BUFFER_LAYERS} of {n_layers} layers' part of it "
            "buffered; use more chips, a smaller batch or narrower formats"
        )
    shares = {t.name: out[t.name] / t.stored if t.stored else 0.0 for t in tensors}
    return Placement(
        slow_share=shares,
        slow_bytes=moved,
        buffer_bytes=BUFFER_LAYERS / n_layers * moved,
        slow_read=sum(shares[t.name] * t.read for t in tensors),
    )
