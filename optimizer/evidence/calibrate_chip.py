"""Fits a chip's efficiencies to measured kernels, part by part: an operator in a format, or of a width."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from optimizer.evidence.fitting import Array, Constant, Fit, Values, fit
from optimizer.evidence.held_out import HoldOut, errors_of
from optimizer.evidence.kernel_constants import constants_of, with_constants
from optimizer.evidence.kernels import Kernel, Part, UnreadableKernel, predicted, read_kernel
from optimizer.evidence.names import same_name
from optimizer.spec.calibration import CalibratedPart, Errors, FittedConstant, Rows
from optimizer.spec.chip import Chip
from optimizer.watch import UNWATCHED, Stopped, Watch

_ORDER = ("copy", "decode_attention", "prefill_attention", "gemm", "all_reduce")
"""Prefill attention moves its bytes like a copy and starts like decode attention: they come first."""
_STARTS = 6


@dataclass
class ChipFit:
    """A chip on its way, and what was found."""

    chip: Chip
    parts: list[CalibratedPart] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unscored: Counter[str] = field(default_factory=Counter)
    complete: bool = True


INTERRUPTED = "interrupted before it was fitted"


def calibrate_chip(
    chip: Chip, rows: list[dict[str, str]], held: HoldOut, watch: Watch = UNWATCHED
) -> ChipFit:
    """The chip with the constants of every operator that has rows enough, and the errors.

    When the watch is over, of the operators that are fitted by then.
    """
    found = ChipFit(chip)
    by_part = _kernels(rows, found)
    for part in sorted(by_part, key=lambda part: (_ORDER.index(part.operator), str(part))):
        kernels = by_part[part]
        unseen = held.of([k.row for k in kernels], rows)
        seen = [k for k in kernels if k.row not in unseen]
        constants = constants_of(part, found.chip)
        if len(seen) < len(constants):
            found.skipped[str(part)] = (
                f"{len(seen)} rows are left to fit {len(constants)} constants; "
                f"with {held} held out it takes {len(constants) * (1 if held.column else 2)}"
            )
            continue
        try:
            _fit_part(part, constants, seen, [k for k in kernels if k.row in unseen], found, watch)
        except Stopped:
            found.complete, found.skipped[str(part)] = False, INTERRUPTED
    return found


def _kernels(rows: list[dict[str, str]], found: ChipFit) -> dict[Part, list[Kernel]]:
    by_part: dict[Part, list[Kernel]] = defaultdict(list)
    for number, row in enumerate(rows, 2):
        name = row.get("chip") or ""
        if not same_name(name, found.chip):
            found.unscored[f"measured on '{name[:40]}', not on {found.chip.name}"] += 1
            continue
        try:
            kernel = read_kernel(number, row, found.chip)
        except UnreadableKernel as reason:
            found.unscored[str(reason)] += 1
            continue
        by_part[kernel.part].append(kernel)
    return by_part


def _fit_part(
    part: Part,
    constants: list[Constant],
    seen: list[Kernel],
    unseen: list[Kernel],
    found: ChipFit,
    watch: Watch,
) -> None:
    old = found.chip
    measured = np.log([k.seconds for k in seen])

    def residuals(values: Values) -> Array:
        watch.check()
        return np.asarray(np.log(predicted(part, seen, with_constants(part, old, values))) - measured)

    fitted = fit(constants, residuals, _STARTS)
    if len(fitted.left) < len(constants):
        found.chip = with_constants(part, old, fitted.values)
    errors = [
        *_errors("fitted", part, seen, old, found.chip),
        *_errors("held out", part, unseen, old, found.chip),
    ]
    found.parts.append(
        CalibratedPart(name=str(part), constants=described(constants, fitted), errors=tuple(errors))
    )


def described(constants: list[Constant], fitted: Fit) -> tuple[FittedConstant, ...]:
    """The constants as the report shows them."""
    return tuple(
        FittedConstant(
            name=c.name, unit=c.unit, old=c.old, new=fitted.values[c.name], left=fitted.left.get(c.name, "")
        )
        for c in constants
    )


def _errors(rows: Rows, part: Part, kernels: list[Kernel], old: Chip, new: Chip) -> tuple[Errors, ...]:
    if not kernels:
        return ()
    measured = np.array([k.seconds for k in kernels])
    before, after = (predicted(part, kernels, chip) / measured - 1 for chip in (old, new))
    return errors_of("all", rows, before.tolist(), after.tolist())
