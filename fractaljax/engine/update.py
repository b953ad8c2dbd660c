"""One update of the weights, which leaves those that do not exist at zero."""

import jax
import jax.numpy as jnp

from fractaljax.engine import descent
from fractaljax.engine.hparams import Hparams
from fractaljax.slots import map_slots
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Network, Tree


def masked(tree: Tree, masks: Tree) -> Tree:
    """Zero where a mask says that there is no weight."""
    return jax.tree.map(lambda leaf, mask: jnp.where(mask, leaf, 0), tree, masks)


def held(network: Network) -> Network:
    """Weights that do not exist, and what the optimiser remembers of them, are zero."""
    masks = network.anatomy.masks
    opt = map_slots(
        lambda slot, at: jnp.where(masks[at[0]][at[1]], slot, 0), network.opt, network.params
    )
    return network._replace(params=masked(network.params, masks), opt=opt)


def updated(
    spec: Spec, hparams: Hparams, t: Array, network: Network, grads: Tree, rates: Tree
) -> Network:
    """A network after the update of step `t`.

    Args:
        grads: of the weights that exist; zero elsewhere.
        rates: a factor on the rate of every weight, or ().
    """
    optimizer = build(spec, "optimizer", hparams)
    updates, opt = optimizer.update(grads, network.opt, network.params)
    for factor in descent.factors(spec, hparams, t):
        updates = jax.tree.map(lambda u, factor=factor: factor * u, updates)
    if rates:
        updates = jax.tree.map(jnp.multiply, updates, rates)
    params = jax.tree.map(lambda p, u: p + u, network.params, updates)
    if network.anatomy:
        params = masked(params, network.anatomy.masks)
    return network._replace(params=params, opt=opt)
