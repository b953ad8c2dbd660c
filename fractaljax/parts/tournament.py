"""A tournament: candidates are tried on copies of one network, and the best bid is taken."""

import itertools

import jax
import jax.numpy as jnp

from fractaljax import registry
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts import anatomy as an
from fractaljax.registry import register
from fractaljax.types import Array, Growth, Moment, Network, Sites, Tree

SCORES = ("similarity", "separation", "loss")


@register("growth", "tournament")
def tournament(
    candidates: tuple[str, ...] = ("embedded", "patches", "widen", "insert_layer"),
    score: str = "separation",
    epochs: int = 1,
    per_edge: bool = True,
    least: float = 0.0,
) -> Growth:
    """Candidate actions on copies, trained briefly side by side; the best gain an edge is taken.

    The network goes on from the action itself, not from the copy that was trained, so that it gets
    no training that others do not. The ledger keeps gain and cost of every bid.

    Args:
        candidates: names of growth, with their usual arguments.
        score: `similarity`, the sum over neighbouring layers of `-1/2 ln(1 - c^2)`, `c` the mean
            cosine of what they make of a point (the proxy of published structure-growing code);
            `separation`, ours: the mean over hidden units of `-1/2 ln(1 - r^2)`, `r^2` the share of
            a unit's variance between the classes, which is the information that a Gaussian unit has
            of its class mean; `loss`, minus the loss on training points.
        epochs: of training of the copies.
        per_edge: whether the gain is divided by the edges that were added (at least one).
        least: a bid must be larger than this to be taken.
    """
    if score not in SCORES:
        raise unknown("score", score, SCORES)
    if not candidates or epochs < 0:
        raise FractaljaxError(
            f"candidates={list(candidates)}, epochs={epochs}: one or more, and 0 or more"
        )
    if "tournament" in candidates:
        raise FractaljaxError("candidates: a tournament cannot be held in a tournament")
    actions = [registry.lookup("growth", name)() for name in candidates]

    def act(net: Network, sites: Sites, moment: Moment) -> tuple[Network, tuple[Array, ...]]:
        def judged(network: Network) -> Array:
            trained = moment.practise(network, epochs) if epochs else network
            return _score(score, trained, moment)

        made = [
            action.act(net, sites, moment._replace(key=jax.random.fold_in(moment.key, i)))[0]
            for i, action in enumerate(actions)
        ]
        copies = jax.tree.map(lambda *leaves: jnp.stack(leaves), net, *made)
        scores = moment.each(judged, copies)
        cost = jnp.stack([an.count(an.edges(one.anatomy)) for one in (net, *made)])
        cost = (cost - cost[0])[1:]
        gain = scores[1:] - scores[0]  # over the same network left alone and trained as long
        bids = gain / jnp.maximum(jnp.abs(cost), 1) if per_edge else gain
        bids = jnp.where(jnp.isfinite(bids), bids, -jnp.inf)
        winner = jnp.argmax(bids)
        taken = bids[winner] > least
        chosen = jax.tree.map(lambda *leaves: jnp.stack(leaves)[winner], *made)
        net = jax.tree.map(lambda new, old: jnp.where(taken, new, old), chosen, net)
        notes = [jnp.where(taken, winner, -1)]
        for i in range(len(actions)):
            notes += [gain[i], cost[i]]
        return net, tuple(notes)

    notes = ["winner"]
    for name in candidates:
        notes += [f"{name}.gain", f"{name}.edges"]
    return Growth(act, tuple(notes))


def _score(name: str, net: Network, moment: Moment) -> Array:
    if name == "loss":
        return -moment.loss(net.params)
    assert moment.model.units is not None
    _, passed = moment.model.units(net.params, moment.data.x)
    if name == "similarity":
        return _similarity([moment.data.x.T, *passed])
    return _separation(net, passed, moment.data.y)


def _similarity(layers: list[Array]) -> Array:
    """Sum over neighbouring layers with units, `[H, N]` each."""
    found = jnp.zeros((), layers[0].dtype)
    for one, two in itertools.pairwise(layers):
        a, b = (v / (jnp.linalg.norm(v, axis=0, keepdims=True) + 1e-12) for v in (one, two))
        width = min(len(a), len(b))
        cosine = jnp.mean(jnp.sum(a[:width] * b[:width], axis=0))
        found += -0.5 * jnp.log(1 - cosine**2 + 1e-8)
    return found


def _separation(net: Network, layers: Tree, targets: Array) -> Array:
    """Mean over hidden units that exist."""
    weight = targets / jnp.maximum(jnp.sum(targets, axis=0), 1e-12)  # [N, O]: means by class
    share = jnp.mean(targets, axis=0)
    total, units = jnp.zeros((), targets.dtype), jnp.zeros((), targets.dtype)
    for name, values in zip(sorted(net.params), layers, strict=False):
        means = values @ weight  # [H, O]
        mean = jnp.mean(values, axis=1, keepdims=True)
        between = jnp.sum(share * (means - mean) ** 2, axis=1)
        ratio = between / (jnp.var(values, axis=1) + 1e-12)
        exists = net.anatomy.masks[name]["bias"]
        information = -0.5 * jnp.log(1 - jnp.clip(ratio, 0, 1 - 1e-6))
        total += jnp.sum(jnp.where(exists, information, 0))
        units += jnp.sum(exists)
    return total / jnp.maximum(units, 1)
