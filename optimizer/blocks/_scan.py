"""What all mixers with a fixed state share: the chunked scan of prompts and the state's traffic.

A chunk of Q tokens is computed as small matrix products, and one state per chunk goes through memory. Decode
reads and writes the state once a step. The state is 32 bit, the convolution's window 16 bit.
"""

from optimizer.blocks._saved import SCAN
from optimizer.blocks.operators import Elementwise, Gemm, Number, Operator
from optimizer.blocks.step import Step

STATE_BYTES = 4.0
CONV_BYTES = 2.0
CAVEAT = "state-space scans by formula, not measured"


def operators(
    step: Step, state: Number, fixed: Number, read: Number, out: Number, flops: Number, chunk: float
) -> list[Operator]:
    """Decode's state traffic, and the scan of the prompts.

    Per rank: `state` elements of the recurrence and `fixed` bytes of all a sequence keeps; per token, `read`
    elements into the scan, `out` elements out of it and `flops` on the matrix units. The product stands for
    the scan's arithmetic: its output is the scan's, its depth whatever makes the FLOP right.
    """
    found: list[Operator] = []
    if step.decodes:
        found.append(Elementwise("state update", 2.0 * step.batch * fixed))
    if step.prefills:
        tokens = step.prompts * step.prompt_tokens
        kept = 2.0 * STATE_BYTES * state / min(chunk, step.prompt_tokens)
        found.append(Elementwise("prompt scan, traffic", tokens * (2.0 * read + kept)))
        found.append(Gemm(SCAN, tokens, out, flops / (2.0 * out), weight_dtype="bf16"))
    return found
