"""The coordinates of results that keep none: those of fractaljax until 29 November 2026.

Such a store, zoom or map was begun with what is computed here, and goes on with it: a last bit
decides at a fractal edge, so two rules are never mixed in one result. Nothing else uses this.
"""

import math
from typing import TypeVar

import numpy as np

from fractaljax.window import Axis, Lattice, Window

RULE = "interpolated"  # as a result says it
_LN10 = math.log(10)
_Either = TypeVar("_Either", bound=Axis | Lattice)
_NEAR = 0.125  # decades from the origin of a lattice within which a difference was taken


def placed(window: Window) -> Window:
    """The window with these coordinates."""
    return Window(*(kept(axis) for axis in window.axes))


def kept(axis: _Either) -> _Either:
    """An axis with these coordinates."""
    return axis.keeping(_around(axis) if isinstance(axis, Lattice) else _between(axis), RULE)


def _between(axis: Axis) -> np.ndarray:
    share = np.arange(axis.n) / (axis.n - 1) if axis.n > 1 else np.full(1, 0.5)
    coordinates = axis.low * (1 - share) + axis.high * share
    if axis.scale == "linear":
        return coordinates
    # The C library's pow: numpy's vector version differs in the last bit between processors.
    return np.array([math.pow(10.0, c) for c in coordinates])


def _around(axis: Lattice) -> np.ndarray:
    return np.array([_value(axis, i) for i in range(axis.first, axis.first + axis.n)])


def _value(axis: Lattice, index: int) -> float:
    distance = index * axis.pitch
    if axis.scale == "linear":
        return axis.origin + (distance + axis.residue)
    try:
        if abs(distance) < _NEAR:
            return axis.origin + (axis.origin * math.expm1(_LN10 * distance) + axis.residue)
        return axis.origin * math.pow(10.0, distance)
    except OverflowError:
        return math.inf
