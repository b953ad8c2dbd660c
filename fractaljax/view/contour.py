"""The boundary between networks that converge and those that do not, as a thin line.

Every block of 2 x 2 pixels that holds both outcomes is crossed by straight segments from the
middle of one side to the middle of another (marching squares). The line is exactly as wide as it
is told to be, antialiased, and worked out a strip of rows at a time.
"""

from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

import numpy as np

from fractaljax import config
from fractaljax.analysis import edges
from fractaljax.errors import FractaljaxError, at
from fractaljax.field import Field
from fractaljax.view import picture
from fractaljax.view.files import replacing
from fractaljax.view.gradients import rgb

WIDTHS = (0.25, 8.0)  # of a line, in pixels
CELLS = 2**22  # pixels whose outline is traced at once
_TOP, _LEFT, _RIGHT, _BOTTOM = (0, 0.5), (0.5, 0), (0.5, 1), (1, 0.5)  # y, x in a block
_CORNERS = {
    1: [(_TOP, _LEFT)],
    2: [(_TOP, _RIGHT)],
    4: [(_LEFT, _BOTTOM)],
    8: [(_RIGHT, _BOTTOM)],
}
# code of a block (which of its pixels converge: 1, 2 in the first row, 4, 8 in the second) ->
# its segments; two that converge and touch at a corner only count as apart
SEGMENTS = {
    **_CORNERS,
    3: [(_LEFT, _RIGHT)],
    5: [(_TOP, _BOTTOM)],
    6: _CORNERS[2] + _CORNERS[4],
    7: _CORNERS[8],
    9: _CORNERS[1] + _CORNERS[8],
    10: [(_TOP, _BOTTOM)],
    11: _CORNERS[4],
    12: [(_LEFT, _RIGHT)],
    13: _CORNERS[2],
    14: _CORNERS[1],
}


class Line(NamedTuple):
    """How a boundary is drawn: a CSS colour or `#rrggbb`, and a width in pixels of the picture
    (of a figure: in points)."""

    colour: str = "black"
    width: float = 1.0


def line(text: str) -> Line:
    """A line from `COLOUR` or `COLOUR:WIDTH`, checked.

    Raises:
        FractaljaxError: there is no such colour, or the width is not possible.
    """
    colour, colon, width = text.partition(":")
    try:
        found = Line(colour, float(width)) if colon else Line(colour)
    except ValueError:
        raise FractaljaxError(f"contour {text}: takes COLOUR or COLOUR:WIDTH") from None
    check(found)
    return found


def check(found: Line) -> None:
    """Raises for a colour or a width that cannot be drawn."""
    with at("contour"):
        rgb(found.colour)
    if not WIDTHS[0] <= found.width <= WIDTHS[1]:
        raise FractaljaxError(
            f"contour of width {found.width}: allowed are {WIDTHS[0]} to {WIDTHS[1]} pixels"
        )


def told_by(field: Field) -> str:
    """The reading that tells who converged.

    Raises:
        FractaljaxError: neither `measure` nor `status` was recorded, or there is one axis only.
    """
    if field.window.y is None:
        raise FractaljaxError("a field with one axis has no contour")
    if name := edges.telling(field.arrays):
        return name
    raise FractaljaxError(
        "a contour needs the reading measure or status; "
        f"this field holds {', '.join(sorted(field.arrays))}"
    )


def coverage(field: Field, top: int, bottom: int, width: float) -> np.ndarray:
    """How much of each pixel of rows `top:bottom` lies under the line: uint8 `[h, nx]`, 255: all.

    No line passes a pixel that is not trained.
    """
    ny, nx = field.window.grid
    reach = int(np.ceil(width / 2 + 0.5))  # blocks up to there can touch a pixel
    low, high = max(top - reach, 0), min(bottom + reach, ny)
    code = np.zeros((bottom - top + 2 * reach - 1, nx + 2 * reach - 1), np.uint8)
    inside = _codes(field, low, high)
    start = low - (top - reach)
    code[start : start + len(inside), reach : reach + nx - 1] = inside
    found = np.zeros((bottom - top, nx), np.uint8)
    if not code.any():
        return found
    for dy, dx in np.ndindex(2 * reach, 2 * reach):
        shares = _shares(dy - reach, dx - reach, width)
        if shares.any():
            part = shares[code[dy : dy + bottom - top, dx : dx + nx]]
            np.maximum(found, part, out=found)
    return found


