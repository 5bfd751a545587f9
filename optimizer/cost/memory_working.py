"""Working buffers of a step: activations of one layer, and what the choice of next tokens takes.

    buffers of the traffic    2 T d_model c  and  4 R vocab_size / t
    of a dry run              the more of 2 N d_model c' and sampler_bytes S vocab_size

T is the tokens of a scheduled chunk, R the rows decoded; N and S are the token budget and the sequences of an
engine that tries a step at its start and sets aside what that took, and c' = split_widths / t + whole_widths,
and exchanged_widths where t > 1 (`spec.engine_memory`). c is from ai-dynamo/aiconfigurator
@095f58a5 (backends): one layer's activations are alive at a time.
"""

import numpy as np

from optimizer.blocks.operators import Number
from optimizer.cost.frame import Frame
from optimizer.cost.memory_room import GIB

_ACTIVATION_FACTOR = {1: 11.0, 2: 6.5}


def activation_bytes(frame: Frame) -> Number:
    """Working buffers of one layer on a scheduled chunk, and the logits of a decode step with its drafts."""
    return working_bytes(frame) + logits_bytes(frame)


def working_bytes(frame: Frame) -> Number:
    """Working buffers of one layer on a scheduled chunk, or on the whole budget of a dry run."""
    dry, t = frame.engine.dry_run, frame.split.tensor_parallel
    if dry:
        widths = dry.split_widths / t + dry.whole_widths + dry.exchanged_widths * (t > 1)
        return 2.0 * budget_tokens(frame) * frame.d_model * widths
    prompt = min(frame.step_tokens, frame.input_tokens) / frame.split.sequence_ranks
    rows = np.maximum(_decoded(frame), prompt)
    return 2.0 * rows * frame.d_model * _ACTIVATION_FACTOR.get(t, 5.0)


def logits_bytes(frame: Frame) -> Number:
    """The logits of a decode step with its drafts, on one rank; of a pipeline, on its last stage.

    Of a dry run what the choice of next tokens takes more than the layers, which are over by then.
    """
    dry = frame.engine.dry_run
    if dry is None:
        return 4.0 * _decoded(frame) * frame.vocab_size / frame.split.tensor_parallel
    sampled = min(dry.sequences[_is_large(frame)], frame.engine.max_sequences)
    return np.maximum(0.0, dry.sampler_bytes * sampled * frame.vocab_size - working_bytes(frame))


def budget_tokens(frame: Frame) -> int:
    """Tokens of an engine's dry run: its budget, which the size of the card decides where nobody does."""
    engine = frame.engine
    if engine.dry_run is None or "step_tokens" in engine.model_fields_set:
        return int(engine.step_tokens)
    return int(engine.dry_run.tokens[_is_large(frame)])


def _is_large(frame: Frame) -> bool:
    dry = frame.engine.dry_run
    return dry is not None and frame.chip.hbm_usable / GIB >= dry.large_gib


def _decoded(frame: Frame) -> Number:
    ranks = frame.split.data_parallel * frame.split.sequence_ranks
    return frame.batch / ranks * (1 + frame.draft_tokens)
