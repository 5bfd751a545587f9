"""What a problem brings along beside the catalogue: chips, models, tables; and whether files may be read."""

from typing import Annotated, Any

from pydantic import Field, StrictBool

from optimizer.spec.base import Strict

Name = Annotated[str, Field(min_length=1, max_length=200)]
Rows = Annotated[tuple[dict[Name, str | int | float], ...], Field(min_length=1, max_length=100_000)]


class Documents(Strict):
    """Documents by the name that the problem's fields use for them."""

    chips: dict[Name, dict[str, Any]] = {}
    """As in a chip file."""
    models: dict[Name, dict[str, Any]] = {}
    """As in a model file, or the object of a config.json."""
    tables: dict[Name, str | Rows] = {}
    """The text of a CSV file, or its rows."""
    files: StrictBool = True
    """Whether a name may be the path of a file of the user's. False: nothing but these and the catalogue."""


USERS_FILES = Documents()
CATALOGUE = Documents(files=False)
