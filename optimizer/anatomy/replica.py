"""A replica as the pool of a deployment."""

from optimizer.cost.frame import Frame
from optimizer.spec.plan import Deployment, Pool


def deployment(frame: Frame) -> Deployment:
    """One replica of the frame."""
    pool = Pool(
        phase="aggregated",
        chip=frame.chip.name,
        replicas=1,
        tensor_parallel=frame.tensor_parallel,
        pipeline_parallel=frame.pipeline_parallel,
        data_parallel=frame.data_parallel,
        expert_parallel=frame.expert_parallel,
        batch=frame.batch,
        weight_dtype=frame.weight_dtype,
        kv_dtype=frame.kv_dtype,
        chips=frame.n_chips,
    )
    return Deployment(pools=(pool,))
