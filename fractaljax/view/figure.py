"""A labelled figure of a Field: axes in native units, colour bar, title, statistics.

Drawn on a canvas of its own, without pyplot: no global state, no window, nothing to close.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fractaljax.axis import Axis, Lattice
from fractaljax.errors import unknown
from fractaljax.field import Field
from fractaljax.view import caption, colourbar, picture, png
from fractaljax.view.contour import Line, draw_contour
from fractaljax.view.files import replacing
from fractaljax.view.lines import draw_line
from fractaljax.view.metadata import PARAMETERS, texts
from fractaljax.view.painting import extras, paint, refuse_extras
from fractaljax.view.stretch import Scale
from fractaljax.view.ticks import ticks

FORMATS = ("png", "pdf", "svg")
SIDE = 2000  # pixels of the picture inside a figure, at most; more is averaged
DPI = 300
INK, FAINT = "#24292f", "#6e7781"  # of words that are read first, and of the others

_DOT = "  ·  "
# inches
_PICTURE, _LEAST = 5.0, 2.2  # the longer side of a picture, and the least any side gets
_PLOT = (5.6, 3.2)  # of a line plot
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.95, 1.35, 0.3, 0.66  # around it, without the words
_MARGIN = 0.15
# points
_TITLE, _LABEL, _SMALL = 10.5, 9.5, 7.5
_LINE = 1.45 / 72  # inches of one line of text, for each point of its size


class Words(NamedTuple):
    """Lines of text around the picture."""

    title: list[str]
    subtitle: list[str]
    foot: list[str]


def save_figure(
    field: Field,
    path: str | Path,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    fine: Field | None = None,
    contour: Line | None = None,
) -> None:
    """Writes a figure fit to be published, with the same settings inside as an image.

    Args:
        field: what to show. With one axis: a line plot, for which `cmap` and `stretch` mean
            nothing.
        path: a file name that ends in `.png`, `.pdf` or `.svg`.
        reading, cmap, stretch: see `picture.scale`.
        fine, contour: see `painting.paint`.

    Raises:
        FractaljaxError: a name is not known, or the file cannot be written.
    """
    kind = kind_of(path)
    chosen = {"reading": picture.named(field, reading), "cmap": cmap, "stretch": stretch}
    drawn = draw(field, **chosen, fine=fine, contour=contour)
    save(drawn, path, kind, texts(field, **chosen, **extras(field, fine, contour)))


def kind_of(path: str | Path, what: str = "figure") -> str:
    """The format that a file name asks for; raises FractaljaxError for one not in `FORMATS`."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise unknown(f"kind of {what} in {path}:", kind, FORMATS)
    return kind


def save(
    drawn: Any, path: str | Path, kind: str = "png", notes: Mapping[str, str] | None = None
) -> None:
    """Writes a figure of `blank` to a file; `kind` and `notes` as in `write`."""
    with replacing(path) as stream:
        write(stream, drawn, notes or {}, kind)


def write(stream: BinaryIO, drawn: Any, notes: Mapping[str, str], kind: str) -> None:
    """Writes a figure of `draw` as `png`, `pdf` or `svg`; the last two only hold the settings."""
    if kind == "png":
        found = pixels(drawn)
        png.write(stream, found.shape[1], found.shape[0], [found], notes)
        return
    key = "Subject" if kind == "pdf" else "Description"
    note = {key: notes[PARAMETERS]} if PARAMETERS in notes else {}
    drawn.savefig(stream, format=kind, metadata=note)


def pixels(drawn: Any) -> np.ndarray:
    """The colours of a figure of `blank`, uint8 `[h, w, 3]`. `savefig` draws one that has a layout
    engine twice."""
    drawn.canvas.draw()
    return np.asarray(drawn.canvas.buffer_rgba())[..., :3]


def draw(
    field: Field,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    fine: Field | None = None,
    contour: Line | None = None,
) -> Any:
    """The figure as a `matplotlib.figure.Figure`, for a notebook or for changes of one's own."""
    reading = picture.named(field, reading)
    values = picture.sample(field, reading)
    look = {"reading": reading, "cmap": cmap, "stretch": stretch, "reference": values}
    wide, high = _size(field)
    words = _words(field, reading, values, _LEFT + wide + _RIGHT)
    drawn, place = _sheet(words, wide, high)
    scale = draw_field(place(0, 0, wide, high), field, **look, fine=fine, contour=contour)
    if scale is not None:
        found = colourbar.blocks(scale, reading, values)
        colourbar.draw(place(wide + 0.15, 0, 0.14, high), found)
    return drawn


