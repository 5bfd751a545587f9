"""A problem file: what is free, what is fixed, what must hold, what is wanted."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from optimizer.questions.architecture.lattice import AnyLattice
from optimizer.spec.base import Strict
from optimizer.spec.documents import Documents
from optimizer.spec.domains import FORMAT_CHOICES, Domain, Positive, choices
from optimizer.spec.engine import FIGURES, EngineName, HasEngine
from optimizer.spec.flat import HasFormats, flat
from optimizer.spec.quantity import Tokens, TrainingTokens
from optimizer.spec.training import TrainingSection
from optimizer.spec.values import RequestsPerS


def _architecture_kind(value: Any) -> str:
    return "a model" if isinstance(value, str) else "a lattice"


AnyArchitecture = Annotated[
    Annotated[AnyLattice, Tag("a lattice")] | Annotated[str, Tag("a model")],
    Discriminator(_architecture_kind),
]


@flat(FIGURES, after="engine")
@flat(FORMAT_CHOICES, after="tensor_parallel")
class DeploymentSpace(HasEngine, HasFormats):
    """How a replica may run. Every field takes one value or a list to choose from."""

    tensor_parallel: Domain = (1,)
    batch: Domain | None = None
    engine: EngineName = "trtllm"
    """An engine profile: one that ships, or a file of yours."""


class Workload(Strict):
    """The traffic a replica serves."""

    input_tokens: Tokens
    output_tokens: Tokens
    batch: Positive = 1
    """Sequences decoded together on a replica, where the deployment does not choose it."""
    requests_per_s: RequestsPerS | None = None
    """Traffic to serve with as many replicas as it takes: what chips, usd_per_hour and power_w are about."""


class Problem(Strict):
    """One question."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    question: str = ""
    documents: Documents = Documents()
    architecture: AnyArchitecture
    hardware: choices(str)  # type: ignore[valid-type]
    deployment: DeploymentSpace = DeploymentSpace()
    workload: Workload
    training_tokens: TrainingTokens = 15 * 10**12
    training: TrainingSection | None = None
    baseline: str | None = None
    minimize: choices(str) | None = None  # type: ignore[valid-type]
    maximize: choices(str) | None = None  # type: ignore[valid-type]
    constraints: dict[str, Any] = {}
    near_ties: Annotated[float, Field(ge=0, le=0.1)] = 0.0025
    """Plans whose first objective is within this share of the optimum are as good to the cost model."""
    prefer: Literal["conventional"] | None = None
    """Which of the near-ties is the answer; without it the optimum itself."""

    @model_validator(mode="after")
    def _one_objective(self) -> "Problem":
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("give either minimize or maximize, with one metric or a list of them")
        return self

    @property
    def objectives(self) -> tuple[tuple[str, int], ...]:
        """(metric, +1 to minimise or -1 to maximise), the most important first."""
        if self.minimize is not None:
            return tuple((name, 1) for name in self.minimize)
        return tuple((name, -1) for name in self.maximize or ())
