"""Cells of a CSV of training points: numbers, models and chips, or the reason why a row is not scored."""

import re

from optimizer import catalog
from optimizer.blocks import n_experts, rule_words
from optimizer.spec import cells
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip

Row = dict[str, str]
_FINISH = {"nvidia", "google", "amd", "aws", "intel", "instruct", "base", "hf", "sxm"}
_PADDED = 0.03


class UnreadableRow(Exception):
    """Why a row is not scored."""


def number(row: Row, name: str) -> float:
    """A positive number."""
    try:
        return cells.number(row.get(name) or "")
    except ValueError as error:
        raise UnreadableRow(f"{name} is not given or {error}") from None


def count(row: Row, name: str, default: int | None = None, least: int = 1) -> int:
    """A whole number, or the default of an empty cell."""
    text = (row.get(name) or "").strip()
    if not text and default is not None:
        return default
    try:
        return cells.whole(text, least, 10**9)
    except ValueError as error:
        raise UnreadableRow(f"{name} is not given or {error}") from None


_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def flag(row: Row, name: str, default: bool) -> bool:
    """Yes or no, or the default of an empty cell."""
    text = words(row, name)
    if text and text not in _FLAGS:
        raise UnreadableRow(f"{name} '{text[:20]}' is neither yes nor no")
    return _FLAGS.get(text, default)


def words(row: Row, name: str) -> str:
    """Text in lower case, '' where there is none."""
    return (row.get(name) or "").strip().lower()


def model_of(row: Row) -> Architecture:
    """The catalogued model of these dimensions, else one built from them; by name where they are missing."""
    known = catalog.models().values()
    if not row.get("hidden"):
        named = [m for m in known if key(row["model"]) in {key(n) for n in (m.name, *m.aliases)}]
        if not named:
            raise UnreadableRow(
                f"model '{row['model'][:40]}' is not in the catalogue, nor its dimensions here"
            )
        return named[0]
    same = [m for m in known if _same(m, row)]
    return same[0] if same else _built(row)


def _same(model: Architecture, row: Row) -> bool:
    mixer, ffn = model.layers[-1].block.mixer, model.layers[-1].block.ffn
    if model.n_layers != count(row, "layers") or model.d_model != count(row, "hidden"):
        return False
    if getattr(mixer, "n_heads", 0) != count(row, "heads"):
        return False
    kv = getattr(mixer, "n_kv_heads", 0)
    if kv and kv != count(row, "kv_heads", kv):
        return False
    experts = count(row, "experts", 0, least=0)
    own = rule_words(ffn)
    if n_experts(ffn):
        return bool(experts and (n_experts(ffn), own["n_active_experts"]) == (experts, count(row, "topk")))
    if experts or own.get("d_ff") != count(row, "ffn"):
        return False
    if not row.get("vocab"):  # a size that others share: the name must say the same
        return re.split(r"[^a-z]+", words(row, "model"))[0] in model.name.lower()
    vocab = count(row, "vocab")
    return abs(model.vocab_size - vocab) <= _PADDED * vocab  # sources pad it


def _built(row: Row) -> Architecture:
    """A model of equal layers: a network four times as wide as the model has two matrices, others gate."""
    hidden, ffn, experts = count(row, "hidden"), count(row, "ffn"), count(row, "experts", 0, least=0)
    heads = count(row, "heads")
    gated = experts > 0 or ffn != 4 * hidden or "gated" in words(row, "notes")
    width = {"d_ff": ffn}
    if experts:
        width = {"n_experts": experts, "n_active_experts": count(row, "topk"), "d_expert": ffn}
    fields = {
        "name": row["model"],
        "d_model": hidden,
        "n_layers": count(row, "layers"),
        "n_heads": heads,
        "n_kv_heads": count(row, "kv_heads", heads),
        "d_head": max(1, hidden // heads),
        "gated_ffn": gated,
        "vocab_size": count(row, "vocab"),
        "tied_embeddings": not gated,
    }
    try:
        return Architecture.model_validate(fields | width)
    except ValueError:
        raise UnreadableRow("the dimensions make no model") from None


def chip_of(name: str) -> Chip:
    """A chip by any spelling; what stands in brackets, and a memory size that no file names, are left out."""
    spelled = {key(s): c for c in catalog.chips().values() for s in (c.name, *c.aliases)}
    plain = name.split("(")[0]
    for wanted in (key(plain), key(plain.split("-")[0])):
        if wanted in spelled:
            return spelled[wanted]
    raise UnreadableRow(f"chip '{name[:40]}' is not in the catalogue")


def key(name: str) -> str:
    """Letters and digits of a name, without its organisation, memory unit and finish."""
    parts = re.split(r"[^a-z0-9.]+", name.split("/")[-1].lower())
    kept = (re.sub(r"(?<=\d)gb$", "", part) for part in parts)
    return "".join(part for part in kept if part and part not in _FINISH)
