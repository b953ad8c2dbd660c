"""Box counting of an edge image: minimum over grid offsets, least squares, an interval.

After Foroutan-pour, Dutilleul and Smith, Applied Mathematics and Computation 105 (1999) 195:

Sizes: about two for each factor of 2, chosen so that whole boxes nearly fill the shorter side;
from 2 pixels to 25 % of it. At each size the grid lies at 4 offsets along each axis, and the
smallest number of boxes that hold some edge counts.

Scaling window: the largest sizes go while fewer than 64 boxes count: there the minimum saves a
large share of them, and the slope would be too steep. Then the smallest sizes go, one by one, while
the count of the smallest lies off the line through the others by more than 3 times their scatter
and by more than 2 %: there the pixels end. At least 4 sizes are kept.

Interval of one level: the frame is cut into 4 blocks along each axis; each repeat draws as many
blocks as hold edges, and as many offsets, with replacement. Interval of 5 and more levels: each
repeat draws levels and offsets. The scaling window stays as it is.
"""

import itertools
from typing import NamedTuple

import numpy as np

from fractaljax.analysis import fits

SMALLEST = 2  # pixels along a box
LARGEST = 0.25  # of the shorter side
OFFSETS = BLOCKS = 4  # along each axis
ENOUGH_BOXES = 64
LEAST_SIZES = 4
BREAK, SLACK = 3.0, 0.02  # times the scatter, and as a share of the count


class Counts(NamedTuple):
    """Boxes that hold some edge."""

    sizes: np.ndarray  # int [S], pixels along a box
    boxes: np.ndarray  # int [S, O, B]: for each size and offset, those in each block of the frame

    @property
    def least(self) -> np.ndarray:
        """The minimum over the offsets, over the whole frame: int `[S]`."""
        return self.boxes.sum(2).min(1)


NO_COUNTS = Counts(np.zeros(0, int), np.zeros((0, 1, 1), np.int64))


def sizes(side: int) -> np.ndarray:
    """The box sizes for an edge image whose shorter side has `side` pixels: int `[S]`."""
    most = side // SMALLEST
    along = np.unique(np.rint(2 ** (np.arange(4, 2 * np.log2(max(most, 4)) + 1) / 2)).astype(int))
    found = np.unique(-(-side // along))
    return found[(found >= SMALLEST) & (found <= LARGEST * (side + 1))]  # a side of samples


def count(edges: np.ndarray) -> Counts:
    """Counts the boxes of all sizes, at all offsets.

    Args:
        edges: bool `[ny, nx]` or `[nx]`.
    """
    found = sizes(min(edges.shape))
    sums = _sums(edges)
    boxes = np.zeros((len(found), OFFSETS**edges.ndim, BLOCKS**edges.ndim), np.int64)
    for row, size in zip(boxes, found, strict=True):
        counted: dict[tuple[int, ...], list[int]] = {}
        for i, steps in enumerate(np.ndindex((OFFSETS,) * edges.ndim)):
            offset = tuple(int(size) * step // OFFSETS for step in steps)
            if offset not in counted:  # boxes of 2 or 3 pixels have fewer offsets
                counted[offset] = _blocks(_held(sums, int(size), offset))
            row[i] = counted[offset]
    return Counts(found, boxes)


def window(counts: Counts) -> np.ndarray:
    """Which sizes the line is fitted to, by the rule above: bool `[S]`."""
    least = counts.least
    last = max(np.count_nonzero(least >= ENOUGH_BOXES), LEAST_SIZES)
    x, y = np.log(counts.sizes[:last]), np.log(least[:last])
    first = 0
    while len(x) - first > LEAST_SIZES:
        rest = slice(first + 1, None)
        line = np.polyfit(x[rest], y[rest], 1)
        scatter = np.sqrt(np.sum((y[rest] - np.polyval(line, x[rest])) ** 2) / (len(x[rest]) - 2))
        if abs(y[first] - np.polyval(line, x[first])) <= max(BREAK * scatter, SLACK):
            break
        first += 1
    used = np.zeros(len(counts.sizes), bool)
    used[first:last] = True
    return used


def points(
    counts: Counts, used: np.ndarray, rng: np.random.Generator, whole: bool = False
) -> fits.Points:
    """Log counts over minus log sizes, and resampled ones: of the whole frame, or of blocks."""
    boxes = counts.boxes[used]
    boxes = boxes.sum(2, keepdims=True) if whole else boxes[:, :, boxes.any((0, 1))]
    offsets, blocks = boxes.shape[1:]
    taken = rng.multinomial(blocks, np.full(blocks, 1 / blocks), fits.REPEATS)
    sums = np.tensordot(taken, boxes, (1, 2))  # [REPEATS, N, O]
    picked = rng.integers(offsets, size=(fits.REPEATS, 1, offsets))
    again = np.take_along_axis(sums, picked, 2).min(2)
    y = np.log(counts.least[used])
    # a size whose boxes all lie in blocks that were not drawn
    again = np.log(np.maximum(again, 1))
    return fits.Points(-np.log(counts.sizes[used]), y, np.ones(len(y)), again)


def _sums(edges: np.ndarray) -> np.ndarray:
    """Edges before each corner of the pixel grid, along every axis: int32, one more a side."""
    sums = np.zeros([n + 1 for n in edges.shape], np.int32)
    sums[(slice(1, None),) * edges.ndim] = edges
    for axis in range(edges.ndim):
        np.cumsum(sums, axis, out=sums)
    return sums


def _held(sums: np.ndarray, size: int, offset: tuple[int, ...]) -> np.ndarray:
    """Which boxes hold some edge; those at the border are cut by it."""
    for axis, start in enumerate(offset):
        last = sums.shape[axis] - 1
        corners = np.minimum(np.maximum(np.arange(-start, last + size, size), 0), last)
        sums = np.diff(np.take(sums, corners, axis), axis=axis)
    return sums > 0


def _blocks(held: np.ndarray) -> list[int]:
    """How many boxes in each block of the frame, a box being where its middle is: `[B]`."""
    cuts = []
    for n in held.shape:
        ends = [(2 * n * block + BLOCKS) // (2 * BLOCKS) for block in range(BLOCKS + 1)]
        cuts.append([slice(*pair) for pair in itertools.pairwise(ends)])
    return [int(np.count_nonzero(held[cut])) for cut in itertools.product(*cuts)]
