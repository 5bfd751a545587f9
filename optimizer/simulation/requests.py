"""Requests that a replay serves: when each comes, how long its prompt is and its answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from optimizer.errors import InputError

MOST = 1_000_000
"""Requests of one replay."""
MOST_TOKENS = 2**27
"""Tokens of one prompt or answer."""


@dataclass(frozen=True, eq=False)
class Requests:
    """So many requests in the order of their arrival.

    `arrival_s` is NaN for those that a client sends when its last request is answered.
    """

    arrival_s: Any
    """Seconds from the start, float64 of shape (n,), not falling."""
    input_tokens: Any
    """int64 of shape (n,)."""
    output_tokens: Any
    """int64 of shape (n,)."""
    prefix_tokens: Any
    """Of each prompt, in the cache already; int64 of shape (n,), less than the prompt."""
    kind: Any
    """Which of several kinds each is of, that not every replica serves; int64 of shape (n,), from 0."""

    def __len__(self) -> int:
        return len(self.arrival_s)

    def some(self, which: Any) -> "Requests":
        """Those of a mask or of numbers."""
        return Requests(**{name: own[which] for name, own in vars(self).items()})

    def at(self, arrival_s: Any) -> "Requests":
        """The same at other times."""
        return Requests(**vars(self) | {"arrival_s": arrival_s})


def requests_of(
    arrival_s: Any, input_tokens: Any, output_tokens: Any, prefix_tokens: Any = 0, kind: Any = 0
) -> Requests:
    """Requests with these arrivals; lengths and kinds are one number or one a request.

    InputError where there are none or too many, or a length is not 1 to 2^27.
    """
    n = len(arrival_s)
    if not 1 <= n <= MOST:
        raise InputError(f"requests: {n:,} of them; give 1 to {MOST:,}")
    lengths = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    whole = {name: np.broadcast_to(np.asarray(own, np.int64), (n,)) for name, own in lengths.items()}
    for name, own in whole.items():
        if own.min() < 1 or own.max() > MOST_TOKENS:
            at = int(np.argmax((own < 1) | (own > MOST_TOKENS)))
            raise InputError(f"{name}: {own[at]:,} of request {at + 1}; give 1 to {MOST_TOKENS:,}")
    prefix = np.minimum(np.broadcast_to(np.asarray(prefix_tokens, np.int64), (n,)), whole["input_tokens"] - 1)
    kinds = np.broadcast_to(np.asarray(kind, np.int64), (n,))
    return Requests(
        np.asarray(arrival_s, float), whole["input_tokens"], whole["output_tokens"], prefix, kinds
    )
