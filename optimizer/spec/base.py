"""The base of every model of a file: frozen, and unknown fields refused with the nearest known name."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from optimizer.errors import nearest


class Strict(BaseModel):
    """A frozen pydantic model that refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

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
