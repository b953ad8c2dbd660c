"""One axis of a window: values of one traced path. float64 on the host, no JAX.

A position on an axis is given in *axis coordinates*: log10 of the value on a `log` axis, log10 of
one minus the value on a `log1m` axis, the value itself on a `linear` one. Samples always ascend
in value, so coordinates on a `log1m` axis descend: from -1 at 0.9 to -3 at 0.999. `Axis` runs from
one value to another; `Lattice` lies around one value, for zooms: finer lattices hold the samples
of coarser ones bit for bit.

Every sample is the float64 nearest to its exact value (`samples`), unless the axis is of a result
that keeps others: see `Kept`.
"""

import abc
import dataclasses
import decimal
import functools
import math
from typing import NamedTuple, Self

import numpy as np

from fractaljax import samples
from fractaljax.errors import FractaljaxError, unknown

SCALES = ("log", "linear", "log1m")
EXACT = "exact"  # the rule of samples that no result keeps: the nearest float64
MAX_SIDE = 2**20  # samples along one axis; a million is already a poster of 3.5 km at 300 dpi
OVERVIEW_DECADES = 9.0  # the published overview, [-3, 6]: zoom depths are told relative to it
CACHED = 32  # axes whose samples stay in memory, for the tiles of a window ask for them again
_LN10 = math.log(10)
_EXACT = decimal.Context(prec=40)


class Kept(NamedTuple):
    """Samples as a result keeps them, and the rule by which they were computed."""

    values: np.ndarray  # native units, float64 `[n]`
    rule: str


def coordinate(value: decimal.Decimal, scale: str) -> decimal.Decimal:
    """A value in native units as an axis coordinate, to 40 digits."""
    if scale == "linear":
        return value
    return _EXACT.log10(_EXACT.subtract(1, value) if scale == "log1m" else value)


def value_at(
    place: decimal.Decimal, scale: str, context: decimal.Context = _EXACT
) -> decimal.Decimal:
    """The value at an axis coordinate, in native units, to the digits of the context."""
    if scale == "linear":
        return place
    power = context.power(10, place)
    return context.subtract(1, power) if scale == "log1m" else power


def spacing(low: float, high: float, scale: str, dtype: str) -> float:
    """The widest distance of neighbouring numbers of `dtype` between two values, in axis
    coordinates."""
    step = float(np.finfo(dtype).eps)  # the widest relative spacing of neighbouring floats
    if scale == "linear":
        return step * max(abs(low), abs(high))
    if scale == "log1m":  # a sample near one is a float64, whatever the dtype
        fine = float(np.finfo("float64").epsneg)
        step = max(step, fine / max(1 - high, fine))
    return step / _LN10


