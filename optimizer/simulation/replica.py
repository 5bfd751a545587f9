"""One replica of a continuous-batching engine, from event to event.

A step with prompts is an event. Decode steps without prompts are alike but for their contexts, so that all of
them until a sequence ends, or a request comes, are one event: their seconds are one integral
(`step_times.Curve`). A request that comes in the midst of them is looked at after the step it meets.

Scheduling, as vLLM, SGLang and TensorRT-LLM do it: sequences that decode have a step's room first, prompts
under way next, then those that wait, in order of arrival, each with blocks of the cache for what it brings
(or for its whole answer). Where the cache is full the sequence that came last starts again, its tokens so far
a prompt.
"""

from collections import deque
from dataclasses import dataclass
from heapq import heappop, heappush
from math import ceil, inf

from optimizer.errors import InternalMismatch
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


@dataclass(frozen=True, slots=True)
class Event:
    """What the end of an event brought about."""

    began: float
    """When what was let in was."""
    admitted: tuple[int, ...]
    first: tuple[tuple[int, float], ...]
    """Requests whose first token is made, each so much later: at the end of the pipeline."""
    finished: tuple[tuple[int, float], ...]
    """Requests whose answer is whole, likewise."""


class Replica:
    """The state of one replica; `ends` is when its event is over, infinity where it has nothing to do."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ends = inf
        self.preempted = 0
        self.in_system = 0
        self.held = 0
        """Blocks of the cache in use."""
        self._now = 0.0
        self._waiting: deque[Sequence] = deque()
        self._prefilling: list[Sequence] = []
        self._decoding: list[tuple[int, int, Sequence]] = []
        """A heap by the gain at which each ends."""
        self._admitted: list[tuple[int, Sequence]] = []
        """In order, by their turns; those that are gone are left in it until they come up."""
        self._turns = 0
        self._batch = 0
        self._context = 0
        """Sum over all that decode."""
        self._offsets = [0] * server.block_tokens
        """Sequences by what to add to the gain to know how full their last block is."""
        self._steps, self._gain = 0, 0
        """Decode steps so far, and the tokens that one sequence would have gained in them."""
        self._chunks: list[tuple[Sequence, int]] = []
        self._leap = 0
        self._new: list[int] = []

    @property
    def cache_share(self) -> float:
        """Share of the cache in use."""
        return self.held / self.server.blocks

    @property
    def running(self) -> int:
        """Sequences that decode or are prefilled."""
        return self._batch + len(self._prefilling)

    def receive(self, sequence: Sequence, now: float) -> None:
        """A request arrives; `now` is not before any event that is over."""
        self._waiting.append(sequence)
        self.in_system += 1
        if self.ends == inf:
            self._now = now
            self._plan()
        elif self._leap > 1:
            self._cut(now)

    def finish(self) -> Event:
        """The event ends; the next one is planned."""
        began, self._now = self._now, self.ends
        admitted, prompts = tuple(self._new), self._chunks
        if self._leap:
            self._decode(self._leap)
        batch = self._batch
        ended = [(number, 0.0) for number in self._ended()]
        first: list[tuple[int, float]] = []
        for sequence, tokens in prompts:
            sequence.done += tokens
            if sequence.done < sequence.prompt:
                continue
            self._prefilling.remove(sequence)
            sequence.answer -= 1
            later = (sequence.number, self.server.times.lag(batch, tokens))
            first.append(later)
            if sequence.answer and self.server.role != "prefill":
                self._join(sequence)
            else:
                self._release(sequence, sequence.blocks)
                ended.append(later)
        self.in_system -= len(ended)
        self._plan()
        return Event(began, admitted, tuple(first), tuple(ended))

    def _plan(self) -> None:
        """What comes next: a step with prompts, else as many as no sequence ends before."""
        server, times = self.server, self.server.times
        self._new = []
        beside = not server.prompts_alone
        crowded = beside and self._make_room()
        self._chunks = [] if crowded and self._batch else self._prompts(beside)
        if self._chunks:
            batch = self._batch if beside else 0
            context = self._context / batch if batch else 0.0
            chunks = [(tokens, sequence.done) for sequence, tokens in self._chunks]
            self._leap = 1 if batch else 0
            self.ends = self._now + times.seconds(batch, context, chunks)
        elif self._batch:
            self._make_room()
            self._leap = 1 if crowded else self._steps_with_room(self._steps_to(self._decoding[0][0]))
            own = times.decoding(self._batch)
            self.ends = self._now + own.seconds(self._context / self._batch, self._leap, server.gained)
        else:
            self._leap, self.ends = 0, inf
            if self._waiting:
                raise InternalMismatch(f"{server.name}: a request waits before an empty replica")

    def _cut(self, now: float) -> None:
        """Decode steps end with the one that is under way."""
        own, gained = self.server.times.decoding(self._batch), self.server.gained
        context = self._context / self._batch
        steps = own.reaching(context, now - self._now, gained)
        if steps < self._leap:
            self._leap = steps
            self.ends = self._now + own.seconds(context, steps, gained)

    def _prompts(self, beside: bool) -> list[tuple[Sequence, int]]:
        """Chunks of the next step; requests that are let in take their blocks."""
        server = self.server
        room = server.step_tokens - (self._batch * server.queries if beside else 0)
        free = server.blocks - (self._grown(1) if beside else 0)
        found: list[tuple[Sequence, int]] = []
        for sequence in self._prefilling:
            room -= self._chunk(sequence, room, found)
        while self._waiting and room > 0 and self.running < server.slots:
            sequence = self._waiting[0]
            sequence.blocks = server.blocks_of(self._asked(sequence))
            if self.held + sequence.blocks > free:
                break
            self._let_in(self._waiting.popleft())
            if sequence.done >= sequence.prompt:  # handed over with its cache
                self._join(sequence)
                room -= server.queries
            else:
                self._prefilling.append(sequence)
                room -= self._chunk(sequence, room, found)
        return found

    def _chunk(self, sequence: Sequence, room: int, found: list[tuple[Sequence, int]]) -> int:
        tokens = min(sequence.prompt - sequence.done, room, self.server.prompt_tokens)
        if tokens > 0:
            found.append((sequence, tokens))
        return max(0, tokens)

    def _asked(self, sequence: Sequence) -> int:
        """Tokens that must have room before a request is let in: its first decode step's, or all."""
        if self.server.role == "prefill":
            return sequence.prompt
        return sequence.prompt + (max(1, sequence.answer) if self.server.whole_requests else 1)

    def _let_in(self, sequence: Sequence) -> None:
        self.held += sequence.blocks
        sequence.turn = self._turns
        self._turns += 1
        self._admitted.append((sequence.turn, sequence))
        self._new.append(sequence.number)

    def _join(self, sequence: Sequence) -> None:
        """Decoding begins: the next step makes the first of the tokens that are left."""
        sequence.begun, sequence.since = sequence.prompt + 1, self._gain
        self._batch += 1
        self._context += sequence.begun
        heappush(self._decoding, (self._gain + sequence.answer, sequence.turn, sequence))
        self._offsets[(sequence.begun - self._gain) % self.server.block_tokens] += 1

    def _decode(self, steps: int) -> None:
        self.held += self._grown(steps)
        gain = self._gain_after(steps)
        self._steps += steps
        self._context += self._batch * (gain - self._gain)
        self._gain = gain

    def _gain_after(self, steps: int) -> int:
        """Tokens that a sequence here from the start would have gained after so many more steps."""
        return int((self._steps + steps) * self.server.gained + _NOISE)

    def _steps_to(self, gain: int) -> int:
        """Steps until a sequence has gained so much."""
        return max(1, ceil(gain / self.server.gained - self._steps - _NOISE))

    def _grown(self, steps: int) -> int:
        """Blocks that so many steps begin; none where requests have theirs from the start."""
        if self.server.whole_requests:
            return 0
        size, offsets, start = self.server.block_tokens, self._offsets, self._gain
        whole, over = divmod(self._gain_after(steps) - start, size)
        return whole * self._batch + sum(offsets[-(start + i) % size] for i in range(over))

    def _ended(self) -> list[int]:
        """Sequences whose answers are whole, out of the replica."""
        found = []
        while self._decoding and self._decoding[0][0] <= self._gain:
            _, turn, sequence = heappop(self._decoding)
            if turn == sequence.turn:
                self._leave(sequence)
                found.append(sequence.number)
        return found

    def _leave(self, sequence: Sequence) -> int:
        """One that decodes gives back what it has; the tokens behind it."""
        context = sequence.begun + self._gain - sequence.since
        self._batch -= 1
        self._context -= context
        self._offsets[(context - self._gain) % self.server.block_tokens] -= 1
        server = self.server
        self._release(sequence, sequence.blocks if server.whole_requests else server.blocks_of(context))
        return context

    def _release(self, sequence: Sequence, blocks: int) -> None:
        sequence.turn = -1
        self.held -= blocks

    def _make_room(self) -> bool:
        """The sequences that came last start again until the next step has room; whether any does."""
        crowded = False
        while self._grown(1) > self.server.blocks - self.held:
            self._start_again()
            crowded = True
        return crowded

    def _start_again(self) -> None:
        turn, sequence = self._admitted.pop()
        if turn != sequence.turn:
            return
        self.preempted += 1
        if sequence in self._prefilling:
            self._prefilling.remove(sequence)
            self._release(sequence, sequence.blocks)
        else:
            gained = self._gain - sequence.since
            sequence.prompt = self._leave(sequence)
            sequence.answer -= gained
        sequence.done = 0
        self._waiting.appendleft(sequence)

    def _steps_with_room(self, steps: int) -> int:
        """As many of so many steps as the cache has room for; there is some for one."""
        free = self.server.blocks - self.held
        low, high = 1, steps
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self._grown(middle) <= free else (low, middle - 1)
        return low
