"""One axis of a window: values of one traced path. float64 on the host, no JAX.

A position on an axis is given in *axis coordinates*: log10 of the value on a log axis, the
value itself on a linear one. `Axis` runs from one value to another; `Lattice` lies around one
value, for zooms: finer lattices hold the samples of coarser ones bit for bit.
"""

import abc
import dataclasses
import decimal
import math

import numpy as np

from fractaljax.errors import FractaljaxError, unknown

SCALES = ("log", "linear")
MAX_SIDE = 2**20  # samples along one axis; a million is already a poster of 3.5 km at 300 dpi
OVERVIEW_DECADES = 9.0  # the published overview, [-3, 6]: zoom depths are told relative to it
_LN10 = math.log(10)
_NEAR = 0.125  # decades from the origin of a lattice within which differences are exact
_EXACT = decimal.Context(prec=40)


class _Samples(abc.ABC):
    """What both kinds of axes can tell about their samples."""

    path: str
    n: int
    scale: str
    min: float
    max: float

    @abc.abstractmethod
    def points(self) -> np.ndarray:
        """The samples in native units, float64 `[n]`, ascending."""

    @property
    def low(self) -> float:
        """`min` in axis coordinates."""
        return float(np.log10(self.min)) if self.scale == "log" else self.min

    @property
    def high(self) -> float:
        """`max` in axis coordinates."""
        return float(np.log10(self.max)) if self.scale == "log" else self.max

    @property
    def span(self) -> float:
        """From the first sample to the last, in axis coordinates."""
        return self.high - self.low

    @property
    def center(self) -> decimal.Decimal:
        """The middle in axis coordinates, to 40 digits."""
        return _EXACT.divide(_EXACT.add(self._exact(self.min), self._exact(self.max)), 2)

    def between(self, low: float, high: float) -> "Axis":
        """The same axis over other axis coordinates, as an `Axis`."""
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
        return Axis(self.path, float(low), float(high), self.n, self.scale)

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
        width = self.span if width is None else width
        return math.log2(full) - math.log2(width) if width > 0 else math.inf

    def floor_depth(self, dtype: str) -> float:
        """The zoom depth from which on `n` samples around here merge in `dtype`."""
        step = float(np.finfo(dtype).eps)  # the widest relative spacing of neighbouring floats
        pitch = step / _LN10 if self.scale == "log" else step * max(abs(self.min), abs(self.max))
        return self.depth(max(pitch, self._resolved()) * max(self.n - 1, 1))

    def _resolved(self) -> float:
        """The finest pitch that the coordinates themselves resolve."""
        return 0.0

    def _exact(self, value: float | decimal.Decimal) -> decimal.Decimal:
        """A value in native units as an axis coordinate, to 40 digits."""
        value = decimal.Decimal(value)
        return _EXACT.log10(value) if self.scale == "log" else value

    def _rounded(self, dtype: str) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return self.points().astype(dtype)

    def _check(self, where: str) -> None:
        if self.scale not in SCALES:
            raise unknown(f"scale of {where}", self.scale, SCALES)
        if not 1 <= self.n <= MAX_SIDE:
            raise FractaljaxError(f"{where}: {self.n} samples; allowed are 1 to {MAX_SIDE}")


@dataclasses.dataclass(frozen=True)
class Axis(_Samples):
    """Values of one traced path, `min` to `max` in native units, both ends included.

    Args:
        path: canonical path of a traced argument, `role.argument`.
        min, max: native units; `min < max`; positive on a log axis.
        n: number of samples.
        scale: `log` or `linear`.

    Example:
        >>> fj.Axis("optimizer.lr", 0.01, 100.0, n=5).points().tolist()
        [0.01, 0.1, 1.0, 10.0, 100.0]
        >>> fj.Axis("optimizer.momentum", 0.0, 0.5, n=3, scale="linear").points().tolist()
        [0.0, 0.25, 0.5]
    """

    path: str
    min: float
    max: float
    n: int = 256
    scale: str = "log"

    def __post_init__(self):
        where = f"axis {self.path}"
        self._check(where)
        if not (math.isfinite(self.min) and math.isfinite(self.max)):
            raise FractaljaxError(f"{where}: min={self.min}, max={self.max} must be finite numbers")
        if self.scale == "log" and self.min <= 0:
            raise FractaljaxError(
                f"{where}: min={self.min} on a log axis must be above 0; scale: linear allows 0"
            )
        if not self.min < self.max:
            raise FractaljaxError(f"{where}: min={self.min} must be below max={self.max}")

    def points(self) -> np.ndarray:
        """The samples in native units, float64 `[n]`; a single sample lies in the middle."""
        share = np.arange(self.n) / (self.n - 1) if self.n > 1 else np.full(1, 0.5)
        coordinates = self.low * (1 - share) + self.high * share
        if self.scale == "linear":
            return coordinates
        # The C library's pow: numpy's vector version differs in the last bit between processors,
        # and the last bit of a rate decides the outcome near the boundary.
        return np.array([math.pow(10.0, c) for c in coordinates])

    def _resolved(self) -> float:
        # coordinates are float64, and interpolating them rounds by up to two of their spacings
        return 2 * float(np.finfo("float64").eps) * max(abs(self.low), abs(self.high))


