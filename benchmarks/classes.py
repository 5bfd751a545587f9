"""Parameters of the classes of transformers as torch counts them, beside ours. Run by hand, never by tests.

    python benchmarks/classes.py             the table of every class that is recorded
    python benchmarks/classes.py FOLDER      the same for the config.json files of a folder, counted by torch
    python benchmarks/classes.py --record    rewrite classes.json of optimizer/hugging_face and tests/data

The first needs archsat alone; the others torch and transformers too, which archsat never imports: run them in
an environment of their own (`pip install torch transformers`, then archsat). Models are built on torch's meta
device, without memory. Counted are the parameters of the language model, its tables and head, and the
router's correction biases, which are buffers in some classes and are part of every checkpoint.
"""

import argparse
import dataclasses
import json
import re
import sys
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from optimizer.cost.parameters import parameter_counts  # noqa: E402
from optimizer.errors import InputError  # noqa: E402
from optimizer.hugging_face import import_config  # noqa: E402

CLASSES = ROOT / "optimizer" / "hugging_face" / "classes.json"
COUNTS = ROOT / "tests" / "data" / "classes.json"

_LANGUAGE = re.compile(
    r"language_model|text_model|lm_head|^model\.(embed|layers|norm|decoder)|^thinker\.(model|lm)"
)
_OTHER = re.compile(r"vision|visual|audio|image|speech|projector|talker|token2wav|vq")
_IDS = re.compile(r"\w+_token_(id|ids|index)")
_BIAS = re.compile(r"correction_bias|expert_bias")
_NEEDED: dict[str, dict[str, Any]] = {
    "dots1": {"n_routed_experts": 128, "num_experts_per_tok": 6, "n_shared_experts": 2},
    "nemotron": {"num_key_value_heads": 8},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"] * 8},
    "hunyuan_v1_dense": {"head_dim": 128},
    "hunyuan_v1_moe": {"head_dim": 128, "num_experts": 8, "moe_topk": 2},
    "ministral": {"head_dim": 128},
    "deepseek_v2": {"num_experts_per_tok": 6, "n_group": 1, "topk_group": 1},
    "chameleon": {"vocabulary_map": {"<image>": 8711}},
    "hunyuan_vl": {"text_config": {"head_dim": 128}},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 1e4}}
    },
    "dbrx": {"attn_config": {"rope_theta": 1e4}},
}
"""Fields of classes that cannot be built from their defaults alone."""


def main() -> None:
    """Print the table, or write the records."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    if arguments.record:
        record()
    elif arguments.folder:
        table(counted_files(arguments.folder))
    else:
        recorded = json.loads(COUNTS.read_text())
        print(recorded["source"])
        table((name, own["config"], own["parameters"]) for name, own in recorded["classes"].items())


def table(rows: Any) -> None:
    """A line a class: torch's count, ours and the difference, or why it is refused."""
    equal = read = total = 0
    for name, config, parameters in rows:
        total += 1
        try:
            ours = parameter_counts(import_config(dict(config), "config.json", name).architecture).total
        except (InputError, KeyError) as error:
            print(f"{name:40} {parameters or 0:>16,} refused: {str(error)[:150]}")
            continue
        read += 1
        equal += ours == parameters
        print(f"{name:40} {parameters or 0:>16,} {ours:>16,} {ours - (parameters or 0):>14,}")
    print(f"{total} classes, {read} read, {equal} equal")


def counted_files(folder: Path) -> Iterator[tuple[str, dict[str, Any], int | None]]:
    """The files of a folder, each with the count of torch; None where transformers cannot build it."""
    from transformers import AutoConfig

    for file in sorted(folder.rglob("*.json")):
        fields = json.loads(file.read_text())
        try:
            known = {k: v for k, v in fields.items() if k not in ("model_type", "quantization_config")}
            yield file.stem, fields, count(AutoConfig.for_model(fields["model_type"], **known))
        except Exception as error:  # whatever a model of others raises
            print(f"{file.stem}: {str(error)[:100]}", file=sys.stderr)
            yield file.stem, fields, None


