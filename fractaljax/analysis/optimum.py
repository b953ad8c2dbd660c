"""Where along a line of learning rates the loss is lowest, and how that moves with the width."""

from collections.abc import Sequence

import numpy as np


def optimum(rates: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """The best rate of every width, `[W]`.

    The vertex of the parabola through the lowest loss and its neighbours, in the logarithms of
    rate and loss; the lowest rate itself at an end of the line or beside a loss that is not finite.

    Args:
        rates: `[R]`, ascending, at even distances on a log axis.
        losses: `[W, R]`; NaN and infinity are no candidates.
    """
    logs = np.log(rates)
    found = []
    for curve in losses:
        known = np.where(np.isfinite(curve) & (curve > 0), curve, np.inf)
        best = int(known.argmin())
        shift = 0.0
        if 0 < best < len(rates) - 1 and np.isfinite(known[best - 1 : best + 2]).all():
            left, middle, right = np.log(known[best - 1 : best + 2])
            bend = left - 2 * middle + right
            shift = 0.5 * (left - right) / bend if bend > 0 else 0.0
        apart = logs[1] - logs[0] if len(logs) > 1 else 0.0
        found.append(np.exp(logs[best] + shift * apart) if np.isfinite(known[best]) else np.nan)
    return np.array(found)


def slope(widths: Sequence[int], optima: np.ndarray) -> float:
    """The exponent with which the best rate moves with the width: 0 where it transfers."""
    known = np.isfinite(optima)
    if known.sum() < 2:
        return float("nan")
    return float(np.polyfit(np.log(np.asarray(widths)[known]), np.log(optima[known]), 1)[0])
