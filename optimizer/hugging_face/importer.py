"""From the path of a config.json to a checked architecture, with what was assumed on the way."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optimizer.hugging_face.config import Config, Fields, finish, finish_whole, read_fields
from optimizer.hugging_face.family import Family
from optimizer.hugging_face.layouts import layers_of, runs
from optimizer.hugging_face.quantisation import checkpoint_of, section_of
from optimizer.hugging_face.wrappers import family_of, language_models, tied
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
    parts = language_models(Config(where, dict(fields)))
    config = parts[-1]
    model_type, family = family_of(parts)
    d_model, vocab_size = config.size("hidden_size"), config.size("vocab_size")
    for note in family.notes:
        config.assume(note)
    data: Fields = {
        "name": name,
        "d_model": d_model,
        "vocab_size": vocab_size,
        "tied_embeddings": tied(parts) and not family.never_tied,
    }
    layers = layers_of(config, family, d_model)
    data |= {"n_layers": len(layers), "layers": runs(layers), **_around(config, family)}
    config.used.update(family.costless)
    for field, text in family.told.items():
        if config.get(field):
            config.assume(text)
    for field, accepted in family.only.items():
        value = config.default(field) if config.missing(field) else config.get(field)
        if value is not None and value != accepted:
            raise config.refuse(field, f"is not understood; accepted: {json.dumps(accepted)}")
    for field, other in family.same.items():
        if config.given(field) not in (None, config.size(other)):
            raise config.refuse(field, f"is understood only where it is {other}, {config.size(other)}")
    section = section_of(parts)
    finish(config, model_type)
    for part in parts[:-1]:
        finish_whole(part, config)
    notes = tuple(dict.fromkeys(note for part in reversed(parts) for note in part.assumptions))
    data |= {"source": f"{file}, model_type {model_type}", "notes": "; ".join(notes)}
    model = validate(Architecture, data, where)
    return Imported(model.changed(checkpoint=checkpoint_of(section, model)) if section else model, notes)


def _around(config: Config, family: Family) -> dict[str, Any]:
    """What a class has outside its layers, beside the two tables and the last norm."""
    positions = config.size(family.positions) + family.more_positions if family.positions else 0
    return {
        "position_embeddings": positions,
        "outer_norms": family.outer_norms,
        "head_bias": config.switch(family.head_bias),
        "other_params": config.optional(family.layer_input[0], 0) or 0 if family.layer_input[0] else 0,
    }


def _name(file: Path) -> str:
    """A name from the file's: 'org--model.json', or the folder of a config.json."""
    stem = file.resolve().parent.name if file.name == "config.json" else file.stem
    return stem.removesuffix("_config").replace("--", "/", 1)[:120] or "config"
