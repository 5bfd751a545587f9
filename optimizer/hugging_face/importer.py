"""From the path of a config.json to a checked architecture, with what was assumed on the way."""

import os
from dataclasses import dataclass
from pathlib import Path

from optimizer.hugging_face.config import Config, Fields, family_of, language_model, read_fields
from optimizer.hugging_face.layouts import layers_of, runs
from optimizer.spec.architecture import Architecture
from optimizer.spec.loading import validate


@dataclass(frozen=True, slots=True)
class Imported:
    """An architecture read from a config.json, with every default and simplification that went into it."""

    architecture: Architecture
    assumptions: tuple[str, ...]


def read_config(path: str | Path) -> Imported:
    """The architecture of a config.json, or of the folder that holds one; InputError says what is wrong."""
    place = Path(os.path.expanduser(path))
    fields, file = read_fields(place)
    return import_config(fields, str(file), _name(file), file.name)


def import_config(fields: Fields, where: str, name: str, file: str = "config.json") -> Imported:
    """The architecture of the fields of a config.json, under a name; `where` begins messages."""
    outer = Config(where, fields)
    config = language_model(outer)
    model_type, family = family_of(config, outer)
    d_model, vocab_size = config.size("hidden_size"), config.size("vocab_size")
    tied = config.flag("tie_word_embeddings", family.tied)
    for note in family.notes:
        config.assume(note)
    layers = layers_of(config, family, d_model)
    config.finish(model_type)
    if outer is not config:
        outer.finish(model_type)
    notes = tuple(dict.fromkeys(config.assumptions + outer.assumptions))
    data: Fields = {
        "name": name,
        "d_model": d_model,
        "vocab_size": vocab_size,
        "tied_embeddings": tied,
        "n_layers": len(layers),
        "layers": runs(layers),
        "source": f"{file}, model_type {model_type}",
        "notes": "; ".join(notes),
    }
    return Imported(validate(Architecture, data, where), notes)


def _name(file: Path) -> str:
    """A name from the file's: 'org--model.json', or the folder of a config.json."""
    stem = file.resolve().parent.name if file.name == "config.json" else file.stem
    return stem.removesuffix("_config").replace("--", "/", 1)[:120] or "config"
