"""Learning-rate schedules: a factor on every rate, from the step and the number of steps."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from fractaljax.errors import FractaljaxError
from fractaljax.registry import register
from fractaljax.types import Array, Schedule


@register("schedule", "constant")
def constant(warmup: float = 0.0) -> Schedule:
    """The same rate throughout, after a linear warm-up over a share `warmup` of the steps."""
    if isinstance(warmup, float) and warmup == 0:
        return None  # no factor at all: the paper's plain gradient descent, bit for bit
    return _warmed(lambda t, steps: jnp.ones(()), warmup)


@register("schedule", "cosine")
def cosine(final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """Half a cosine from 1 to `final` (Loshchilov and Hutter, arXiv:1608.03983), one cycle."""
    return _warmed(lambda t, steps: optax.cosine_decay_schedule(1.0, steps, final)(t), warmup)


@register("schedule", "step")
def step(every: float = 0.3, factor: float = 0.1, warmup: float = 0.0) -> Schedule:
    """Multiplied by `factor` after each share `every` of the steps."""
    if isinstance(every, float) and not 0 < every <= 1:
        raise FractaljaxError(f"every={every}: a share of the steps, above 0 and at most 1")
    return _warmed(lambda t, steps: factor ** jnp.floor(t / (every * steps) + 1e-6), warmup)


@register("schedule", "linear")
def linear(final: float = 0.0, warmup: float = 0.0) -> Schedule:
    """A straight line from 1 to `final`."""
    return _warmed(lambda t, steps: 1 + (final - 1) * t / steps, warmup)


def _warmed(schedule: Callable[[Array, int], Array], warmup: float) -> Schedule:
    """The schedule under a linear rise from `1 / W` to 1 over `W = warmup * steps` steps."""
    if isinstance(warmup, float) and not 0 <= warmup <= 1:
        raise FractaljaxError(f"warmup={warmup}: a share of the steps, 0 to 1")
    # max(.., 1) keeps a warm-up shorter than one step from dividing by zero
    return lambda t, steps: (
        schedule(t, steps) * jnp.minimum(1.0, (t + 1) / jnp.maximum(warmup * steps, 1.0))
    )
