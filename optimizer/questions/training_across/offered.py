"""The clusters that a problem offers, and the link between them; errors name what is wrong with them."""

from collections.abc import Mapping, Sequence

from optimizer import catalog
from optimizer.cost.training.across import Link
from optimizer.cost.training.layout import layout_of
from optimizer.cost.training.rules import facts_of
from optimizer.errors import InputError
from optimizer.questions.training_across.problem import AcrossProblem
from optimizer.questions.training_across.ways import Cluster, Ranks, Way, setup_of
from optimizer.spec.chip import Chip


def clusters_of(problem: AcrossProblem, chips: Mapping[str, Chip] = {}) -> tuple[Cluster, ...]:
    """The clusters of a problem, some of whose chips may be others than the catalogue's."""
    model = catalog.model(problem.train_model, problem.documents)
    found: list[Cluster] = []
    for number, offer in enumerate(problem.train_on):
        known = catalog.chip(offer.chip, problem.documents)
        chip = chips.get(known.name, known)
        where = f"train_on.{number}"
        if chip.name in [own.chip.name for own in found]:
            raise InputError(
                f"{where}: {chip.name} is there twice; give the chips of both as one cluster, or one of them "
                "as a chip of another name"
            )
        if offer.stages and min(offer.stages) > model.n_layers:
            raise InputError(
                f"{where}.stages: {min(offer.stages)} stages of the {model.n_layers} layers of {model.name}; "
                f"at most {model.n_layers}"
            )
        plain = layout_of(setup_of(problem, Way(Ranks(1, 1, 1), "none", 0), 1, 1, 1))
        if plain.reserve_bytes >= chip.hbm_for_programs:
            raise InputError(f"{problem.name}: setup.reserve_gib leaves no memory of {chip.name}")
        found.append(Cluster(number, chip, offer.chips, offer, facts_of(model, chip), model))
    return tuple(found)


def link_of(problem: AcrossProblem, clusters: Sequence[Cluster]) -> Link | None:
    """The link that the problem gives; None for the slower of the networks of two chips."""
    if problem.network is not None:
        return Link(problem.network.bandwidth, problem.network.latency)
    apart = [own.chip.name for own in clusters if own.chip.scaleout_bandwidth is None]
    if len(clusters) > 1 and apart:
        raise InputError(
            f"network: {apart[0]} states no network of its own (scaleout_bandwidth); give network.bandwidth"
        )
    return None
