"""archsat simulate: a plan under requests that come one by one."""

import argparse
import sys
from typing import TYPE_CHECKING

from optimizer.commands._arguments import (
    amount,
    fraction,
    natural,
    option,
    overrides,
    positive,
    seconds,
    whole,
)
from optimizer.commands._many import check_plot
from optimizer.commands._once import needs, refuse
from optimizer.commands._output import check_out, clear_progress, show, tell, watched, write
from optimizer.commands._setup import FIGURES, NEEDS, SETUP, setup_arguments, setup_of
from optimizer.commands._signals import interrupts
from optimizer.errors import InputError
from optimizer.spec.split import DEGREES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from optimizer.simulation.scene import Scene
    from optimizer.spec.answer import Answer
    from optimizer.studies.simulate import Replaying
    from optimizer.watch import Watch

HELP = "a plan under requests that come one by one: TTFT and TPOT at p95, the rate it holds"
_OF_A_SETUP = {*map(option, DEGREES), *SETUP, *FIGURES, "chip", "replicas"} - {"users"}
_BATCH = "sequences that run together at most (what engine and memory allow)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "problem",
        nargs="?",
        metavar="PROBLEM",
        help="a deployment or fleet problem to solve first, or a plan.json that solve --json wrote",
    )
    parser.add_argument(
        "--arrivals",
        metavar="HOW",
        help="poisson:RATE, gamma:RATE:VARIATION, trace:FILE.csv, clients:N (poisson at the problem's rate)",
    )
    parser.add_argument("--requests", type=whole, default=10_000, metavar="N", help="how many (10000)")
    _of_arrivals(parser)
    parser.add_argument("--seed", type=natural, default=0, metavar="N", help="of what is drawn (0)")
    limits = parser.add_argument_group("what requests must keep, in place of the problem's bounds")
    limits.add_argument("--ttft-ms", type=positive, metavar="MS", help="to the first token")
    limits.add_argument("--tpot-ms", type=positive, metavar="MS", help="between tokens, mean of a request")
    limits.add_argument(
        "--percentile", type=_percentile, metavar="P", help="find the rate up to which it does"
    )
    limits.add_argument(
        "--stress", action="store_true", help="the share that does when steps, traffic or a replica fail it"
    )
    parser.add_argument(
        "--chart", "--plot", dest="chart", metavar="FILE", help="a picture: .html, .png, .svg or .pdf"
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a field")
    parser.add_argument("--time-limit", type=seconds, metavar="S", help="of the solve, and of the replay")
    group = parser.add_argument_group("without a problem: replicas of one setup")
    group.add_argument("--model", metavar="M", help="a catalogued model, or a file of yours")
    group.add_argument("--chip", metavar="C", help="a catalogued chip, or a file of yours")
    group.add_argument("--replicas", type=whole, default=1, metavar="N", help="that are alike (1)")
    words = {"users": "", "batch": _BATCH, "engine": "a catalogued engine, or a file of yours (trtllm)"}
    setup_arguments(group, {name: f"{own.words} (1)" for name, own in DEGREES.items()}, words)


def _of_arrivals(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--range-ratio", type=_ratio, default=1.0, metavar="R", help="lengths from R of the nominal to it (1)"
    )
    parser.add_argument("--ramp", type=amount, default=0.0, metavar="S", help="clients begin within (0)")
    parser.add_argument(
        "--think", type=amount, default=0.0, metavar="S", help="clients wait before they ask again (0)"
    )
    parser.add_argument(
        "--stream-interval", type=whole, default=1, metavar="N", help="tokens are seen N at a time (1)"
    )


def _ratio(text: str) -> float:
    if (value := fraction(text)) > 0:
        return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number above 0, at most 1")


def _percentile(text: str) -> float:
    if 0 < (value := positive(text)) < 100:
        return value
    raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a percentile between 0 and 100, such as 95")


def run(arguments: argparse.Namespace) -> int:
    """Run the command; return the exit code."""
    _refuse(arguments)
    check_out(arguments.out)
    check_plot(arguments.chart, "--chart")
    from optimizer.watch import Stopped, Watch

    watch = Watch.within(arguments.time_limit, interrupts(), tell if watched() else None)
    how = _how(arguments)
    try:
        scene = _scene(arguments, watch)
        if isinstance(scene, int):
            return scene
        said = (_stress if arguments.stress else _replay)(arguments, scene, how, watch)
    except Stopped:
        clear_progress()
        print("archsat: stopped before all requests were served", file=sys.stderr)
        return 4
    clear_progress()
    if isinstance(said, str):
        write(arguments, said)
    else:
        show(arguments, said)
    return 0


def _replay(
    arguments: argparse.Namespace, scene: "Scene", how: "Replaying", watch: "Watch"
) -> "RenderableType":
    """One replay, as JSON or as a report; its picture is drawn."""
    from optimizer.report.json import to_json
    from optimizer.report.simulate import report
    from optimizer.studies.simulate import simulate

    found = simulate(scene, how, watch)
    if arguments.chart:
        from optimizer.report.pictures import over_time

        over_time.draw(found, arguments.chart)
    return to_json(found) if arguments.json else report(found)


def _stress(
    arguments: argparse.Namespace, scene: "Scene", how: "Replaying", watch: "Watch"
) -> "RenderableType":
    """Replays of the plan when things go wrong, as JSON or as a report."""
    from optimizer.report.json import to_json
    from optimizer.report.stress import report
    from optimizer.studies.stress import stress

    found = stress(scene, how, watch=watch)
    return to_json(found) if arguments.json else report(found)


def _refuse(arguments: argparse.Namespace) -> None:
    """InputError for options that contradict each other, or that would do nothing."""
    if arguments.problem is not None and arguments.model is not None:
        raise InputError(f"--model: {arguments.problem[:64]} says what runs already; give one of the two")
    if arguments.problem is None and arguments.model is None:
        raise InputError("simulate: give a problem, a plan, or --model and --chip")
    if arguments.model is None:
        refuse(arguments, _OF_A_SETUP, "beside a problem, which says it")
    else:
        _no_overrides(arguments, "without a problem")
        if arguments.chip is None:
            raise InputError("--model: needs --chip, what it runs on")
    needs(arguments, NEEDS)
    if arguments.stress:
        refuse(arguments, ("percentile", "chart"), "with --stress, which replays many times")
    process = (arguments.arrivals or "").partition(":")[0]
    if process != "clients":
        refuse(arguments, ("ramp", "think"), "but with --arrivals clients:N")
    if process == "trace":
        refuse(arguments, ("requests", "range-ratio"), "with a trace, which has its own")


def _no_overrides(arguments: argparse.Namespace, why: str) -> None:
    if arguments.set:
        raise InputError(f"--set: does nothing {why}; leave it out")


def _how(arguments: argparse.Namespace) -> "Replaying":
    from optimizer.studies.simulate import Replaying

    given = {"ttft_ms_max": arguments.ttft_ms, "tpot_ms_max": arguments.tpot_ms}
    return Replaying(
        arrivals=arguments.arrivals or "",
        requests=arguments.requests,
        range_ratio=arguments.range_ratio,
        ramp_s=arguments.ramp,
        think_s=arguments.think,
        stream_interval=arguments.stream_interval,
        seed=arguments.seed,
        limits={name: value for name, value in given.items() if value is not None},
        percentile=arguments.percentile,
    )


def _scene(arguments: argparse.Namespace, watch: "Watch") -> "Scene | int":
    """What is replayed; the exit code where a problem has no plan, which is then shown."""
    from optimizer.studies.simulate import scene_of

    if arguments.model is not None:
        return _alone(arguments)
    from pathlib import Path

    from optimizer.questions.plan_file import is_plan, read_plan

    if is_plan(arguments.problem):
        _no_overrides(arguments, "beside a plan that is found already")
        return scene_of(*read_plan(Path(arguments.problem)))
    from optimizer.questions import problems
    from optimizer.questions.options import Options
    from optimizer.studies.simulate import require_replayed
    from optimizer.studies.solve import solve

    problem = problems.load(arguments.problem, overrides(arguments.set))
    kind = require_replayed(problem).name
    answer = solve(problem, Options(arguments.time_limit, cancelled=watch.cancelled, tell=watch.tell))
    if answer.plan is None:
        return _no_plan(arguments, answer, kind)
    return scene_of(problem, answer.plan.pools, answer.metrics)


def _alone(arguments: argparse.Namespace) -> "Scene":
    from optimizer import catalog
    from optimizer.commands._once import typed
    from optimizer.simulation.alone import alone

    if not arguments.arrivals:
        raise InputError("--arrivals: say how requests come, such as poisson:2.5 or clients:64")
    setup = setup_of(arguments, "simulate")
    model, chip = catalog.model(arguments.model), catalog.chip(arguments.chip)
    return alone(model, chip, setup, arguments.replicas, most="batch" not in typed(arguments))


def _no_plan(arguments: argparse.Namespace, answer: "Answer", kind: str) -> int:
    """Why there is nothing to replay, as solve says it."""
    from optimizer.commands._study import EXIT
    from optimizer.report.json import to_json
    from optimizer.report.solved import report_of

    clear_progress()
    if arguments.json:
        write(arguments, to_json(answer))
    else:
        show(arguments, report_of(kind).report(answer))
    return EXIT[answer.status]
