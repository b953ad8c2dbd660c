"""Straight lines with one slope for all levels and an intercept for each."""

from typing import NamedTuple

import numpy as np

REPEATS = 1000  # of a bootstrap
COVERED = 95.0  # % of them that an interval holds


class Points(NamedTuple):
    """What the line of one level goes through."""

    x: np.ndarray  # [N]
    y: np.ndarray  # [N]
    weight: np.ndarray  # [N]; 1 / variance of y, or ones
    resampled: np.ndarray  # [REPEATS, N]; y again, from resampled data


class Line(NamedTuple):
    """The common slope of one or more levels."""

    slope: float
    low: float  # 95 % interval of the slope
    high: float
    r_squared: float  # within the levels


def fit(levels: list[Points], rng: np.random.Generator) -> Line:
    """Least squares with a common slope and an intercept a level.

    The interval is a percentile bootstrap around the estimate: each repeat takes as many levels as
    there are, with replacement, and of each its resampled `y`.
    """
    tilts = [_tilt(p) for p in levels]
    steep = np.array([t @ (p.x - _middle(p, p.x)) for t, p in zip(tilts, levels, strict=True)])
    rise = np.array([t @ p.y for t, p in zip(tilts, levels, strict=True)])
    slope = rise.sum() / steep.sum()
    again = np.array([p.resampled @ t for t, p in zip(tilts, levels, strict=True)])
    taken = rng.multinomial(len(levels), np.full(len(levels), 1 / len(levels)), REPEATS).T
    slopes = (taken * again).sum(0) / (taken * steep[:, None]).sum(0)
    tail = (100 - COVERED) / 2
    low, high = np.percentile(slopes - np.median(slopes), (tail, 100 - tail))
    left = sum(float(p.weight @ residuals(p, slope) ** 2) for p in levels)
    total = sum(float(p.weight @ residuals(p, 0.0) ** 2) for p in levels)
    r_squared = 1 - left / total if total > 0 else float("nan")
    slope = float(slope) + 0.0  # not -0.0
    return Line(slope, slope + float(low), slope + float(high), r_squared)


def residuals(points: Points, slope: float) -> np.ndarray:
    """Distances of `y` from the line of this slope through the middle of a level: `[N]`."""
    return points.y - intercept(points, slope) - slope * points.x


def intercept(points: Points, slope: float) -> float:
    """Where the line of this slope through the middle of a level meets `x = 0`."""
    return _middle(points, points.y) - slope * _middle(points, points.x)


def _middle(points: Points, values: np.ndarray) -> float:
    return float(points.weight @ values / points.weight.sum())


def _tilt(points: Points) -> np.ndarray:
    """The vector whose product with `y` is the numerator of the slope: `[N]`."""
    return points.weight * (points.x - _middle(points, points.x))
