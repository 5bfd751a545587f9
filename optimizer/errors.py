"""The errors a user can meet. Each message says what is wrong, where, and what would be accepted.

ArchsatError
|- InputError         a wrong file, field or value                    exit code 2
|  |- Unlimited       nothing limits the objective
|- InternalMismatch   an answer failed its own check: never shown as an answer   exit code 1
"""

import re
from difflib import SequenceMatcher


class ArchsatError(Exception):
    """Base of all errors that are reported as one message, without a traceback."""


class InputError(ArchsatError):
    """The user's input cannot be used; the message names file, field, value and what is accepted."""


class Unlimited(InputError):
    """Nothing limits the objective, so that there is no best plan; the message says what would."""


class OddInput(UserWarning):
    """Something in the user's input that is possible, but looks like a slip."""


class InternalMismatch(ArchsatError):
    """Two independent computations of the same thing disagree; no answer may be given."""


_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
"""What steers a terminal or hides text, line breaks and tabs apart."""


def printable(text: str) -> str:
    r"""Text that a terminal shows as it is: what would steer it is spelled out, as in '\x1b'."""
    return _UNSEEN.sub(lambda found: found.group().encode("unicode_escape").decode("ascii"), text)


def nearest(word: str, known: list[str], limit: int = 3) -> str:
    """Return a hint such as ' Did you mean a, b?' for a misspelt name, or ''."""
    names = {name.lower(): name for name in known}
    scores = {name: _likeness(word[:200].lower(), low) for low, name in names.items()}
    close = sorted((name for name in scores if scores[name] > 0), key=lambda name: (-scores[name], len(name)))
    return f" Did you mean {', '.join(close[:limit])}?" if close else ""


def _likeness(word: str, name: str) -> float:
    """0 where a name is not meant; above 1 one begins with the other, as whole words.

    Numbers are what tells models and chips apart: a name of other numbers is not meant, and a short word is
    never stretched to another. t4 is not v4, rtx-3090 not rtx-4090, llama-3 not llama-30b.
    """
    own, tail = word.rpartition("/")[2], name.rpartition("/")[2]
    if not own:
        return 0.0
    alike = max(SequenceMatcher(None, own, tail).ratio(), SequenceMatcher(None, word, name).ratio())
    if _begins(tail, own) or (len(tail) > 2 and _begins(own, tail)):
        return 1 + alike
    if own in tail:
        return 0.3 + alike
    same = _numbers_agree(own, tail) and alike >= (0.55 if len(own) > 3 else 0.8)
    return alike if same else 0.0


def _begins(text: str, start: str) -> bool:
    """Whether a text begins with this whole word."""
    return text.startswith(start) and not text[len(start) : len(start) + 1].isalnum()


def _numbers_agree(word: str, name: str) -> bool:
    ours, theirs = (re.findall(r"[0-9]+", text) for text in (word, name))
    return not ours or any(a in b or b in a for a in ours for b in theirs)
