"""The space of a problem: frames x depths x mixers x feed-forward networks, and the rules on it.

A frame fixes what all layers share. A slice is a frame at one depth; inside a slice a plan is one
attention kind and one feed-forward kind, and every additive quantity is linear in that choice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from math import prod
from typing import Any

import numpy as np

from optimizer import catalog
from optimizer.columns.rules import Reference, Rules, resolve_rules
from optimizer.cost.collectives import connected, group_of
from optimizer.cost.frame import Frame, frame_of
from optimizer.cost.training.quantity import TrainingRun
from optimizer.errors import InputError
from optimizer.questions.architecture.kinds import kinds_of
from optimizer.questions.architecture.lattice import Lattice, lattice_of
from optimizer.questions.architecture.layers import Layers
from optimizer.questions.architecture.problem import DeploymentSpace, Problem
from optimizer.questions.architecture.silent import says_nothing
from optimizer.questions.architecture.store import Kept
from optimizer.questions.architecture.taken import with_baseline
from optimizer.spec.architecture import Architecture
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine
from optimizer.spec.setup import Setup
from optimizer.spec.split import FORMATS
from optimizer.spec.training import TrainingSetup

_FRAMES, _KINDS_IN_WIDTHS = 20_000, 2**23
_PART_KINDS, _PART_CELLS = 2**24, 2**17
"""Kinds (times widths) and cells (widths x depths) bounded at once at most."""
_MASKS_KEPT, _CELLS_KEPT, _KINDS_KEPT = 2**27, 2**23, 2**24
"""Room for what is kept between searches: bytes of masks, cells of 20 to 30 bytes, prices of 8 bytes."""


@dataclass(frozen=True)
class Space(Layers):
    """Everything a study needs of a problem, resolved against the catalogue."""

    chips: tuple[Chip, ...]
    baseline: Architecture | None
    engine: Engine
    rules: Rules
    training: TrainingRun | None = None
    silent: Mapping[str, str] = field(default_factory=dict)
    """Rules that would be on and say nothing of these kinds of layer, each with the reason."""
    memo: dict[str, dict[Any, Any]] = field(
        default_factory=lambda: _memo(), init=False, compare=False, repr=False
    )
    """What searches over this space have worked out about its dimensions, for the next search. It belongs to
    the space, so to whoever resolved it: one thread at a time."""

    def settings(self) -> Iterator[Frame]:
        """All settings, in a fixed order."""
        return map(self.setting, range(self.n_settings))

    def setting(self, number: int) -> Frame:
        """Frames with all values of d_model at once, as an array: one per chip, split, format and batch."""
        family, batch = divmod(number, len(self.batches))
        return replace(self._families[family], batch=self.batches[batch])

    def frame(self, number: int) -> Frame:
        """One frame, by its place among all."""
        setting, width = divmod(number, len(self.architecture.d_model))
        return replace(self.setting(setting), d_model=self.architecture.d_model[width])

    def frames(self) -> Iterator[Frame]:
        """All frames, in a fixed order."""
        for setting in self.settings():
            for d_model in self.architecture.d_model:
                yield replace(setting, d_model=d_model)

    @property
    def batches(self) -> tuple[int, ...]:
        """Batches to choose from: they vary fastest among the settings."""
        return self.problem.deployment.batch or (self.problem.workload.batch,)

    @cached_property
    def _families(self) -> list[Frame]:
        """Settings that differ in more than the batch."""
        d, w = self.problem.deployment, self.problem.workload
        widths = np.array(self.architecture.d_model, dtype=float)
        common = Setup(
            input_tokens=w.input_tokens,
            output_tokens=w.output_tokens,
            training_tokens=float(self.problem.training_tokens),
            engine=self.engine,
        )
        found = []
        for chip, t, *formats in product(self.chips, d.tensor_parallel, *d.formats.chosen().values()):
            own = dict(zip(FORMATS, formats, strict=True))
            frame = frame_of(self.architecture, chip, replace(common, tensor_parallel=t, **own))
            requests = w.requests_per_s
            found.append(replace(frame, d_model=widths, requests_per_s=requests, training=self.training))
        return found

    @property
    def n_settings(self) -> int:
        """Chips, splits, formats and batches together."""
        return len(self._families) * len(self.batches)

    @property
    def n_frames(self) -> int:
        """Frames of the space."""
        return self.n_settings * len(self.architecture.d_model)

    @property
    def lattice_points(self) -> int:
        """Points before any rule: the product of all domains."""
        domains = [self.domain(name) for name in self.dimensions if name != "d_model"]
        return self.n_frames * prod(map(len, domains))

    def restricted(self, within: Mapping[str, tuple[Any, ...]]) -> "Space":
        """The space with dimensions, deployment choices or chips ('hardware') held within some values."""
        lattice = {n: v for n, v in within.items() if n in type(self.architecture).model_fields}
        split = {n: v for n, v in within.items() if n in DeploymentSpace.model_fields}
        architecture = self.architecture.changed(**lattice)
        return replace(
            self,
            problem=self.problem.changed(deployment=self.problem.deployment.changed(**split)),
            architecture=architecture,
            chips=tuple(c for c in self.chips if c.name in within.get("hardware", (c.name,))),
            depths=np.array(architecture.n_layers, dtype=np.int64),
            attention=self.attention.within(within),
            ffn=self.ffn.within(within),
        )

    @property
    def wide(self) -> bool:
        """Whether bounding all its frames takes more than a moment."""
        kinds = len(self.attention) + len(self.ffn)
        return self.n_frames > _FRAMES or kinds * len(self.architecture.d_model) > _KINDS_IN_WIDTHS

    def parts(self) -> list[tuple[range, "Space"]]:
        """The space in runs of widths, each small enough to bound at once. A narrow space is one part."""
        n = len(self.architecture.d_model)
        kinds = len(self.attention) + len(self.ffn)
        most = min(_PART_KINDS // max(1, kinds), _PART_CELLS // max(1, len(self.depths)))
        if n <= most:
            return [(range(n), self)]
        if "parts of widths" not in self.memo:
            runs = [range(i, min(n, i + max(1, most))) for i in range(0, n, max(1, most))]
            spaces = {run: self._at_widths(run, len(runs)) for run in runs}
            self.memo["parts of widths"] = spaces
        return list(self.memo["parts of widths"].items())

    def _at_widths(self, run: range, n: int) -> "Space":
        """The space at some widths, as one of so many that share the memory for what they learn."""
        widths = self.architecture.d_model[run.start : run.stop]
        part = replace(self, architecture=self.architecture.changed(d_model=widths))
        part.memo.update(_memo(n))
        return part


def _memo(n: int = 1) -> dict[str, dict[Any, Any]]:
    """Empty stores, of which n spaces share the memory."""
    return {
        "parts": Kept(_MASKS_KEPT, lambda found: sum(part.mask.size for part in found.static)),
        "touched": {},
        "masks": Kept(_MASKS_KEPT, lambda found: sum(8 * rows.size for rows in found[:3])),
        "shapes": Kept(_CELLS_KEPT // n, lambda found: int(found.low.size)),
        "windows": Kept(_CELLS_KEPT // n, lambda found: int(found.low.size)),
        "grids": {},
        "halves": {},
        "coarse": Kept(_KINDS_KEPT // n, lambda keys: int(keys.size)),
        "tables": Kept(_KINDS_KEPT, lambda table: table.size),
    }


def resolve(problem: Problem) -> Space:
    """Resolve names, domains and rules; InputError for what the catalogue or the files do not know."""
    chips = tuple(catalog.chip(name, problem.documents) for name in dict.fromkeys(problem.hardware))
    names = [chip.name for chip in chips]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"hardware: the chip {name} is named twice; each may be given once")
    baseline = catalog.model(problem.baseline, problem.documents) if problem.baseline else None
    fixed = isinstance(problem.architecture, str)
    free = (
        _fixed(catalog.model(problem.architecture, problem.documents))
        if isinstance(problem.architecture, str)
        else with_baseline(problem.architecture, baseline)
    )
    rules = resolve_rules(problem.constraints, free.window, Reference(baseline), published=fixed)
    attention, ffn = (kinds_of(kind, free, rules.values) for kind in (free.mixer, free.ffn))
    silent = says_nothing(rules, attention, ffn, problem.constraints)
    rules = rules.without(*silent)
    if "scaleup_domain" not in rules.values:
        _check_network(chips, problem.deployment.tensor_parallel)
    return Space(
        problem=problem,
        architecture=free,
        chips=chips,
        baseline=baseline,
        engine=_engine(problem),
        depths=np.array(free.n_layers, dtype=np.int64),
        attention=attention,
        ffn=ffn,
        rules=rules,
        training=_training(problem, chips),
        silent=silent,
    )


def _training(problem: Problem, chips: tuple[Chip, ...]) -> TrainingRun | None:
    """How the architectures are trained, where the problem says so."""
    section = problem.training
    if section is None:
        return None
    t = section.tensor_parallel
    if any(split % t for split in problem.deployment.tensor_parallel):
        raise InputError(
            f"training.tensor_parallel: {t} must divide every deployment.tensor_parallel, whose rules keep "
            "the heads and widths divisible"
        )
    if section.global_batch % (section.microbatch * section.data_parallel):
        raise InputError("training.global_batch: must be a multiple of microbatch x data_parallel")
    fields = section.model_dump(exclude={"hardware", "long_run"})
    chip = catalog.chip(section.hardware, problem.documents) if section.hardware else chips[0]
    return TrainingRun(TrainingSetup(**fields), chip, section.long_run)


def _engine(problem: Problem) -> Engine:
    d = problem.deployment
    return catalog.engine(d.engine, problem.documents, **d.figures)


def _check_network(chips: tuple[Chip, ...], splits: tuple[int, ...]) -> None:
    """Without the rule that keeps a group in its domain, its chips need a network to reach each other."""
    for chip, t in product(chips, splits):
        if not connected(group_of(t, chip), chip):
            raise InputError(
                f"deployment.tensor_parallel: {t} chips of {chip.name} leave its domain of "
                f"{chip.scaleup.domain}, and the chip has no scaleout_bandwidth; leave scaleup_domain on"
            )


def _fixed(model: Architecture) -> Lattice:
    """The one-point lattice of a published model."""
    if not model.plain or model.checkpoint:
        raise InputError(
            f"{model.name}: a fixed architecture with one kind of layer, and no format of experts alone, is "
            "accepted; `archsat estimate` costs any model"
        )
    own = model.first
    kinds = own.mixer.kind, own.ffn.kind
    halves = {**own.mixer.model_dump(exclude={"kind"}), **own.ffn.model_dump(exclude={"kind"})}
    return lattice_of(*kinds).model_validate(
        {
            "vocab_size": model.vocab_size,
            "tied_embeddings": model.tied_embeddings,
            "d_model": model.d_model,
            "n_layers": model.n_layers,
            "position_embeddings": model.position_embeddings,
            "n_norms": own.n_norms,
            "norm_bias": own.norm_bias,
            **halves,
        }
    )
