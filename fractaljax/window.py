"""Window: where to look. One or two axes, cut into tiles; float64 on the host, no JAX."""

import dataclasses
import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from fractaljax.axis import MAX_SIDE, Axis, Lattice
from fractaljax.errors import FractaljaxError

__all__ = ["MAX_SIDE", "Axis", "Lattice", "Tile", "Window"]
MAX_PIXELS = 2**32  # of a window that is trained or opened whole: 65536 x 65536
MAX_TILES = 2**22  # that one window is cut into


class Tile(NamedTuple):
    """A rectangle of pixels: rows `top:bottom`, columns `left:right`."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def rows(self) -> slice:
        return slice(self.top, self.bottom)

    @property
    def columns(self) -> slice:
        return slice(self.left, self.right)

    @property
    def shape(self) -> tuple[int, int]:
        return self.bottom - self.top, self.right - self.left


@dataclasses.dataclass(frozen=True)
class Window:
    """One or two axes: `x` along the columns, `y` (may be absent) along the rows.

    Example:
        >>> x = fj.Axis("optimizer.lr_in", 1e-3, 1e3, n=8)
        >>> window = fj.Window(x, fj.Axis("optimizer.lr_out", 1e-3, 1e3, n=4))
        >>> window.shape  # rows first
        (4, 8)
        >>> window.zoom((1.0, 0.0), 4).x.low  # log10 of the lowest rate
        0.25
    """

    x: Axis | Lattice
    y: Axis | Lattice | None = None

    def __post_init__(self):
        if self.y is not None and self.x.path == self.y.path:
            raise FractaljaxError(
                f"window: both axes are {self.x.path}; two different ones are needed"
            )

    @property
    def axes(self) -> tuple[Axis | Lattice, ...]:
        return (self.x,) if self.y is None else (self.x, self.y)

    @property
    def rule(self) -> str:
        """How the samples of its axes were computed."""
        return "; ".join(dict.fromkeys(axis.rule for axis in self.axes))

    @property
    def shape(self) -> tuple[int, ...]:
        """`(ny, nx)`, or `(nx,)` with one axis."""
        return tuple(a.n for a in reversed(self.axes))

    @property
    def grid(self) -> tuple[int, int]:
        """`(ny, nx)`, with one row for a single axis."""
        return (1, self.x.n) if self.y is None else (self.y.n, self.x.n)

    @property
    def size(self) -> int:
        return self.x.n * self.grid[0]

    def resized(self, nx: int, ny: int | None = None) -> "Window":
        """The same window with `nx` columns and `ny` rows (default: as many as columns)."""
        y = self.y and dataclasses.replace(self.y, n=nx if ny is None else ny)
        return Window(dataclasses.replace(self.x, n=nx), y)

    def zoom(self, center: tuple[float, ...], factor: float) -> "Window":
        """`factor` times narrower around `center` (axis coordinates, x first)."""
        if len(center) != len(self.axes):
            raise FractaljaxError(
                f"center has {len(center)} numbers, the window {len(self.axes)} axes"
            )
        if not (math.isfinite(factor) and factor > 0):
            raise FractaljaxError(f"zoom factor {factor} must be a number above 0")
        half = [a.span / 2 / factor for a in self.axes]
        for a, c, h in zip(self.axes, center, half, strict=True):
            if math.isfinite(c) and c - h >= c + h:
                raise a.too_deep(2 * h)
        return Window(
            *(a.between(c - h, c + h) for a, c, h in zip(self.axes, center, half, strict=True))
        )

    def tile_shape(self, side: int) -> tuple[int, int]:
        """Rows and columns of a full tile of about `side * side` pixels; a flat window has wide
        tiles. A side of 0 is the whole window."""
        ny, nx = self.grid
        rows = min(side or ny, ny)
        return rows, min(side * side // rows or nx, nx)

    def count_tiles(self, side: int) -> int:
        """How many tiles `tiles` gives."""
        return math.prod(-(-n // t) for n, t in zip(self.grid, self.tile_shape(side), strict=True))

    def tiles(self, side: int) -> list[Tile]:
        """The window cut into tiles, row by row; the last ones may be smaller.

        Raises:
            FractaljaxError: there would be more than `MAX_TILES`.
        """
        if (count := self.count_tiles(side)) > MAX_TILES:
            raise FractaljaxError(
                f"tile={side}: {count} tiles; at most {MAX_TILES}, take larger ones"
            )
        (ny, nx), (rows, columns) = self.grid, self.tile_shape(side)
        return [
            Tile(r, min(r + rows, ny), c, min(c + columns, nx))
            for r in range(0, ny, rows)
            for c in range(0, nx, columns)
        ]

    def points(self, tile: Tile) -> np.ndarray:
        """Values of all axes at the pixels of a tile, row by row: float64 `[P, A]`."""
        x = self.x.points()[tile.columns]
        if self.y is None:
            return x[:, None]
        ys, xs = np.meshgrid(self.y.points()[tile.rows], x, indexing="ij")
        return np.stack([xs.ravel(), ys.ravel()], axis=-1)

    def check_pixels(self) -> None:
        """Raises where the window has more than `MAX_PIXELS`."""
        if self.size > MAX_PIXELS:
            ny, nx = self.grid
            raise FractaljaxError(
                f"window.resolution={nx}x{ny}: {self.size} pixels; at most {MAX_PIXELS}"
            )

    def merged(self, dtype: str) -> int:
        """How many samples of its axes are lost because neighbours are equal in `dtype`."""
        return sum(axis.merged(dtype) for axis in self.axes)

    def check(self, dtype: str, allow_merged: bool = False, whole: Collection[str] = ()) -> None:
        """Refuses a window whose neighbours merge in `dtype` (they would train the same network),
        unless that is allowed, one that leaves its range, and one of too many pixels.

        Args:
            whole: paths of axes whose samples are not of this dtype: seeds.

        Raises:
            FractaljaxError: names the axis, the columns left and the zoom depth of the floor.
        """
        self.check_pixels()
        for axis in (axis for axis in self.axes if axis.path not in whole):
            if not axis.in_range(dtype):
                raise FractaljaxError(
                    f"axis {axis.path}: min={axis.min}, max={axis.max} leave the range of {dtype}"
                )
            if not allow_merged and (lost := axis.merged(dtype)):
                way_out = "float64 or fewer pixels" if dtype == "float32" else "fewer pixels"
                raise FractaljaxError(
                    f"axis {axis.path}: only {axis.n - lost} of {axis.n} samples differ in {dtype}."
                    f" This window is at zoom 2^{axis.depth():.1f}; {axis.n} samples merge from "
                    f"zoom 2^{axis.floor_depth(dtype):.1f} on. Use {way_out}."
                )
