"""What a replica is to a replay: its step times, its room, and how its engine schedules."""

from dataclasses import dataclass
from typing import Literal

from optimizer.simulation.step_times import StepTimes

Role = Literal["aggregated", "prefill", "decode"]


@dataclass(frozen=True, eq=False)
class Server:
    """Replicas that are alike."""

    name: str
    role: Role
    times: StepTimes
    slots: int
    """Sequences that run together at most, those whose prompts are on the way included."""
    blocks: int
    """Blocks of the cache, of all attention ranks together."""
    block_tokens: int
    step_tokens: int
    """Tokens that a step has room for, of all lanes together."""
    prompt_tokens: int
    """Of them for one prompt, which lies on one attention rank."""
    gained: float = 1.0
    """Tokens that a sequence gains in a decode step: one, and drafts that are accepted."""
    queries: int = 1
    """Tokens of a step's room that each sequence takes."""
    token_s: float = 0.0
    """Of the server's own time for each token of an answer: while it takes it requests wait in its front."""
    whole_requests: bool = False
    """Whether a request is let in only with room for its whole answer; else some may have to start again."""
    ranks: int = 1
    """Attention ranks, among which the blocks are shared out; a request lies on one."""
    prompts_alone: bool = False
    """Whether prompts have steps of their own, which no sequence decodes in."""

    def asked(self, prompt: int, answer: int) -> int:
        """Tokens that must have room before a request is let in: its first decode step's, or all."""
        if self.role == "prefill":
            return prompt
        return prompt + (max(1, answer) if self.whole_requests else 1)

    def blocks_of(self, tokens: int) -> int:
        """Blocks that so many tokens take."""
        return -(-tokens // self.block_tokens)
