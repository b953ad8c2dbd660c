"""Parts of your own: a model, an optimiser, a fold and a rule of growth, in one module.

Named by `plugins: my_parts` in a config, or by `--plugin my_parts` on the command line; the module
is found in the working directory or wherever Python finds modules.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

import fractaljax as fj
from fractaljax.parts import anatomy  # edits of masks: edges that could be, edges that come to be


@fj.register("model", "wavelet")
def wavelet(units: int = 8, spread: float = 1.0) -> fj.Model:
    """Units that look at one place each: `sum_j a_j (1 - z_j^2) exp(-z_j^2 / 2)`, `z = W x`.

    Args:
        units: how many; an `int` sets a shape, so a list of them makes a facet.
        spread: deviation of the first layer; a `float` may be traced, so it may be an axis.
    """
    if units < 1:
        raise fj.FractaljaxError(f"units={units}: at least 1 is needed")

    def draw(key, x, outputs):
        first, second = jax.random.split(key)
        inputs = x.shape[-1]
        return {  # standard normals alone: all pixels share them, whatever their hyperparameters
            "layer_000": {"kernel": jax.random.normal(first, (inputs, units))},
            "layer_001": {"kernel": jax.random.normal(second, (units, outputs))},
        }

    def init(draws):
        first, second = draws["layer_000"]["kernel"], draws["layer_001"]["kernel"]
        return {
            "layer_000": {"kernel": first * spread / first.shape[0] ** 0.5},
            "layer_001": {"kernel": second / units**0.5},
        }

    def apply(params, x):
        z = x @ params["layer_000"]["kernel"]
        return ((1 - z**2) * jnp.exp(-(z**2) / 2)) @ params["layer_001"]["kernel"]

    return fj.Model(draw, init, apply)


@fj.register("optimizer", "softsign")
def softsign(lr: float = 0.05, softness: float = 0.1):
    """Steps of nearly one length: `-lr g / (|g| + softness)`, each weight by itself.

    Args:
        lr: learning rate of all layers.
        softness: gradients below this count less.
    """

    def direction(updates, params=None):
        del params
        return jax.tree.map(lambda g: g / (jnp.abs(g) + softness), updates)

    return optax.chain(optax.stateless(direction), optax.scale(-lr))


class _Halving(NamedTuple):
    first: jax.Array  # loss at step 0
    at: jax.Array  # step at which it had halved, -1 before


@fj.register("fold", "halving")
def halving(share: float = 0.5) -> fj.Fold:
    """`halving`: the first step at which the loss is at most `share` of the first one, or -1.

    Args:
        share: of the first loss.
    """

    def init(params, steps):
        del steps
        zero = jnp.zeros((), jax.tree.leaves(params)[0].dtype)
        return _Halving(zero, jnp.full((), -1, jnp.int32))

    def update(carry, snapshot):
        first = jnp.where(snapshot.t == 0, snapshot.loss, carry.first)
        now = (carry.at < 0) & (snapshot.t > 0) & (snapshot.loss <= share * first)
        return _Halving(first, jnp.where(now, snapshot.t, carry.at))

    def settled(carry):  # once it is known, no later step changes it
        return carry.at >= 0

    return fj.Fold(init, update, settled, lambda carry, steps: {"halving": carry.at})


@fj.register("growth", "steepest")
def steepest(edges: float = 4.0, weight: float = 0.1) -> fj.Growth:
    """New edges where the loss would gain most: the largest gradients of weights that are not.

    Args:
        edges: how many at every event.
        weight: deviation of the new weights.
    """

    def act(net, sites, moment):
        del sites
        could = anatomy.possible(net.anatomy)
        grads = moment.grads(net.params)
        scores = {name: jnp.abs(grads[name]["kernel"]) for name in could}
        new = anatomy.best_blocks(scores, could, edges)
        values = anatomy.weights(net, moment.key, weight)
        net = anatomy.with_edges(net, new, values, "new", moment.t)
        return net, (anatomy.count(new),)

    return fj.Growth(act, notes=("steepest_edges",), placed=False)
