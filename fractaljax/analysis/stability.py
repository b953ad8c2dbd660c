"""The edge of stability: up to which rate training does not diverge."""

import numpy as np

from fractaljax.errors import FractaljaxError


def edges(rates: np.ndarray, diverged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest rate up to which nothing diverged, and the smallest that did, a row.

    Args:
        rates: `[nx]`, rising.
        diverged: bool `[ny, nx]`.

    Returns:
        Two arrays `[ny]`: NaN where the first rate diverged, infinite where none did.
    """
    rates, diverged = np.asarray(rates, float), np.asarray(diverged, bool)
    if diverged.ndim != 2 or rates.shape != diverged.shape[1:] or (np.diff(rates) <= 0).any():
        raise FractaljaxError("takes rising rates [nx] and outcomes [ny, nx]")
    first = np.where(diverged.any(axis=1), diverged.argmax(axis=1), len(rates))
    return np.r_[np.nan, rates][first], np.r_[rates, np.inf][first]