def draw_field(
    axes: Any,
    field: Field,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
    fine: Field | None = None,
    contour: Line | None = None,
) -> Scale | None:
    """Draws a Field into matplotlib axes, labelled in native units.

    Returns:
        How its values became colours; None for a line plot.
    """
    reading = picture.named(field, reading)
    look = {"reading": reading, "cmap": cmap, "stretch": stretch, "reference": reference}
    y, scale = field.window.y, None
    if y is None:
        refuse_extras(fine, contour)
        picture.scale(field, **look)  # raises for names that nobody knows
        draw_line(axes, field, reading)
    else:
        painting = paint(field, **look, fine=fine, contour=contour)
        scale = painting.scale
        ny, nx = field.window.grid
        extent = (-0.5, nx - 0.5, -0.5, ny - 0.5)
        if painting.line and max(nx, ny) <= SIDE:  # finer than the pixels are drawn here
            draw_contour(axes, painting.source, painting.samples, painting.line)
            painting = painting._replace(line=None)
        axes.imshow(painting.shrunk(SIDE), origin="lower", extent=extent, aspect="auto")
        _mark(axes, "y", y)
        axes.set_ylabel(caption.axis_label(field.spec, y.path))
    _mark(axes, "x", field.window.x)
    axes.set_xlabel(caption.axis_label(field.spec, field.window.x.path))
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(size=_LABEL, color=INK)
    axes.tick_params(labelsize=_SMALL + 0.5, labelcolor=INK, color=FAINT, width=0.6)
    axes.tick_params(which="minor", color=FAINT, width=0.4)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    return scale


def blank(width: float, height: float) -> Any:
    """An empty white `matplotlib.figure.Figure` of so many inches, with a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(drawn)
    return drawn


def _size(field: Field) -> tuple[float, float]:
    """Width and height of the picture: square pixels, unless a side would vanish."""
    if field.window.y is None:
        return _PLOT
    ny, nx = field.window.grid
    unit = _PICTURE / max(nx, ny)
    return max(nx * unit, _LEAST), max(ny * unit, _LEAST)


def _words(field: Field, reading: str, values: np.ndarray, width: float) -> Words:
    def lines(items: list[str], size: float) -> list[str]:
        letters = (width - _LEFT - _MARGIN) / (0.56 * size / 72)  # mean width of one letter
        found: list[str] = []
        for item in items:
            if found and len(found[-1]) + len(_DOT) + len(item) <= letters:
                found[-1] += _DOT + item
            else:
                found.append(item)
        return found

    return Words(
        lines(caption.title(field.spec), _TITLE),
        lines(caption.subtitle(field), _SMALL),
        lines(caption.statistics(field, reading, values), _SMALL),
    )


def _sheet(words: Words, wide: float, high: float) -> tuple[Any, Any]:
    """A figure with its words, and a function that adds axes to it: `(x, y, w, h)` in inches
    from the lower left corner of the picture."""
    title, subtitle = len(words.title) * _TITLE * _LINE, len(words.subtitle) * _SMALL * _LINE
    bottom = _MARGIN + len(words.foot) * _SMALL * _LINE + _BELOW
    width = _LEFT + wide + _RIGHT
    height = bottom + high + _ABOVE + subtitle + title + _MARGIN
    drawn = blank(width, height)
    for y, lines, size, colour in (
        (height - _MARGIN - title, words.title, _TITLE, INK),
        (height - _MARGIN - title - subtitle, words.subtitle, _SMALL, FAINT),
        (_MARGIN, words.foot, _SMALL, FAINT),
    ):
        text = "\n".join(lines)
        drawn.text(_LEFT / width, y / height, text, size=size, color=colour, linespacing=1.3)

    def place(x: float, y: float, w: float, h: float) -> Any:
        box = (_LEFT + x) / width, (bottom + y) / height, w / width, h / height
        return drawn.add_axes(box)

    return drawn, place


def _mark(axes: Any, which: str, axis: Axis | Lattice) -> None:
    """Limits, ticks and their note, in pixels: matplotlib never meets the native values, whose
    differences may be lost in rounding."""
    found = ticks(axis)
    last = max(axis.n - 1, 1)
    first = 0 if axis.n > 1 else -0.5  # a single sample lies in the middle of its axis
    marks = [first + last * f for f in found.at]
    minor = [first + last * f for f in found.minor]
    axes.set(**{f"{which}lim": (-0.5, axis.n - 0.5)})
    scale = axes.xaxis if which == "x" else axes.yaxis
    scale.set_ticks(marks, found.labels)
    scale.set_ticks(minor, minor=True)
    corner, shift, side, up = (
        ((1, 0), (0, -22), "right", "top") if which == "x" else ((0, 1), (0, 5), "left", "bottom")
    )
    axes.annotate(
        found.note,
        corner,
        shift,
        xycoords="axes fraction",
        textcoords="offset points",
        ha=side,
        va=up,
        size=_SMALL,
        color=FAINT,
    )
