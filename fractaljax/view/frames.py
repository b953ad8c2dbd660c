"""One frame of a zoom between two keyframes: where it lies, its colours, its antialiasing.

Colours are averaged, never values or signs: a mean of values would invent verdicts. They are
averaged as stored (sRGB), as a browser or a player does when it shrinks the still picture, and as
figures do: a frame at the depth of a keyframe looks like that keyframe's picture, made smaller.
Linear light would make pale dust on dark ground grow as it gets finer.

The colours change with every frame, the values do not. So a keyframe is coded once, each value as
the number of the interval it lies in between all edges that any frame of the pair uses; colouring
it for one frame is then one look-up of 16 bits a pixel, and exact.
"""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from fractaljax.field import Field
from fractaljax.view import picture
from fractaljax.view.colours import MISSING
from fractaljax.view.stretch import Scale

FADE = 0.5  # part of the way to the next keyframe by which that one is fully there
FILTER = Image.Resampling.HAMMING  # weights are never negative: no colour that was not there
_CODES = 2**16 - 1  # the last code says that there is no value
_BLOCK = 2**18  # codes coloured at a time: they fit the cache


class View(NamedTuple):
    """How frames lie on keyframes: the widest crop around the middle sample that both sides hold.

    Args:
        columns, rows: of a keyframe.
        width, height: of a frame, pixels.
        factor: how many times narrower each keyframe is than the one before.
    """

    columns: int
    rows: int
    width: int
    height: int
    factor: float

    @property
    def unit(self) -> float:
        """Samples along a pixel of the frame that shows one keyframe whole."""
        return min(2 * self.reach[0] / self.width, 2 * self.reach[1] / self.height)

    @property
    def reach(self) -> tuple[float, float]:
        """Samples from the middle one's centre to the nearer borders, x first."""
        return (self.columns - 1) // 2 + 0.5, (self.rows - 1) // 2 + 0.5

    @property
    def middle(self) -> tuple[float, float]:
        """Where the middle sample's centre lies in the picture, x first, from its top left."""
        return self.columns // 2 + 0.5, self.rows - self.rows // 2 - 0.5

    @property
    def enlarged(self) -> float:
        """How many frame pixels a sample covers where that is worst: near the border of a frame,
        just before the next keyframe takes over."""
        return self.factor / self.unit


class Box(NamedTuple):
    """A rectangle, in samples from the top left corner of a keyframe's picture."""

    left: float
    top: float
    right: float
    bottom: float


def between(first: Scale, second: Scale, share: float) -> Scale:
    """The scale at a share of the way from one to the other: the cross-fade as published.

    An edge beyond all numbers (no value there to split) takes the other's place.
    """
    a, b = first.edges, second.edges
    largest = np.finfo(np.float64).max
    mixed = a * (1 - share) + b * share
    mixed = np.where(np.abs(a) == largest, b, np.where(np.abs(b) == largest, a, mixed))
    return Scale(mixed, first.table)


class Pair:
    """Two neighbouring keyframes, coded, and every frame on the way from one to the other."""

    def __init__(
        self,
        fields: tuple[Field, Field],
        scales: tuple[Scale, Scale],
        reading: str,
        view: View,
        shares: Sequence[float],
        pool: Executor,
    ):
        """Reads and codes both.

        Args:
            fields: the wider and the narrower keyframe.
            scales: theirs.
            reading: what is shown.
            view: how frames lie on them.
            shares: of the way from the wider one to the narrower, 0 to 1: all that will be asked
                for. Beyond 256 of them the scale changes in 256 steps.
            pool: does the work, a strip of rows a task.
        """
        self._scales, self._view = scales, view
        at = np.unique(shares)
        most = _CODES // max(len(scales[0].edges), 1)
        if len(at) > most:
            at = np.linspace(0, 1, most)
        self._borders = np.unique([between(*scales, share).edges for share in at])
        self._codes = [_coded(f, reading, self._borders, pool) for f in fields]

    def frame(self, share: float) -> Image.Image:
        """The frame at a share of the way; at 0 and at 1 it is one of the keyframes alone."""
        view, colours = self._view, self._colours(share)
        size = (view.width, view.height)
        unit = view.unit * view.factor**-share
        whole = _box(view, unit, 0, 0, *size)
        shown = _sampled(self._codes[0], colours, whole, size)
        weight = _smooth(share / FADE)
        if weight > 0:
            unit *= view.factor
            left, right, across = _covered(view.width, view.reach[0] / unit, share, view.factor)
            top, bottom, down = _covered(view.height, view.reach[1] / unit, share, view.factor)
            box = _box(view, unit, left, top, right, bottom)
            inner = _sampled(self._codes[1], colours, box, (right - left, bottom - top))
            mask = np.rint(255 * weight * np.outer(down, across)).astype(np.uint8)
            shown.paste(inner, (left, top), Image.fromarray(mask))
        return shown.convert("RGB")

    def _colours(self, share: float) -> np.ndarray:
        """The colour of each code, four bytes in one number."""
        scale = between(*self._scales, share)
        lowest = np.concatenate([[-np.inf], self._borders])  # value of each code
        table = np.zeros((_CODES + 1, 4), np.uint8)
        table[: len(lowest), :3] = scale.colours(lowest, np.ones(len(lowest), bool))
        table[_CODES, :3] = MISSING
        return table.view(np.uint32)[:, 0]


