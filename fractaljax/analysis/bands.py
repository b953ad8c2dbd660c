"""Curves of several runs as one: their mean with its interval, and moving averages."""

from typing import NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError


class Band(NamedTuple):
    """The mean of some runs at every step, and a confidence interval of that mean.

    All but `runs` have the shape of one curve, `[K, ...]`. Only finite values count: a run that
    diverged takes part until it does, so where `n < runs` the mean is that of the survivors.
    """

    mean: np.ndarray  # NaN where no run is finite
    low: np.ndarray  # NaN where fewer than two runs are finite
    high: np.ndarray
    n: np.ndarray  # runs that are finite there
    runs: int  # all of them


def band(values: np.ndarray, ci: float = 0.95) -> Band:
    """Student's interval of the mean over runs: `mean ± t_{(1 + ci) / 2, n - 1} sd / √n`.

    Where no value of the whole metric is below 0 the interval is symmetric in the logarithm
    instead, with the standard error of `log mean` by the delta method, `sd / (mean √n)`: its ends
    are `mean · exp(± t sd / (mean √n))`, so it never leaves the positive numbers.

    Args:
        values: of one metric, `[R, K, ...]`, a run a row; what is not finite is left out.
        ci: how much the interval covers, between 0 and 1.

    Raises:
        FractaljaxError: `ci` is not between 0 and 1.
    """
    from scipy.special import stdtrit

    if not 0 < ci < 1:
        raise FractaljaxError(f"ci={ci}: must be between 0 and 1, as 0.95")
    values = np.asarray(values, float)
    counted = np.isfinite(values)
    n = counted.sum(0)
    largest = np.abs(values).max(0, initial=0, where=counted)
    # a power of two: exact, and the squares of what is about to diverge do not overflow
    unit = np.ldexp(1.0, np.frexp(largest)[1] - 1)
    parts = np.where(counted, values, 0) / unit
    mean = parts.sum(0) / np.where(n > 0, n, np.nan)
    squares = (np.where(counted, parts - mean, 0) ** 2).sum(0)
    some = np.where(n > 1, n, np.nan)
    reach = stdtrit(some - 1, (1 + ci) / 2) * np.sqrt(squares / (some - 1) / some)
    with np.errstate(over="ignore"):  # of what is about to diverge, and of a `ci` near 1
        if np.any(values < 0, where=counted):
            low, high = mean - reach, mean + reach
        else:
            ratio = np.exp(reach / np.where(mean > 0, mean, 1))  # where the mean is 0, all are
            low, high = mean / ratio, mean * ratio
        return Band(mean * unit, low * unit, high * unit, n, len(values))


def smooth(curve: np.ndarray, window: int) -> np.ndarray:
    """The moving average over the last `window` points, of the same length as the curve.

    Before its first point a curve is taken to have been there all the time. Where one point of a
    window is not finite, its average is not either.

    Args:
        curve: `[K, ...]`.
        window: points of an average; 0 and 1 leave the curve as it is.

    Raises:
        FractaljaxError: `window` is negative.
    """
    curve = np.asarray(curve)
    if window < 0:
        raise FractaljaxError(f"smoothing={window}: must be 0 or more")
    if window < 2 or not len(curve):
        return curve
    before = np.repeat(curve[:1], window - 1, axis=0)
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([before, curve]), window, 0)
    with np.errstate(invalid="ignore"):  # of infinities of both signs
        return windows.mean(-1)
