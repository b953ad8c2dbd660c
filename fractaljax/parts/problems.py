"""Problems that are drawn rather than read. Data sets live in `datasets`."""

import jax

from fractaljax.errors import FractaljaxError
from fractaljax.parts.sampling import LOSSES, sampler
from fractaljax.registry import register
from fractaljax.types import Data, Problem

MAX_POINTS = 2**31 - 1


@register("problem", "random_regression")
def random_regression(
    points: int | str = "matching",
    inputs: int = 16,
    targets: int = 1,
    batch: int = 0,
    sampling: str = "",
) -> Problem:
    """Regression of Gaussian noise on Gaussian noise (arXiv:2402.06184, section 2).

    Args:
        points: a number, `single`, `matching` (one target value a parameter of the network), or
            a ratio to that such as `0.5x`.
        inputs: dimension of the inputs; the paper's equals the width.
        targets: dimension of the targets.
        batch: points of a minibatch; 0 is full batch. The loss that is shown is always on all.
        sampling: of minibatches: replacement (the published way), distinct or epochs.

    Raises:
        FractaljaxError: an argument out of range, with what is allowed.
    """
    if inputs < 1 or targets < 1:
        raise FractaljaxError(f"inputs={inputs}, targets={targets}: both must be at least 1")
    ratio, fixed = _points(points)

    def load(key, source, count) -> Data:
        del source
        n = fixed if fixed else max(1, int(count(inputs, targets) * ratio / targets))
        # The order of these splits is the published notebook's.
        rest, x_key = jax.random.split(key)
        _, y_key = jax.random.split(rest)
        return Data(jax.random.normal(x_key, (n, inputs)), jax.random.normal(y_key, (n, targets)))

    return Problem(lambda: (), load, LOSSES["mse"], sampler(batch, sampling))


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
