"""How and for what traffic one replica runs a model: the fields of a problem's deployment and workload."""

from dataclasses import dataclass
from typing import Any

from optimizer.spec.engine import Engine
from optimizer.spec.protocol import PER_CLIENT, RANGE_RATIO, Protocol
from optimizer.spec.split import Formats, Split, formats_of, split_of


@dataclass(frozen=True)
class Setup(Formats, Split):
    """One replica: degrees of parallelism, number formats ('' for the model's own), and these.

    `batch` counts the sequences of the whole replica, and may be an array; `users` clients in a closed loop,
    if there are any.
    """

    weight_dtype: Any = ""
    kv_dtype: Any = ""
    batch: Any = 1
    input_tokens: int = 1024
    output_tokens: int = 256
    prefix_tokens: int = 0
    draft_tokens: int = 0
    draft_acceptance: float = 0.8
    draft_cost: float = 0.05
    training_tokens: float = 15e12
    engine: str | Engine = "trtllm"
    users: int | None = None
    per_client: float = PER_CLIENT
    """Requests that each of them sends."""
    range_ratio: float = RANGE_RATIO
    """Their lengths lie between this share of the nominal and all of it."""
    prefill_batch: Any = 1
    """Prompts that each attention rank prefills together."""

    stream_interval: int = 1
    """Tokens that reach them together."""

    @property
    def protocol(self) -> Protocol:
        """How the clients ask; where none are named there is one for each sequence of the batch."""
        users = int(self.users or self.batch)
        return Protocol(users, self.per_client, self.range_ratio, self.stream_interval)

    @property
    def split(self) -> Split:
        """The degrees alone."""
        return split_of(self)

    @property
    def formats(self) -> Formats:
        """The formats alone."""
        return formats_of(self, expert_dtype=self.expert_dtype, checkpoint=self.checkpoint)
