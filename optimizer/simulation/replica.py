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
from math import inf

from optimizer.errors import InternalMismatch
from optimizer.simulation.batch import Batch, Sequence
from optimizer.simulation.server import Server


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


@dataclass(slots=True)
class Use:
    """What a replica was used for so far."""

    finished: int = 0
    """Requests that it was done with."""
    preempted: int = 0
    """Times that a sequence started again."""
    busy_s: float = 0.0
    held_s: float = 0.0
    """Blocks of the cache in use, over time."""
    held_most: int = 0


class Replica:
    """The state of one replica; `ends` is when its event is over, infinity where it has nothing to do."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ends = inf
        self.in_system, self.use = 0, Use()
        self.batch, self._now = Batch(server), 0.0
        self._waiting: deque[Sequence] = deque()
        self._prefilling: list[Sequence] = []
        self._admitted: list[tuple[int, Sequence]] = []
        """In order, by their turns; those that are gone are left in it until they come up."""
        self._chunks: list[tuple[Sequence, int]] = []
        self._turns, self._leap, self._new = 0, 0, list[int]()

    @property
    def held(self) -> int:
        """Tokens that the blocks in use have room for."""
        return self.batch.held * self.server.block_tokens

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
        self._spent(self.ends - began)
        size = self.batch.size
        ended = [(number, 0.0) for number in self.batch.ended()]
        made = self._prefilled(prompts)
        first = [(sequence.number, self.server.times.lag(size, tokens)) for sequence, tokens in made]
        ended += [later for later, (sequence, _) in zip(first, made, strict=True) if sequence.turn < 0]
        self.in_system -= len(ended)
        self.use.finished += len(ended)
        self._plan()
        return Event(began, admitted, tuple(first), tuple(ended))

    def _prefilled(self, chunks: list[tuple[Sequence, int]]) -> list[tuple[Sequence, int]]:
        """Sequences that have their first token, and their last chunks; those with more to come decode."""
        first = []
        for sequence, tokens in chunks:
            sequence.done += tokens
            if sequence.done >= sequence.prompt:
                self._prefilling.remove(sequence)
                sequence.answer -= 1
                first.append((sequence, tokens))
                if sequence.answer and self.server.role != "prefill":
                    self.batch.join(sequence)
                else:
                    self.batch.release(sequence, sequence.blocks)
        return first

    def _spent(self, seconds: float) -> None:
        batch, use, before = self.batch, self.use, self.batch.held
        if self._leap:
            batch.decode(self._leap)
        use.busy_s += seconds
        use.held_s += (before + batch.held) / 2 * seconds
        use.held_most = max(use.held_most, batch.held)

    def _plan(self) -> None:
        """What comes next: a step with prompts, else as many as no sequence ends before."""
        server, batch = self.server, self.batch
        self._new = []
        beside = not server.prompts_alone
        crowded = beside and self._make_room()
        self._chunks = [] if crowded and batch.size else self._prompts(beside)
        if self._chunks:
            size = batch.size if beside else 0
            context = batch.context / size if size else 0.0
            chunks = [(tokens, sequence.done) for sequence, tokens in self._chunks]
            self._leap = 1 if size else 0
            self.ends = self._now + server.times.seconds(size, context, chunks)
        elif batch.size:
            self._make_room()
            self._leap = 1 if crowded else batch.steps_alike()
            own = server.times.decoding(batch.size)
            self.ends = self._now + own.seconds(batch.context / batch.size, self._leap, server.gained)
        else:
            self._leap, self.ends = 0, inf
            if self._waiting:
                raise InternalMismatch(f"{server.name}: a request waits before an empty replica")

    def _cut(self, now: float) -> None:
        """Decode steps end with the one that is under way."""
        own, gained = self.server.times.decoding(self.batch.size), self.server.gained
        context = self.batch.context / self.batch.size
        steps = own.reaching(context, now - self._now, gained)
        if steps < self._leap:
            self._leap = steps
            self.ends = self._now + own.seconds(context, steps, gained)

    def _prompts(self, beside: bool) -> list[tuple[Sequence, int]]:
        """Chunks of the next step; requests that are let in take their blocks."""
        server, batch = self.server, self.batch
        room = server.step_tokens - (batch.size * server.queries if beside else 0)
        free = server.blocks - (batch.grown(1) if beside else 0)
        found: list[tuple[Sequence, int]] = []
        for sequence in self._prefilling:
            room -= _chunk(sequence, min(room, server.prompt_tokens), found)
        while self._waiting and room > 0 and batch.size + len(self._prefilling) < server.slots:
            sequence = self._waiting[0]
            sequence.blocks = server.blocks_of(server.asked(sequence.prompt, sequence.answer))
            if batch.held + sequence.blocks > free:
                break
            self._let_in(self._waiting.popleft())
            if sequence.done >= sequence.prompt:  # handed over with its cache
                batch.join(sequence)
                room -= server.queries
            else:
                self._prefilling.append(sequence)
                room -= _chunk(sequence, min(room, server.prompt_tokens), found)
        return found

    def _let_in(self, sequence: Sequence) -> None:
        self.batch.held += sequence.blocks
        sequence.turn = self._turns = self._turns + 1
        self._admitted.append((sequence.turn, sequence))
        self._new.append(sequence.number)

    def _make_room(self) -> bool:
        """The sequences that came last start again until the next step has room; whether any does."""
        crowded = False
        while self.batch.grown(1) > self.server.blocks - self.batch.held:
            self._start_again()
            crowded = True
        return crowded

    def _start_again(self) -> None:
        turn, sequence = self._admitted.pop()
        if turn != sequence.turn:
            return
        self.use.preempted += 1
        if sequence in self._prefilling:
            self._prefilling.remove(sequence)
            self.batch.release(sequence, sequence.blocks)
        else:
            gained = self.batch.gain - sequence.since
            sequence.prompt = self.batch.leave(sequence)
            sequence.answer -= gained
        sequence.done = 0
        self._waiting.appendleft(sequence)


def _chunk(sequence: Sequence, room: int, found: list[tuple[Sequence, int]]) -> int:
    """What of a prompt has room in the step."""
    tokens = max(0, min(sequence.prompt - sequence.done, room))
    found += [(sequence, tokens)] if tokens else []
    return tokens
