"""Outcomes of a level, and the pixels of the boundary between them."""

from collections.abc import Container
from typing import NamedTuple

import numpy as np

NEIGHBOURHOOD = 16  # pixels along a box in which neighbours are compared


READINGS = ("measure", "status")  # that tell whether a network converged


class Outcomes(NamedTuple):
    """What became of each network of a level, `[ny, nx]` or `[nx]`."""

    converged: np.ndarray  # bool
    trained: np.ndarray  # bool; where it is false, `converged` means nothing


def telling(names: Container[str]) -> str | None:
    """The reading among `names` that tells whether a network converged, if one does."""
    return next((name for name in READINGS if name in names), None)


def converged(values: np.ndarray, reading: str) -> np.ndarray:
    """Whether each network converged: `measure` below 0, or `status` 0."""
    return values < 0 if reading == "measure" else values == 0


def outcomes(values: np.ndarray, done: np.ndarray, reading: str) -> Outcomes:
    """Outcomes from a reading.

    Args:
        values, done: of the same shape; NaN counts as not trained.
        reading: `measure` or `status`.
    """
    return Outcomes(converged(values, reading), done & ~np.isnan(values))


def edges(found: Outcomes) -> np.ndarray:
    """Blocks of 2 x 2 pixels (2, with one axis) that hold both outcomes: bool, one less a side.

    A block with a pixel that is not trained holds no edge.
    """
    known = _blocks(found.trained, np.logical_and)
    some, every = _blocks(found.converged, np.logical_or), _blocks(found.converged, np.logical_and)
    return known & some & ~every


class Neighbours(NamedTuple):
    """Adjacent pixels near the boundary."""

    correlation: float  # Pearson's, of their outcomes; NaN without a boundary
    pairs: int


def neighbours(found: Outcomes) -> Neighbours:
    """How much alike the outcomes of adjacent pixels near the boundary are.

    Taken over all pairs of horizontal and vertical neighbours, both trained, that lie in the same
    box of 16 pixels a side, in boxes that hold both outcomes: regions far from the boundary do not
    count. 1 would be two large regions, 0 is noise from pixel to pixel.
    """
    converged, trained = found.converged & found.trained, found.trained
    near = _mixed_boxes(converged, trained)
    counts = np.zeros((2, 2))
    for axis in range(converged.ndim):
        first, second = _pair(axis, converged.ndim)
        inside = np.arange(1, converged.shape[axis]) % NEIGHBOURHOOD != 0
        shape = [-1 if i == axis else 1 for i in range(converged.ndim)]
        pairs = trained[first] & trained[second] & near[first] & inside.reshape(shape)
        a, b = converged[first], converged[second]
        for i, left in enumerate((~a, a)):
            counts[i] += [np.count_nonzero(pairs & left & right) for right in (~b, b)]
    share = (counts + counts.T) / 2 / max(counts.sum(), 1)  # a pair has no order
    p = share[1].sum()
    alike = float((share[1, 1] - p * p) / (p * (1 - p))) if 0 < p < 1 else float("nan")
    return Neighbours(alike, int(counts.sum()))


def _mixed_boxes(converged: np.ndarray, trained: np.ndarray) -> np.ndarray:
    """True in the boxes that hold both outcomes; like `converged`."""
    some, other = converged, trained & ~converged
    for axis in range(converged.ndim):
        starts = np.arange(0, converged.shape[axis], NEIGHBOURHOOD)
        some = np.logical_or.reduceat(some, starts, axis=axis)
        other = np.logical_or.reduceat(other, starts, axis=axis)
    mixed = some & other
    for axis, n in enumerate(converged.shape):
        mixed = np.repeat(mixed, NEIGHBOURHOOD, axis=axis)
        mixed = mixed[(slice(None),) * axis + (slice(n),)]
    return mixed


def _blocks(values: np.ndarray, join: np.ufunc) -> np.ndarray:
    """`join` over each block of two pixels along every axis."""
    for axis in range(values.ndim):
        first, second = _pair(axis, values.ndim)
        values = join(values[first], values[second])
    return values


def _pair(axis: int, ndim: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Indices of each pixel with a successor along an axis, and of the successors."""
    before = (slice(None),) * axis
    after = (slice(None),) * (ndim - axis - 1)
    return (*before, slice(None, -1), *after), (*before, slice(1, None), *after)
