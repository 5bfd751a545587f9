"""A store of what was worked out, bounded: a wide lattice must not fill the memory."""

from collections.abc import Callable
from typing import Any


def _one(value: Any) -> int:
    return 1


class Kept(dict[Any, Any]):
    """Values by key, up to a total size. When it is full it is emptied: what is wanted again comes back."""

    def __init__(self, most: int, size: Callable[[Any], int] = _one) -> None:
        super().__init__()
        self.most, self.size_of, self.size = most, size, 0

    def __setitem__(self, key: Any, value: Any) -> None:
        size = self.size_of(value)
        if self.size + size > self.most:
            self.clear()
        self.size += size
        super().__setitem__(key, value)

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self.size = 0