def record() -> None:
    """Write the defaults of every class, and torch's count of each model that they make."""
    import torch
    import transformers
    from transformers.models.auto import configuration_auto as auto

    warnings.simplefilter("ignore")
    transformers.utils.logging.set_verbosity_error()
    source = (
        f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, {date.today()}"
    )
    classes, counts = {}, {}
    for name in sorted({*auto.CONFIG_MAPPING_NAMES}):
        found = _class_of(name)
        if found is None:
            continue
        classes[name] = _described(found)
        if _model_class(name) is None:
            continue
        try:
            config = found(**_NEEDED.get(name, {}))
            saved = json.loads(config.to_json_string(use_diff=True)) | {"model_type": name}
            counts[name] = {"config": _small(saved), "parameters": count(config)}
        except Exception as error:  # whatever a model of others raises
            print(f"{name}: {type(error).__name__} {str(error)[:100]}", file=sys.stderr)
    _write(CLASSES, source, {name: own for name, own in classes.items() if name in _texts(classes)})
    _write(COUNTS, source, counts)


def count(config: Any) -> int:
    """Parameters of the language model that a configuration makes."""
    import torch

    with torch.device("meta"):
        model = _model_class(config.model_type)(config)
    model.tie_weights()
    named = [*model.named_parameters(), *((n, b) for n, b in model.named_buffers() if _BIAS.search(n))]
    whole = not any(hasattr(config, part) for part in ("text_config", "thinker_config", "llm_config"))
    return sum(t.numel() for n, t in named if not _OTHER.search(n) and (whole or _LANGUAGE.search(n)))


def _model_class(name: str) -> Any:
    """The class that generates text with a configuration, or None."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    for mapping in ("IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "CAUSAL_LM"):
        found = getattr(auto, f"MODEL_FOR_{mapping}_MAPPING_NAMES").get(name)
        if found:
            return getattr(transformers, found if isinstance(found, str) else found[0])
    return None


def _class_of(name: str) -> Any:
    from transformers.models.auto import configuration_auto as auto

    try:
        return auto.CONFIG_MAPPING[name]
    except Exception:  # classes whose own imports are not there
        return None


def _described(found: Any) -> dict[str, Any]:
    """Defaults of a class, own names of fields, and the model type of its language model."""
    from transformers import PretrainedConfig

    base = {f.name for f in dataclasses.fields(PretrainedConfig)}
    defaults = {}
    for own in dataclasses.fields(found):
        if own.name in base or _IDS.fullmatch(own.name) or own.name.endswith("_config"):
            continue
        value = own.default_factory() if own.default_factory is not dataclasses.MISSING else own.default
        if isinstance(value, bool | int | float | str | list | tuple):
            defaults[own.name] = value
    described: dict[str, Any] = {"defaults": defaults}
    names = {here: own for here, own in getattr(found, "attribute_map", {}).items() if own in defaults}
    described |= {"names": names} if names else {}
    text = _text_of(found)
    return described | ({"text": text} if text else {})


def _text_of(found: Any) -> str:
    """The model type of the language model inside a class of several parts."""
    try:
        config = found()
    except Exception:
        return ""
    for _ in range(3):
        inner = next(
            (
                getattr(config, n, None)
                for n in ("thinker_config", "text_config", "llm_config")
                if getattr(config, n, None) is not None
            ),
            None,
        )
        if inner is None or inner is config:
            break
        config = inner
    own = str(getattr(config, "model_type", ""))
    return own if own != getattr(found, "model_type", "") else ""


def _texts(classes: dict[str, Any]) -> set[str]:
    """The model types that generate text, and those of the language models inside others."""
    own = {name for name in classes if _model_class(name) is not None}
    return own | {classes[name].get("text", "") for name in own}


def _small(saved: dict[str, Any]) -> dict[str, Any]:
    """A saved file without what other parts say of themselves."""
    return {k: {} if _OTHER.search(k) and isinstance(v, dict) else v for k, v in saved.items()}


def _write(file: Path, source: str, classes: dict[str, Any]) -> None:
    """A class a line."""
    rows = ",\n".join(f"{json.dumps(name)}: {json.dumps(own)}" for name, own in sorted(classes.items()))
    file.write_text(f'{{"source": {json.dumps(source)}, "classes": {{\n{rows}\n}}}}\n')


if __name__ == "__main__":
    main()
