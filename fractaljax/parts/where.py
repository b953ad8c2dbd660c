"""Where a network might grow: units that say too much or too little."""

import jax
import jax.numpy as jnp

from fractaljax.errors import unknown
from fractaljax.parts.anatomy import alive, layout
from fractaljax.registry import register
from fractaljax.types import Array, Moment, Network, Sites, Where

STATISTICS = ("magnitude", "mean", "active")
RULES = ("deviation", "quantile", "absolute")
SILENT = 0.01  # a unit is active on a point where it is larger than this


@register("where", "extrema")
def extrema(
    statistic: str = "magnitude",
    before: bool = False,
    high_by: str = "deviation",
    high: float = 2.0,
    low_by: str = "absolute",
    low: float = 0.01,
    shuffle: bool = False,
) -> Where:
    """Saturated and dead hidden units, by their activity over training points.

    Args:
        statistic: of a unit: `magnitude`, the mean of its size; `mean`; `active`, the share of
            points on which it is larger than 0.01 in size.
        before: of the activation's argument, not of its value.
        high_by, high: saturated is above `mean + high * deviation` over its layer (deviation),
            above that quantile of its layer, or above that value (absolute).
        low_by, low: dead is below, alike; `deviation` is below `mean - low * deviation`.
        shuffle: as many units of each layer, at random: the control of whether the place matters.
    """
    if statistic not in STATISTICS:
        raise unknown("statistic", statistic, STATISTICS)
    for name, value in {"high_by": high_by, "low_by": low_by}.items():
        if value not in RULES:
            raise unknown(name, value, RULES)

    def where(net: Network, moment: Moment) -> Sites:
        assert moment.model.units is not None  # a model with masks has units
        found = moment.model.units(net.params, moment.data.x)[0 if before else 1]
        lay, there = layout(net.params), alive(net.anatomy)
        outside = [jnp.zeros(lay.sizes[i], bool) for i in (0, -1)]
        highs, lows, levels = [outside[0]], [outside[0]], [jnp.zeros(lay.sizes[0])]
        for i, values in enumerate(found):
            level = _statistic(statistic, values)
            own = there[lay.node(i + 1)]
            up = own & (level > _bound(high_by, level, own, high, 1))
            down = own & (level < _bound(low_by, level, own, low, -1))
            if shuffle:
                up, down = _shuffled(jax.random.fold_in(moment.key, 1000 + i), up, down, own)
            highs.append(up)
            lows.append(down & ~up)
            levels.append(level)
        levels.append(jnp.zeros(lay.sizes[-1]))
        ends = [*highs, outside[1]], [*lows, outside[1]]
        return Sites(jnp.concatenate(ends[0]), jnp.concatenate(ends[1]), jnp.concatenate(levels))

    return where


def _statistic(name: str, values: Array) -> Array:
    """`[H, N] -> [H]`."""
    if name == "mean":
        return jnp.mean(values, axis=1)
    size = jnp.abs(values)
    return jnp.mean(size if name == "magnitude" else (size > SILENT).astype(size.dtype), axis=1)


def _bound(rule: str, level: Array, own: Array, value: float, side: int) -> Array:
    """The level of a layer beyond which a unit is extreme."""
    if rule == "absolute":
        return jnp.asarray(value, level.dtype)
    if rule == "quantile":
        return jnp.nanquantile(jnp.where(own, level, jnp.nan), value)
    number = jnp.maximum(jnp.sum(own), 1)
    mean = jnp.sum(jnp.where(own, level, 0)) / number
    spread = jnp.sqrt(jnp.sum(jnp.where(own, (level - mean) ** 2, 0)) / number)
    return mean + side * value * spread


def _shuffled(key: Array, up: Array, down: Array, own: Array) -> tuple[Array, Array]:
    """As many of each among the units that exist."""
    order = jnp.argsort(jnp.where(own, jax.random.uniform(key, own.shape), 2.0))
    rank = jnp.zeros(own.shape, jnp.int32).at[order].set(jnp.arange(own.shape[0]))
    highs, lows = jnp.sum(up), jnp.sum(down & ~up)
    return own & (rank < highs), own & (rank >= highs) & (rank < highs + lows)
