"""Whether a model can be split this way at all, beyond what the rules of tensor parallelism say."""

from optimizer.cost.frame import Frame
from optimizer.spec.architecture import Architecture


def unsplittable(architecture: Architecture, frame: Frame) -> dict[str, str]:
    """The degrees of parallelism of a frame that a model cannot have, each with the reason."""
    found = {}
    experts = {g.block.ffn.n_experts for g in architecture.layers if g.block.ffn.kind == "moe"}
    ranks = frame.split.tensor_parallel * frame.split.data_parallel
    if frame.split.pipeline_parallel > architecture.n_layers:
        found["pipeline_parallel"] = f"more stages than the {architecture.n_layers} layers"
    if frame.split.data_parallel > 1 and not experts:
        found["data_parallel"] = "only a mixture of experts shares layers; more replicas do as well"
    if frame.split.expert_parallel > 1 and not experts:
        found["expert_parallel"] = "the model has no experts"
    elif ranks % frame.split.expert_parallel:
        found["expert_parallel"] = f"does not divide tensor_parallel x data_parallel = {ranks}"
    elif any(n % frame.split.expert_parallel for n in experts):
        found["expert_parallel"] = f"does not divide the {max(experts)} experts"
    return found
