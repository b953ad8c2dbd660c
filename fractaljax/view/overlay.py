"""Axes drawn on the frames of a zoom: labels whose last digits change, and how deep it is.

A label belongs to a value, not to a place on the screen: it comes in, in full, as soon as there is
room for it among its neighbours of the same step (1 or 5 times a power of ten), moves outwards, and
never changes its text on the way. The digits that all labels share are faint. Values are decimal
numbers: deep in a zoom they differ where float64 has no digits left.
"""

import functools
import math
from collections.abc import Iterator
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal, localcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from fractaljax import config
from fractaljax.axis import Axis, Lattice, value_at
from fractaljax.field import Field
from fractaljax.view.frames import View
from fractaljax.view.ticks import MINUS, TIMES, power

_EXACT = Context(prec=50)
_LN10 = math.log(10)
_DARK = (10, 12, 16)
_PLAIN = 5  # values from 10^-4 to below 10^5 are written without a power of ten

# in heights of a label
_ROOM = 1.6  # between two labels, from which on they begin to show; fully at half as much again
_TICK, _MINOR = 0.55, 0.3  # lengths
_THICK = 0.11
_MARGIN = 0.55
_SOFT = 0.16  # radius of the shadow
_DUSK = (8.0, 3.6)  # how far the left and the lower border darken
_PARTS = 42  # heights of a label along the shorter side of a frame
_LEAST = 9  # pixels; smaller letters cannot be read


class Mark(NamedTuple):
    """A value on an axis."""

    at: float  # -1 at the left or lower border of the frame, 1 at the other
    text: str
    gap: float  # to its neighbours of the same step or of a coarser one, in the same units


class Overlay:
    """Draws the axes of a zoom on its frames."""

    def __init__(self, widest: Field, view: View):
        """Takes the axes from the widest level, on which `view` tells how frames lie."""
        axes = widest.window.axes
        self._names = [config.label(widest.spec, axis.path) for axis in axes]
        self._centers = [_center(axis) for axis in axes]
        self._scales = [axis.scale for axis in axes]
        pitches = [_pitch(axis) for axis in axes]
        sides = (view.width, view.height)
        self._reach = [p * view.unit * n / 2 for p, n in zip(pitches, sides, strict=True)]
        self._factor = view.factor
        self._em = max(min(sides) / _PARTS, _LEAST)

    def draw(self, frame: Image.Image, depth: float) -> None:
        """Draws on the frame at a depth, in levels below the widest."""
        sheet = _Sheet(frame.size, self._em)
        for which, (center, scale) in enumerate(zip(self._centers, self._scales, strict=True)):
            shown = marks(center, self._reach[which] * self._factor**-depth, scale)
            sheet.axis(which, shown, self._names[which])
        sheet.depth(depth * math.log2(self._factor))
        sheet.onto(frame)


