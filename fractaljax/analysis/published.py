"""The published estimator (arXiv:2402.06184), to the number.

Its notebook counts with `boxcount` of the package porespy: ten box sizes, log-spaced whole numbers
from 10 pixels to the side of the edge image; boxes cut by the border count as boxes; a box counts
when it holds some edge and is not full of it. The slopes are numpy's gradient of log count over
log size, and the dimension is the median of all slopes of all keyframes: no offsets, no interval.
"""

from typing import NamedTuple

import numpy as np

BINS = 10
SMALLEST = 10  # pixels


class Slopes(NamedTuple):
    """One level: box sizes in pixels, their counts, and the local slopes, sign flipped."""

    sizes: np.ndarray  # int [S]
    counts: np.ndarray  # int [S]
    slopes: np.ndarray  # float [S]; not finite where a count is 0


NO_SLOPES = Slopes(np.zeros(0, int), np.zeros(0, int), np.zeros(0))


def slopes(edges: np.ndarray) -> Slopes:
    """Counts and local slopes of an edge image.

    Args:
        edges: bool `[ny, nx]` or `[nx]`, with more than 10 pixels along its shorter side.
    """
    sizes = np.logspace(1, np.log10(min(edges.shape)), BINS).astype(int)
    sizes = np.unique(sizes[sizes >= SMALLEST])
    counts = np.array([_count(edges, int(size)) for size in sizes])
    if len(sizes) < 2:
        return Slopes(sizes, counts, np.full(len(sizes), np.nan))
    with np.errstate(divide="ignore", invalid="ignore"):
        return Slopes(sizes, counts, -np.gradient(np.log(counts), np.log(sizes)))


def median(levels: list[Slopes]) -> float:
    """The dimension over one or more levels; NaN where no slope is finite."""
    found = np.concatenate([level.slopes for level in levels]) if levels else np.zeros(0)
    found = found[np.isfinite(found)]
    return float(np.median(found)) if found.size else float("nan")


def _count(edges: np.ndarray, size: int) -> int:
    """Boxes that hold some edge and are not full of it."""
    some, every = edges, edges
    for axis, n in enumerate(edges.shape):
        starts = np.arange(0, n, size)
        some = np.logical_or.reduceat(some, starts, axis=axis)
        every = np.logical_and.reduceat(every, starts, axis=axis)
    return int(np.count_nonzero(some & ~every))
