"""What a lattice that leaves it out has of the model it is compared with: tokens, norms, biases, a window.

Both are then told apart by what the search chose alone. A fact that the baseline's layers do not agree on, or
that there is no baseline for, has the default of the lattice; answers name each with where it comes from.
"""

from collections.abc import Iterator
from typing import Any

from optimizer.questions.architecture.lattice import Lattice
from optimizer.spec.answer import Assumption
from optimizer.spec.architecture import Architecture

_TABLES = ("vocab_size", "tied_embeddings")
_NUMBERS = ("attention_window", "n_norms", "position_embeddings")
"""Facts of a layer, or beside the layers, that are no switches."""


def with_baseline(free: Lattice, baseline: Architecture | None) -> Lattice:
    """The lattice with its baseline's facts, where it does not name its own."""
    return free if baseline is None else free.changed(**_taken(free, baseline))


def taken(asked: Lattice, baseline: Architecture | None) -> tuple[Assumption, ...]:
    """What a lattice has that its file does not say, and where from."""
    missing, own = set(_left_out(asked)), with_baseline(asked, baseline)
    found = []
    if missing & {*_TABLES}:
        tied = "one table for both ends" if own.tied_embeddings else "a table for each end"
        value = f"{own.vocab_size} tokens, {tied}"
        found.append(Assumption(name="vocabulary", value=value, source=_source(baseline)))
    theirs = set(_taken(asked, baseline)) if baseline else set()
    layers = missing - {*_TABLES}
    usual = _source(None) + (f"; {baseline.name} has no one value" if baseline else "")
    for names, source in ((layers & theirs, _source(baseline)), (layers - theirs, usual)):
        if names:
            found.append(Assumption(name="layers", value=_in_words(own, sorted(names)), source=source))
    return tuple(found)


def _source(baseline: Architecture | None) -> str:
    return f"the baseline's, {baseline.name}" if baseline else "default of archsat"


def _in_words(own: Lattice, names: list[str]) -> str:
    """What there is, numbers with their value, then what there is not."""
    values = {name: getattr(own, name) for name in names}
    there = [name if value is True else f"{name} {value}" for name, value in values.items() if value]
    absent = [name for name, value in values.items() if not value]
    without = [f"no {', '.join(absent)}"] if absent else []
    return "; ".join([", ".join(there), *without] if there else without)


def _left_out(free: Lattice) -> list[str]:
    """The facts that a lattice does not name: tables, switches, and the numbers that are like them."""
    fields = type(free).model_fields
    facts = [n for n, f in fields.items() if n in (*_TABLES, *_NUMBERS) or isinstance(f.default, bool)]
    return [name for name in facts if name not in free.model_fields_set]


def _taken(free: Lattice, baseline: Architecture) -> dict[str, Any]:
    """The baseline's values of what a lattice leaves out, as far as it has one."""
    found = {name: list(_values(baseline, name)) for name in _left_out(free)}
    return {name: own[0] for name, own in found.items() if own and all(value == own[0] for value in own)}


def _values(baseline: Architecture, name: str) -> Iterator[Any]:
    """A fact of the model, or of each group of its layers that has it."""
    if name in type(baseline).model_fields:
        yield getattr(baseline, name)
        return
    for block in (group.block for group in baseline.layers):
        for part in (block, block.mixer, block.ffn):
            if name in type(part).model_fields:
                yield getattr(part, name)