def save_outline(field: Field, path: str | Path, drawn: Line | None = None) -> None:
    """Writes the boundary alone as paths of an SVG file, for plotters and posters.

    One unit is one pixel, y upwards as in a picture. A field of more than 2^22 pixels is traced a
    part at a time, and lines end where parts meet.

    Raises:
        FractaljaxError: the field does not tell who converged, or the file cannot be written.
    """
    drawn = Line() if drawn is None else drawn
    check(drawn)
    told_by(field)
    ny, nx = field.window.grid
    settings, colour = config.dump(field.spec, field.window), bytes(rgb(drawn.colour)).hex()
    with replacing(path) as stream:
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{nx}" height="{ny}" '
            f'viewBox="0 0 {2 * nx} {2 * ny}">\n<desc>{escape(settings)}</desc>\n'
            f'<g fill="none" stroke="#{colour}" stroke-width="{2 * drawn.width:g}" '
            'stroke-linejoin="round">\n'
        )
        stream.write(head.encode())
        step = max(CELLS // nx, 1)
        for top in range(0, max(ny - 1, 0), step):
            for points in _traced(field, top, min(top + step + 1, ny)):
                stream.write(f'<path d="{_path(points, ny)}"/>\n'.encode())
        stream.write(b"</g>\n</svg>\n")


def draw_contour(axes: Any, field: Field, samples: int, drawn: Line) -> None:
    """Draws the boundary into matplotlib axes in pixels, as lines so many points wide.

    Args:
        axes: pixel i of the picture lies at i.
        field: with `samples` x `samples` networks a pixel.
        samples, drawn: of the painting.
    """
    from matplotlib.collections import LineCollection

    shift = (samples - 1) / 2  # the first sub-sample lies that far before the first pixel
    lines = [(half / 2 - shift) / samples for half in _traced(field, 0, field.window.grid[0])]
    colour = "#" + bytes(rgb(drawn.colour)).hex()
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=drawn.width), False)


def _kinds(field: Field, low: int, high: int) -> edges.Outcomes:
    """Who converged, and who is trained, bool `[high - low, nx]`."""
    reading = told_by(field)
    values, done = picture.rows(field, reading, low, high)
    return edges.outcomes(values, done, reading)


def _codes(field: Field, low: int, high: int) -> np.ndarray:
    """The code of each block of rows `low:high`, uint8 `[high - low - 1, nx - 1]`; 0: no line."""
    converged, trained = _kinds(field, low, high)
    code = converged[:-1, :-1].astype(np.uint8)
    code |= converged[:-1, 1:].view(np.uint8) << 1
    code |= converged[1:, :-1].view(np.uint8) << 2
    code |= converged[1:, 1:].view(np.uint8) << 3
    code[code == 15] = 0
    code[~(trained[:-1, :-1] & trained[:-1, 1:] & trained[1:, :-1] & trained[1:, 1:])] = 0
    return code


def _shares(dy: int, dx: int, width: float) -> np.ndarray:
    """For every code: how much of a pixel the segments of the block at `(dy, dx)` from it cover."""
    found = np.zeros(16, np.uint8)
    for code, segments in SEGMENTS.items():
        near = min(_distance((-dy, -dx), *segment) for segment in segments)
        found[code] = round(255 * min(max(width / 2 + 0.5 - near, 0), width, 1))
    return found


def _distance(point: tuple, first: tuple, second: tuple) -> float:
    """From a point to a segment."""
    p, a, b = (np.array(v, float) for v in (point, first, second))
    along = np.clip((p - a) @ (b - a) / ((b - a) @ (b - a)), 0, 1)
    return float(np.linalg.norm(p - a - along * (b - a)))


def _traced(field: Field, low: int, high: int) -> list[np.ndarray]:
    """The lines of rows `low:high`, whole numbers of half pixels `[n, 2]` as x, y of the array."""
    import contourpy

    converged, trained = _kinds(field, low, high)
    if min(converged.shape) < 2:
        return []
    tracer = contourpy.contour_generator(z=np.ma.array(converged.astype(float), mask=~trained))
    found = []
    for points in tracer.lines(0.5):
        half = np.rint(2 * np.asarray(points)).astype(int)
        half[:, 1] += 2 * low
        turns = np.any(np.diff(half, 2, axis=0), axis=1)  # a straight run needs its ends only
        found.append(half[np.concatenate([[True], turns, [True]])])
    return found


def _path(points: np.ndarray, ny: int) -> str:
    """Path data: an absolute start, relative steps, closed where it ends where it began."""
    points = np.stack([points[:, 0] + 1, 2 * ny - 1 - points[:, 1]], axis=1)
    steps = np.diff(points, axis=0)
    closed = bool(np.all(points[0] == points[-1]))
    steps = steps[:-1] if closed else steps
    moves = "".join(f"{x} {y} " for x, y in steps.tolist())
    return f"M{points[0][0]} {points[0][1]}l{moves.strip()}" + ("z" if closed else "")
