"""A contact sheet: every level of a zoom in a grid, each with the window of the next one marked."""

import math
from pathlib import Path
from typing import Any

from fractaljax.errors import FractaljaxError
from fractaljax.levels import Zoom
from fractaljax.view import caption, figure, picture
from fractaljax.view.contour import Line
from fractaljax.view.metadata import texts
from fractaljax.view.painting import paint
from fractaljax.view.ticks import TIMES, number, power

WIDE = 10.0  # inches of the whole grid, about
CELL = (1.1, 3.2)  # inches of one picture, at least and at most
_GAP, _LABEL = 0.1, 0.26  # between pictures; under each, for its label
_MARGIN, _HEAD, _FOOT = 0.3, 0.75, 0.35
_WIDEST = 400.0  # pixels of a picture for each inch of it, at most


def save_sheet(
    zoom: Zoom,
    path: str | Path,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    contour: Line | None = None,
) -> None:
    """Writes all levels as one figure, the widest first; each is stretched for itself.

    Args:
        zoom: its complete levels are shown.
        path: a file name that ends in `.png`, `.pdf` or `.svg`.
        reading, cmap, stretch, contour: see `painting.paint`.

    Raises:
        FractaljaxError: a name is not known, or the file cannot be written.
    """
    kind = figure.kind_of(path, "contact sheet")
    first = zoom.levels[0]
    chosen = {"reading": picture.named(first, reading), "cmap": cmap, "stretch": stretch}
    drawn = draw(zoom, **chosen, contour=contour)
    notes = texts(first, **chosen, levels=len(zoom), factor=zoom.factor)
    figure.save(drawn, path, kind, notes)


def draw(
    zoom: Zoom,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    contour: Line | None = None,
) -> Any:
    """The sheet as a `matplotlib.figure.Figure`."""
    first = zoom.levels[0]
    if first.window.y is None:
        raise FractaljaxError("a zoom along one axis has no contact sheet")
    ny, nx = first.window.grid
    columns = _columns(len(zoom), ny / nx)
    rows = -(-len(zoom) // columns)
    wide = min(max((WIDE + _GAP) / columns - _GAP, CELL[0]), CELL[1])
    high = wide * ny / nx
    width = 2 * _MARGIN + columns * (wide + _GAP) - _GAP
    height = _HEAD + rows * (high + _LABEL + _GAP) - _GAP + _FOOT
    drawn = figure.blank(width, height)
    _words(drawn, zoom, width, height)
    for level, field in enumerate(zoom.levels):
        row, column = divmod(level, columns)
        left = _MARGIN + column * (wide + _GAP)
        top = height - _HEAD - row * (high + _LABEL + _GAP)
        box = left / width, (top - high) / height, wide / width, high / height
        axes = drawn.add_axes(box)
        look = {"reading": reading, "cmap": cmap, "stretch": stretch, "contour": contour}
        pixels = paint(field, **look).shrunk(max(int(_WIDEST * max(wide, high)), 1))
        axes.imshow(pixels, origin="lower", extent=(0, 1, 0, 1), aspect="auto")
        axes.set(xticks=[], yticks=[], xlim=(0, 1), ylim=(0, 1))
        axes.spines[:].set(color=figure.FAINT, linewidth=0.4)
        if level + 1 < len(zoom):
            _mark(axes, zoom.factor, (nx, ny))
        label = (left / width, (top - high - 0.045) / height)
        drawn.text(*label, f"{level}", size=8, va="top", weight="bold", color=figure.INK)
        at = ((left + wide) / width, label[1])
        text = magnification(zoom.factor, level)
        drawn.text(*at, text, size=8, va="top", ha="right", color=figure.FAINT)
    return drawn


def magnification(factor: float, level: int) -> str:
    """How many times narrower a level is than the first: plain, or a power of two or ten."""
    log2 = level * math.log2(factor)
    if log2 < 10:
        return f"{number(2**log2, 4)}{TIMES}"
    if log2 == round(log2):
        return "2" + power(round(log2)).removeprefix("10") + TIMES
    return power(round(log2 * math.log10(2))) + TIMES


def _columns(count: int, tall: float) -> int:
    """A grid about half as wide again as it is high, with as few empty places as may be."""
    best = math.sqrt(1.5 * count * max(tall, 0.1))
    choices = range(max(math.floor(best), 1), math.ceil(1.35 * best) + 1)
    return min((c for c in choices), key=lambda c: (-count % c, abs(c - best)))


def _words(drawn: Any, zoom: Zoom, width: float, height: float) -> None:
    """Title, what is zoomed into, and where."""
    first, dot = zoom.levels[0], "  ·  "
    left = _MARGIN / width
    title = dot.join(caption.title(first.spec))
    drawn.text(left, 1 - 0.22 / height, title, size=10.5, va="top", color=figure.INK)
    sizes = f"{len(zoom)} levels of {first.window.x.n} {TIMES} {first.window.grid[0]} pixels"
    steps = f"{number(zoom.factor)}{TIMES} narrower each"
    names = [caption.axis_label(first.spec, axis.path) for axis in first.window.axes]
    under = dot.join([f"{names[0]} to the right, {names[1]} upwards", sizes, steps])
    drawn.text(left, 1 - 0.46 / height, under, size=7.5, va="top", color=figure.FAINT)
    middle = zip(first.window.axes, zoom.levels[-1].window.axes, strict=True)
    places = [f"{axis.path} = {_native(deep)!r}" for axis, deep in middle]
    foot = "centre: " + dot.join(places)
    drawn.text(left, 0.13 / height, foot, size=7.5, color=figure.FAINT)


def _native(axis: Any) -> float:
    """The centre sample in native units."""
    return float(axis.points()[axis.n // 2])


def _mark(axes: Any, factor: float, size: tuple[int, int]) -> None:
    """The outline of the next level, around the centre sample at pixel `n // 2`."""
    from matplotlib.patches import Rectangle

    middle = [(n // 2 + 0.5) / n for n in size]
    left, low = (m - m / factor for m in middle)  # so many samples lie before the centre
    for colour, width in (("white", 1.6), (figure.INK, 0.7)):
        box = Rectangle((left, low), 1 / factor, 1 / factor, fill=False, lw=width, ec=colour)
        axes.add_patch(box)
