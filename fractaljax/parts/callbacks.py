"""Callbacks: what changes at some step of a training, before the update of that step."""

import math

import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.registry import register
from fractaljax.types import Array, Callback


@register("callback", "switch_batch_size")
def switch_batch_size(step: int = 1, batch_size: int | None = None) -> Callback:
    """Another size of the batches from a step on.

    Args:
        step: the first with the new size.
        batch_size: points of a batch; null is the full batch.
    """
    return Callback(batches=(_switch(step, batch_size),))


@register("callback", "multi_switch_batch_size")
def multi_switch_batch_size(schedule: tuple[tuple[int, int | None], ...] = ()) -> Callback:
    """Another size of the batches from each of several steps on.

    Args:
        schedule: step -> size, as in `{1000: 50, 5000: null}`; null is the full batch.
    """
    return Callback(batches=tuple(_switch(step, size) for step, size in schedule))


@register("callback", "lr_decay")
def lr_decay(decay_every: int = 1000, factor: float = 0.5) -> Callback:
    """All learning rates times `factor` at every `decay_every`-th step but the first.

    Args:
        decay_every: steps between two cuts.
        factor: of each of them.
    """
    if decay_every < 1:
        raise FractaljaxError(f"decay_every={decay_every}: at least 1 step")
    if isinstance(factor, float) and not (math.isfinite(factor) and factor >= 0):
        raise FractaljaxError(f"factor={factor}: takes a finite number of at least 0")

    def decayed(t: Array) -> Array:
        # no power of a traced number: its rounding is another on every device
        return jnp.asarray(factor) ** (t // decay_every)

    return Callback(factor=decayed)


def _switch(step: int, size: int | None) -> tuple[int, int]:
    if step < 0 or (size is not None and size < 1):
        raise FractaljaxError(f"step={step}, batch_size={size}: at least 0 and 1")
    return step, size or 0
