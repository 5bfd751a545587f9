"""The base of every model of a file: frozen, unknown fields refused, numbers that are numbers."""

from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from optimizer.errors import nearest
from optimizer.spec.quantity import BASE_UNITS

_NUMBERS = ("int", "float", "bool")
_NOT_SCHEMAS = ("keys_schema", "metadata", "default", "serialization", "expected")


def strict_numbers(schema: Any) -> None:
    """Make every number and switch of a pydantic core schema strict, keys of mappings apart.

    Keys stay lax because JSON has no keys but text.
    """
    stack = [schema]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("type") in _NUMBERS:
                node["strict"] = True
            stack.extend(value for key, value in node.items() if key not in _NOT_SCHEMAS)
        elif isinstance(node, list | tuple):
            stack.extend(node)


class Strict(BaseModel):
    """A frozen pydantic model that refuses fields it does not know.

    A number is a number: neither text ('8') nor true is read as one, and 1 is not read as true.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> Any:
        schema = handler(source)
        strict_numbers(schema)
        return schema

    def changed(self, **changes: Any) -> Self:
        """The same with other values of some fields, validated again; what was not given stays not given.

        Quantities are numbers in base units, as the fields hold them.
        """
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return type(self).model_validate(given | changes, context=BASE_UNITS)

    def supposed(self, **changes: Any) -> Self:
        """The same with figures that no file may state, for a what-if: ranges are not looked at.

        TypeError for a field that is not there.
        """
        if unknown := set(changes) - set(type(self).model_fields):
            raise TypeError(f"{type(self).__name__} has no {', '.join(sorted(unknown))}")
        return self.model_copy(update=changes)

    @model_validator(mode="before")
    @classmethod
    def _known_fields_only(cls, data: Any) -> Any:
        if isinstance(data, dict):
            known = list(cls.model_fields)
            for key in data:
                if key not in known:
                    hint = nearest(str(key), known) or f" Accepted: {', '.join(known)}."
                    raise ValueError(f"unknown field '{str(key)[:64]}'.{hint}")
        return data


class Said(Strict):
    """A model that shows the fields it was given, and no others: what it has not it does not mention."""

    @model_serializer(mode="wrap")
    def _as_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        shown: dict[str, Any] = handler(self)
        return {name: value for name, value in shown.items() if name in self.model_fields_set}
