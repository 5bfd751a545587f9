"""One section of a config.json on number formats, read field by field; errors name file and field."""

from collections.abc import Mapping, Sequence
from typing import Any

from optimizer.errors import InputError
from optimizer.hugging_face.config import Config
from optimizer.hugging_face.modules import Patterns, valid


class Section:
    """One `quantization_config`, field by field; errors name file and field."""

    def __init__(self, config: Config, name: str, fields: Mapping[str, Any]) -> None:
        self.config, self.name, self.fields = config, name, fields

    def refuse(self, key: str, problem: str) -> InputError:
        """The error that names file, field, value and what is accepted."""
        return Config(self.config.file, dict(self.fields), f"{self.config.inside}{self.name}.").refuse(
            key, problem
        )

    def get(self, *names: str) -> Any:
        """The first of some names that is given."""
        return next((self.fields[n] for n in names if self.fields.get(n) is not None), None)

    def bits(self, accepted: Sequence[int], *names: str, default: int | None = None) -> int:
        """Bits of an element: one of those that the method has."""
        name = next((n for n in names if self.fields.get(n) is not None), names[0])
        value = self.fields.get(name, default)
        if isinstance(value, bool) or value not in accepted:
            known = ", ".join(map(str, accepted)) if len(accepted) < 9 else f"{accepted[0]} to {accepted[-1]}"
            raise self.refuse(name, f"bits of a weight are accepted: {known}")
        return int(value)

    def group(self, *names: str, default: int | None = None) -> int | None:
        """Elements that share a scale; None for a row (-1 and 0 in files)."""
        name = next((n for n in names if self.fields.get(n) is not None), names[0])
        value = self.fields.get(name, default)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not -1 <= value <= 2**20:
            raise self.refuse(name, "a number of elements is accepted, or -1 for a row")
        return value if value > 0 else None

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        value = self.fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.refuse(name, "true or false is accepted")
        return value

    def patterns(self, *names: str, parts: bool = True) -> Patterns:
        """A list of modules, by the first of some names."""
        name = next((n for n in names if self.fields.get(n) is not None), None)
        value = self.fields[name] if name else []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.refuse(name or names[0], "a list of module names is accepted")
        if wrong := valid(value):
            raise self.refuse(name or names[0], f"{wrong[:60]} is no regular expression")
        return Patterns(tuple(value), parts)

    def inner(self, name: str) -> "Section":
        """An object inside; an empty one where there is none."""
        value = self.fields.get(name)
        if value is None:
            value = {}
        if not isinstance(value, dict):
            raise self.refuse(name, "an object is accepted")
        return Section(self.config, f"{self.name}.{name}", value)
