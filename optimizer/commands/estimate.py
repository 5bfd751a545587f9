"""archsat estimate: the cost model alone: one model on one chip."""

import argparse
from typing import Any

from optimizer.commands import _train
from optimizer.commands._arguments import option
from optimizer.commands._once import needs, refuse
from optimizer.commands._output import check_out, show, write
from optimizer.commands._setup import FIGURES, NEEDS, SETUP, setup_arguments, setup_of
from optimizer.spec.split import DEGREES

HELP = "the cost model alone: one model on one chip"


_SERVING_ONLY = (frozenset(SETUP) - {"engine"}) | frozenset(FIGURES) | {"second-tier", "explain"}
"""Options that do nothing with --phase train."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="M", help="a catalogued model, or a file of yours")
    parser.add_argument("--chip", required=True, metavar="C", help="a catalogued chip, or a file of yours")
    setup_arguments(parser, {name: _help(option(name), own.words) for name, own in DEGREES.items()}, {})
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
    needs(arguments, NEEDS | {"phase": "explain"})
    from optimizer import catalog
    from optimizer.anatomy.derivation import derive
    from optimizer.anatomy.estimate import estimate
    from optimizer.anatomy.second_tier import estimate_two_tier
    from optimizer.cost.frame import frame_of
    from optimizer.report import derivation
    from optimizer.report import estimate as estimates
    from optimizer.report.json import to_json

    check_out(arguments.out)
    setup = setup_of(arguments, "estimate")
    model, chip = catalog.model(arguments.model), catalog.chip(arguments.chip)
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
