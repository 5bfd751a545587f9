"""Which rules leave a training problem without a setting: for a person who asked for what cannot be."""

import numpy as np

from optimizer.cost.training.rules import SENTENCES, Facts, kept
from optimizer.questions.training.choices import pipelines, sequences, shards
from optimizer.questions.training.lattice import Lattice
from optimizer.questions.training.problem import TrainingProblem
from optimizer.questions.training.splits import Domains, layout, meshes

_LOOKED_AT = 200


def broken_everywhere(problem: TrainingProblem, lattice: Lattice) -> tuple[str, ...]:
    """Of a problem without a setting: the rules that every choice breaks, else all that some breaks."""
    rules = [broken_rules(problem, lattice.facts, cell.domains, lattice.chips) for cell in lattice.cells]
    every = set.intersection(*(always for always, _ in rules)) if rules else set()
    return tuple(sorted(every or set().union(*(some for _, some in rules))))


def broken_rules(
    problem: TrainingProblem, facts: Facts, domains: Domains, chips: int
) -> tuple[set[str], set[str]]:
    """(rules that every setting of some domains breaks, rules that some setting breaks).

    For a person who asked for what cannot be: of many splits a few hundred are looked at.
    """
    whole = meshes(problem, domains, chips)
    if not len(whole):
        return {"batch_divides"}, {"batch_divides"}
    always: set[str] = set(SENTENCES)
    some: set[str] = set()
    for i in range(0, len(whole), max(1, len(whole) // _LOOKED_AT)):
        split = whole.row(i)
        replicas = split["data_parallel"] * split["context_parallel"]
        for pipeline in pipelines(problem.setup, facts.n_layers, split["pipeline_parallel"]):
            for shard in shards(problem.setup, replicas) or [{}]:
                for sequence in sequences(problem.setup, split["tensor_parallel"]):
                    at = layout(problem, **(split | pipeline | shard | sequence))
                    broken = {name for name, holds in kept(facts, at).items() if not np.all(holds)}
                    broken |= set() if shard else {"shard_group_divides"}
                    always, some = always & broken, some | broken
    return always, some