def _center(axis: Axis | Lattice) -> Decimal:
    """The value of the middle sample, to more digits than any window needs."""
    if isinstance(axis, Lattice):
        return value_at(axis.center, axis.scale, _EXACT)
    return Decimal(float(axis.points()[axis.n // 2]))


def _pitch(axis: Axis | Lattice) -> float:
    return axis.pitch if isinstance(axis, Lattice) else axis.span / (axis.n - 1)


def marks(center: Decimal, reach: float, scale: str) -> list[Mark]:
    """Values of an axis from `reach` below its centre to `reach` above, in axis coordinates.

    Coarse steps first, down to where no frame has room for a line. On a `log1m` axis the marks are
    those of one minus the value, from the other side: `1 - 0.002`.
    """
    if scale == "log1m":
        mirrored = marks(_EXACT.subtract(1, center), reach, "log")
        return [Mark(-m.at, f"1 {MINUS} {m.text}", m.gap) for m in mirrored]
    found = {}
    with localcontext(_EXACT):
        if scale == "log":
            below = math.expm1(-_LN10 * reach)  # without cancellation, deep in
            low = center * (1 + Decimal(below) if reach < 1 else Decimal(10**-reach))
            high = center * center / low
        else:
            low, high = center - Decimal(reach), center + Decimal(reach)
        for step in _steps(low, high, scale):
            for value in _multiples(step, low, high, scale):
                if value not in found:
                    at, gap = _place(value, step, center, scale)
                    found[value] = Mark(at / reach, _text(value), gap / reach)
    return list(found.values())


def _steps(low: Decimal, high: Decimal, scale: str) -> Iterator[Decimal]:
    """Steps from the widest that has a chance to be met down to 1/200 of the window."""
    largest = max(abs(low), abs(high))
    finest = (high - low) / 200
    if scale == "log" and high / low > 10:
        finest = low / 20  # each decade has its own steps
    exponent = largest.adjusted() + 1
    while Decimal(1).scaleb(exponent) >= finest:
        yield Decimal(1).scaleb(exponent)
        if Decimal(5).scaleb(exponent - 1) >= finest:
            yield Decimal(5).scaleb(exponent - 1)
        exponent -= 1


def _multiples(step: Decimal, low: Decimal, high: Decimal, scale: str) -> Iterator[Decimal]:
    first = (low / step).to_integral_value(ROUND_CEILING)
    last = (high / step).to_integral_value(ROUND_FLOOR)
    if scale == "log" and high / low > 10:  # the rest has no room, or is met by larger steps
        last = min(last, Decimal(99 if high / low < 1000 else 20))
    for i in range(int(first), int(last) + 1):
        yield i * step


def _place(value: Decimal, step: Decimal, center: Decimal, scale: str) -> tuple[float, float]:
    """How far above the centre, and how far from the next multiple of the step, in axis
    coordinates. A power of ten stands among powers of ten, of a thousand or of a million."""
    if scale == "linear":
        return float(value - center), float(step)
    ratio = value / center
    near = Decimal("0.1") < ratio < 10
    at = math.log1p(float(ratio - 1)) / _LN10 if near else math.log10(ratio)
    exponent = value.adjusted()
    if value == Decimal(1).scaleb(exponent):
        return at, next(float(n) for n in (6, 3, 1) if exponent % n == 0)
    return at, math.log1p(float(step / value)) / _LN10


def _text(value: Decimal) -> str:
    """A value with all its digits."""
    if value == 0:
        return "0"
    exponent = value.adjusted()
    if value == Decimal(1).scaleb(exponent) and not -4 < exponent < 4:
        return power(exponent)
    unit = 0 if -4 <= exponent < _PLAIN else exponent
    digits = max(unit - value.normalize().as_tuple().exponent, 0)  # type: ignore[operator]
    plain = f"{value.scaleb(-unit):.{digits}f}".replace("-", MINUS)
    return f"{plain}{TIMES}{power(unit)}" if unit else plain


class _Sheet:
    """Light to be laid over one frame, with a soft shadow below it."""

    def __init__(self, size: tuple[int, int], em: float):
        self._size, self._em = size, em
        self._light = Image.new("L", size)
        self._draw = ImageDraw.Draw(self._light)
        self._left = 0.0  # how far the labels of the left border reach

    def axis(self, which: int, marks: list[Mark], name: str) -> None:
        """The lower border (0) or the left one (1)."""
        half = self._size[which] / 2
        shown = [(m, _strength(m.gap * half, self._need(which, m.text))) for m in marks]
        common = _common([m.text for m, strength in shown if strength > 0])
        for mark, strength in shown:
            line = max(0.55 * _strength(mark.gap * half, self._em / 2), strength)
            if line > 0:
                self._tick(which, mark.at, line)
            if strength > 0:
                self._label(which, mark, strength, common)
        self._name(which, name)

    def depth(self, doublings: float) -> None:
        """How deep the frame is, top right: a power of two."""
        em, text = self._em, f"{doublings:.1f}"
        small = _font(round(0.72 * em, 2))
        right, top = self._size[0] - _MARGIN * em, _MARGIN * em
        self._write((right, top), text, small, 1.0, "ra")
        left = right - small.getlength(text) - 0.08 * em
        self._write((left, top + 0.22 * em), f"{TIMES} 2", _font(em), 1.0, "ra")

    def onto(self, frame: Image.Image) -> None:
        """Lays it over the frame, whose middle is not touched."""
        (width, height), em = self._size, self._em
        left = min(math.ceil(max(self._left, _DUSK[0] * em)), width)
        low = max(math.floor(height - 4 * em), 0)
        right = max(math.floor(width - 8 * em), left)
        corners = ((0, low, width, height), (0, 0, left, low), (right, 0, width, math.ceil(3 * em)))
        for box in corners:
            light = self._light.crop(box)
            shadow = light.filter(ImageFilter.BoxBlur(_SOFT * em))
            shadow = shadow.point([min(round(1.7 * v), 200) for v in range(256)])
            dusk = _dusk(self._size, em).crop(box)
            frame.paste(_DARK, box, ImageChops.lighter(dusk, shadow))
            frame.paste((255, 255, 255), box, light)

    def _need(self, which: int, text: str) -> float:
        """Pixels between two such labels from which on they begin to show."""
        return _font(self._em).getlength(text) + self._em if which == 0 else _ROOM * self._em

    def _label(self, which: int, mark: Mark, strength: float, common: int) -> None:
        em, font = self._em, _font(self._em)
        faint, clear = mark.text[:common], mark.text[common:]
        width = font.getlength(mark.text)
        if which == 0:
            x = (1 + mark.at) * self._size[0] / 2 - width / 2
            y = self._size[1] - (_TICK + 0.3) * em
            if x < 2.5 * em or x + width > self._size[0] - _MARGIN * em:
                return  # the corner belongs to the other axis, and no label is cut
        else:
            x = (_TICK + 0.3) * em
            y = (1 - mark.at) * self._size[1] / 2 + 0.36 * em
            if y < 2.6 * em or y > self._size[1] - 2.2 * em:
                return
            self._left = max(self._left, x + width + em)
        self._write((x, y), faint, font, 0.7 * strength, "ls")
        self._write((x + font.getlength(faint), y), clear, font, strength, "ls")

    def _tick(self, which: int, at: float, strength: float) -> None:
        """A short line at the border, longer the stronger, placed to a part of a pixel."""
        place = (1 + at if which == 0 else 1 - at) * self._size[which] / 2
        long = round((_TICK if strength > 0.55 else _MINOR) * self._em)
        half = max(_THICK * self._em, 1.2) / 2
        first = math.floor(place - half)
        pixels = np.arange(first, math.ceil(place + half))
        cover = np.minimum(pixels + 1, place + half) - np.maximum(pixels, place - half)
        line = np.broadcast_to(np.rint(255 * strength * cover).astype(np.uint8), (long, len(cover)))
        mask = Image.fromarray(np.ascontiguousarray(line if which == 0 else line.T))
        corner = (first, self._size[1] - long) if which == 0 else (0, first)
        self._light.paste(255, corner, mask)

    def _name(self, which: int, name: str) -> None:
        em = self._em
        if which == 0:
            place = (self._size[0] - _MARGIN * em, self._size[1] - (_TICK + 1.7) * em)
            self._write(place, name, _font(em), 1.0, "rs")
        else:
            self._write((_MARGIN * em, (_MARGIN + 0.9) * em), name, _font(em), 1.0, "ls")

    def _write(
        self, place: tuple[float, float], text: str, font: Any, strength: float, anchor: str
    ) -> None:
        self._draw.text(place, text, fill=round(255 * strength), font=font, anchor=anchor)


def _strength(gap: float, need: float) -> float:
    """From 0 where there is just no room to 1 at half as much again."""
    return min(max(2 * (gap / need - 1), 0.0), 1.0)


def _common(texts: list[str]) -> int:
    """How many first characters all labels share; 0 where they are few."""
    if len(texts) < 2:
        return 0
    first, last = min(texts), max(texts)
    alike = (a == b for a, b in zip(first, last, strict=False))
    same = next((i for i, same in enumerate(alike) if not same), len(first) - 1)
    return same if same > 3 else 0


@functools.lru_cache(2)
def _dusk(size: tuple[int, int], em: float) -> Image.Image:
    """The mask that darkens a frame towards its left and lower border, where the labels are."""
    width, height = size
    left = np.clip(1 - np.arange(width) / (_DUSK[0] * em), 0, 1) ** 2
    below = np.clip(1 - np.arange(height)[::-1] / (_DUSK[1] * em), 0, 1) ** 2
    mask = 1 - (1 - 0.5 * left) * (1 - 0.5 * below[:, None])
    return Image.fromarray(np.rint(255 * mask).astype(np.uint8))


@functools.cache
def _font(size: float) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
