"""The null model: a smooth boundary, to go through the same pipeline.

An arc of a circle, whose radius is the width of the widest window, passes through the middle of
all windows; what lies inside has converged. It looks straighter the deeper the level, as every
smooth boundary does. Its dimension is one less than that of the window; what an estimator reads
beyond it is its own bias at this resolution. On a single axis the boundary is the middle itself.
"""

import numpy as np

RADIUS = 1.0  # in widths of the widest window
DIRECTION = 0.4  # of the centre of the circle, in radians from the first axis; no grid direction


def converged(at: np.ndarray, scale: tuple[float, ...]) -> np.ndarray:
    """The outcome at positions in a window: bool `[...]`.

    Args:
        at: `[..., A]`, from the middle of this window, in its own widths (-0.5 to 0.5).
        scale: widths of this window over those of the widest, an axis each.
    """
    # |p|^2 < 2 R (p . n) with p = at * scale, over the largest scale: nothing is lost in depth
    largest = max(scale)
    shape = np.divide(scale, largest)
    towards = np.array([np.cos(DIRECTION), np.sin(DIRECTION)])[: len(scale)]
    curved = largest * np.square(at * shape).sum(-1)
    return curved < 2 * RADIUS * ((at * shape) @ towards)


def pixels(shape: tuple[int, ...], scale: tuple[float, ...]) -> np.ndarray:
    """The outcome at each pixel of a window: bool `[ny, nx]` or `[nx]`."""
    along = [np.arange(n) / max(n - 1, 1) - 0.5 for n in reversed(shape)]
    return converged(np.stack(np.meshgrid(*along), -1), scale)