class _Samples(abc.ABC):
    """What both kinds of axes can tell about their samples."""

    path: str
    n: int
    scale: str
    min: float
    max: float
    _kept: Kept | None = None  # of no account where axes are compared, copied or written

    def points(self) -> np.ndarray:
        """The samples in native units, float64 `[n]`, ascending; not to be written into."""
        return self.exact() if self._kept is None else self._kept.values

    def exact(self) -> np.ndarray:
        """The samples as they are where no result keeps others."""
        return _exact_points(self)

    @property
    def rule(self) -> str:
        """How the samples were computed."""
        return EXACT if self._kept is None else self._kept.rule

    def keeping(self, values: np.ndarray, rule: str) -> Self:
        """The same axis with the samples of a result. A changed copy of it (`dataclasses.replace`,
        `between`) has exact ones again.

        Args:
            values: native units, float64 `[n]`.
            rule: how they were computed.
        """
        values = np.array(values, np.float64)
        if values.shape != (self.n,):
            raise ValueError(f"axis {self.path}: {values.shape} samples for n={self.n}")
        values.flags.writeable = False
        axis = dataclasses.replace(self)  # type: ignore[type-var]
        object.__setattr__(axis, "_kept", Kept(values, rule))
        return axis

    @abc.abstractmethod
    def _samples(self) -> np.ndarray:
        """The exact samples, each rounded once."""

    @property
    def low(self) -> float:
        """`min` in axis coordinates."""
        return self._coordinate(self.min)

    @property
    def high(self) -> float:
        """`max` in axis coordinates: above `low`, but below it on a `log1m` axis."""
        return self._coordinate(self.max)

    @property
    def direction(self) -> int:
        """1 where axis coordinates ascend with the values, -1 where they descend (`log1m`)."""
        return -1 if self.scale == "log1m" else 1

    @property
    def span(self) -> float:
        """From the first sample to the last, in axis coordinates; never negative."""
        return (self.high - self.low) * self.direction

    @property
    def center(self) -> decimal.Decimal:
        """The middle in axis coordinates, to 40 digits."""
        return _EXACT.divide(_EXACT.add(self._exact(self.min), self._exact(self.max)), 2)

    def between(self, low: float, high: float) -> "Axis":
        """The same axis over other axis coordinates, as an `Axis`; on `log1m`, whose coordinates
        descend, the ends may come in either order."""
        if self.scale == "log1m":
            return self._between_log1m(low, high)
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
        """How many samples are lost because neighbours are equal in `dtype`; on a `log1m` axis
        because one minus each of them is, which is what a program computes with."""
        return self.n - len(np.unique(self._rounded(dtype)))

    def in_range(self, dtype: str) -> bool:
        """Whether `dtype` holds all samples: none becomes infinite, or zero without being zero.
        On a `log1m` axis one minus each sample counts."""
        rounded = self._rounded(dtype)
        zero = (self.points() == 0) & (self.scale != "log1m")  # a sample that is one has no log10
        return bool(np.all(np.isfinite(rounded) & ((rounded != 0) | zero)))

    def depth(self, width: float | None = None) -> float:
        """Zoom depth in factors of two: from the 9-decade overview on `log` and `log1m` axes, from
        the largest value on a linear one. `width` is in axis coordinates (default: this axis)."""
        linear = self.scale == "linear"
        full = max(abs(self.min), abs(self.max)) if linear else OVERVIEW_DECADES
        width = self.span if width is None else width
        return math.log2(full) - math.log2(width) if width > 0 else math.inf

    def floor_depth(self, dtype: str) -> float:
        """The zoom depth from which on `n` samples around here merge in `dtype`."""
        return self.depth(self.spacing(dtype) * max(self.n - 1, 1))

    def spacing(self, dtype: str) -> float:
        """The widest distance of neighbouring numbers of `dtype` along the axis, in axis
        coordinates."""
        return spacing(self.min, self.max, self.scale, dtype)

    def _between_log1m(self, low: float, high: float) -> "Axis":
        try:
            ends = sorted(float(value_at(decimal.Decimal(c), self.scale)) for c in (low, high))
        except decimal.DecimalException:
            ends = [-math.inf]
        if math.isinf(ends[0]):
            raise FractaljaxError(
                f"axis {self.path}: [{low}, {high}] is in log10(1 - value) and leaves the range of "
                "float64"
            )
        if low != high and ends[0] == ends[1]:
            raise self.too_deep(abs(high - low))
        return Axis(self.path, ends[0], ends[1], self.n, self.scale)

    def _coordinate(self, value: float) -> float:
        if self.scale == "log1m":
            return float(self._exact(value))
        return float(np.log10(value)) if self.scale == "log" else value

    def _exact(self, value: float) -> decimal.Decimal:
        """A value in native units as an axis coordinate, to 40 digits; on `log1m` of the number as
        it is written (`samples.between`)."""
        number = samples.written if self.scale == "log1m" else decimal.Decimal
        return coordinate(number(value), self.scale)

    def _measures(self) -> np.ndarray:
        """What must differ from sample to sample: values, or one minus them."""
        return 1 - self.points() if self.scale == "log1m" else self.points()

    def _rounded(self, dtype: str) -> np.ndarray:
        with np.errstate(over="ignore", under="ignore"):
            return self._measures().astype(dtype)

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
        min, max: native units; `min < max`; positive on a `log` axis, below 1 on `log1m`.
        n: number of samples.
        scale: `log`, `linear`, or `log1m` for values near one: evenly spaced in log10(1 - value),
            between the ends as they are written: 0.9 to 0.9999 goes over 0.99 and 0.999.

    Example:
        >>> fj.Axis("optimizer.lr", 0.01, 100.0, n=5).points().tolist()
        [0.01, 0.1, 1.0, 10.0, 100.0]
        >>> fj.Axis("optimizer.beta2", 0.9, 0.999, n=3, scale="log1m").points().tolist()
        [0.9, 0.99, 0.999]
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
        if self.scale == "log1m" and self.max >= 1:
            raise FractaljaxError(
                f"{where}: max={self.max} on a log1m axis must be below 1; scale: linear allows 1"
            )
        if not self.min < self.max:
            raise FractaljaxError(f"{where}: min={self.min} must be below max={self.max}")

    def _samples(self) -> np.ndarray:
        """Both ends exactly; a single sample lies in the middle."""
        return samples.between(float(self.min), float(self.max), self.n, self.scale)

    def spacing(self, dtype: str) -> float:
        fine = super().spacing(dtype)
        if self.rule == EXACT:
            return fine
        # other rules interpolate coordinates, which rounds by up to two of their spacings
        return max(fine, 2 * float(np.finfo("float64").eps) * max(abs(self.low), abs(self.high)))


