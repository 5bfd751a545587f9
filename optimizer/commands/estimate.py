"""archsat estimate: the cost model alone: one model on one chip."""

import argparse
from typing import Any

from optimizer.commands import _train
from optimizer.commands._arguments import whole
from optimizer.commands._output import check_out, show, write

HELP = "the cost model alone: one model on one chip"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", required=True, metavar="M", help="a catalogued model, or a file of yours")
    parser.add_argument("--chip", required=True, metavar="C", help="a catalogued chip, or a file of yours")
    parser.add_argument("--tensor-parallel", type=whole, default=1, metavar="N", help="ranks (1)")
    parser.add_argument("--batch", type=whole, default=1, metavar="N", help="sequences decoded together (1)")
    parser.add_argument("--input-tokens", type=whole, default=1024, metavar="N", help="prompt (1024)")
    parser.add_argument("--output-tokens", type=whole, default=256, metavar="N", help="answer (256)")
    parser.add_argument("--weight-dtype", default="bf16", metavar="D", help="bf16, fp8, int4, nvfp4, ...")
    parser.add_argument("--kv-dtype", default="bf16", metavar="D", help="bf16 or fp8")
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


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    if arguments.phase == "train":
        return _train.run(arguments)
    from optimizer import catalog
    from optimizer.report import derivation
    from optimizer.report import estimate as estimates
    from optimizer.report.json import to_json
    from optimizer.spec.loading import validate
    from optimizer.spec.problem import DeploymentSpace, Workload
    from optimizer.studies.derivation import derive
    from optimizer.studies.estimate import Setup, estimate, frame_of
    from optimizer.studies.second_tier import estimate_two_tier

    check_out(arguments.out)
    names = ("tensor_parallel", "weight_dtype", "kv_dtype", "batch")
    validate(DeploymentSpace, {name: getattr(arguments, name) for name in names}, "estimate")
    tokens = {"input_tokens": arguments.input_tokens, "output_tokens": arguments.output_tokens}
    validate(Workload, tokens, "estimate")
    model, chip = catalog.model(arguments.model), catalog.chip(arguments.chip)
    setup = Setup(**{name: getattr(arguments, name) for name in names}, **tokens)
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
