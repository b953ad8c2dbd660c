"""One large network on all devices: every batch is dealt to them, its gradients are averaged.

For networks that fill a device on their own. Millions of small ones go side by side instead
(`program`), where no step waits for another device.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fractaljax.engine import train
from fractaljax.engine.descent import SPLIT
from fractaljax.engine.program import PIXELS
from fractaljax.engine.streams import generator, shared_draws
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec
from fractaljax.types import Tree


class Trained(NamedTuple):
    """One network in the end."""

    readings: dict[str, np.ndarray]
    params: Tree
    masks: Tree  # which weights exist; () where all do


def train_large(spec: Spec, values: Mapping[str, float], mesh: Mesh) -> Trained:
    """Trains one network with the points of every batch spread over a mesh.

    The same network as on one device, up to the order of a sum.

    Args:
        spec: what to train; a batch, or all data, must have a multiple of the devices of points.
        values: over the Spec's own, by path or alias.
        mesh: one-dimensional, over the axis `pixels`.

    Raises:
        FractaljaxError: precision, a path, or a batch that cannot be dealt evenly.
    """
    train.check_precision(spec)
    hparams = {spec.traced(name): value for name, value in values.items()}
    draws = shared_draws(spec)
    batch = dict(spec.problem.args).get("batch") or draws.data.x.shape[0]
    if batch % mesh.size:
        raise FractaljaxError(f"a batch of {batch} points on {mesh.size} devices: not a multiple")
    whole = NamedSharding(mesh, P())
    token = SPLIT.set(NamedSharding(mesh, P(PIXELS)))
    try:
        placed = jax.tree.map(lambda leaf: jax.device_put(leaf, whole), draws)
        with generator(spec):
            state = jax.jit(lambda draws: train.trained(spec, hparams, draws))(placed)
    finally:
        SPLIT.reset(token)
    readings = train.reading(spec, hparams, state)
    masks = state.anatomy.masks if state.anatomy else ()
    found = jax.device_get((readings, state.params, masks))
    return Trained(*found)
