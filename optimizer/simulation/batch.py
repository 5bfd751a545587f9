"""Sequences that decode together on a replica, and the blocks of the cache in use, over many steps at once.

All of them gain as many tokens in a step, so that one number, the gain, says how far each is: what a sequence
has is what it began with and the gain since. Blocks begin at the same steps for all whose last block is as
full; those are counted together.
"""

from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil

from optimizer.simulation.server import Server

_NOISE = 1e-9


@dataclass(slots=True)
class Sequence:
    """A request on a replica."""

    number: int
    prompt: int
    """Tokens to prefill before it decodes: where it starts again those of its answer so far too."""
    answer: int
    """Tokens still to be made."""
    done: int = 0
    """Tokens of the prompt that are prefilled, or were in the cache."""
    begun: int = 0
    """Tokens that its first decode step attends to."""
    since: int = 0
    """The replica's gain when its decoding began."""
    blocks: int = 0
    """Of the cache when it was let in."""
    turn: int = -1
    """Its place among those let in; -1 while it waits."""


class Batch:
    """What decodes, and what the cache holds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.size = 0
        self.context = 0
        """Sum over all that decode."""
        self.held = 0
        """Blocks of the cache in use, by prompts too."""
        self.gain = 0
        """Tokens that a sequence here from the start would have gained."""
        self._steps = 0
        self._decoding: list[tuple[int, int, Sequence]] = []
        """A heap by the gain at which each ends."""
        self._offsets = [0] * server.block_tokens
        """Sequences by what to add to the gain to know how full their last block is."""

    @property
    def server_busy(self) -> float:
        """Share of the time that the server needs for the tokens of what decodes."""
        own = self.server
        if not self.size or not own.token_s:
            return 0.0
        step_s = own.times.decoding(self.size).steps.at(self.context / self.size)
        return self.size * own.token_s / step_s

    def join(self, sequence: Sequence) -> None:
        """Decoding begins: the next step makes the first of the tokens that are left."""
        sequence.begun, sequence.since = sequence.prompt + 1, self.gain
        self.size += 1
        self.context += sequence.begun
        heappush(self._decoding, (self.gain + sequence.answer, sequence.turn, sequence))
        self._offsets[(sequence.begun - self.gain) % self.server.block_tokens] += 1

    def leave(self, sequence: Sequence) -> int:
        """One that decodes gives back what it has; the tokens behind it."""
        context = sequence.begun + self.gain - sequence.since
        self.size -= 1
        self.context -= context
        self._offsets[(context - self.gain) % self.server.block_tokens] -= 1
        server = self.server
        self.release(sequence, sequence.blocks if server.whole_requests else server.blocks_of(context))
        return context

    def release(self, sequence: Sequence, blocks: int) -> None:
        """Blocks of a sequence that is no longer let in."""
        sequence.turn = -1
        self.held -= blocks

    def decode(self, steps: int) -> None:
        """So many steps of all."""
        self.held += self.grown(steps)
        gain = self._gain_after(steps)
        self._steps += steps
        self.context += self.size * (gain - self.gain)
        self.gain = gain

    def ended(self) -> list[int]:
        """Sequences whose answers are whole, out of the batch."""
        found = []
        while self._decoding and self._decoding[0][0] <= self.gain:
            _, turn, sequence = heappop(self._decoding)
            if turn == sequence.turn:
                self.leave(sequence)
                found.append(sequence.number)
        return found

    def grown(self, steps: int) -> int:
        """Blocks that so many steps begin; none where requests have theirs from the start."""
        if self.server.whole_requests:
            return 0
        size, offsets, start = self.server.block_tokens, self._offsets, self.gain
        whole, over = divmod(self._gain_after(steps) - start, size)
        return whole * self.size + sum(offsets[-(start + i) % size] for i in range(over))

    def steps_alike(self) -> int:
        """Steps until a sequence may end, or the cache is full; at least one, for which there is room."""
        steps = max(1, ceil(self._decoding[0][0] / self.server.gained - self._steps - _NOISE))
        free = self.server.blocks - self.held
        low, high = 1, steps
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.grown(middle) <= free else (low, middle - 1)
        return low

    def _gain_after(self, steps: int) -> int:
        return int((self._steps + steps) * self.server.gained + _NOISE)
