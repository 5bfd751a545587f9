"""Plug-in folders: one file is one plug-in, and its file name is its public name everywhere."""

from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import optimizer


@cache
def plugins(folder: str) -> dict[str, ModuleType]:
    """Import every module of `optimizer/<folder>` that is a plug-in; the keys are sorted file names.

    A leading underscore marks a helper that is not a plug-in.
    """
    place = Path(optimizer.__file__).parent / folder
    names = sorted(path.stem for path in place.glob("[a-z]*.py"))
    return {name: import_module(f"optimizer.{folder}.{name}") for name in names}
