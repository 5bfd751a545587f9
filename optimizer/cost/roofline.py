"""Seconds of one operator on one chip: t = max(FLOP / (peak e_c), bytes / (bandwidth e_m)) + t_0.

Operators run in series. One maximum over a whole step would let the bytes of attention hide under the
arithmetic of the products, which no engine achieves. Efficiencies are constants of
(chip, dtype, operator), in `hardware/chips`, never of a model.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from optimizer.blocks.operators import (
    AllReduce,
    Collective,
    DecodeAttention,
    Elementwise,
    ExpertExchange,
    Experts,
    ForSome,
    Gemm,
    Host,
    LatentAttention,
    Number,
    Operator,
    PrefillAttention,
    Products,
    StageTransfer,
)
from optimizer.cost.attention import decode_cost, latent_cost, prefill_cost
from optimizer.cost.collectives import (
    Group,
    all_gather_s,
    all_reduce_s,
    all_to_all_s,
    connected,
    point_to_point_s,
    reduce_scatter_s,
)
from optimizer.cost.experts import copies_per_token, experts_cost
from optimizer.cost.operator_cost import Cost, achieved
from optimizer.cost.placement import fewest_runs, most_together
from optimizer.spec.chip import Chip
from optimizer.spec.dtypes import BYTES, PLAIN, Stored
from optimizer.spec.engine import IDEAL, Engine
from optimizer.spec.split import Formats, Split

_OUTPUT_BYTES = 2.0  # products accumulate in 32 bit and write 16 bit, also when inputs are 8 or 4 bit


@dataclass(frozen=True, slots=True)
class Roofline:
    """The rates one tensor-parallel rank of a replica works at."""

    chip: Chip
    split: Split = Split()
    formats: Formats = Formats()
    engine: Engine = IDEAL
    ranks_together: int = 0
    """Attention ranks of a stage that lie in one scale-up domain; 0 for as many as fit."""
    stage_runs: int = 0
    """Runs of stages that each lie in one domain, with the network between; 0 for as few as fit."""

    def cost(self, operator: Operator) -> Cost:
        """Cost of one operator; arrays in, arrays out."""
        match operator:
            case Gemm() | Products():
                return self._products(operator)
            case DecodeAttention():
                return decode_cost(operator, self.chip, self.formats.kv_dtype, self.engine)
            case LatentAttention():
                return latent_cost(operator, self.chip, self.formats.kv_dtype, self.engine)
            case Experts():
                return experts_cost(operator, self.chip, self.stored(operator), self.engine)
            case ExpertExchange():
                return self._exchange(operator)
            case PrefillAttention():
                return prefill_cost(operator, self.chip, self.engine)
            case Elementwise():
                streaming = self.chip.efficiency.elementwise
                memory_s = operator.bytes / (self.chip.hbm_bandwidth * achieved(streaming.memory))
                return Cost(0.0, operator.bytes, 0.0, 0.0, memory_s, 0.0, streaming.overhead)
            case AllReduce():
                return self._all_reduce(operator)
            case Collective():
                return self._collective(operator)
            case StageTransfer():
                return self._stage_transfer(operator)
            case Host():
                return Cost(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, operator.seconds)
            case ForSome():
                return self.cost(operator.operator).times(operator.present)

    def seconds(self, operators: Sequence[Operator]) -> Number:
        """Seconds of a series of operators."""
        return sum(self._seconds(operator) for operator in operators)

    def _seconds(self, operator: Operator) -> Number:
        if isinstance(operator, ForSome):  # a seventh of the work of taking each term so many times
            return self._seconds(operator.operator) * operator.present
        return self.cost(operator).seconds

    def stored(self, operator: Gemm | Products | Experts) -> Stored:
        """How the weights that an operator reads are stored."""
        if isinstance(operator, Experts):
            return self.formats.of("experts")
        if operator.weight_dtype:
            return PLAIN[operator.weight_dtype]
        return self.formats.of(operator.component)

    def _products(self, op: Gemm | Products) -> Cost:
        own = self.stored(op)
        dtype = own.dtype
        fit = self.chip.gemm(dtype)
        flops = 2.0 * op.m * op.elements
        moved = (
            own.bytes * op.elements
            + self.chip.activation_bytes(dtype) * op.m * op.width_in
            + _OUTPUT_BYTES * op.m * op.width_out
        )
        peak = self.chip.dense_flops[self.chip.arithmetic(dtype)]
        return Cost(
            flops,
            moved,
            0.0,
            flops / (peak * achieved(fit.compute, self.engine.compute)),
            moved / (self.chip.hbm_bandwidth * achieved(fit.memory)),
            0.0,
            op.kernels * fit.overhead,
        )

    def _group(self, n_chips: int, per_domain: int) -> Group:
        group = Group(n_chips, per_domain)
        if not connected(group, self.chip):
            return Group(n_chips, n_chips)  # a rule forbids it: the price only names the conflict
        return group

    def _exchange(self, op: ExpertExchange) -> Cost:
        """Dispatch in the activation format, combine in 16 bit; see `collectives`."""
        element = self.chip.activation_bytes(self.formats.weight_dtype) if op.outward else BYTES["bf16"]
        token = op.d_model * element
        t, domain = self.split.tensor_parallel, self.chip.scaleup.domain
        ranks = self.ranks_together or most_together(op.ranks // t, t, domain)
        group = self._group(op.ranks, most_together(t, 1, domain) * ranks)
        if self.engine.expert_exchange == "all_gather":
            size = op.rows * op.ranks * token
            gather = all_gather_s if op.outward else reduce_scatter_s
            total, latency = gather(size, group, self.chip)
        else:
            size = op.rows * copies_per_token(op.ranks, op.groups, op.n_active) * token
            total, latency = all_to_all_s(size, group, self.chip)
        return Cost(0.0, 0.0, (op.ranks - 1) / op.ranks * size, 0.0, 0.0, total - latency, latency)

    def _collective(self, op: Collective) -> Cost:
        group = Group(op.ranks, most_together(op.ranks, op.stride, self.chip.scaleup.domain))
        exchange = all_gather_s if op.how == "all_gather" else all_to_all_s
        total, latency = exchange(op.bytes, group, self.chip)
        return Cost(0.0, 0.0, (op.ranks - 1) / op.ranks * op.bytes, 0.0, 0.0, total - latency, latency)

    def _stage_transfer(self, op: StageTransfer) -> Cost:
        """From stage to stage inside a domain, from run to run over the network; ranks send side by side."""
        size = op.bytes / self.split.tensor_parallel
        width = self.split.rank * (self.ranks_together or 1)
        runs = self.stage_runs or fewest_runs(width, op.hops + 1, self.chip.scaleup.domain)
        outside = runs - 1
        hops = [(n, inside) for n, inside in ((op.hops - outside, True), (outside, False)) if n]
        each = [(n, *point_to_point_s(size, self.chip, inside)) for n, inside in hops]
        moving = sum(n * (total - latency) for n, total, latency in each)
        latencies = sum(n * latency for n, _, latency in each)
        return Cost(0.0, 0.0, op.hops * size, 0.0, 0.0, moving, latencies)

    def _all_reduce(self, op: AllReduce) -> Cost:
        n = self.split.tensor_parallel
        group = self._group(n, most_together(n, 1, self.chip.scaleup.domain))
        total, alone = all_reduce_s(op.bytes, group, self.chip, self.engine.all_reduce)
        beyond = self.engine.network_all_reduce_us if group.domains > 1 else 0.0
        alike = n * self.chip.devices > 1
        latency = alone + ((self.engine.all_reduce_us + beyond) * 1e-6 if alike else 0.0)
        return Cost(0.0, 0.0, 2 * (n - 1) / n * op.bytes, 0.0, 0.0, total - alone, latency)
