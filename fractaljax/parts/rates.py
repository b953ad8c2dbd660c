"""Learning rates of single weights: a factor from layer, age, kind, density, events.

Every factory gives factors on the optimiser's rate; a published rate of 1e-4 beside a base of 1e-3
is a factor of 0.1. They are computed after every epoch, and hold for the next one.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fractaljax.errors import unknown
from fractaljax.parts import anatomy as an
from fractaljax.registry import register
from fractaljax.types import Anatomy, Array, Clock, Network, Rates, Tree


@register("rates", "cascading")
def cascading(decay: float = 0.1) -> Rates:
    """`decay^(i / L)` for layer `i` of `L`: later layers learn more slowly."""
    return lambda net, clock: _by_layer(net, lambda i, layers: jnp.asarray(decay) ** (i / layers))


@register("rates", "dual")
def dual(scaffold: float = 0.1, patch: float = 0.5) -> Rates:
    """One factor for the scaffold, another one for all that grew."""
    return lambda net, clock: jax.tree.map(
        lambda kind: jnp.where(kind == an.KIND["scaffold"], scaffold, patch), net.anatomy.kind
    )


@register("rates", "age")
def age(decay: float = 0.1, period: float = 1.0, unit: str = "events") -> Rates:
    """`decay^(age / period)`: older weights learn more slowly.

    Args:
        decay: factor a period.
        period: of the age, in the unit.
        unit: `events`, growth since the weight came to be; `epochs`.
    """
    if unit not in ("events", "epochs"):
        raise unknown("unit", unit, ("events", "epochs"))

    def rates(net: Network, clock: Clock) -> Tree:
        def one(born: Array) -> Array:
            years = _events_since(net.anatomy, born) if unit == "events" else _epochs(clock, born)
            return jnp.asarray(decay) ** (years / period)

        return jax.tree.map(one, net.anatomy.born)

    return rates


@register("rates", "component")
def component(
    scaffold: float = 0.1,
    patch: float = 0.5,
    neck: float = 1.0,
    new: float = 1.0,
    clone: float = 1.0,
    highway: float = 1.0,
) -> Rates:
    """A factor for every kind of component."""

    def rates(net: Network, clock: Clock) -> Tree:
        own = jnp.stack(
            [jnp.asarray(f, float) for f in (scaffold, patch, neck, new, clone, highway)]
        )
        return jax.tree.map(lambda kind: own[kind], net.anatomy.kind)

    return rates


@register("rates", "pretrained")
def pretrained(old: float = 0.01, new: float = 1.0, adapter: float = 0.5) -> Rates:
    """What was there at first is nearly frozen; necks are adapters, all else is new."""

    def rates(net: Network, clock: Clock) -> Tree:
        def one(born: Array, kind: Array) -> Array:
            grown = jnp.where(kind == an.KIND["neck"], adapter, new)
            return jnp.where(born == 0, old, grown)

        return jax.tree.map(one, net.anatomy.born, net.anatomy.kind)

    return rates


@register("rates", "after_growth")
def after_growth(factor: float = 0.5, new: float = 1.0) -> Rates:
    """The scaffold takes a factor at every event; what grew has its own."""

    def rates(net: Network, clock: Clock) -> Tree:
        old = jnp.asarray(factor) ** net.anatomy.events
        return jax.tree.map(
            lambda kind: jnp.where(kind == an.KIND["scaffold"], old, new), net.anatomy.kind
        )

    return rates


@register("rates", "warm_up")
def warm_up(epochs: float = 5.0) -> Rates:
    """What is new begins at zero and rises for so many epochs: `min(1, age / epochs)`."""

    def rates(net: Network, clock: Clock) -> Tree:
        return jax.tree.map(lambda born: _warmed(clock, born, epochs), net.anatomy.born)

    return rates


@register("rates", "freezing")
def freezing(
    refine: float = 1 / 3,
    final: float = 2 / 3,
    early: float = 0.01,
    late: float = 0.1,
    layers: int = 2,
) -> Rates:
    """Progressive freezing: at first all layers learn, in the end the last one alone.

    Args:
        refine, final: shares of the training at which the phases begin.
        early: factor of the first layers while refining.
        late: factor of the others then, and of the last layer in the end.
        layers: how many are the first.
    """

    def rates(net: Network, clock: Clock) -> Tree:
        done = clock.t / (clock.epochs * clock.length)

        def factor(i: int, count: int) -> Array:
            refining = early if i < layers else late
            frozen = late if i == count - 1 else 0.0
            return jnp.where(done < refine, 1.0, jnp.where(done < final, refining, frozen))

        return _by_layer(net, factor)

    return rates


@register("rates", "differential")
def differential(grown: float = 0.9, adjacent: float = 0.7, other: float = 0.5) -> Rates:
    """Every event multiplies the layer that grew, those beside it and all others by factors."""

    def rates(net: Network, clock: Clock) -> Tree:
        own, beside, rest = net.anatomy.touched
        found = (jnp.asarray(grown) ** own) * (jnp.asarray(adjacent) ** beside)
        found *= jnp.asarray(other) ** rest
        return _by_layer(net, lambda i, layers: found[i])

    return rates


@register("rates", "sparsity")
def sparsity(
    sparse: float = 0.02, dense: float = 0.1, faster: float = 2.0, slower: float = 0.5
) -> Rates:
    """Layers of a density below `sparse` learn faster, above `dense` slower."""

    def rates(net: Network, clock: Clock) -> Tree:
        could = an.possible(net.anatomy, skips=False)

        def factor(i: int, layers: int) -> Array:
            name = sorted(net.params)[i]
            there = jnp.sum(net.anatomy.masks[name]["kernel"])
            density = there / jnp.maximum(jnp.sum(could[name]), 1)
            return jnp.where(density < sparse, faster, jnp.where(density > dense, slower, 1.0))

        return _by_layer(net, factor)

    return rates


@register("rates", "sedimentary")
def sedimentary(
    geological: float = 0.01,
    sediment: float = 0.1,
    active: float = 1.0,
    patch: float = 0.5,
    old: float = 100.0,
    middle: float = 20.0,
) -> Rates:
    """Strata by age in epochs: oldest above `old`, middle above `middle`, and patches apart."""

    def rates(net: Network, clock: Clock) -> Tree:
        def one(born: Array, kind: Array) -> Array:
            years = _epochs(clock, born)
            stratum = jnp.where(
                years > old, geological, jnp.where(years > middle, sediment, active)
            )
            return jnp.where(kind == an.KIND["patch"], patch, stratum)

        return jax.tree.map(one, net.anatomy.born, net.anatomy.kind)

    return rates


@register("rates", "combined")
def combined(
    depth: float = 0.1,
    age: float = 0.1,
    period: float = 20.0,
    patch: float = 0.5,
    warm: float = 5.0,
) -> Rates:
    """The published combination: cascade and age for the scaffold, patches, and warm-up of the new.

    Args:
        depth: `depth^(i / L)` of the scaffold of layer `i`.
        age: `age^floor(epoch / period)` of the scaffold.
        period: in epochs.
        patch: of patches.
        warm: epochs over which all other growth rises from zero.
    """

    def rates(net: Network, clock: Clock) -> Tree:
        years = jnp.asarray(age) ** jnp.floor(clock.t / clock.length / period)
        cascade = _by_layer(net, lambda i, layers: jnp.asarray(depth) ** (i / layers) * years)

        def one(born: Array, kind: Array, scaffold: Array) -> Array:
            rest = jnp.where(kind == an.KIND["patch"], patch, _warmed(clock, born, warm))
            return jnp.where(kind == an.KIND["scaffold"], scaffold, rest)

        return jax.tree.map(one, net.anatomy.born, net.anatomy.kind, cascade)

    return rates


def _by_layer(net: Network, factor: Callable[[int, int], Array]) -> Tree:
    """One factor a layer, in the place of each of its leaves."""
    names = sorted(net.params)
    return {
        name: {leaf: factor(i, len(names)) for leaf in net.params[name]}
        for i, name in enumerate(names)
    }


def _epochs(clock: Clock, born: Array) -> Array:
    return jnp.floor((clock.t - born) / clock.length)


def _events_since(anatomy: Anatomy, born: Array) -> Array:
    """Events after the one in which each weight came to be."""
    steps = anatomy.ledger[:, 0]  # NaN where there was no event yet
    return sum(((step > born).astype(float) for step in steps), jnp.zeros(born.shape))


def _warmed(clock: Clock, born: Array, epochs: float) -> Array:
    """1 for what was there at first."""
    return jnp.where(born == 0, 1.0, jnp.minimum(1.0, _epochs(clock, born) / epochs))
