"""Bands around predictions, from errors on rows that set no constant; nothing is computed from rows here.

`bands/groups.csv` holds, for each group of rows, the factors between which eight in ten of measured /
predicted lie (`optimizer.evidence.banding`, written by `benchmarks/left_out.py`). A group is chip x engine x
kind of model x regime; where there were too few rows of it, that without the chip, then without the engine,
then without the kind, then all rows of the metric.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

from optimizer.blocks import n_experts
from optimizer.catalog import data_folder
from optimizer.spec.architecture import Architecture
from optimizer.spec.band import Around, Band
from optimizer.spec.cells import read_cells
from optimizer.spec.chip import Chip
from optimizer.spec.engine import Engine

Regime = Literal["load", "batch", "single", "training"]
"""Clients or saturation; all prompts, then all answers of a batch; one user; training steps."""
REGIMES: tuple[Regime, ...] = get_args(Regime)
LATENCIES = {"ttft_ms": "ttft_ms", "tpot_ms": "tpot_ms", "tpot_steady_ms": "tpot_ms"}
RATES = (
    *("requests_per_s", "tokens_per_s", "output_tokens_per_s", "output_tokens_per_s_per_chip"),
    *("output_tok_s_total", "total_tok_s", "train_tokens_per_s", "train_tokens_per_s_per_chip"),
)
METRICS = LATENCIES | dict.fromkeys(RATES, "rate")
"""What has bands, and whose they are: errors of a rate are those of any other of the same steps."""
FILE = "groups.csv"
_WORDS = {
    "load": "under load",
    "batch": "fixed batches",
    "single": "one user",
    "training": "training steps",
}


class Key(NamedTuple):
    """What rows have in common; '' where a group has them of every kind."""

    metric: str
    regime: str = ""
    kind: str = ""
    engine: str = ""
    chip: str = ""

    def wider(self) -> Iterator["Key"]:
        """Itself and what it falls back to, the widest last."""
        parts = tuple(self)
        for n in range(len(parts), 0, -1):
            if n == len(parts) or parts[n]:
                yield Key(*parts[:n])

    @property
    def words(self) -> str:
        """As a person would write it."""
        named = (self.chip, self.engine, self.kind, _WORDS.get(self.regime, ""))
        return ", ".join(part for part in named if part) or "all rows"


def key_of(
    chip: Chip | None,
    engine: Engine | None,
    architecture: Architecture | None,
    metric: str,
    regime: Regime = "load",
) -> Key:
    """The narrowest group that a prediction is of. ValueError for a metric without bands."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric} has no band; {', '.join(METRICS)} have")
    return Key(
        METRICS[metric],
        regime,
        "" if architecture is None else kind_of(architecture),
        "" if engine is None else family_of(engine.name),
        "" if chip is None else chip.name,
    )


def kind_of(architecture: Architecture) -> str:
    """Whether a model routes tokens to experts."""
    return "mixture" if any(n_experts(group.block.ffn) for group in architecture.layers) else "dense"


def family_of(engine: str) -> str:
    """An engine's name without its year and without what was calibrated of it."""
    return engine.partition("-")[0]


def band_of(
    chip: Chip | None,
    engine: Engine | None,
    architecture: Architecture | None,
    metric: str,
    regime: Regime = "load",
) -> Band:
    """The ends of ttft_ms, tpot_ms or a rate of a model on a chip with an engine, as factors.

    None is for what is not known: the band is then of rows of every kind. ValueError for other metrics.
    """
    return band_at(key_of(chip, engine, architecture, metric, regime))


def band_at(key: Key) -> Band:
    """The band of a group, or of the narrowest wider one that has any."""
    known = groups()
    return next(known[wider] for wider in key.wider() if wider in known)


def around(metrics: Mapping[str, float], keys: Sequence[Key]) -> dict[str, Around]:
    """What figures may turn out to be, of those that have bands; of several groups the widest ends."""
    found = {}
    for name, value in metrics.items() if keys else ():
        if name in METRICS:
            bands = [band_at(_of(key, name)) for key in keys]
            widest = max(bands, key=lambda band: band.high / band.low)
            low, high = value * min(b.low for b in bands), value * max(b.high for b in bands)
            found[name] = Around(low=low, high=high, rows=widest.rows, group=widest.group)
    return found


def _of(key: Key, metric: str) -> Key:
    """The same group for a metric; of training no engine is told apart."""
    own = key._replace(metric=METRICS[metric])
    return own._replace(regime="training", engine="") if metric.startswith("train_") else own


@cache
def groups() -> dict[Key, Band]:
    """Every group that has a band of its own."""
    found = {}
    for row in read_cells(data_folder("bands") / FILE).rows:
        key = Key(*(row[name] for name in Key._fields))
        sources = int(row["sources"])
        said = key.words + (" (one source)" if sources == 1 else "")
        found[key] = Band(low=float(row["low"]), high=float(row["high"]), rows=int(row["rows"]), group=said)
    return found
