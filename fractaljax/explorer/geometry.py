"""Where the samples of a map lie: levels, tiles, and coordinates of any precision.

Level L of a map has `2**L` samples along each axis, at `low + i * width / 2**L` in axis
coordinates: sample i of one level is sample 2 i of the next. A tile is 64 x 64 samples (all
samples of a level below 6), a block 16 x 16 tiles: the window of one folder on disk.

Up to level 30 all samples are counted from the low corner of the map. Deeper ones are counted
from the corner of one of `2**20` cells a side, which is known to 60 digits: again sample i of one
level is sample 2 i of the next, bit for bit, and nothing is lost to large indices.

Samples are exact, also with `draws: legacy`, as those of all lattices; a map that an earlier
version began goes on with the coordinates of that version.
"""

import dataclasses
import decimal
import functools
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from fractaljax.axis import EXACT, spacing
from fractaljax.errors import FractaljaxError
from fractaljax.store import earlier
from fractaljax.window import Axis, Lattice, Window

TILE, TILE_LEVEL = 64, 6  # samples along a tile, and the level that is one full tile
BLOCK, BLOCK_LEVEL = 16, 10  # tiles along a block, and the level that is one full block
MIN_LEVEL = 4  # 16 x 16 samples: the coarsest picture that shows anything
ROOT_LEVEL, CELL_LEVEL = 30, 20  # from level 31 on samples are counted from cells of level 20
DEEPEST = 60  # whatever the dtype: indices stay far below 2**53
UP, DOWN = 6, 4  # levels above and below a tile in which samples of it are looked for
_EXACT = decimal.Context(prec=60, Emax=10**6, Emin=-(10**6))
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{0,120})?([eE][+-]?[0-9]{1,2})?")
_CLEAR = 1000  # times finer than a pitch a number must be written to mean one sample
_LEAST_DIGITS, _MOST_DIGITS = 15, 40  # decimals to which coordinates are taken at their word


class Part(NamedTuple):
    """Samples that two tiles of different levels share: `[rows, columns]` of each, the same."""

    other: "Place"
    theirs: tuple[slice, slice]
    ours: tuple[slice, slice]


