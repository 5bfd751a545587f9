"""The errors a user can meet. Each message says what is wrong, where, and what would be accepted.

ArchsatError
|- InputError         a wrong file, field or value                    exit code 2
|  |- Unlimited       nothing limits the objective
|- InternalMismatch   an answer failed its own check: never shown as an answer   exit code 1
"""

from difflib import get_close_matches


class ArchsatError(Exception):
    """Base of all errors that are reported as one message, without a traceback."""


class InputError(ArchsatError):
    """The user's input cannot be used; the message names file, field, value and what is accepted."""


class Unlimited(InputError):
    """Nothing limits the objective, so that there is no best plan; the message says what would."""


class InternalMismatch(ArchsatError):
    """Two independent computations of the same thing disagree; no answer may be given."""


def nearest(word: str, known: list[str], limit: int = 3) -> str:
    """Return a hint such as ' Did you mean a, b?' for a misspelt name, or ''."""
    lowered = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), list(lowered), n=limit, cutoff=0.5)
    inside = [low for low in lowered if word.lower() in low and low not in close] if word else []
    names = [lowered[low] for low in [*close, *inside][:limit]]
    return f" Did you mean {', '.join(names)}?" if names else ""
