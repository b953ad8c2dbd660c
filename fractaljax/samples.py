"""Samples of an axis: each is the float64 nearest to its exact value.

Linear axes are computed in whole numbers, the others in decimal numbers of 60 digits, so that a
sample does not depend on `pow`, `log10` or the processor, nor on how many samples lie around it.
One multiplication a sample: a million take some seconds, 4096 some milliseconds.
"""

import decimal
import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

import numpy as np

FINE = decimal.Context(prec=60, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN, traps=[])
_FARTHEST = 700  # decades: from any float64 to beyond all others


def between(low: float, high: float, n: int, scale: str) -> np.ndarray:
    """`n` samples from `low` to `high`, which both are samples; a single one lies in the middle.

    An arithmetic progression on a linear scale; a geometric one of the values on `log`, and of
    one minus the values on `log1m`. float64 `[n]`.

    Ends are what float64 holds; on `log1m` what they are written as (`written`), so that 0.9 to
    0.9999 has 0.99 and 0.999 between: one minus the float64 0.9999 is 1.1e-12 of itself from 1e-4,
    and one minus 0.999999999999 is 9e-5 of itself from 1e-12.
    """
    if scale == "linear":
        return _arithmetic(low, high, n)
    number = written if scale == "log1m" else Decimal
    first, last = (_measure(number(end), scale) for end in (low, high))
    share = FINE.divide(Decimal(1), max(n - 1, 2))
    ratio = FINE.power(FINE.divide(last, first), share)
    if n == 1:
        first = FINE.multiply(first, ratio)
    found = [float(_measure(m, scale)) for m in _geometric(first, ratio, n)]
    if n > 1:
        found[0], found[-1] = low, high
    return np.array(found)


def around(
    origin: float, residue: float, pitch: float, first: int, n: int, scale: str
) -> np.ndarray:
    """The samples with indices `first` to `first + n - 1` of a lattice, float64 `[n]`.

    `origin + residue + index * pitch` on a linear scale; on the others the value, or one minus
    the value, is `10^(index * pitch)` times that of the origin (`log1m`: `10^(-index * pitch)`).
    """
    exact = Fraction(origin) + Fraction(residue)
    if scale == "linear":
        start, step = exact + first * Fraction(pitch), Fraction(pitch)
        common = math.lcm(start.denominator, step.denominator)
        start, step = int(start * common), int(step * common)
        return np.array([_quotient(start + i * step, common) for i in range(n)])
    sign = -1 if scale == "log1m" else 1
    base = _measure(_decimal(exact), scale)
    exponent = FINE.multiply(Decimal(pitch), sign * first)
    start, ratio = FINE.power(10, exponent), FINE.power(10, FINE.multiply(sign, Decimal(pitch)))
    found = [float(_measure(m, scale)) for m in _geometric(FINE.multiply(base, start), ratio, n)]
    # Whole powers of ten may give a value half-way between two float64: these are exact instead.
    part, whole = pitch.as_integer_ratio()
    for index in range(-(-first // whole) * whole, first + n, whole):
        found[index - first] = _scaled(exact, sign * (index // whole) * part, scale)
    return np.array(found)


def written(value: float) -> Decimal:
    """The shortest decimal number that float64 reads as this value."""
    return Decimal(repr(float(value)))


def _arithmetic(low: float, high: float, n: int) -> np.ndarray:
    (a, p), (b, q) = low.as_integer_ratio(), high.as_integer_ratio()
    common = max(p, q)  # both are powers of two
    a, b = a * (common // p), b * (common // q)
    if n == 1:
        return np.array([_quotient(a + b, 2 * common)])
    start, step, common = a * (n - 1), b - a, common * (n - 1)
    return np.array([_quotient(start + i * step, common) for i in range(n)])


def _geometric(first: Decimal, ratio: Decimal, n: int) -> Iterator[Decimal]:
    for _ in range(n):
        yield first
        first = FINE.multiply(first, ratio)


def _measure(value: Decimal, scale: str) -> Decimal:
    """From a value to what is laid out evenly in log10, and back: itself, or one minus it."""
    return FINE.subtract(Decimal(1), value) if scale == "log1m" else value


def _scaled(origin: Fraction, exponent: int, scale: str) -> float:
    """A value a whole number of decades from the origin."""
    if abs(exponent) > _FARTHEST:
        measure = math.inf if exponent > 0 else 0.0
        return 1 - measure if scale == "log1m" else measure
    measure = (1 - origin if scale == "log1m" else origin) * Fraction(10) ** exponent
    value = 1 - measure if scale == "log1m" else measure
    return _quotient(value.numerator, value.denominator)


def _quotient(numerator: int, denominator: int) -> float:
    """Rounded once, as Python divides whole numbers; infinite beyond the range of float64."""
    try:
        return numerator / denominator
    except OverflowError:
        return math.copysign(math.inf, numerator)


def _decimal(value: Fraction) -> Decimal:
    return FINE.divide(Decimal(value.numerator), Decimal(value.denominator))
