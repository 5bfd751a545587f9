"""One model on one replica, as options: what estimate and simulate both take."""

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optimizer.commands._arguments import amount, count, fraction, natural, option, positive, tokens, whole
from optimizer.errors import InputError
from optimizer.spec.engine_words import SPELLINGS
from optimizer.spec.split import DEGREES, FORMAT, FORMATS

if TYPE_CHECKING:
    from optimizer.spec.setup import Setup

SETUP: dict[str, tuple[Any, Any, str, str]] = {
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
FIGURES: dict[str, tuple[Any, str, str]] = {
    "memory-share": (fraction, "S", "of the usable memory that the engine fills, in place of its own"),
    "cache-share": (fraction, "S", "of what weights and buffers leave free that becomes cache, likewise"),
    "reserve-gib": (amount, "G", "memory of the runtime and the collective library, likewise"),
    "step-tokens": (tokens, "N", "token budget of a step, likewise"),
    "max-sequences": (whole, "N", "sequences decoded together on an attention rank, likewise"),
    "host-ms": (amount, "MS", "time per step that no kernel hides, likewise"),
}
NEEDS = {"draft-acceptance": "draft-tokens", "draft-cost": "draft-tokens"}
"""Options that do nothing without others."""


def setup_arguments(
    parser: argparse._ActionsContainer, degrees: Mapping[str, str], words: Mapping[str, str]
) -> None:
    """Declare them with the help of degrees, and of other options that mean something else; '' for none."""
    for name, text in degrees.items():
        parser.add_argument(f"--{option(name)}", type=whole, default=1, metavar="N", help=text)
    for name, (kind, default, shown, text) in SETUP.items():
        if said := words.get(name, text):
            parser.add_argument(f"--{name}", type=kind, default=default, metavar=shown, help=said)
    for name, (kind, shown, text) in FIGURES.items():
        spelt = [f"--{option(own)}" for own, field in SPELLINGS.items() if option(field) == name]
        parser.add_argument(f"--{name}", *spelt, type=kind, metavar=shown, help=text)


def setup_of(arguments: argparse.Namespace, command: str) -> "Setup":
    """The setup that was typed. InputError for values that no problem file accepts either."""
    from optimizer import catalog
    from optimizer.questions.architecture.problem import Workload
    from optimizer.spec.deployment import ReplicaSpace
    from optimizer.spec.engine import FIGURES as OWN
    from optimizer.spec.loading import validate
    from optimizer.spec.setup import Setup

    fields = (name.replace("-", "_") for name in SETUP)
    given = {name: getattr(arguments, name) for name in (*DEGREES, *fields) if hasattr(arguments, name)}
    said = [*DEGREES, *(name for name in FORMATS if given[name]), "batch"]
    space = {name: given[name] for name in said}
    space |= {name: value for name in OWN if (value := getattr(arguments, name)) is not None}
    figures = validate(ReplicaSpace, space, command).figures
    given["engine"] = catalog.engine(given["engine"] or Setup().engine, **figures)
    if given["expert_dtype"]:
        validate(ReplicaSpace, {"weight_dtype": given["expert_dtype"]}, f"{command} --expert-dtype")
    validate(Workload, {name: given[name] for name in ("input_tokens", "output_tokens")}, command)
    if given["prefix_tokens"] >= given["input_tokens"]:
        raise InputError("--prefix-tokens: must be less than --input-tokens; at least one token is computed")
    return Setup(**given)
