"""What an engine rounds up of a model where its ranks do not share a layer evenly, in words."""

from typing import Any

from optimizer.blocks import n_experts, padded
from optimizer.cost.frame import Frame
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture


def shares_assumed(frame: Frame, architecture: Architecture) -> tuple[Assumption, ...]:
    """A caveat where some rank holds more than its share of a layer: all wait for it. Nothing elsewhere."""
    if not frame.padding:
        return ()
    halves = [half for g in architecture.layers for half in (g.block.mixer, g.block.ffn)]
    words = dict.fromkeys(said for half in halves for said in _rounded(half, frame))
    if not words:
        return ()
    ranks = frame.split.rank * frame.split.data_parallel
    value = f"{', '.join(words)} on {ranks} ranks: all wait for the fullest"
    source = frame.engine.source("pads")
    return (Assumption(name=f"{frame.engine.name} pads", value=value, source=source, caveat=True),)


def _rounded(half: Any, frame: Frame) -> list[str]:
    """The dimensions of a half that are rounded up, from what to what."""
    held, split = padded(half, frame.split, frame.padding), frame.split
    ends = {own.title: (getattr(half, n), getattr(held, n)) for n, own in half.dimensions().items()}
    if experts := n_experts(half):
        ends["Experts"] = (experts, -(-experts // split.expert_parallel) * split.expert_parallel)
    return [f"{name.lower()} from {old} to {new}" for name, (old, new) in ends.items() if new != old]
