"""Names of chips as people write them: one key for all spellings, and products near one that nobody keeps.

'GeForce RTX 3090', 'rtx3090' and 'rtx-3090' are one name; so are 'H100 80GB HBM3' and 'h100-80'. Near is a
product of the same series and another number, or the same number in another finish: never one that is only
spelled alike.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

_BRANDS = frozenset(
    [
        "nvidia",
        "geforce",
        "tesla",
        "quadro",
        "amd",
        "instinct",
        "radeon",
        "apple",
        "aws",
        "amazon",
        "google",
        "cloud",
        "intel",
        "habana",
        "huawei",
        "gpu",
        "graphics",
        "card",
        "generation",
        "tm",
        "r",
    ]
)
"""Words of makers and shelves, which tell no two chips apart."""
_SIZE = re.compile(r"(\d+)(?:gb|gib|g)")
_SOCKET = re.compile(r"(sxm|oam)\d")
_MEMORY = re.compile(r"(?:hbm|gddr|lpddr)\d[a-z]*")
_PRODUCT = re.compile(r"([a-z]*)(\d+)([a-z]*)")
_LONGEST = 200
_NEAR = 0.4
"""A number is near another of as many digits that it is at least so many times, and at most its inverse."""
_ALIKE = 0.8  # of the letters of two words, one of them misspelt
_SHOWN = 3

Key = tuple[str, ...]


def key(name: str) -> Key:
    """What all spellings of a chip share: letters and numbers in any order; no makers, units, sockets."""
    return tuple(sorted(part for word in _words(name) for part in re.findall(r"[a-z]+|\d+", word)))


def near(name: str, known: Mapping[str, Iterable[str]]) -> list[str]:
    """The products nearest in kind to a name, best first, of names with their spellings; [] where none is."""
    asked = _read(name)
    scores = {
        product: max((_likeness(asked, _read(spelling)) for spelling in spellings), default=0.0)
        for product, spellings in known.items()
    }
    best = max(scores.values(), default=0.0)
    kept = [product for product, score in scores.items() if score > 0 and (best < 2 or score >= 2)]
    ties = {product: SequenceMatcher(None, name[:_LONGEST].lower(), product).ratio() for product in kept}
    return sorted(kept, key=lambda product: (-scores[product], -ties[product], product))[:_SHOWN]


def without_sizes(name: str) -> tuple[str, set[int]]:
    """A name without the sizes of a memory in it, such as '24GB', and those sizes in its unit."""
    words = re.findall(r"[a-z0-9]+", name[:_LONGEST].lower())
    sizes = [_SIZE.fullmatch(word) for word in words]
    plain = " ".join(word for word, size in zip(words, sizes, strict=True) if size is None)
    return plain, {int(size[1]) for size in sizes if size}


@dataclass(frozen=True, slots=True)
class _Name:
    """A name read as a product: its series and number, what follows them, and the other words."""

    series: str
    number: int | None
    tail: str
    others: frozenset[str]


def _words(name: str) -> list[str]:
    found = re.findall(r"[a-z0-9]+", name[:_LONGEST].lower())
    kept = [word for word in found if word not in _BRANDS and not _MEMORY.fullmatch(word)]
    plain = (_SIZE.fullmatch(word) for word in kept)
    sized = [size[1] if size else word for size, word in zip(plain, kept, strict=True)]
    return [_SOCKET.sub(r"\1", word) for word in sized]


def _read(name: str) -> _Name:
    words = _words(name)
    for place, word in enumerate(words):
        if found := _PRODUCT.fullmatch(word):
            letters, number, tail = found.groups()
            before = words[place - 1] if place and words[place - 1].isalpha() else ""
            series = before + letters if letters in ("", "v") else letters
            others = frozenset(words[:place] + words[place + 1 :]) - {before if series != letters else ""}
            return _Name(series, int(number[:9]), tail, others)
    return _Name("", None, "", frozenset(words))


def _likeness(asked: _Name, known: _Name) -> float:
    """Above 2: the same series and number; below 1: another number of the series; 0: another product."""
    if asked.number is None:
        words = [word for word in {known.series, *known.others} if len(word) > 3]
        pairs = (_same_word(own, word) for own in asked.others for word in words)
        return max(pairs, default=0.0)
    if known.number is None or not _same_word(asked.series, known.series):
        return 0.0
    shared = 0.1 * len(asked.others & known.others) + 0.3 * (asked.tail == known.tail)
    if asked.number == known.number:
        return 2 + shared
    less, more = sorted((asked.number, known.number))
    if more == 10 * less:  # a nought too many or too few
        return _NEAR
    return less / more + 0.5 * shared if len(str(less)) == len(str(more)) and less / more >= _NEAR else 0.0


def _same_word(one: str, other: str) -> float:
    """1 for the same word, less for a long one misspelt, 0 for another."""
    if one == other:
        return 1.0
    alike = SequenceMatcher(None, one, other).ratio() if min(len(one), len(other)) > 3 else 0.0
    return alike if alike >= _ALIKE else 0.0
