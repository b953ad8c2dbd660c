"""Full-batch gradient descent beside the mean of stochastic gradient descent over batch seeds."""

from typing import NamedTuple

import numpy as np

from fractaljax.analysis.bands import Band, band
from fractaljax.errors import FractaljaxError

NO_NOISE = 1e-12  # of the gradient's covariance: below, there is no signal-to-noise ratio


class Below(NamedTuple):
    """How the loss of gradient descent lies to the mean loss of SGD."""

    sgd: Band  # over the batch seeds, at every evaluation
    ratio: np.ndarray  # mean of SGD over the loss of GD, [K]
    share: float  # of the evaluations: GD lies below the mean
    certain: float  # of the evaluations: GD lies below the whole interval of the mean
    above: float  # of the evaluations: GD lies above the whole interval


def below(gd: np.ndarray, sgd: np.ndarray, ci: float = 0.95) -> Below:
    """Compares one loss curve with the mean of many.

    The first evaluation comes before any update, where all are equal; it does not count.

    Args:
        gd: `[K]`, of gradient descent.
        sgd: `[R, K]`, of SGD, a batch seed a row.
        ci: of the interval of the mean (see `bands.band`).

    Raises:
        FractaljaxError: the curves do not fit together, or there is nothing to compare.
    """
    gd, sgd = np.asarray(gd, float), np.asarray(sgd, float)
    if gd.ndim != 1 or sgd.ndim != 2 or sgd.shape[1:] != gd.shape or len(gd) < 2 or len(sgd) < 2:
        raise FractaljaxError(
            f"gd {list(gd.shape)}, sgd {list(sgd.shape)}: takes [K] and [R, K], K and R at least 2"
        )
    mean = band(sgd, ci)
    known = np.isfinite(gd) & np.isfinite(mean.mean)
    known[0] = False
    if not known.any():
        raise FractaljaxError("no evaluation at which both are finite")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = mean.mean / gd
    shares = (gd < mean.mean, gd < mean.low, gd > mean.high)
    return Below(mean, ratio, *(float(s[known].mean()) for s in shares))


def signal_to_noise(grad_norm_squared: np.ndarray, trace: np.ndarray) -> np.ndarray:
    """`|g|^2 / Tr(S)`, the squared gradient over the trace of its covariance; NaN without noise."""
    grad_norm_squared, trace = np.asarray(grad_norm_squared), np.asarray(trace)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(trace > NO_NOISE, grad_norm_squared / trace, np.nan)