def _coded(field: Field, reading: str, borders: np.ndarray, pool: Executor) -> np.ndarray:
    """uint16 `[ny, nx]`, the highest y first."""
    codes = np.empty(field.window.grid, np.uint16)

    def code(strip: tuple[int, int]) -> None:
        values, done = picture.rows(field, reading, *strip)
        found = np.searchsorted(borders, values.astype(np.float64), side="right")
        found[np.isnan(values) | ~done] = _CODES
        codes[slice(*strip)] = found

    list(pool.map(code, picture.strips(field, reading)))  # the list raises what a task raised
    return codes[::-1]


def _box(view: View, unit: float, left: int, top: int, right: int, bottom: int) -> Box:
    """The samples below a rectangle of the frame, `unit` of them to a pixel."""
    (x, y), across, down = view.middle, view.width / 2, view.height / 2
    return Box(
        max(x + (left - across) * unit, 0.0),
        max(y + (top - down) * unit, 0.0),
        min(x + (right - across) * unit, float(view.columns)),
        min(y + (bottom - down) * unit, float(view.rows)),
    )


def _covered(pixels: int, reach: float, share: float, factor: float) -> tuple[int, int, np.ndarray]:
    """The pixels along one side of the frame that the narrower keyframe covers: first, end, and
    how much of it each shows. `reach` is half of what it covers."""
    first = max(math.ceil(pixels / 2 - reach - 1e-6), 0)  # at the next keyframe, all of them
    end = pixels - first
    distance = np.abs(np.arange(first, end) + 0.5 - pixels / 2) / reach
    band = 1 - factor ** (share - 1)  # soft over as much as is left to cover
    return first, end, _smooth((1 - distance) / max(band, 1e-9))


def _sampled(
    codes: np.ndarray, colours: np.ndarray, box: Box, size: tuple[int, int]
) -> Image.Image:
    """The part of a coded picture below `box` at some size, each pixel a mean of colours."""
    ny, nx = codes.shape
    margin = 1 + max((box.right - box.left) / size[0], (box.bottom - box.top) / size[1], 1)
    left, right = max(math.floor(box.left - margin), 0), min(math.ceil(box.right + margin), nx)
    top, bottom = max(math.floor(box.top - margin), 0), min(math.ceil(box.bottom + margin), ny)
    part = codes[top:bottom, left:right]
    pixels = np.empty(part.shape, np.uint32)
    step = max(_BLOCK // part.shape[1], 1)
    for row in range(0, len(part), step):
        pixels[row : row + step] = colours[part[row : row + step]]
    # not `fromarray`: it has no name for four bytes of which the last means nothing
    image = Image.frombuffer("RGBX", part.shape[::-1], pixels, "raw", "RGBX", 0, 1)
    near = (box.left - left, box.top - top, box.right - left, box.bottom - top)
    return image.resize(size, FILTER, box=near)


def _smooth(x: Any) -> Any:
    """From 0 to 1 without a kink at either end."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3 - 2 * x)
