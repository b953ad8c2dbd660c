"""Ticks of an axis in native units, exact also where a window is a billionth of its position.

Positions are fractions of the axis, and differences are taken in decimal arithmetic: at zoom
2^40 the ends of a window differ in the 13th digit, where float64 and matplotlib's own locators
have nothing left to tell ticks apart.
"""

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import NamedTuple

from fractaljax.axis import Axis, Lattice

MAJOR = 6  # steps along an axis, at most
_DIGITS = 6  # more than this in one label, and the common ones are told apart from it
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


class Ticks(NamedTuple):
    """Where the labels stand (0 at `min`, 1 at `max`), what they say, and how to read them."""

    at: list[float]
    labels: list[str]
    minor: list[float]
    note: str  # such as "13.2997 + ... times 10⁻⁵"; empty where labels are plain values


def ticks(axis: Axis | Lattice) -> Ticks:
    """The ticks of an axis: decades where a `log` or `log1m` axis spans at least one, else round
    steps."""
    if axis.scale == "linear" or axis.span < 1:
        return _steps(axis)
    return _decades_below_one(axis) if axis.scale == "log1m" else _decades(axis)


def number(value: float, digits: int = 3) -> str:
    """A value for people, rounded to some digits: `0.0123`, 4.56 times `10⁸`, `∞`."""
    if not math.isfinite(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    if -3 <= int(exponent) < 5:
        text = _trimmed(f"{value:.{max(digits - 1 - int(exponent), 0)}f}")
    else:
        text = f"{_trimmed(mantissa)}{TIMES}{power(int(exponent))}"
    return text.replace("-", MINUS)


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def power(exponent: int) -> str:
    """A power of ten: `10⁻³`."""
    return "10" + str(exponent).translate(_SUPERSCRIPT)


def _decades(axis: Axis | Lattice) -> Ticks:
    marks, minor = _powers(axis.low, axis.high)
    if any(m > 1 for _, m, _ in marks):
        labels = [number(float(f"{m}e{e}")) for _, m, e in marks]
    else:
        labels = [power(e) for _, _, e in marks]
    return Ticks([at for at, _, _ in marks], labels, minor, "")


def _decades_below_one(axis: Axis | Lattice) -> Ticks:
    """Those of one minus the value, from the other side: `1 - 10⁻³`."""
    marks, minor = _powers(axis.high, axis.low)
    labels = [
        f"1 {MINUS} {power(e)}" if m == 1 else f"1 {MINUS} {m}{TIMES}{power(e)}"
        for _, m, e in reversed(marks)
    ]
    return Ticks([1 - at for at, _, _ in reversed(marks)], labels, [1 - at for at in minor], "")


def _powers(low: float, high: float) -> tuple[list[tuple[float, int, int]], list[float]]:
    """Powers of ten, and 2 and 5 times them where there is room, between two ends in log10: place,
    mantissa and exponent of each. And the places of minor ticks."""
    tiny = 1e-9  # an end that is a power of ten belongs to its decade, whatever log10 rounds to
    decades = range(math.floor(low + tiny), math.floor(high + tiny) + 1)
    every = 1 + (len(decades) - 1) // 10
    mantissas = (1, 2, 5) if high - low < 3 else (1,)

    def place(mantissa: int, exponent: int) -> float:
        return (math.log10(mantissa) + exponent - low) / (high - low)

    major = [(m, e) for e in decades if e % every == 0 for m in mantissas]
    major = [(m, e) for m, e in major if -tiny <= place(m, e) <= 1 + tiny]
    fine = range(2, 10) if every == 1 else range(1, 2)
    minor = [place(m, e) for e in decades for m in fine if 0 <= place(m, e) <= 1]
    return [(place(m, e), m, e) for m, e in major], minor


def _steps(axis: Axis | Lattice) -> Ticks:
    low, high = Decimal(repr(axis.min)), Decimal(repr(axis.max))
    span = high - low
    step = _round_step(span / MAJOR)
    first = (low / step).to_integral_value(ROUND_CEILING)
    count = int((high / step).to_integral_value(ROUND_FLOOR) - first) + 1
    values = [(first + i) * step for i in range(count)]
    labels, note = _labels(values, low, span, step)
    return Ticks([_fraction(axis, v - low, low, span) for v in values], labels, [], note)


def _round_step(least: Decimal) -> Decimal:
    """The smallest of 1, 2, 5 times a power of ten that is not below `least`."""
    unit = Decimal(1).scaleb(least.adjusted())
    return next(m * unit for m in (1, 2, 5, 10) if m * unit >= least)


def _fraction(axis: Axis | Lattice, above: Decimal, low: Decimal, span: Decimal) -> float:
    if axis.scale == "linear":
        return float(above / span)
    if axis.scale == "log1m":
        return math.log1p(-above / (1 - low)) / math.log1p(-span / (1 - low))
    return math.log1p(above / low) / math.log1p(span / low)


def _labels(
    values: list[Decimal], low: Decimal, span: Decimal, step: Decimal
) -> tuple[list[str], str]:
    """Plain values where they are short, else what follows their common digits."""
    largest = max((abs(v) for v in values), default=low)
    if -4 <= largest.adjusted() < _DIGITS and largest.adjusted() - step.adjusted() < _DIGITS:
        unit, base, note = 0, Decimal(0), ""
    else:
        unit = span.adjusted()
        ten = Decimal(1).scaleb(unit + 1)
        base = (low / ten).to_integral_value(ROUND_FLOOR) * ten
        note = f"{_plain(base)} + … {TIMES} {power(unit)}" if base else f"{TIMES} {power(unit)}"
    digits = max(unit - step.adjusted(), 0)
    texts = [f"{(v - base).scaleb(-unit):.{digits}f}" for v in values]
    return [t.replace("-", MINUS) for t in texts], note


def _plain(value: Decimal) -> str:
    if -6 <= value.adjusted() < 12:
        return f"{value:f}".replace("-", MINUS)
    mantissa = value.scaleb(-value.adjusted()).normalize()
    return f"{mantissa:f}{TIMES}{power(value.adjusted())}".replace("-", MINUS)
