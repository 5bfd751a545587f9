"""What all mixtures of experts share: a router, routed experts on the ranks, experts that all tokens meet.

Routed experts work on vectors of some width, the model's or a narrower one; router, shared experts and their
gate see the model's. With expert_parallel 1, experts are split along their width over all ranks of the stage,
so every rank touches every expert that a token chose. Expert parallelism gives each of e groups of ranks
n_experts / e whole experts, split along their width inside the group. One attention rank (data_parallel 1)
needs one all-reduce, as in a dense layer; several exchange their tokens before and after. Router and shared
experts belong to the attention ranks.
"""

from math import lcm
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from optimizer.blocks import _saved
from optimizer.blocks._fields import Dimension, Half, Positive
from optimizer.blocks.operators import (
    AllReduce,
    Elementwise,
    ExpertExchange,
    Experts,
    ForSome,
    Gemm,
    Number,
    Operator,
    Weights,
)
from optimizer.blocks.padding import Padding, with_fields
from optimizer.blocks.step import Step
from optimizer.spec.split import Split

CAVEAT = "uniform routing; with whole experts on ranks, the busiest has expert_skew x the mean"
OUTSIDE = {"ffn_ratio": "its band is of dense networks, experts are narrower"}


class RoutedExperts(Half):
    """n_experts networks of width d_expert; each token uses n_active_experts and the shared ones."""

    n_experts: Annotated[Positive, Dimension("Experts", "experts", (8, 16, 32, 64, 128, 256))]
    n_active_experts: Annotated[Positive, Dimension("Experts of a token", "active", (1, 2, 4, 6, 8))]
    d_expert: Annotated[Positive, Dimension("Expert width", "d_expert", tuple(range(256, 16385, 256)))]
    n_shared_experts: Annotated[
        Annotated[int, Field(ge=0, le=64)], Dimension("Shared experts", "shared", (0, 1))
    ] = 0
    d_shared: Positive | None = None
    """Width of one shared expert; d_expert where not given."""
    gated_ffn: bool = True
    expert_bias: bool = False
    router_bias: bool = False
    shared_gate: bool = False
    n_expert_groups: Positive | None = None
    """Groups that the experts form; in training a group lies in one node, as far as there are as many."""
    n_active_expert_groups: Positive | None = None
    """Groups that the experts of a token lie in at most."""

    @model_validator(mode="after")
    def _active(self) -> "RoutedExperts":
        if self.n_active_experts > self.n_experts:
            raise ValueError(
                f"n_active_experts {self.n_active_experts} is more than n_experts {self.n_experts}"
            )
        groups, active = self.n_expert_groups, self.n_active_expert_groups
        if (groups is None) != (active is None):
            raise ValueError("n_expert_groups and n_active_expert_groups go together; give both or neither")
        if groups and active and active > groups:
            raise ValueError(f"n_active_expert_groups {active} is more than n_expert_groups {groups}")
        return self


def legal(n_experts: Number, n_active_experts: Number) -> Number:
    """Whether there are as many experts as a token uses."""
    return n_active_experts <= n_experts


def stands_for(ffn: Any) -> dict[str, int]:
    """The layer in the words of the rules."""
    return {"d_ff": ffn.d_expert}


def in_words(ffn: Any) -> str:
    """For a sentence of a report."""
    shared = f" and {ffn.n_shared_experts} shared" if ffn.n_shared_experts else ""
    return f"{ffn.n_active_experts} of {ffn.n_experts} experts{shared}, d_expert {ffn.d_expert}"


def n_params(ffn: Any, d_model: Number, width: Number) -> Number:
    """Parameters of the router, all experts and the shared experts."""
    router = d_model * ffn.n_experts + ffn.router_bias * ffn.n_experts
    return router + ffn.n_experts * expert(ffn, width) + shared(ffn, d_model)


def n_active_params(ffn: Any, d_model: Number, width: Number) -> Number:
    """Parameters that one token meets; not the router's biases, which only tip the choice of experts."""
    return d_model * ffn.n_experts + ffn.n_active_experts * expert(ffn, width) + shared(ffn, d_model)


def rank_weights(
    ffn: Any, d_model: Number, width: Number, tensor_parallel: int, data_parallel: int
) -> Weights:
    """Elements stored on one rank: experts are spread over all ranks, however they are split.

    The router is on every rank, in 16 bit; every attention rank has the shared experts.
    """
    experts = ffn.n_experts * expert(ffn, width) / (tensor_parallel * data_parallel)
    return Weights(
        shared(ffn, d_model) / tensor_parallel, (d_model + ffn.router_bias) * ffn.n_experts, experts
    )


def unmet(ffn: Any, d_model: Number, width: Number) -> Number:
    """Parameters that no product of all tokens meets: routed experts, and the gate of the shared ones."""
    return ffn.n_experts * expert(ffn, width) + ffn.shared_gate * d_model


