"""Writes constraints.md, metrics.md, chips.md, classes.md, kinds.md and models.md from code and data files.

python docs/generate.py            write the pages
python docs/generate.py --check    exit 1 if a page is stale, and name it
"""

import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from optimizer import catalog  # noqa: E402
from optimizer.cost.parameters import parameter_counts  # noqa: E402
from optimizer.hugging_face.classes import recorded, version, wholes  # noqa: E402
from optimizer.hugging_face.families import FAMILIES, REFUSED  # noqa: E402
from optimizer.hugging_face.family import Family  # noqa: E402
from optimizer.plugins import plugins  # noqa: E402
from optimizer.report.numbers import count as short_count  # noqa: E402
from optimizer.spec.architecture import Architecture, Block  # noqa: E402
from optimizer.spec.chip import Chip, System  # noqa: E402

GIB = 2.0**30
NOTE = "<!-- Written by docs/generate.py; change the code or the data, not this page. -->\n"


def main(arguments: list[str]) -> int:
    """Write or check all pages; return the exit code."""
    stale = [name for name, text in pages().items() if not _current(HERE / name, text)]
    if "--check" in arguments:
        for name in stale:
            print(f"docs/{name} is stale: run python docs/generate.py", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(pages()[name], encoding="utf-8")
        print(f"docs/{name} written")
    return 0


def pages() -> dict[str, str]:
    """Page name to text."""
    return {
        "constraints.md": constraints(),
        "metrics.md": metrics(),
        "chips.md": chips(),
        "classes.md": classes(),
        "kinds.md": kinds(),
        "models.md": models(),
    }


def _current(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def kinds() -> str:
    """The kinds of layer halves: what each is, what of it is searched, which models have it."""
    found = {name: module for name, module in plugins("blocks").items() if hasattr(module, "FIELDS")}
    used = {name: [m.name for m in catalog.models().values() if name in _halves(m)] for name in found}
    rows = [
        (
            f"[{name}](#{name})",
            "mixer" if module.ROLE == "mixer" else "network",
            _first(module.FIELDS).removesuffix("."),
            ", ".join(module.FIELDS.dimensions()) if hasattr(module, "in_words") else "not searched",
            str(len(used[name])),
        )
        for name, module in found.items()
    ]
    intro = (
        "A layer is a mixer and a feed-forward network, each of one of these kinds: a file of\n"
        "`optimizer/blocks`, with all there is to it ([how to add one](../CONTRIBUTING.md)). A model's file\n"
        "names them per group of layers; problems may search those with dimensions\n"
        "([how](problem-files.md#other-kinds-of-layer)).\n"
    )
    head = ("kind", "half", "what it is", "dimensions that are searched", "models")
    parts = ["# Kinds of layer\n", intro, markdown_table(head, rows)]
    for name, module in found.items():
        has = used[name]
        said = f"Models: {', '.join(has[:6])}{f' and {len(has) - 6} more' if len(has) > 6 else ''}.\n"
        caveat = f"Caveat: {module.CAVEAT}.\n" if hasattr(module, "CAVEAT") else ""
        own = ", ".join(f"`{field}`" for field in module.FIELDS.model_fields if field != "kind")
        fields = f"Fields: {own}.\n" if own else ""
        text = "\n".join(part for part in (_prose(module), fields, said if has else "", caveat) if part)
        parts.append(f"## {name}\n\n{text}")
    return NOTE + "\n".join(parts)


def models() -> str:
    """The models of the catalogue, with the counts of their parameters and what their layers are."""
    rows = []
    for name, own in sorted(catalog.models().items(), key=lambda pair: pair[0].lower()):
        counts = parameter_counts(own)
        active = short_count(counts.active) if counts.active < counts.total else ""
        published = short_count(float(own.published_params or 0))
        layers = "; ".join(f"{g.count} {_layer(g.block)}" for g in own.layers)
        rows.append((name, short_count(counts.total), published, active, layers, ", ".join(own.aliases)))
    intro = (
        f"{len(rows)} models, by any of their names. Counted parameters stand beside the published ones;\n"
        "`tests/published/test_models.py` names those that differ by more than a thousandth, and why.\n"
        "Sources are in the files of `models/`.\n"
    )
    head = ("model", "parameters", "published", "of a token", "layers", "also known as")
    return NOTE + "\n".join(("# Models\n", intro, markdown_table(head, rows)))


def _halves(model: Architecture) -> set[str]:
    return {half.kind for group in model.layers for half in (group.block.mixer, group.block.ffn)}


def _layer(block: Block) -> str:
    """A layer by its kinds, without the halves that are not there."""
    there = [half.kind for half in (block.mixer, block.ffn) if half.kind not in ("no_mixer", "no_ffn")]
    window = getattr(block.mixer, "attention_window", None)
    return " + ".join(there) + (f" ({window})" if window else "")


def classes() -> str:
    """The model types of config.json that are read, found inside others, and refused."""
    intro = (
        f"`--model config.json` reads these {len(FAMILIES)} model types of transformers, and the language\n"
        "model inside others, whatever the file calls them. A field that the file leaves out has the\n"
        f"default of its class ({version()}), told as an\n"
        "assumption; a field that nobody reads is accepted where it stands at that default, costs nothing\n"
        "or is switched off, and refused by name otherwise. Two names of one field must agree. Counted are\n"
        "the parameters of the language model, the router's correction biases included, multi-token\n"
        "prediction not; `python benchmarks/classes.py` prints them beside torch's.\n"
    )
    rows = [(name, *_made_of(family)) for name, family in sorted(FAMILIES.items())]
    inside = textwrap.fill(
        "The language model of "
        + ", ".join(name for name in wholes() if _row_of(recorded(name).text) in FAMILIES)
        + "; and of any other that keeps one of the types above under `text_config`, `llm_config`, "
        "`language_config` or `thinker_config`.",
        width=100,
        break_on_hyphens=False,
    )
    refused = sorted(REFUSED.items())
    return NOTE + "\n".join(
        (
            "# Model classes\n",
            intro,
            markdown_table(("model type", "mixers", "feed-forward"), rows),
            f"## Inside others\n\n{inside}\n",
            "## Refused\n",
            markdown_table(("model type", "because of"), refused),
        )
    )


def _row_of(text: str) -> str:
    """The model type of a language model as the table of families has it."""
    return text if text in FAMILIES else text.removesuffix("_text")


def _made_of(family: Family) -> tuple[str, str]:
    """The mixers and the feed-forward networks of a row, in words."""
    latent = family.attention == "mla"
    words = {
        "full": "latent attention" if latent else "attention",
        "window": "windows",
        "chunk": "chunks",
        "delta": "gated DeltaNet",
        "mamba1": "Mamba-1",
        "mamba2": "Mamba-2",
        "lightning": "lightning attention",
        "kda": "Kimi delta attention",
        "conv": "short convolutions",
        "dsa": "latent attention to picked tokens",
        "msa": "attention to picked blocks",
        "csa": "attention to compressed tokens",
    }
    kinds = [
        kind for kind in dict.fromkeys(family.kinds.values()) if kind != "chunk" or family.order == "chunks"
    ]
    if family.order in {"full", "offset", "linear_lists"} or latent:
        kinds = [kind for kind in kinds if kind != "window"]
    ffn = "none" if family.layout == "mixers" else "experts" if family.ffn == "moe" else "dense"
    return ", ".join(words.get(kind, kind) for kind in kinds), ffn


def constraints() -> str:
    """One section per file of optimizer/constraints."""
    found = plugins("constraints")
    rows = [(f"[{name}](#{name})", _shown(module.DEFAULT), _first(module)) for name, module in found.items()]
    intro = (
        "Every structural constraint is one file of `optimizer/constraints`. Its name is used under\n"
        "`constraints:` in a problem file. Bounds on metrics (`tpot_ms_max: 10`) need no file: see\n"
        "[metrics.md](metrics.md) and [problem-files.md](problem-files.md#constraints).\n"
    )
    parts = ["# Constraints\n", intro, markdown_table(("constraint", "default", "what it says"), rows)]
    for name, module in found.items():
        parts.append(f"## {name}\n\n{_body(module)}")
        parts.append(_constraint_facts(module))
    return NOTE + "\n".join(parts)


def _constraint_facts(module: ModuleType) -> str:
    published = "not held to it" if getattr(module, "LATTICE_ONLY", False) else "held to it too"
    facts = [
        f"- Default: {_shown(module.DEFAULT)}. Value: {module.ACCEPTS}.",
        f"- A published model given as `architecture:` is {published}.",
        f"- Keeps it: {_point(module.KEEPS)}.",
        f"- Breaks it: {_point(module.BREAKS)}.",
    ]
    return "\n".join(facts) + "\n"


FORMS = {
    "value": "architecture",
    "each": "deployment, fleet",
    "PACKED": "deployment",
    "ABSENT_IN": "deployment",
    "per_request": "deployment, fleet",
    "held": "estimate, architecture, deployment",
    "trained": "training",
}
"""A form of a metric, and the kinds of problem that have metrics of it."""


def metrics() -> str:
    """One section per file of optimizer/objectives."""
    found = plugins("objectives")
    rows = [
        (f"[{name}](#{name})", module.UNIT, module.BETTER, _kinds(module), _first(module))
        for name, module in found.items()
    ]
    intro = (
        "Every metric is one file of `optimizer/objectives`, for all kinds of problem that have it. Of\n"
        "architectures each can be minimised, maximised, bounded with `<metric>_max`, `<metric>_min` and\n"
        "`<metric>_increase_max` (room for tokens with `<metric>_min` alone); of the other kinds each\n"
        "is optimised in its better direction and bounded on the other side. All are in every report.\n"
    )
    heads = ("metric", "unit", "better", "kinds of problem", "what it is")
    parts = ["# Metrics\n", intro, markdown_table(heads, rows)]
    for name, module in found.items():
        parts.append(f"## {name}\n\n{_body(module)}")
        parts.append("\n".join(_facts(module)) + "\n")
    return NOTE + "\n".join(parts)


def _kinds(module: ModuleType) -> str:
    forms = [kinds for form, kinds in FORMS.items() if hasattr(module, form)]
    return ", ".join(dict.fromkeys(kind for kinds in forms for kind in kinds.split(", ")))


def _facts(module: ModuleType) -> list[str]:
    facts = [f"- Unit: {module.UNIT or 'a share'}. Better: {module.BETTER}."]
    if hasattr(module, "value"):
        rises = {True: "rises with it", False: "falls with it", None: "may turn"}[module.RISES]
        facts.append(
            f"- Of an architecture a function of the additive quantity `{module.QUANTITY}`: {rises}."
        )
    if hasattr(module, "each"):
        facts.append(f"- Of replicas a sum over chips, in whole units of 1/{module.SCALE:,}.")
    if hasattr(module, "ABSENT_IN"):
        facts.append(f"- Of replicas the worst; {module.ABSENT_IN} replicas have none.")
    if hasattr(module, "held"):
        several = {"sum": "the sum", "least": "the least"}[module.OF_A_PLAN]
        facts.append(
            f"- Of a plan of replicas {several} over those of {', '.join(module.COUNTED_IN)} phases."
        )
        if module.OF_A_PLAN == "least":
            facts.append("- Of a service of a fleet a bound.")
    return facts


def chips() -> str:
    """A table of all chips, then every figure of each with its source."""
    found = catalog.chips().values()
    rows = [_chip_row(chip) for chip in found]
    heads = (
        "chip", "bf16 TFLOP/s", "fp8 TFLOP/s", "usable GiB", "TB/s", "cores", "link GB/s",
        "domain", "USD/h", "kernels fitted", "confidence",
    )  # fmt: skip
    intro = (
        "Peaks are dense. Bandwidths are decimal, capacities binary. Links are per chip and one direction\n"
        '(of a torus: per link). "Kernels fitted" says whether the efficiencies were fitted to kernel\n'
        "measurements of that chip. `archsat chips NAME` prints the file.\n"
    )
    parts = ["# Chips\n", intro, markdown_table(heads, rows)]
    parts += [_chip_section(chip) for chip in found]
    parts.append("## Systems\n")
    parts.append(
        markdown_table(
            ("system", "chip", "chips", "scale-up domain", "links", "what it is"),
            [
                (s.name, s.chip, str(s.n_chips), str(s.scaleup_domain), _links(s), s.title)
                for s in catalog.systems().values()
            ],
        )
    )
    return NOTE + "\n".join(parts)


def _links(system: System) -> str:
    links = system.links
    if links is None:
        return "the chip's"
    text = f"{links.topology}, {links.bandwidth / 1e9:g} GB/s"
    return text + (f", {links.exchange.latency * 1e6:g} us an exchange" if links.exchange else "")


def _chip_row(chip: Chip) -> tuple[str, ...]:
    fp8 = chip.dense_flops.get("fp8")
    return (
        f"[{chip.name}](#{chip.name})",
        f"{chip.dense_flops['bf16'] / 1e12:g}",
        f"{fp8 / 1e12:g}" if fp8 else "-",
        f"{chip.hbm_usable / GIB:g}",
        f"{chip.hbm_bandwidth / 1e12:g}",
        str(chip.n_cores),
        f"{chip.scaleup.bandwidth / 1e9:g}",
        str(chip.scaleup.domain),
        f"{chip.usd_per_chip_hour:.2f}" if chip.usd_per_chip_hour else "-",
        "yes" if chip.efficiency.measured else "no",
        chip.confidence,
    )


def _chip_section(chip: Chip) -> str:
    figures = [name for name in type(chip).model_fields if name in chip.sources]
    rows = [(name, _figure(name, getattr(chip, name)), chip.source(name)) for name in figures]
    text = f"## {chip.name}\n\n{chip.title}. Aliases: {', '.join(chip.aliases) or 'none'}.\n\n"
    text += markdown_table(("figure", "value", "source"), rows)
    text += "\n" + _efficiencies(chip)
    return text + (f"\n{' '.join(chip.notes.split())}\n" if chip.notes else "")


def _figure(name: str, value: Any) -> str:
    if name == "dense_flops":
        return ", ".join(f"{k} {v / 1e12:g} TFLOP/s" for k, v in value.items())
    if name in ("hbm_capacity", "hbm_usable", "hbm_reserved"):
        return f"{value / GIB:g} GiB"
    if name in ("hbm_bandwidth", "scaleout_bandwidth"):
        return f"{value / 1e9:g} GB/s"
    if name == "scaleup":
        return f"{value.topology}, {value.domain} chips, {value.bandwidth / 1e9:g} GB/s"
    if name == "second_tier":
        return f"{value.kind}, {value.capacity / GIB:.4g} GiB, {value.bandwidth / 1e9:g} GB/s"
    if name in ("tdp", "power"):
        return f"{value:g} W"
    if name == "usd_per_chip_hour":
        return f"{value:.2f} USD"
    if name == "alignment":
        return ", ".join(f"{k} {v}" for k, v in value.items())
    if name == "tile":
        return " x ".join(map(str, value))
    if name == "efficiency":
        return "fitted" if value.measured else "not fitted to this chip"
    return str(value)


def _efficiencies(chip: Chip) -> str:
    fit = chip.efficiency
    rows = [
        (f"gemm, {dtype}", f"compute {g.compute:g}, memory {g.memory:g}, {_us(g.overhead)}")
        for dtype, g in fit.gemm.items()
    ]
    rows += [
        (f"prefill attention, d_head {width}", f"peak {p.peak:g}, half {p.half:g} tokens")
        for width, p in fit.attention_prefill.items()
    ]
    rows += [
        (f"decode attention, {dtype} cache", f"memory {s.memory:g}, {_us(s.overhead)}")
        for dtype, s in fit.attention_decode.items()
    ]
    rows.append(("elementwise", f"memory {fit.elementwise.memory:g}, {_us(fit.elementwise.overhead)}"))
    rows += [
        (
            f"all-reduce, {n} chips",
            f"one shot {_us(a.one_shot.latency)}, {a.one_shot.link:g}; "
            f"two shots {_us(a.two_shot.latency)}, {a.two_shot.link:g}",
        )
        for n, a in fit.all_reduce.items()
    ]
    return markdown_table(("efficiency", "share of the peak, overhead"), rows)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.4g} us"


def _first(module: ModuleType) -> str:
    return (module.__doc__ or "").strip().splitlines()[0]


def _prose(module: ModuleType) -> str:
    """The docstring; a paragraph that is indented is shown as code."""
    parts = (module.__doc__ or "").strip().split("\n\n")
    return (
        "\n\n".join(f"```\n{textwrap.dedent(part)}\n```" if part.startswith(" ") else part for part in parts)
        + "\n"
    )


def _body(module: ModuleType) -> str:
    """The docstring: a sentence, the formula (its second paragraph) as code, the rest as prose."""
    sentence, formula, *rest = (module.__doc__ or "").strip().split("\n\n")
    lines = formula.strip("\n").splitlines()
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    code = "\n".join(line[indent:] for line in lines)
    return "\n\n".join([sentence, f"```\n{code}\n```", *rest]) + "\n"


def _shown(default: Any) -> str:
    if default is None:
        return "set by `architecture.n_params`, else off"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _point(point: dict[str, Any]) -> str:
    return ", ".join(f"{name} = {str(v).lower() if isinstance(v, bool) else v}" for name, v in point.items())


def markdown_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""

    def line(cells: Any) -> str:
        return "| " + " | ".join(" ".join(str(c).split()).replace("|", "\\|") for c in cells) + " |"

    return "\n".join([line(heads), line("---" for _ in heads), *map(line, rows)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
