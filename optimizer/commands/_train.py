"""The training half of archsat estimate: its options, and the command."""

import argparse
import contextlib
from typing import Any

from optimizer.commands._arguments import count, natural, option, tokens, whole
from optimizer.commands._once import typed
from optimizer.commands._output import check_out, show, write
from optimizer.spec.split import DEGREES

_OPTIONS: dict[str, tuple[Any, str, str]] = {
    "pipeline-parallel": (whole, "N", "stages (1)"),
    "pipeline-interleave": (whole, "N", "model chunks on each stage (1)"),
    "data-parallel": (whole, "N", "replicas (1)"),
    "context-parallel": (whole, "N", "ranks that share a sequence (1)"),
    "expert-parallel": (whole, "N", "ranks that share the experts (1)"),
    "microbatch": (whole, "N", "sequences of a pass (1)"),
    "global-batch": (whole, "N", "sequences of a step (one microbatch on each replica)"),
    "sequence-length": (tokens, "N", "tokens (4096)"),
    "recompute": (str, "HOW", "none, light, selective or full"),
    "schedule": (str, "S", "1f1b, zero_bubble or dualpipe"),
    "dispatch": (str, "D", "of tokens to experts: deepep (one copy a domain) or all_to_all"),
    "zero": (natural, "N", "0-3: shards nothing, optimizer, gradients, weights (1)"),
    "zero-group": (whole, "N", "ranks that share one shard set (all replicas)"),
    "dtype": (str, "D", "of the products: bf16, fp8, mxfp8, nvfp4"),
    "engine": (str, "E", "whose kernels: megatron, pytorch, xla"),
    "training-tokens": (count, "N", "also days and USD for this many tokens"),
    "setup": (str, "FILE", "a YAML file of these fields"),
}
_FIELD = {"zero": "zero_stage"}
_FLAGS = {
    "no-sequence-parallel": ("sequence_parallel", "norms whole on each tensor-parallel rank"),
    "no-flash-attention": ("flash_attention", "scores go through memory"),
    "no-overlap": ("overlap", "nothing travels while chips compute"),
}


TRAINING_ONLY = frozenset(_OPTIONS) - {
    *map(option, DEGREES),
    "engine",
} | frozenset(_FLAGS)
"""Options that do nothing without --phase train."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what --phase train takes beside the model, the chip and --tensor-parallel."""
    group = parser.add_argument_group("with --phase train")
    for name, (kind, shown, text) in _OPTIONS.items():
        with contextlib.suppress(argparse.ArgumentError):  # another phase has declared it already
            group.add_argument(f"--{name}", type=kind, metavar=shown, help=text)
    for name, (_, text) in _FLAGS.items():
        group.add_argument(f"--{name}", action="store_true", help=text)


def words(name: str) -> str:
    """What an option is of training; '' if it is none."""
    return _OPTIONS[name][2] if name in _OPTIONS else ""


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer import catalog
    from optimizer.anatomy.faster_ways import faster_ways
    from optimizer.anatomy.training import train_estimate
    from optimizer.report.json import to_json
    from optimizer.report.train_estimate import report

    check_out(arguments.out)
    asked = catalog.model(arguments.model), catalog.chip(arguments.chip), setup_of(arguments)
    answer = train_estimate(*asked, arguments.training_tokens).changed(faster=faster_ways(*asked))
    if arguments.json:
        write(arguments, to_json(answer))
    else:
        show(arguments, report(answer, arguments.verbose))
    return 3 if answer.breaks else 0


def setup_of(arguments: argparse.Namespace) -> Any:
    """The setup as typed: fields of --setup FILE, with the options over them."""
    from pathlib import Path

    from optimizer.spec.loading import read_yaml, validate
    from optimizer.spec.training import TrainingSetup

    data: dict[str, Any] = {}
    if arguments.setup:
        data = read_yaml(Path(arguments.setup))
        validate(TrainingSetup, data, arguments.setup)
    given = typed(arguments)
    for name in ("tensor-parallel", *_OPTIONS):
        attribute = name.replace("-", "_")
        if attribute in given and name not in ("setup", "training-tokens"):
            data[_FIELD.get(name, attribute)] = getattr(arguments, attribute)
    for name, (field, _) in _FLAGS.items():
        if name.replace("-", "_") in given:
            data[field] = False
    data.setdefault("global_batch", data.get("microbatch", 1) * data.get("data_parallel", 1))
    return validate(TrainingSetup, data, arguments.setup or "estimate --phase train")
