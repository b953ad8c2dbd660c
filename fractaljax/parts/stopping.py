"""When a training ends early."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.registry import register
from fractaljax.types import Array, Stopping


class _Patience(NamedTuple):
    best: Array  # smallest loss so far
    waited: Array  # looks since then


@register("stopping", "patience")
def patience(
    patience: int = 4,
    min_delta: float = 0.0,
    interval: int = 4,
    schedule: tuple[tuple[int, int], ...] = ((100, 5),),
) -> Stopping:
    """Ends a training after so many looks at the validation loss without a better one.

    There is a look after every epoch that a number divides, and after the last one.

    Args:
        patience: looks without an improvement after which training ends.
        min_delta: a loss is better if it is smaller than the best by more than this.
        interval: epochs between two looks where the schedule has no say.
        schedule: pairs `[last epoch, interval]` in ascending order: up to that epoch, looks are
            that many epochs apart.
    """
    for name, value in {"patience": patience, "interval": interval}.items():
        if value < 1:
            raise FractaljaxError(f"{name}={value}: at least 1")
    if isinstance(min_delta, float) and not (math.isfinite(min_delta) and min_delta >= 0):
        raise FractaljaxError(f"min_delta={min_delta}: takes a finite number of at least 0")
    _check_schedule(schedule)

    def due(epoch: Array, epochs: int) -> Array:
        apart = jnp.full((), interval, epoch.dtype)
        for last, between in reversed(schedule):
            apart = jnp.where(epoch <= last, between, apart)
        return (epoch % apart == 0) | (epoch == epochs)

    def init(zero: Array) -> _Patience:
        return _Patience(jnp.full_like(zero, jnp.inf), jnp.zeros((), jnp.int32))

    def update(c: _Patience, loss: Array) -> tuple[_Patience, Array]:
        better = loss < c.best - min_delta  # never, where the loss is NaN
        return _Patience(
            jnp.where(better, loss, c.best), jnp.where(better, 0, c.waited + 1)
        ), better

    return Stopping(due, init, update, lambda c: c.waited >= patience)


def _check_schedule(schedule: tuple) -> None:
    wrong = FractaljaxError(
        f"schedule={schedule!r}: takes pairs [last epoch, interval] of whole numbers from 1, the "
        "last epochs ascending, as in [[100, 5]]"
    )
    lasts = [0]
    for pair in schedule:
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(type(n) is int for n in pair)):
            raise wrong
        if pair[0] <= lasts[-1] or pair[1] < 1:
            raise wrong
        lasts.append(pair[0])
