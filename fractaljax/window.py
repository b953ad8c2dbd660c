"""Axis and Window: where to look. float64 on the host, no JAX.

A position on an axis is given in *axis coordinates*: log10 of the value on a log axis, the
value itself on a linear one.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError, unknown

SCALES = ("log", "linear")
MAX_SIDE = 2**20  # samples along one axis; a million is already a poster of 3.5 km at 300 dpi
OVERVIEW_DECADES = 9.0  # the published overview, [-3, 6]: zoom depths are told relative to it


@dataclasses.dataclass(frozen=True)
class Axis:
    """Values of one traced path, `min` to `max` in native units, both ends included.

    Args:
        path: canonical path of a traced argument, `role.argument`.
        min, max: native units; `min < max`; positive on a log axis.
        n: number of samples.
        scale: `log` or `linear`.
    """

    path: str
    min: float
    max: float
    n: int = 256
    scale: str = "log"

    def __post_init__(self):
        where = f"axis {self.path}"
        if self.scale not in SCALES:
            raise unknown(f"scale of {where}", self.scale, SCALES)
        if not (math.isfinite(self.min) and math.isfinite(self.max)):
            raise FractaljaxError(f"{where}: min={self.min}, max={self.max} must be finite numbers")
        if self.scale == "log" and self.min <= 0:
            raise FractaljaxError(
                f"{where}: min={self.min} on a log axis must be above 0; scale: linear allows 0"
            )
        if not self.min < self.max:
            raise FractaljaxError(f"{where}: min={self.min} must be below max={self.max}")
        if not 1 <= self.n <= MAX_SIDE:
            raise FractaljaxError(f"{where}: {self.n} samples; allowed are 1 to {MAX_SIDE}")

    @property
    def low(self) -> float:
        """`min` in axis coordinates."""
        return float(np.log10(self.min)) if self.scale == "log" else self.min

    @property
    def high(self) -> float:
        """`max` in axis coordinates."""
        return float(np.log10(self.max)) if self.scale == "log" else self.max

    def points(self) -> np.ndarray:
        """The samples in native units, float64 `[n]`; a single sample lies in the middle."""
        share = np.arange(self.n) / (self.n - 1) if self.n > 1 else np.full(1, 0.5)
        coordinates = self.low * (1 - share) + self.high * share
        if self.scale == "linear":
            return coordinates
        # The C library's pow: numpy's vector version differs in the last bit between processors,
        # and the last bit of a rate decides the outcome near the boundary.
        return np.array([math.pow(10.0, c) for c in coordinates])

    def between(self, low: float, high: float) -> "Axis":
        """The same axis over other axis coordinates."""
        if self.scale == "log":
            width = high - low
            try:
                low, high = 10.0**low, 10.0**high
            except OverflowError:
                raise FractaljaxError(
                    f"axis {self.path}: [{low}, {high}] is in log10 and leaves the range of float64"
                ) from None
            if width > 0 and low == high:
                raise self.too_deep(width)
        return dataclasses.replace(self, min=float(low), max=float(high))

    def too_deep(self, width: float) -> FractaljaxError:
        """Why there is no axis of this width, in axis coordinates."""
        return FractaljaxError(
            f"axis {self.path}: both ends are the same number in float64 "
            f"at zoom 2^{self.depth(width):.1f}"
        )

    def merged(self, dtype: str) -> int:
        """How many samples are lost because neighbours are equal in `dtype`."""
        return self.n - len(np.unique(self._rounded(dtype)))

    def in_range(self, dtype: str) -> bool:
        """Whether `dtype` holds all samples: none becomes infinite, or zero without being zero."""
        rounded = self._rounded(dtype)
        return bool(np.all(np.isfinite(rounded) & ((rounded != 0) | (self.points() == 0))))

    def depth(self, width: float | None = None) -> float:
        """Zoom depth in factors of two: from the 9-decade overview on a log axis, from the
        largest value on a linear one. `width` is in axis coordinates (default: this axis)."""
        full = OVERVIEW_DECADES if self.scale == "log" else max(abs(self.min), abs(self.max))
        width = self.high - self.low if width is None else width
        return math.log2(full) - math.log2(width) if width > 0 else math.inf

    def floor_depth(self, dtype: str) -> float:
        """The zoom depth from which on `n` samples around here merge in `dtype`."""
        step = float(np.finfo(dtype).eps)  # the widest relative spacing of neighbouring floats
        pitch = (
            step / math.log(10) if self.scale == "log" else step * max(abs(self.min), abs(self.max))
        )
        # coordinates are float64, and interpolating them rounds by up to two of their spacings
        spacing = float(np.finfo("float64").eps) * max(abs(self.low), abs(self.high))
        return self.depth(max(pitch, 2 * spacing) * max(self.n - 1, 1))

    def _rounded(self, dtype: str) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return self.points().astype(dtype)


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
    """One or two axes: `x` along the columns, `y` (may be absent) along the rows."""

    x: Axis
    y: Axis | None = None

    def __post_init__(self):
        if self.y is not None and self.x.path == self.y.path:
            raise FractaljaxError(
                f"window: both axes are {self.x.path}; two different ones are needed"
            )

    @property
    def axes(self) -> tuple[Axis, ...]:
        return (self.x,) if self.y is None else (self.x, self.y)

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
        half = [(a.high - a.low) / 2 / factor for a in self.axes]
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
        """The window cut into tiles, row by row; the last ones may be smaller."""
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

    def check(self, dtype: str) -> None:
        """Refuses a window whose neighbours merge in `dtype` (they would train the same network).

        Raises:
            FractaljaxError: names the axis, the columns left and the zoom depth of the floor.
        """
        for axis in self.axes:
            if not axis.in_range(dtype):
                raise FractaljaxError(
                    f"axis {axis.path}: min={axis.min}, max={axis.max} leave the range of {dtype}"
                )
            if lost := axis.merged(dtype):
                way_out = "float64 or fewer pixels" if dtype == "float32" else "fewer pixels"
                raise FractaljaxError(
                    f"axis {axis.path}: only {axis.n - lost} of {axis.n} samples differ in {dtype}."
                    f" This window is at zoom 2^{axis.depth():.1f}; {axis.n} samples merge from "
                    f"zoom 2^{axis.floor_depth(dtype):.1f} on. Use {way_out}."
                )
