"""One pixel out of several: the mean of their light.

Colours are averaged, never values: a mean of values would invent an outcome that no network had.
They are averaged as light and not as sRGB codes, because that is what an eye far away does with
the single pixels: a fine mixture of black and white is the grey 188, and 128 would darken every
boundary. Antialiased pictures, figures, pyramids and contours all mix their colours here.
"""

import numpy as np

_CODES = np.arange(256) / 255
_LINEAR = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
FULL = 2**16 - 1
LIGHT = np.rint(_LINEAR * FULL).astype(np.uint16)  # of each sRGB code (IEC 61966-2-1)
CODE = np.searchsorted((LIGHT[1:].astype(int) + LIGHT[:-1] + 1) // 2, np.arange(FULL + 1), "right")
CODE = CODE.astype(np.uint8)  # the nearest code of each light


def average(colours: np.ndarray, block: int) -> np.ndarray:
    """The mean light of each `block * block` pixels, uint8 `[ceil(h / block), ceil(w / block), 3]`.

    Args:
        colours: uint8 `[h, w, 3]`; blocks at the right and lower end may have fewer pixels.
        block: pixels along a block; 1 changes nothing.
    """
    if block == 1:
        return colours
    return CODE[means(LIGHT[colours], block)]


def means(values: np.ndarray, block: int) -> np.ndarray:
    """The rounded mean of each block of an array `[h, w, ...]` of unsigned integers."""
    height, width = values.shape[:2]
    total = _sums(_sums(values, block).swapaxes(0, 1), block).swapaxes(0, 1)
    if height % block == 0 and width % block == 0:
        count: int | np.ndarray = block * block
    else:
        rows, columns = _lengths(height, block), _lengths(width, block)
        count = np.outer(rows, columns).reshape(*total.shape[:2], *[1] * (values.ndim - 2))
        count = count.astype(total.dtype)
    return (total + count // 2) // count


def blend(colours: np.ndarray, share: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """The picture `[h, w, 3]` under a colour that covers `share` (uint8 `[h, w]`, 255: all)."""
    found = colours.copy()
    under = np.nonzero(share)
    part = share[under].astype(np.uint32)[:, None]
    light = LIGHT[colours[under]] * (255 - part) + LIGHT[list(colour)] * part
    found[under] = CODE[(light + 127) // 255]
    return found


class Halving:
    """A picture at half its size, made while its rows come in from the top down."""

    def __init__(self):
        self._odd: np.ndarray | None = None  # a last row that waits for the next one

    def add(self, rows: np.ndarray) -> np.ndarray:
        """The rows `[n, ceil(w / 2), 3]` that are complete after these `[h, w, 3]`; maybe none."""
        if self._odd is not None:
            rows = np.concatenate([self._odd, rows])
        whole = len(rows) // 2 * 2
        self._odd = rows[whole:].copy() if whole < len(rows) else None
        return average(rows[:whole], 2)

    def end(self) -> np.ndarray | None:
        """The row that is left of a picture with an odd number of them."""
        return None if self._odd is None else average(self._odd, 2)


def _sums(values: np.ndarray, block: int) -> np.ndarray:
    """The sum of each `block` rows; the last may be of fewer."""
    kind = np.uint32 if block * block * FULL < 2**32 else np.uint64
    total = np.zeros((-(-len(values) // block), *values.shape[1:]), kind)
    for i in range(block):
        part = values[i::block]
        total[: len(part)] += part
    return total


def _lengths(size: int, block: int) -> np.ndarray:
    return np.diff(np.arange(0, size, block), append=size)
