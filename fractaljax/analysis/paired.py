"""Paired differences between two treatments of the same seeds, and what they allow to say."""

from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


class Difference(NamedTuple):
    """Of a measure, one side less the other, over `n` pairs."""

    mean: float
    low: float  # ends of the bootstrap interval of the mean
    high: float
    n: int


def difference(one: np.ndarray, other: np.ndarray, level: float = LEVEL) -> Difference:
    """Mean of the paired differences `[K]`, with a percentile bootstrap interval over the pairs.

    A pair in which one side is not finite is left out; with fewer than two there is no interval.
    """
    pairs = np.asarray(one, float) - np.asarray(other, float)
    pairs = pairs[np.isfinite(pairs)]
    if not len(pairs):
        return Difference(np.nan, np.nan, np.nan, 0)
    if len(pairs) < 2:
        return Difference(float(pairs[0]), np.nan, np.nan, 1)
    low, high = interval(pairs, level)
    return Difference(float(pairs.mean()), low, high, len(pairs))


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of `[K]` values; the same for the same values."""
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    means = values[draws].mean(axis=1)
    ends = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(ends[0]), float(ends[1])


def verdict(found: Difference, relation: str, margin: float) -> str:
    """`supported`, `refuted` or `undecided`: where the interval lies.

    `>` is supported by an interval wholly above the margin and refuted by one wholly at or below
    it; `<` alike; `~` is supported by one wholly within the margin on either side, and refuted by
    one wholly outside.
    """
    if not np.isfinite([found.low, found.high]).all():
        return "undecided"
    low, high = (found.low, found.high) if relation != "<" else (-found.high, -found.low)
    if relation == "~":
        if -margin <= low and high <= margin:
            return "supported"
        return "refuted" if low > margin or high < -margin else "undecided"
    if low > margin:
        return "supported"
    return "refuted" if high <= margin else "undecided"
