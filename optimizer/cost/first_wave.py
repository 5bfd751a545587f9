"""The first requests of clients that begin together, round by round.

They come out of the server's front evenly over twice its mean. The first is served alone, then all that wait
and have room, beside those that decode by then; where none waits, decode steps go on until one comes.
"""

from dataclasses import dataclass
from math import ceil

from optimizer.cost.loop_steps import LoopSteps


@dataclass(frozen=True)
class FirstWave:
    """Means over all of them."""

    ttft_s: float
    held_s: float
    """By prompts that pass while an answer is made."""


def first_wave(steps: LoopSteps, front_s: float, answer_steps: float) -> FirstWave:
    """What the first requests see."""
    n, now, served = float(steps.places), front_s / steps.places, 0.0
    firsts = 0.0
    rounds: list[
        tuple[float, float, float]
    ] = []  # prompts, the steps they take, seconds they add to the others
    while served < n - 1e-9:
        come = min(n, now / (2 * front_s) * n + 0.5) if front_s else (n if served else 1.0)
        waiting = min(float(int(come + 1e-9)) - served, steps.group)
        if waiting <= 1e-9:
            until = (int(served + 1e-9) + 0.5) / n * 2 * front_s - now
            now += ceil(until / steps.decode_s - 1e-9) * steps.decode_s if served else until
            continue
        now += steps.taken(waiting, served / n)
        firsts += waiting * now
        rounds.append((waiting, steps.steps(waiting), waiting * steps.added(waiting)))
        served += waiting
    return FirstWave(firsts / n, _held_s(rounds, answer_steps) / n)


def _held_s(rounds: list[tuple[float, float, float]], answer_steps: float) -> float:
    """Summed over all prompts: seconds of the rounds after each, while its answer is not whole."""
    held = added = passed = 0.0
    after: list[tuple[float, float]] = []
    for prompts, taken, seconds in reversed(rounds):
        held += prompts * added
        after.append((taken, seconds))
        added, passed = added + seconds, passed + taken
        while passed > answer_steps and len(after) > 1:
            gone, less = after.pop(0)
            added, passed = added - less, passed - gone
    return held
