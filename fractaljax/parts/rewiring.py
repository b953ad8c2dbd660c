"""What grows without a look at activity, and what is pruned: the controls people ask for."""

import math

import jax.numpy as jnp

from fractaljax.parts import anatomy as an
from fractaljax.registry import register
from fractaljax.types import Array, Growth, Moment, Network, Sites


@register("growth", "prune")
def prune(share: float = 1.0) -> Growth:
    """The weakest edges go, as many as were added since the last event: constant density.

    Edges of this event are spared, as they had no time to become strong.

    Args:
        share: of the number that was added; 0 removes none.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites
        masks, born = an.edges(net.anatomy), net.anatomy.born
        fresh = {name: masks[name] & (born[name]["kernel"] == moment.t) for name in masks}
        old = {name: masks[name] & ~fresh[name] for name in masks}
        scores = {name: -jnp.abs(own["kernel"]) for name, own in net.params.items()}
        number = jnp.round(share * an.count(fresh))
        return an.without_edges(net, an.best_blocks(scores, old, number)), ()

    return Growth(act, placed=False)


@register("growth", "random")
def random(
    edges: float = 100.0,
    first: float = 1.0,
    last: float = 1.0,
    weight: float = 0.1,
    skips: bool = False,
) -> Growth:
    """Edges at random: the control of growth that says it knows where.

    Given what another network of the same seed grew, it ends with as many edges: so many of the
    total after each epoch as lie evenly between the first epoch and the last.

    Args:
        edges: in all.
        first, last: epochs between which they are added; asked for after every epoch.
        weight: deviation of the new weights.
        skips: whether edges may span more than one level, and use every unit of the capacity.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites

        def due(epoch: Array) -> Array:
            span = jnp.maximum(jnp.asarray(last) - first, 0) + 1
            return jnp.round(edges * jnp.clip((epoch - first + 1) / span, 0, 1))

        number = due(moment.epoch) - due(moment.epoch - 1)
        if skips:
            opened = number > 0
            for name in sorted(net.params)[:-1]:
                every = jnp.ones_like(net.anatomy.masks[name]["bias"]) & opened
                net = an.with_units(net, name, every, "new", moment.t)
        could = an.possible(net.anatomy, skips=skips)
        free = {name: could[name] & ~mask for name, mask in an.edges(net.anatomy).items()}
        new = an.best_blocks(an.uniform(moment.key, could), free, number)
        return an.with_edges(net, new, an.weights(net, moment.key, weight), "new", moment.t), ()

    return Growth(act, placed=False)


@register("growth", "set")
def set_(share: float = 0.3, weight: float = 0.1) -> Growth:
    """Sparse evolutionary training: the weakest edges of each layer are drawn anew elsewhere.

    Mocanu et al., Nature Communications 9, 2383 (2018), arXiv:1707.04780.

    Args:
        share: of the edges of a layer, `zeta`.
        weight: deviation of the new weights.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites
        return _rewired(net, moment, share, an.uniform(moment.key, an.edges(net.anatomy)), weight)

    return Growth(act, placed=False)


@register("growth", "rigl")
def rigl(share: float = 0.3, until: float = 0.75) -> Growth:
    """RigL: the weakest edges of each layer give way to those with the largest gradient, at zero.

    Evci et al., arXiv:1911.11134, algorithm 1: the share falls as `share / 2 (1 + cos(pi t / T'))`.

    Args:
        share: of the edges of a layer at first, `alpha`.
        until: T' as a share of the training.
    """

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple]:
        del sites
        scores = {name: jnp.abs(own["kernel"]) for name, own in moment.grads(net.params).items()}
        end = jnp.maximum(until * moment.epochs, 1)
        now = jnp.where(
            moment.epoch < end, share / 2 * (1 + jnp.cos(math.pi * moment.epoch / end)), 0
        )
        return _rewired(net, moment, now, scores, 0.0)

    return Growth(act, placed=False)


def _rewired(
    net: Network, moment: Moment, share: Array | float, scores: an.Blocks, weight: float
) -> tuple[Network, tuple]:
    """A share of the edges of each layer goes, and as many come where scores are largest."""
    could, masks = an.possible(net.anatomy, skips=False), an.edges(net.anatomy)
    gone, new = {}, {}
    for name, mask in masks.items():
        free = could[name] & ~mask
        number = jnp.minimum(jnp.floor(share * jnp.sum(mask)), jnp.sum(free))
        gone[name] = an.best([-jnp.abs(net.params[name]["kernel"])], [mask], number)[0]
        new[name] = an.best([scores[name]], [free], number)[0]
    net = an.without_edges(net, gone)
    return an.with_edges(net, new, an.weights(net, moment.key, weight), "new", moment.t), ()
