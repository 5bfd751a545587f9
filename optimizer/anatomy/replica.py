"""A replica as the pool of a deployment."""

from optimizer.cost.frame import Frame
from optimizer.spec.plan import Deployment, Pool


def deployment(frame: Frame) -> Deployment:
    """One replica of the frame."""
    pool = Pool(
        phase="aggregated",
        chip=frame.chip.name,
        replicas=1,
        **frame.split.mentioned(),
        batch=frame.batch,
        **frame.formats.mentioned(),
        chips=frame.n_chips,
    )
    return Deployment(pools=(pool,))