def hidden_flops(ffn: Any, d_model: Number) -> Number:
    """FLOP of a token that no operator counts: the router's."""
    return 2.0 * d_model * ffn.n_experts


def saved(ffn: Any, d_model: Number, width: Number, at: Any) -> Number:
    """Bytes a token kept for the backward pass: hidden layers, each expert's copy of the input, its output.

    Light recomputation weighs the hidden layer and not the output, which then need not be kept.
    """
    hidden = _saved.hidden(ffn.gated_ffn, at)
    shared_width = _shared_width(ffn) / at.tensor_parallel
    # Spread experts work on the tokens of one sequence shard, with their whole width.
    routed = ffn.n_active_experts * (
        hidden * ffn.d_expert / at.tensor_parallel
        + (at.kept_bytes + 2.0 * (1 - at.recompute_light)) * width / at.sequence_shards
    )
    return _saved.around(d_model, at) + hidden * shared_width + routed


def padded(ffn: Any, split: Split, padding: Padding) -> Any:
    """The experts where engines round up their widths. Their number stays: the fullest rank has one more."""
    t = split.tensor_parallel
    wide = ffn.d_expert if ffn.d_shared is None else ffn.d_shared
    routed = padding.up("ffn", ffn.d_expert, lcm(t, split.network_ranks))
    return with_fields(ffn, d_expert=routed, d_shared=padding.up("ffn", wide, t))


def routed_operators(ffn: Any, step: Step, width: Number) -> list[Operator]:
    """The routed experts, between the exchanges of their tokens. The router is part of their fixed time."""
    ranks = step.split.tensor_parallel * step.split.data_parallel
    routed = Experts(
        "experts",
        step.rows * step.split.data_parallel,
        width,
        ffn.d_expert * step.split.expert_parallel / ranks,
        ffn.n_experts,
        ffn.n_active_experts,
        np.ceil(ffn.n_experts / step.split.expert_parallel),
        ffn.gated_ffn,
        np.minimum(1.0, step.prompts),
        _sent(ffn, step),
    )
    return [*_exchange(ffn, step, width, outward=True), routed, *_exchange(ffn, step, width, outward=False)]


def shared_operators(ffn: Any, step: Step) -> list[Operator]:
    """The shared experts, and the sum over tensor-parallel ranks.

    Where tokens were exchanged, only the shared experts need the sum.
    """
    shard, wide = _shared_width(ffn) / step.split.tensor_parallel, 1 + ffn.gated_ffn
    reduce = AllReduce("ffn all-reduce", step.rows * 2 * step.d_model)
    own = _where(
        ffn.n_shared_experts,
        [
            Gemm("shared experts, up", step.rows, wide * shard, step.d_model),
            Elementwise("shared experts, activation", step.rows * 5 * shard),
            Gemm("shared experts, down", step.rows, step.d_model, shard),
        ],
    )
    return [*own, *([reduce] if step.split.data_parallel == 1 else _where(ffn.n_shared_experts, [reduce]))]


def expert(ffn: Any, width: Number) -> Number:
    """Parameters of one routed expert."""
    wide = 1 + ffn.gated_ffn
    biases = ffn.expert_bias * (wide * ffn.d_expert + width)
    return (wide + 1) * width * ffn.d_expert + biases


def shared(ffn: Any, d_model: Number) -> Number:
    """Parameters of the shared experts and their gate."""
    return (2 + ffn.gated_ffn) * d_model * _shared_width(ffn) + ffn.shared_gate * d_model


def _sent(ffn: Any, step: Step) -> Number:
    """Share of all tokens with an expert on a given rank; one attention rank has them all anyway."""
    if step.split.data_parallel == 1:
        return 1.0
    return 1.0 - (1.0 - 1.0 / step.split.expert_parallel) ** ffn.n_active_experts


def _exchange(ffn: Any, step: Step, width: Number, outward: bool) -> list[Operator]:
    """Tokens of several attention ranks to their experts, or back."""
    if step.split.data_parallel == 1:
        return []
    name = "expert dispatch" if outward else "expert combine"
    ranks = step.split.tensor_parallel * step.split.data_parallel
    rows = step.rows / step.split.tensor_parallel
    groups = step.split.expert_parallel
    return [
        ExpertExchange(name, rows, width, ffn.n_experts, ffn.n_active_experts, ranks, groups, outward),
    ]


def _where(count: Number, operators: list[Operator]) -> list[Operator]:
    """The operators of the kinds of which there are any."""
    if np.all(count):
        return operators
    present = np.asarray(count) > 0
    return [ForSome(operator, present) for operator in operators] if np.any(present) else []


def _shared_width(ffn: Any) -> Number:
    width = ffn.d_expert if ffn.d_shared is None else ffn.d_shared
    return ffn.n_shared_experts * width
