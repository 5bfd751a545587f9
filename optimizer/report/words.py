"""What people call a metric, a dimension, a rule, a constant or a chip, for pictures: no names of fields."""

from optimizer.plugins import plugins
from optimizer.spec.split import FORMATS


def _dimensions() -> dict[str, str]:
    """What the kinds of layer call their dimensions, the usual kinds' word first."""
    kinds = [m for m in plugins("blocks").values() if hasattr(m, "FIELDS")]
    found: dict[str, str] = {}
    for module in sorted(kinds, key=lambda m: not hasattr(m, "USUAL")):
        found = {n: own.title for n, own in module.FIELDS.dimensions().items()} | found
    return found


_NAMES = {
    **_dimensions(),
    "batch": "Batch",
    "chip": "Chip",
    "d_model": "Model width",
    "domain": "Scale-up domain",
    "draft_tokens": "Drafted tokens",
    "hardware": "Chip",
    "hbm_bandwidth": "Memory bandwidth",
    "hbm_capacity": "Memory capacity",
    "hbm_reserved": "Memory of the driver",
    "hbm_usable": "Usable memory",
    "input_tokens": "Prompt tokens",
    "n_layers": "Layers",
    "nodes": "Nodes",
    "output_tokens": "Output tokens",
    "requests_per_s": "Traffic",
    "training_tokens": "Training tokens",
    "usd_per_chip_hour": "Price of a chip hour",
    "utilisation": "Share of capacity in use",
    "vocab_size": "Vocabulary",
    "window": "Attention window",
    **{name: own.title for name, own in FORMATS.items()},
}
_BOUNDS = {"_increase_max": "{} above the baseline", "_max": "{}, at most", "_min": "{}, at least"}
_VENDORS = ("amd", "apple", "aws", "cerebras", "google", "groq", "huawei", "intel", "nvidia", "tenstorrent")


def title_of(name: str) -> str:
    """A metric, dimension, rule, field or constant, such as 'workload.batch' or 'tpot_ms_max', in words."""
    if name.startswith("inventory:"):
        return f"Supply of {chip_title(name.removeprefix('inventory:'))}"
    for folder in ("objectives", "constraints"):
        if name in plugins(folder):
            return str(plugins(folder)[name].TITLE)
    for ending, words in _BOUNDS.items():
        if name.endswith(ending):
            return words.format(title_of(name.removesuffix(ending)))
    field = name.rsplit(".", 1)[-1]
    if field != name and field in plugins("objectives"):
        return title_of(field)
    words = _NAMES.get(field) or field.replace("_", " ").strip().capitalize()
    chip = name.split(".")[1:-1] if name.startswith("hardware.") else []
    return f"{words} of {chip_title(chip[0])}" if chip and "-" in chip[0] else words


def measured_in(name: str, unit: str) -> str:
    """The title of a metric with its unit, for an axis."""
    title = title_of(name)
    return title if not unit or unit.lower() == title.lower() else f"{title} ({unit})"


def scaled(metric: str, unit: str) -> tuple[float, str]:
    """A factor that makes a metric's numbers short on an axis, and the unit they then have."""
    return (1e-9, "billion") if metric == "n_params" else (1.0, unit)


def chip_title(name: str) -> str:
    """A chip as people write it: 'nvidia-h100-sxm' is H100 SXM. A name of the user's own stays as it is."""
    vendor, _, rest = name.partition("-")
    return rest.replace("-", " ").upper() if rest and vendor in _VENDORS else name


def plain(text: str, most: int = 80) -> str:
    """Text on one line without control characters, cut at `most` characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= most else line[: most - 1] + "…"
