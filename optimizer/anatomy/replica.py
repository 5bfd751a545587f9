"""A replica as the pool of a deployment."""

from optimizer.cost.frame import Frame
from optimizer.spec.plan import Deployment, Pool
from optimizer.spec.split import Formats, Split


def deployment(frame: Frame) -> Deployment:
    """One replica of the frame."""
    pool = Pool(
        phase="aggregated",
        chip=frame.chip.name,
        replicas=1,
        **Split.of(frame).said(),
        batch=frame.batch,
        **Formats.of(frame).said(),
        chips=frame.n_chips,
    )
    return Deployment(pools=(pool,))