@dataclasses.dataclass(frozen=True)
class Lattice(_Samples):
    """Values of one traced path at whole multiples of a pitch from an origin.

    `value = origin * 10^(index * pitch)` on a log axis, `origin + index * pitch` on a linear one,
    for `n` indices from `first` on. The origin is carried in two float64 values and the distance
    from it is added at the end, so a window loses nothing to the rounding of its coordinates: it
    ends only where the values themselves merge. The sample at index 2 i of a lattice is, bit for
    bit, the sample at index i of one with twice the pitch.

    Args:
        path: canonical path of a traced argument, `role.argument`.
        origin: native units; positive on a log axis.
        width: `n` pitches, in axis coordinates.
        start: index of the first sample, in widths: -0.5 puts the origin in the middle.
        n: number of samples.
        scale: `log` or `linear`.
        residue: what `origin` lacks of the exact place, native units.

    Example:
        >>> coarse = fj.Lattice("optimizer.lr", 1.0, width=4.0, n=4)
        >>> fine = fj.Lattice("optimizer.lr", 1.0, width=2.0, n=4)
        >>> coarse.points().tolist(), fine.points()[::2].tolist() == coarse.points()[1:3].tolist()
        ([0.01, 0.1, 1.0, 10.0], True)
    """

    path: str
    origin: float
    width: float
    start: float = -0.5
    n: int = 256
    scale: str = "log"
    residue: float = 0.0

    def __post_init__(self):
        where = f"axis {self.path}"
        self._check(where)
        for name in ("origin", "width", "start", "residue"):
            if not math.isfinite(getattr(self, name)):
                raise FractaljaxError(f"{where}: {name}={getattr(self, name)} must be finite")
        if self.scale == "log" and self.origin <= 0:
            raise FractaljaxError(f"{where}: origin={self.origin} on a log axis must be above 0")
        if not self.width > 0 or abs(self.start * self.n) > 2**53:
            raise FractaljaxError(
                f"{where}: width={self.width} must be above 0, and start={self.start} within 2^53 "
                "samples of the origin"
            )

    @classmethod
    def around(
        cls, path: str, center: decimal.Decimal, width: float, n: int, scale: str
    ) -> "Lattice":
        """`n` samples around a centre that is given in axis coordinates, to any precision."""
        try:
            exact = _EXACT.power(10, center) if scale == "log" else center
            origin = float(exact)
            residue = float(_EXACT.subtract(exact, decimal.Decimal(origin)))
        except (decimal.DecimalException, OverflowError):
            origin, residue = math.inf, 0.0
        return cls(path, origin, width, -0.5, n, scale, residue)

    @property
    def center(self) -> decimal.Decimal:
        """The middle sample (of an even number the upper one), to 40 digits."""
        return self.coordinate(self.n // 2)

    def coordinate(self, sample: int) -> decimal.Decimal:
        """Where the i-th sample lies in axis coordinates, to 40 digits."""
        origin = _EXACT.add(decimal.Decimal(self.origin), decimal.Decimal(self.residue))
        distance = _EXACT.multiply(self.first + sample, decimal.Decimal(self.pitch))
        return _EXACT.add(self._exact(origin), distance)

    @property
    def pitch(self) -> float:
        """Between neighbours, in axis coordinates."""
        return self.width / self.n

    @property
    def first(self) -> int:
        """Index of the first sample."""
        return int(self.start * self.n)

    @property
    def min(self) -> float:
        return self._value(self.first)

    @property
    def max(self) -> float:
        return self._value(self.first + self.n - 1)

    @property
    def span(self) -> float:
        return self.pitch * max(self.n - 1, 1)

    def points(self) -> np.ndarray:
        return np.array([self._value(i) for i in range(self.first, self.first + self.n)])

    def _value(self, index: int) -> float:
        distance = index * self.pitch
        if self.scale == "linear":
            return self.origin + (distance + self.residue)
        try:
            if abs(distance) < _NEAR:
                return self.origin + (self.origin * math.expm1(_LN10 * distance) + self.residue)
            return self.origin * math.pow(10.0, distance)
        except OverflowError:
            return math.inf
