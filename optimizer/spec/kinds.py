"""The kinds of problem files, known by their keys: one row adds a kind everywhere.

Each row names the model that reads a file of the kind, the study that answers it and the report that shows
the answer. Modules are named, not imported, so that a command loads only what its problem needs.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem file."""

    keys: tuple[str, ...]
    """Dotted keys, any of which marks a file as of this kind; dots go into lists as well."""
    model: str
    study: str
    report: str

    @property
    def name(self) -> str:
        """What a person calls it: architecture, deployment, fleet, pipeline."""
        return self.model.partition(":")[2].removesuffix("Problem").lower() or "architecture"

    def load(self) -> type[BaseModel]:
        """The pydantic model of such a file."""
        module, name = self.model.split(":")
        found: type[BaseModel] = getattr(import_module(module), name)
        return found


ARCHITECTURE = Kind((), "optimizer.spec.problem:Problem", "optimizer.studies.solve", "solve")
KINDS = (
    Kind(("services",), "optimizer.spec.fleet:FleetProblem", "optimizer.studies.fleet", "fleet"),
    Kind(("pipeline",), "optimizer.spec.pipeline:PipelineProblem", "optimizer.studies.stages", "stages"),
    Kind(
        ("performance_table", "deployment.mode", "workload.requests_per_s", "hardware.chip"),
        "optimizer.spec.deployment:DeploymentProblem",
        "optimizer.studies.deploy",
        "deploy",
    ),
    Kind(
        ("train_model",),
        "optimizer.spec.training_problem:TrainingProblem",
        "optimizer.studies.train_solve",
        "train_solve",
    ),
    ARCHITECTURE,
)
"""In order: the first row with a key in the file is its kind; the last row is for all others."""


def kind_of(data: Any) -> Kind:
    """The kind of a problem file by its keys."""
    if isinstance(data, dict) and isinstance(data.get("architecture"), dict):
        return ARCHITECTURE  # a free architecture, whatever its traffic
    return next((kind for kind in KINDS if any(_has(data, key) for key in kind.keys)), ARCHITECTURE)


def kind_of_problem(problem: BaseModel) -> Kind:
    """The kind of a problem that was read."""
    name = f"{type(problem).__module__}:{type(problem).__name__}"
    return next(kind for kind in KINDS if kind.model == name)


def _has(data: Any, key: str) -> bool:
    first, _, rest = key.partition(".")
    if isinstance(data, list):
        return any(_has(item, key) for item in data)
    return isinstance(data, dict) and first in data and (not rest or _has(data[first], rest))
