"""Tables of the catalogues: chips, engines, models, problems."""

from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from optimizer.blocks import n_experts, rule_words
from optimizer.report.fitting import new_table
from optimizer.report.numbers import count, short

_GIB = 2.0**30
_NAME = 28  # widest name shown in full in 80 columns


def chips_table(chips: Any) -> Table:
    """One row per chip: dense peaks, memory, scale-up link, price, whether its kernels were fitted."""
    table = new_table(
        "chip",
        "bf16\nTF/s",
        "fp8\nTF/s",
        "GiB",
        "TB/s",
        "link\nGB/s",
        "linked",
        "USD/h",
        "fit",
        widest_first=_NAME,
    )
    for chip in chips:
        fp8 = chip.dense_flops.get("fp8")
        table.add_row(
            chip.name,
            short(chip.dense_flops["bf16"] / 1e12),
            short(fp8 / 1e12) if fp8 else "-",
            short(chip.hbm_usable / _GIB),
            short(chip.hbm_bandwidth / 1e12),
            short(chip.scaleup.bandwidth / 1e9),
            str(chip.scaleup.domain),
            f"{chip.usd_per_chip_hour:.2f}" if chip.usd_per_chip_hour else "-",
            "yes" if chip.efficiency.measured else "no",
        )
    return table


def engines_table(engines: Any) -> Table:
    """One row per engine: what a step waits for beside kernels, what memory it leaves, how clients arrive."""
    table = new_table(
        "engine",
        "step\nms",
        "sequence\nus",
        "layer\nus",
        "kept\nGiB",
        "cache\nshare",
        "request\nms",
        "fit",
        widest_first=_NAME,
    )
    for engine in engines:
        table.add_row(
            engine.name,
            short(engine.host_ms),
            short(engine.host_us_per_sequence),
            short(engine.launch_us_per_layer),
            short(engine.reserve_gib),
            short(engine.memory_share * engine.filled),
            short(engine.request_ms),
            "yes" if engine.sources.keys() - {"default"} else "no",
        )
    return table


def models_table(models: Any) -> Table:
    """One row per model; the dimensions are those of its first kind of layer that has them."""
    table = new_table(
        *("model", "params", "layers", "d_model", "heads", "kv", "d_ff", "family"), widest_first=_NAME
    )
    for model in models:
        table.add_row(
            model.name,
            count(model.published_params or 0),
            str(model.n_layers),
            str(model.d_model),
            *(_first(model, name) for name in ("n_heads", "n_kv_heads")),
            _width(model),
            model.family,
        )
    return table


def _first(model: Any, name: str) -> str:
    """The dimension of the first layer of the model that has it."""
    for group in model.layers:
        for part in (group.block.mixer, group.block.ffn):
            value = getattr(part, name, None)
            if value is not None:
                return str(value)
    return "-"


def _width(model: Any) -> str:
    """The width of its experts, or else of the first feed-forward network."""
    networks = sorted((group.block.ffn for group in model.layers), key=lambda ffn: not n_experts(ffn))
    widths = (rule_words(ffn).get("d_ff") for ffn in networks)
    return str(next((width for width in widths if width is not None), "-"))


def problems_table(problems: Any) -> Table:
    """One row per problem: its name and its question."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("problem", no_wrap=True)
    table.add_column("question")
    for problem in problems:
        table.add_row(problem["name"], problem.get("question", ""))
    return table


def details(data: dict[str, Any]) -> Group:
    """One item of a catalogue, field by field, with its sources last."""
    parts: list[RenderableType] = []
    for key, value in data.items():
        if value in (None, "", (), [], {}):
            continue
        if isinstance(value, dict):
            parts.append(Text(f"{key}:", style="bold"))
            parts += [Text(f"  {k}: {v}") for k, v in value.items()]
        elif isinstance(value, list):
            parts.append(Text(f"{key}:", style="bold"))
            parts += [Text(f"  {v}") for v in value]
        else:
            parts.append(Text.assemble((f"{key}: ", "bold"), str(value)))
    return Group(*parts)
