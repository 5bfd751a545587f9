"""archsat estimate: the cost model alone: one model on one chip."""

import argparse
from typing import Any

from optimizer.commands import _train
from optimizer.commands._arguments import amount, count, fraction, natural, option, positive, tokens, whole
from optimizer.commands._once import needs, refuse
from optimizer.commands._output import check_out, show, write
from optimizer.errors import InputError
from optimizer.spec.engine_words import SPELLINGS
from optimizer.spec.split import DEGREES, FORMAT, FORMATS

HELP = "the cost model alone: one model on one chip"


_DEGREES = {option(name): degree.words for name, degree in DEGREES.items()}
_SETUP: dict[str, tuple[Any, Any, str, str]] = {
    "batch": (whole, 1, "N", "sequences decoded together on the replica (1)"),
    "users": (whole, None, "N", "also what N clients in a closed loop see"),
    "input-tokens": (tokens, 1024, "N", "prompt (1024)"),
    "output-tokens": (tokens, 256, "N", "answer (256)"),
    "prefix-tokens": (count, 0, "N", "of the prompt, in the cache already (0)"),
    "draft-tokens": (natural, 0, "N", "drafted and verified with each token (0)"),
    "draft-acceptance": (fraction, 0.8, "A", "of a drafted token (0.8)"),
    "draft-cost": (positive, 0.05, "C", "of drafting a token, in decode steps (0.05)"),
    **{
        option(name): (str, "", "D", f"{own.words}: {', '.join(own.options)} ({FORMAT}, or the checkpoint's)")
        for name, own in FORMATS.items()
    },
    "expert-dtype": (str, "", "D", "of routed experts, if not that of all weights"),
    "engine": (str, None, "E", "a catalogued engine, or a file of yours (trtllm; for training megatron)"),
}
_FIGURES: dict[str, tuple[Any, str, str]] = {
    "memory-share": (fraction, "S", "of the usable memory that the engine fills, in place of its own"),
    "cache-share": (fraction, "S", "of what weights and buffers leave free that becomes cache, likewise"),
    "reserve-gib": (amount, "G", "memory of the runtime and the collective library, likewise"),
    "step-tokens": (tokens, "N", "token budget of a step, likewise"),
    "max-sequences": (whole, "N", "sequences decoded together on an attention rank, likewise"),
    "host-ms": (amount, "MS", "time per step that no kernel hides, likewise"),
}


_SERVING_ONLY = (frozenset(_SETUP) - {"engine"}) | frozenset(_FIGURES) | {"second-tier", "explain"}
"""Options that do nothing with --phase train."""
_NEEDS = {"draft-acceptance": "draft-tokens", "draft-cost": "draft-tokens"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="M", help="a catalogued model, or a file of yours")
    parser.add_argument("--chip", required=True, metavar="C", help="a catalogued chip, or a file of yours")
    for name, text in _DEGREES.items():
        parser.add_argument(f"--{name}", type=whole, default=1, metavar="N", help=_help(name, text))
    for name, (kind, default, shown, text) in _SETUP.items():
        parser.add_argument(f"--{name}", type=kind, default=default, metavar=shown, help=text)
    for name, (kind, shown, text) in _FIGURES.items():
        words = [f"--{option(own)}" for own, field in SPELLINGS.items() if option(field) == name]
        parser.add_argument(f"--{name}", *words, type=kind, metavar=shown, help=text)
    parser.add_argument(
        "--second-tier", action="store_true", help="keep what does not fit in the chip's slower memory"
    )
    parser.add_argument("--explain", metavar="OPERATOR", help="its formula, with numbers and sources")
    parser.add_argument(
        "--phase",
        choices=("decode", "prefill", "mixed", "train"),
        default="decode",
        help="of --explain; train: a training step",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="all operators and assumptions")
    _train.add_arguments(parser)


def _help(name: str, text: str) -> str:
    """What a degree counts, of training too where that has it."""
    train = _train.words(name)
    return f"{text}; with --phase train: {train}" if train else f"{text} (1)"


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    if arguments.phase == "train":
        refuse(arguments, _SERVING_ONLY, "with --phase train")
        return _train.run(arguments)
    refuse(arguments, _train.TRAINING_ONLY, "without --phase train")
    needs(arguments, _NEEDS | {"phase": "explain"})
    from optimizer import catalog
    from optimizer.anatomy.derivation import derive
    from optimizer.anatomy.estimate import estimate
    from optimizer.anatomy.second_tier import estimate_two_tier
    from optimizer.cost.frame import frame_of
    from optimizer.questions.architecture.problem import Workload
    from optimizer.report import derivation
    from optimizer.report import estimate as estimates
    from optimizer.report.json import to_json
    from optimizer.spec.deployment import ReplicaSpace
    from optimizer.spec.engine import FIGURES
    from optimizer.spec.loading import validate
    from optimizer.spec.setup import Setup

    check_out(arguments.out)
    given = {
        name.replace("-", "_"): getattr(arguments, name.replace("-", "_")) for name in (*_DEGREES, *_SETUP)
    }
    said = [*DEGREES, *(name for name in FORMATS if given[name]), "batch"]
    space = {name: given[name] for name in said}
    space |= {name: value for name in FIGURES if (value := getattr(arguments, name)) is not None}
    figures = validate(ReplicaSpace, space, "estimate").figures
    given["engine"] = catalog.engine(given["engine"] or Setup().engine, **figures)
    if given["expert_dtype"]:
        validate(ReplicaSpace, {"weight_dtype": given["expert_dtype"]}, "estimate --expert-dtype")
    validate(Workload, {name: given[name] for name in ("input_tokens", "output_tokens")}, "estimate")
    if given["prefix_tokens"] >= given["input_tokens"]:
        raise InputError("--prefix-tokens: must be less than --input-tokens; at least one token is computed")
    model, chip = catalog.model(arguments.model), catalog.chip(arguments.chip)
    setup = Setup(**given)
    answer: Any
    if arguments.explain:
        answer = derive(frame_of(model, chip, setup), model, arguments.explain, arguments.phase)
        report, code = derivation.report(answer), 0
    else:
        answer = (estimate_two_tier if arguments.second_tier else estimate)(model, chip, setup)
        report, code = estimates.report(answer, arguments.verbose), 0 if not answer.breaks else 3
    if arguments.json:
        write(arguments, to_json(answer))
    else:
        show(arguments, report)
    return code