@dataclasses.dataclass(frozen=True)
class Lattice(_Samples):
    """Values of one traced path at whole multiples of a pitch from an origin.

    `value = origin * 10^(index * pitch)` on a log axis, `origin + index * pitch` on a linear one,
    `1 - (1 - origin) * 10^(-index * pitch)` on a log1m axis, for `n` indices from `first` on. The
    origin is carried in two float64 values and each sample is rounded once, so a window loses
    nothing to the rounding of its coordinates: it ends only where the values themselves merge. The
    sample at index 2 i of a lattice is, bit for bit, the sample at index i of one with twice the
    pitch.

    Args:
        path: canonical path of a traced argument, `role.argument`.
        origin: native units; positive on a log axis, below 1 on a log1m axis.
        width: `n` pitches, in axis coordinates.
        start: index of the first sample, in widths: -0.5 puts the origin in the middle.
        n: number of samples.
        scale: `log`, `linear` or `log1m`.
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
        if self.scale == "log1m" and self.origin >= 1:
            raise FractaljaxError(f"{where}: origin={self.origin} on a log1m axis must be below 1")
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
            exact = value_at(center, scale)
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
        index = self.direction * (self.first + sample)
        distance = _EXACT.multiply(index, decimal.Decimal(self.pitch))
        return _EXACT.add(coordinate(origin, self.scale), distance)

    @property
    def low(self) -> float:
        return float(self.coordinate(0)) if self.scale == "log1m" else super().low

    @property
    def high(self) -> float:
        return float(self.coordinate(self.n - 1)) if self.scale == "log1m" else super().high

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
        return self._value(0)

    @property
    def max(self) -> float:
        return self._value(self.n - 1)

    @property
    def span(self) -> float:
        return self.pitch * max(self.n - 1, 1)

    def _samples(self) -> np.ndarray:
        return self._run(self.first, self.n)

    def _value(self, sample: int) -> float:
        """One sample, without the others: there may be a million."""
        if self._kept is not None:
            return float(self._kept.values[sample])
        return float(self._run(self.first + sample, 1)[0])

    def _run(self, first: int, n: int) -> np.ndarray:
        origin, residue, pitch = map(float, (self.origin, self.residue, self.pitch))
        return samples.around(origin, residue, pitch, first, n, self.scale)


@functools.lru_cache(maxsize=CACHED)
def _exact_points(axis: Axis | Lattice) -> np.ndarray:
    values = axis._samples()
    values.flags.writeable = False
    return values
