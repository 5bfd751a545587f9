"""Finds the language model of a config.json: the file's own fields, or those of a part of several."""

from dataclasses import replace
from typing import Any

from optimizer.errors import nearest
from optimizer.hugging_face.classes import Class, recorded
from optimizer.hugging_face.config import Config, Fields, finish, word
from optimizer.hugging_face.families import FAMILIES, REFUSED
from optimizer.hugging_face.family import Family

_PARTS = ("text_config", "llm_config", "language_config", "thinker_config", "language_model_config")
"""Names under which a model of several parts keeps the language model's fields."""
_DEEPEST = 4
_WELL_KNOWN = (
    "llama",
    "mistral",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "gemma3",
    "deepseek_v3",
    "gpt_oss",
)
"""Model types that a message names; docs/classes.md lists all."""


def language_models(outer: Config) -> list[Config]:
    """The file, and the parts inside it on the way to the language model, which is the last."""
    found = [outer]
    while len(found) <= _DEEPEST:
        config = found[-1]
        nested = [name for name in _PARTS if config.fields.get(name) is not None]
        if not nested:
            return found
        if len(nested) > 1:
            raise config.refuse(nested[1], f"is given beside {nested[0]}; one is accepted")
        name = nested[0]
        if not isinstance(config.get(name), dict):
            raise config.refuse(name, "an object with fields such as hidden_size is accepted")
        config.own = recorded(str(config.get("model_type")))
        inner = config.inner(name, config.fields[name])
        inner.assume(f"only the language model under {config.inside}{name} is counted")
        found.append(inner)
    raise outer.refuse(_PARTS[0], "is nested too deeply")


def family_of(parts: list[Config]) -> tuple[str, Family]:
    """The model type of the language model, as the file gives it, and what it means."""
    config, given = parts[-1], None
    source = config
    for part in reversed(parts):
        given, source = part.get("model_type"), part
        if given is not None:
            break
    if given is not None and source is not config and isinstance(given, str):
        given = recorded(given).text or given
        config.assume(f"the language model names no model_type; taken as {word(given)}, after the whole")
    known = f"accepted: {', '.join(_WELL_KNOWN)} and {len(FAMILIES) - len(_WELL_KNOWN)} more"
    if not isinstance(given, str):
        raise source.refuse("model_type", f"a known model type is needed; {known}")
    name = _known(given)
    if name is None:
        why = REFUSED.get(given) or REFUSED.get(given.removesuffix("_text"))
        has = f"has {why}, which " if why else ""
        raise source.refuse("model_type", f"{has}is not understood;{nearest(given, list(FAMILIES))} {known}")
    family = FAMILIES[name]
    config.own = _own(name, given, family)
    _bring(config, family)
    for switch, changes in family.variants:
        on = config.flag(switch.removeprefix("not ")) != switch.startswith("not ")
        family = replace(family, **changes) if on else family
    return given, family


def tied(parts: list[Config]) -> bool:
    """Whether input and output share a table: as the language model says, or the whole.

    Where they differ, classes of transformers 5 go by the whole, earlier ones by the language model; those
    write true for the whole, which no one chose.
    """
    config, wholes = parts[-1], parts[-2::-1]
    own = config.get("tie_word_embeddings")
    said = next((w for w in wholes if w.get("tie_word_embeddings") is not None), None)
    if said is None and own is None and config.default("tie_word_embeddings") is None:
        said = next((w for w in wholes if w.default("tie_word_embeddings") is not None), None)
    if said is None or own is None or said.get("tie_word_embeddings") == own:
        return (config if said is None or own is not None else said).flag("tie_word_embeddings")
    version = str(parts[0].get("transformers_version")).partition(".")[0]
    if version == "5":
        config.assume("tie_word_embeddings is that of the whole, as in transformers 5")
        return said.flag("tie_word_embeddings")
    if version != "4" or said.get("tie_word_embeddings") is not True:
        raise said.refuse("tie_word_embeddings", f"contradicts the one under {config.inside[:-1]}")
    config.assume("tie_word_embeddings is that of the language model, as in transformers 4")
    return config.flag("tie_word_embeddings")


def _known(given: str) -> str | None:
    """The row of a model type: its own, that of the type it is another name of, or of its language model."""
    text = recorded(given).text
    for name in (given, given.removesuffix("_text"), text, text.removesuffix("_text")):
        if name in FAMILIES:
            return name
    return None


def _own(name: str, given: str, family: Family) -> Class:
    """What is known of the class: its recorded defaults, and those of the row."""
    for like in (given, recorded(given).text, f"{name}_text", name, family.like):
        found = recorded(like)
        if found.defaults and not found.text:
            break
    whole = frozenset(recorded(given).defaults) if recorded(given).text else frozenset()
    return Class(found.defaults | dict(family.defaults), found.names | dict(family.names), whole)


def _bring(config: Config, family: Family) -> None:
    """Take fields out of the objects that a class keeps them in."""
    for name, fields in family.inside.items():
        value: Any = config.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise config.refuse(name, "an object is accepted")
        inner = Config(config.file, value, f"{config.inside}{name}.", config.own)
        taken: Fields = {here: inner.get(there) for there, here in fields.items() if there in value}
        finish(inner, name)
        config.fields = taken | config.fields
