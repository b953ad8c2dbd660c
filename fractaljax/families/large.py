"""One large network on all devices of a machine."""

from collections.abc import Mapping

from fractaljax.config.files import named_files
from fractaljax.engine import parallel, plan
from fractaljax.engine.parallel import Trained
from fractaljax.spec import Spec


def train_large(
    spec: Spec, values: Mapping[str, float] | None = None, *, devices: int | None = None
) -> Trained:
    """Trains one network, every batch spread over the devices and the gradients averaged.

    Args:
        spec: what to train; the size of its batch is a multiple of the number of devices.
        values: over the Spec's own, by path or alias.
        devices: how many (default: all).

    Returns:
        Readings by name, weights, and masks where the model has them.

    Raises:
        FractaljaxError: a path, a value, a batch that cannot be dealt evenly.
    """
    plan.prepare(spec.dtype, devices)
    named_files([spec])  # what was read of other contents is forgotten
    return parallel.train_large(spec, values or {}, plan.mesh(devices))
