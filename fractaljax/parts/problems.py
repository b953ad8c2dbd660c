"""Problems that are drawn or written down rather than read. Data sets live in `datasets`."""

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts.sampling import LOSSES, batches, difference
from fractaljax.registry import register
from fractaljax.types import Data, Problem

MAX_POINTS = 2**31 - 1
VALIDATION = 1  # tag of the stream of validation points under the key of the data


@register("problem", "random_regression")
def random_regression(
    points: int | str = "matching",
    inputs: int = 16,
    targets: int = 1,
    batch: int = 0,
    sampling: str = "",
    validation: int = 0,
) -> Problem:
    """Regression of Gaussian noise on Gaussian noise (arXiv:2402.06184, section 2).

    Args:
        points: a number, `single`, `matching` (one target value a parameter of the network), or
            a ratio to that such as `0.5x`.
        inputs: dimension of the inputs; the paper's equals the width.
        targets: dimension of the targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement (the published way), distinct, epochs or passes.
        validation: further points, drawn apart, that decide when training stops.

    Raises:
        FractaljaxError: an argument out of range, with what is allowed.
    """
    if inputs < 1 or targets < 1:
        raise FractaljaxError(f"inputs={inputs}, targets={targets}: both must be at least 1")
    if validation < 0:
        raise FractaljaxError(f"validation={validation}: allowed are 0 and more")
    ratio, fixed = _points(points)

    def load(key, source, count) -> Data:
        del source
        n = fixed if fixed else max(1, int(count(inputs, targets) * ratio / targets))
        held = noise(jax.random.fold_in(key, VALIDATION), validation) if validation else ()
        return noise(key, n)._replace(valid=held)

    def noise(key, n) -> Data:
        # The order of these splits is the published notebook's.
        rest, x_key = jax.random.split(key)
        _, y_key = jax.random.split(rest)
        return Data(jax.random.normal(x_key, (n, inputs)), jax.random.normal(y_key, (n, targets)))

    taken = batches(batch, sampling)
    return Problem(lambda: (), load, LOSSES["mse"], residuals=difference, **taken)


@register("problem", "rippled_parabola")
def rippled_parabola(
    ripple: str = "added", amplitude: float = 0.2, wavelength: float = 1.0
) -> Problem:
    """A parabola with a cosine on it: the smallest loss whose training boundary is a fractal.

    `u^2 + amplitude (1 + cos(2 pi u / wavelength))`, or
    `u^2 (1 + amplitude cos(2 pi u / wavelength))`, of the one output `u` for the input 1 (Liu,
    arXiv:2406.13971). The added ripple makes the loss non-convex from
    `amplitude / wavelength^2 = 1 / (2 pi^2)` on, and the boundary rough. Take the model `linear`,
    whose one weight then is `u`.

    Args:
        ripple: added or multiplied.
        amplitude: of the cosine.
        wavelength: of the cosine.
    """
    if ripple not in RIPPLES:
        raise unknown("ripple", ripple, RIPPLES)

    def load(key, source, count) -> Data:
        del key, source, count
        return Data(jnp.ones((1, 1)), jnp.zeros((1, 1)))

    def loss(outputs, targets):
        u = jnp.mean(outputs - targets)
        return RIPPLES[ripple](u**2, amplitude, jnp.cos(2 * jnp.pi * u / wavelength))

    return Problem(lambda: (), load, loss, None)


RIPPLES = {
    "added": lambda bowl, amplitude, cosine: bowl + amplitude * (1 + cosine),  # never below 0
    "multiplied": lambda bowl, amplitude, cosine: bowl * (1 + amplitude * cosine),
}


def _points(points: int | str) -> tuple[float, int]:
    """`(ratio, 0)` or `(0.0, number)`."""
    text = str(points)
    named = {"matching": (1.0, 0), "single": (0.0, 1)}
    if text in named:
        return named[text]
    try:
        ratio, fixed = (float(text[:-1]), 0) if text.endswith("x") else (0.0, int(text))
    except ValueError:
        ratio, fixed = 0.0, 0
    if not (0 < ratio < float("inf") or 0 < fixed <= MAX_POINTS):
        raise FractaljaxError(
            f"points={points!r}: takes a number above 0, single, matching, or a ratio such as 0.5x"
        )
    return ratio, fixed
