"""What a model has outside its layers beside its two tables: more norms or none, a number for each logit.

Guards against a count that leaves them out, a bound or a memory that has another, and a lattice with them.
"""

from dataclasses import replace

import samples

from optimizer import catalog
from optimizer.columns.rules import baseline_frame
from optimizer.cost.memory import embedding_bytes
from optimizer.cost.parameters import parameter_counts
from optimizer.cost.quantities import QUANTITIES
from optimizer.spec.norms import Norms


def test_streams_of_hyper_connections() -> None:
    """Of two streams of 7: 8 weights for each half of a layer, of 14 numbers, 8 biases, 3 scales."""
    assert Norms(2, True, 2).elements(7) == 2 * 7 * 2 + 2 * (8 * 14 + 8 + 3)
    assert Norms(2, True).elements(7) == 2 * 7 * 2
    llama = catalog.model("llama-3.1-8b")
    group = llama.layers[0]
    own = llama.changed(layers=(group.changed(block=group.block.changed(n_streams=2)),))
    assert own.outer_params == 2 * (2 * 4096) + 2 + 1
    assert not own.plain
    counted = [parameter_counts(model).total for model in (llama, own)]
    assert counted[1] - counted[0] == 32 * 2 * (8 * 8192 + 8 + 3) + 2 * 8192 + 3


def test_outside_the_layers() -> None:
    """Counted, kept in 16 bit, and in no lattice."""
    llama = catalog.model("llama-3.1-8b")
    own = llama.changed(outer_norms=3, head_bias=True)
    assert own.outer_params == 2 * 4096 + 128256
    assert llama.changed(outer_norms=0).outer_params == -4096
    assert (llama.plain, own.plain) == (True, False)
    counted = [parameter_counts(model).total for model in (llama, own)]
    assert counted[1] - counted[0] == 2 * 4096 + 128256
    frames = [samples.frame("llama-3.1-8b"), replace(samples.frame("llama-3.1-8b"), outer_params=136448)]
    assert embedding_bytes(frames[1]) - embedding_bytes(frames[0]) == 2 * 136448
    both = [QUANTITIES["n_params"].base(frame) for frame in frames]
    assert both[1] - both[0] == 136448
    assert baseline_frame(frames[0], own).outer_params == 136448
