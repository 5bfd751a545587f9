"""archsat compare: problems, answers and models side by side."""

import argparse
from typing import TYPE_CHECKING, Any

from optimizer.commands._arguments import option, overrides, seconds, tokens, whole
from optimizer.commands._once import needs
from optimizer.commands._output import check_out, clear_progress, show, write
from optimizer.errors import InputError
from optimizer.spec.split import DEGREES, FORMAT, FORMATS

if TYPE_CHECKING:
    from optimizer.studies.compare import Side

HELP = "problems, answers and models side by side: dimensions, metrics, assumptions"
_REPLICA = ("batch", "input_tokens", "output_tokens", *DEGREES, *FORMATS)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "things",
        nargs="+",
        metavar="THING",
        help="a problem, an answer in a .json file, or with --chip a model",
    )
    parser.add_argument("--chip", metavar="C", help="the chip that models are compared on")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a field")
    parser.add_argument("--time-limit", type=seconds, metavar="S", help="for each problem")
    parser.add_argument("--batch", type=whole, default=1, metavar="N", help="of models: sequences (1)")
    parser.add_argument("--input-tokens", type=tokens, default=1024, metavar="N", help="of models (1024)")
    parser.add_argument("--output-tokens", type=tokens, default=256, metavar="N", help="of models (256)")
    for name in DEGREES:
        parser.add_argument(f"--{option(name)}", type=whole, default=1, metavar="N", help="of models (1)")
    for name in FORMATS:
        parser.add_argument(f"--{option(name)}", default="", metavar="D", help=f"of models ({FORMAT})")
    parser.add_argument("-v", "--verbose", action="store_true", help="assumptions that are the same too")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    from optimizer.report.compare import report
    from optimizer.report.json import to_json
    from optimizer.studies.compare import compare

    check_out(arguments.out)
    needs(arguments, {option(name): "chip" for name in _REPLICA})
    sides = [_side(arguments, thing) for thing in arguments.things]
    clear_progress()
    found = compare(sides)
    if arguments.json:
        write(arguments, to_json(found))
    else:
        show(arguments, report(found, arguments.verbose))
    return 0


def _side(arguments: argparse.Namespace, thing: str) -> "Side":
    """An answer of a file, a problem solved, or a model on the chip."""
    from optimizer import catalog
    from optimizer.commands._study import options_of
    from optimizer.questions import problems
    from optimizer.spec.deployment import ReplicaSpace
    from optimizer.spec.loading import validate
    from optimizer.spec.setup import Setup
    from optimizer.studies.compare import side_of_json, side_of_model, side_of_problem

    if thing.endswith(".json"):
        said = _read_json(thing)
        if said is not None:
            return side_of_json(said, thing)
    if arguments.chip:
        given = {name: getattr(arguments, name) for name in _REPLICA}
        validate(ReplicaSpace, {name: given[name] for name in FORMATS if given[name]}, "compare")
        setup = Setup(**given)
        return side_of_model(catalog.model(thing), catalog.chip(arguments.chip), setup)
    try:
        problem = problems.load(thing, overrides(arguments.set))
    except InputError as error:
        if "no such file" not in str(error):
            raise
        raise InputError(f"{error} A model is compared with --chip.") from None
    return side_of_problem(problem, options_of(arguments))


def _read_json(name: str) -> Any:
    """What a file holds; None for the config.json of a model."""
    import json
    from pathlib import Path

    try:
        said = json.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{name[:200]}: {error.strerror or error}") from None
    except ValueError:
        raise InputError(f"{name[:200]}: is no JSON") from None
    return said if isinstance(said, dict) and "status" in said else None
