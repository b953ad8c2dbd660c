"""Stretches: which value gets which of the 256 levels of a colour map.

Every stretch is monotone, so it is fully described by the 255 values at which the next level
begins. Colouring is then one search in a table that fits the cache, whatever the stretch and
however large the reference: fast, exact, and the same for a tile, a strip or the whole field.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fractaljax.errors import unknown
from fractaljax.view.colours import LEVELS, MISSING

GAP = 64  # levels left out between the two signs: the published buffer of 0.25 to either side
SIDE = (LEVELS - GAP) // 2  # levels of one sign
_LARGEST = np.finfo(np.float64).max
_DECADES = 12  # of the log stretch; smaller magnitudes look like zero


class Scale(NamedTuple):
    """How values become colours: level i holds the values from `edges[i - 1]` up to `edges[i]`.

    `edges` is float64 `[levels - 1]`, ascending and finite; `table` is uint8 `[levels, 3]`, the
    colour of the lowest values first. The mean of the edges of two scales of the same stretch
    is a scale between them: a cross-fade of their reference distributions.
    """

    edges: np.ndarray
    table: np.ndarray

    def colours(self, values: np.ndarray, done: np.ndarray) -> np.ndarray:
        """uint8 `[..., 3]` for values `[...]`; grey where not `done` or NaN."""
        values = np.asarray(values, np.float64)
        levels = np.searchsorted(self.edges, values, side="right")
        levels[np.isnan(values) | ~done] = len(self.table)
        return np.take(np.vstack([self.table, MISSING]).astype(np.uint8), levels, axis=0)


def edges(reference: np.ndarray, stretch: str, *, signed: bool) -> np.ndarray:
    """The 255 values at which the next level begins, float64 ascending.

    Args:
        reference: values `[n]` that the picture is balanced for, without NaN; may be empty.
        stretch: `rank` gives every level the same number of reference values (the published
            histogram equalisation, arXiv:2402.06184), `linear` and `log` the same difference
            and the same ratio; they span the finite values.
        signed: the sign tells two kinds of pixels apart. Values below 0 then only share levels
            with each other; `rank` and `log` leave a gap of 64 levels between the signs.

    Raises:
        FractaljaxError: there is no such stretch.
    """
    if stretch not in STRETCHES:
        raise unknown("stretch", stretch, STRETCHES)
    found = STRETCHES[stretch](np.asarray(reference, np.float64), signed)
    return np.clip(found, -_LARGEST, _LARGEST)  # finite, so that two scales can be mixed


def _rank(values: np.ndarray, signed: bool) -> np.ndarray:
    values = np.sort(values)
    if not signed:
        return _quantiles(values, LEVELS, beyond=np.inf)
    negative, others = np.split(values, [np.searchsorted(values, 0.0)])
    return _joined(_quantiles(negative, SIDE, beyond=0.0), _quantiles(others, SIDE, beyond=np.inf))


def _quantiles(values: np.ndarray, levels: int, *, beyond: float) -> np.ndarray:
    """Edges `[levels - 1]` that split ascending values evenly; `beyond` where there are too few.

    They are members of `values`, not means of neighbours: a monotone change of all values gives
    the same picture, whatever rounding does, and infinite values do no harm. Integers keep the
    published rank, `linspace` over the sorted values, exact.
    """
    at = np.arange(1, levels) * (len(values) - 1) // levels + 1
    return np.append(values, beyond)[np.clip(at, 0, len(values))]


def _linear(values: np.ndarray, signed: bool) -> np.ndarray:
    low, high = _finite_range(values)
    if signed:
        high = max(abs(low), abs(high))
        low = -high
    part = np.arange(1, LEVELS) / LEVELS
    return low * (1 - part) + high * part  # `low + (high - low) * part` overflows at 1e308


def _log(values: np.ndarray, signed: bool) -> np.ndarray:
    low, high = _finite_range(np.abs(values[values != 0]))
    low = max(low, high * 10.0**-_DECADES)
    levels = SIDE if signed else LEVELS
    side = np.full(levels - 1, high)
    if low < high:
        side = np.exp(np.linspace(np.log(low), np.log(high), levels + 1))[1:-1]
    if signed:
        return _joined(-side[::-1], side)
    return -side[::-1] if np.all(values <= 0) else side


def _joined(negative: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Both sides around the gap, whose levels all begin at 0 and so hold nothing."""
    return np.concatenate([negative, np.zeros(GAP + 1), others])


def _finite_range(values: np.ndarray) -> tuple[float, float]:
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


STRETCHES: dict[str, Callable[[np.ndarray, bool], np.ndarray]] = {
    "rank": _rank,
    "linear": _linear,
    "log": _log,
}