class Place(NamedTuple):
    """One tile of a map: level, column and row, counted from the lowest values."""

    level: int
    x: int
    y: int

    @property
    def side(self) -> int:
        """Samples along one side."""
        return min(TILE, 2**self.level)

    @property
    def block(self) -> tuple[int, int, int]:
        """Level, column and row of the block that holds the tile."""
        return self.level, self.x // BLOCK, self.y // BLOCK

    @property
    def inside(self) -> tuple[int, int]:
        """Row and column of the tile in its block."""
        return self.y % BLOCK, self.x % BLOCK

    def coarser(self) -> Iterator[Part]:
        """What coarser tiles share with this one, the finest of them first."""
        for d in range(1, UP + 1):
            if (level := self.level - d) < MIN_LEVEL:
                return
            first = [i * self.side >> d for i in (self.x, self.y)]
            side, count = min(TILE, 2**level), self.side >> d
            x, y = (i // side for i in first)
            columns, rows = (slice(i % side, i % side + count) for i in first)
            every = slice(None, None, 2**d)
            yield Part(Place(level, x, y), (rows, columns), (every, every))

    def finer(self) -> Iterator[list[Part]]:
        """What tiles of the next levels share with this one, level by level."""
        for d in range(1, DOWN + 1):
            level = self.level + d
            side = min(TILE, 2**level)
            count, share = (self.side << d) // side, side >> d
            x, y = (i * count for i in (self.x, self.y))
            every = slice(None, None, 2**d)
            yield [
                Part(
                    Place(level, x + i, y + j),
                    (every, every),
                    (slice(j * share, (j + 1) * share), slice(i * share, (i + 1) * share)),
                )
                for j in range(count)
                for i in range(count)
            ]


@dataclasses.dataclass(frozen=True)
class Root:
    """One axis of a map, from its low end to its high end.

    Args:
        path, scale: as of an `Axis`.
        low, high: ends in axis coordinates, the lower value first; as decimal numbers they are
            exact.
        base: value at the low end, native units, to any precision.
        rule: by which the samples of the map are computed.
    """

    path: str
    scale: str
    low: float
    high: float
    base: Decimal
    rule: str = EXACT

    @classmethod
    def of(cls, axis: Axis | Lattice, rule: str = EXACT) -> "Root":
        """The whole of an axis.

        Raises:
            FractaljaxError: it is too narrow for coordinates in float64.
        """
        axis = earlier.kept(axis) if rule == earlier.RULE else axis
        base = Decimal(repr(float(axis.min))) if axis.scale == "log1m" else Decimal(axis.min)
        low, high = axis.low, axis.high
        if isinstance(axis, Lattice):
            start = Decimal(axis.start) * Decimal(axis.width)
            base = _shifted(Decimal(axis.origin) + Decimal(axis.residue), start, axis.scale)
            high = low + axis.direction * axis.width
        if not abs(high - low) > 2**10 * np.spacing(max(abs(low), abs(high))):
            raise FractaljaxError(
                f"axis {axis.path}: from {low} to {high} is too narrow to start a map from; "
                "start from a wider window and zoom in"
            )
        return cls(axis.path, axis.scale, low, high, base, rule)

    @property
    def width(self) -> Decimal:
        return abs(Decimal(repr(self.high)) - Decimal(repr(self.low)))

    def value(self, shift: Decimal) -> Decimal:
        """The value so far above the low end, native units; `shift` as of `shift`."""
        return _shifted(self.base, shift, self.scale)

    def lattice(self, level: int, first: int, n: int) -> Lattice:
        """Samples `first` to `first + n - 1` of a level; `first` is a multiple of `n`."""
        cell = first >> (level - CELL_LEVEL) if level > ROOT_LEVEL else 0
        if cell:
            first -= cell << (level - CELL_LEVEL)
        depth = CELL_LEVEL if level > ROOT_LEVEL else 0
        origin, residue = _corner(self, cell, depth)
        width = float(self.width) * n / 2**level
        axis = Lattice(self.path, origin, width, first // n, n, self.scale, residue)
        return axis if self.rule == EXACT else earlier.kept(axis)

    def floor_level(self, dtype: str) -> int:
        """The last level at which all neighbours differ in `dtype`."""
        low, high = (float(self.value(s)) for s in (Decimal(0), self.width))
        pitch = spacing(low, high, self.scale, dtype)
        if self.scale == "linear":
            pitch = float(np.spacing(np.dtype(dtype).type(max(abs(low), abs(high)))))
        return min(DEEPEST, math.floor(math.log2(float(self.width) / pitch)))

    def shift(self, coordinate: Decimal) -> Decimal:
        """How far a coordinate lies from the low end, in the direction of higher values; raises
        where it is outside."""
        low, high = Decimal(repr(self.low)), Decimal(repr(self.high))
        if not min(low, high) <= coordinate <= max(low, high):
            raise FractaljaxError(
                f"coordinate {float(coordinate)} is outside the map: "
                f"{self.path} runs from {self.low} to {self.high}"
            )
        return abs(_EXACT.subtract(coordinate, low))

    def sample(self, shift: Decimal, level: int) -> tuple[int, Decimal]:
        """The nearest sample of a level, and the distance to it in axis coordinates."""
        place = _EXACT.divide(_EXACT.multiply(shift, Decimal(2**level)), self.width)
        index = min(int(place.to_integral_value(decimal.ROUND_HALF_EVEN)), 2**level - 1)
        miss = _EXACT.multiply(abs(place - index), self.width) / 2**level
        return index, miss

    def at(self, index: int, level: int) -> float:
        """The value of one sample, native units, as in a tile."""
        return float(self.lattice(level, index, 1).points()[0])


def tiles_a_side(level: int) -> int:
    """Tiles along one side of a level."""
    return 2 ** max(0, level - TILE_LEVEL)


def window(roots: tuple[Root, Root], place: Place) -> Window:
    """The samples of one tile."""
    x, y = (
        r.lattice(place.level, i * place.side, place.side)
        for r, i in zip(roots, (place.x, place.y), strict=True)
    )
    return Window(x, y)


def block_window(roots: tuple[Root, Root], block: tuple[int, int, int]) -> Window:
    """The samples of one block."""
    level, x, y = block
    n = min(TILE * BLOCK, 2**level)
    return Window(*(r.lattice(level, i * n, n) for r, i in zip(roots, (x, y), strict=True)))


def box_window(
    roots: tuple[Root, Root], ends: tuple[tuple[str, str], tuple[str, str]], side: int
) -> Window:
    """`side` x `side` samples of a box; its ends are decimal numbers in axis coordinates."""
    axes = []
    for root, (low, high) in zip(roots, ends, strict=True):
        low, high = (root.shift(number(end)) for end in (low, high))
        if not low < high:
            raise FractaljaxError(f"{root.path}: the low end of the box must be below the high one")
        origin, residue = _split(root.value(low))
        axes.append(Lattice(root.path, origin, float(high - low), 0, side, root.scale, residue))
    return Window(*axes)


def point(
    roots: tuple[Root, Root], coordinates: tuple[str, str], level: int | None, floor: int
) -> tuple[float, float]:
    """The values at a place given by decimal numbers, in axis coordinates.

    With a level the nearest sample of that level; else the sample of the coarsest level that the
    numbers hit as exactly as they are written, and the place itself where there is none.
    """
    shifts = [r.shift(number(c)) for r, c in zip(roots, coordinates, strict=True)]
    near = [_written(c) for c in coordinates]
    for tried in range(MIN_LEVEL, floor + 1) if level is None else [level]:
        found = [r.sample(s, tried) for r, s in zip(roots, shifts, strict=True)]
        hit = all(
            miss <= n < r.width / 2**tried / _CLEAR
            for (_, miss), n, r in zip(found, near, roots, strict=True)
        )
        if hit or level is not None:
            x, y = (r.at(i, tried) for r, (i, _) in zip(roots, found, strict=True))
            return x, y
    x, y = (float(r.value(s)) for r, s in zip(roots, shifts, strict=True))
    return x, y


def number(text: str) -> Decimal:
    """A decimal number from text; raises for anything else, and for absurd sizes."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        raise FractaljaxError(f"'{str(text)[:40]}' is not a decimal number")
    return Decimal(text.strip())


def _written(text: str) -> Decimal:
    """How exactly a number is written: two units of its last digit."""
    exponent = number(text).as_tuple().exponent
    digits = min(max(-int(exponent), _LEAST_DIGITS), _MOST_DIGITS)
    return Decimal(2).scaleb(-digits)


def _shifted(base: Decimal, shift: Decimal, scale: str) -> Decimal:
    """`base` moved so far in axis coordinates, to higher values."""
    if scale == "linear":
        return _EXACT.add(base, shift)
    if scale == "log1m":
        measure = _EXACT.multiply(_EXACT.subtract(1, base), _EXACT.power(Decimal(10), -shift))
        return _EXACT.subtract(1, measure)
    return _EXACT.multiply(base, _EXACT.power(Decimal(10), shift))


@functools.lru_cache(maxsize=4096)
def _corner(root: Root, cell: int, depth: int) -> tuple[float, float]:
    """The low corner of a cell, one of `2**depth` along an axis: value and residue."""
    return _split(root.value(_EXACT.multiply(root.width, Decimal(cell)) / 2**depth))


def _split(value: Decimal) -> tuple[float, float]:
    """A value as the nearest float64 and what that lacks."""
    origin = float(value)
    return origin, float(_EXACT.subtract(value, Decimal(origin)))
