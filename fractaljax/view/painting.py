"""A Field with everything chosen, as a stream of colours: what every kind of file is made from."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.view import antialias, picture
from fractaljax.view.contour import Line, check, coverage, told_by
from fractaljax.view.gradients import rgb
from fractaljax.view.metadata import texts
from fractaljax.view.stretch import Scale


class Painting(NamedTuple):
    """One picture, painted a strip at a time as often as it is asked for.

    `source` holds `samples` x `samples` networks a pixel of the picture: `field` itself with 1,
    else the field of its sub-samples. `notes` is what a file says about itself (`metadata`).
    """

    field: Field
    reading: str
    scale: Scale
    notes: dict[str, str]
    source: Field
    samples: int
    line: Line | None

    @property
    def width(self) -> int:
        """Pixels along a row."""
        return self.field.window.x.n

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return self.field.window.grid[0]

    def downwards(self) -> Iterator[np.ndarray]:
        """The picture from its top (highest y) down, uint8 strips `[h, width, 3]`."""
        for strip in self._upwards(1, reverse=True):
            yield strip[::-1]

    def shrunk(self, side: int) -> np.ndarray:
        """The picture at no more than `side` pixels a side, uint8 `[h, w, 3]`, lowest y first.

        Blocks of pixels become the mean of their light; a line keeps its width in the result.
        """
        block = -(-max(self.width, self.height) // side)
        return np.concatenate(list(self._upwards(block, reverse=False)))

    def _upwards(self, shrink: int, reverse: bool) -> Iterator[np.ndarray]:
        """Strips of the picture `shrink` times smaller, rows by rising y; `reverse`: last first."""
        block = self.samples * shrink
        bands = picture.bands(self.source, self.reading, block)
        for top, bottom in reversed(bands) if reverse else bands:
            values, done = picture.rows(self.source, self.reading, top, bottom)
            share = self._covered(top, bottom, block)
            step = max(picture.STRIP // self.source.window.x.n // block, 1) * block
            parts = [slice(t, t + step) for t in range(0, bottom - top, step)]
            for part in reversed(parts) if reverse else parts:
                found = antialias.average(self.scale.colours(values[part], done[part]), block)
                if share is not None and self.line is not None:
                    under = share[part.start // block : part.stop // block]
                    found = antialias.blend(found, under, rgb(self.line.colour))
                yield found

    def _covered(self, top: int, bottom: int, block: int) -> np.ndarray | None:
        """How much of each block of some rows lies under the line, uint8; None without a line."""
        if self.line is None:
            return None
        share = coverage(self.source, top, bottom, self.line.width)
        if block == 1:
            return share
        # the mean of a line is `block` times too faint for its width
        return np.minimum(block * antialias.means(share, block), 255).astype(np.uint8)


def paint(
    field: Field,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
    fine: Field | None = None,
    contour: Line | None = None,
) -> Painting:
    """A painting of a field with two axes.

    Args:
        field: what to show.
        reading, cmap, stretch, reference: see `picture.scale`.
        fine: the field of its sub-samples (`families.antialias.supersample`), n x n a pixel.
        contour: a line along the boundary between converged and not (default: none).

    Raises:
        FractaljaxError: a name is not known, or the field has no picture of this kind.
    """
    if field.window.y is None:
        raise FractaljaxError("a field with one axis is a line plot: give --out FILE.png")
    reading = picture.named(field, reading)
    if contour is not None:
        check(contour)
        told_by(field)
    more = extras(field, fine, contour)
    scale = picture.scale(field, reading=reading, cmap=cmap, stretch=stretch, reference=reference)
    notes = texts(field, reading, cmap, stretch, **more)
    return Painting(field, reading, scale, notes, fine or field, more["aa"] or 1, contour)


def extras(field: Field, fine: Field | None, contour: Line | None) -> dict[str, Any]:
    """What `metadata.texts` says beside the colours; None where there is nothing to say."""
    return {
        "aa": None if fine is None else _samples(field, fine),
        "contour": None if contour is None else contour._asdict(),
    }


def refuse_extras(fine: Field | None, contour: Line | None) -> None:
    """Raises for what a line plot does not have."""
    if fine is not None or contour is not None:
        raise FractaljaxError("a field with one axis is a line plot: no antialiasing, no contour")


def _samples(field: Field, fine: Field) -> int:
    """How many sub-samples a pixel has along each axis."""
    samples, rest = divmod(fine.window.x.n, field.window.x.n)
    if rest or fine.window.grid != tuple(samples * n for n in field.window.grid):
        raise FractaljaxError(
            f"{fine.window.shape} sub-samples do not fit a picture of {field.window.shape}"
        )
    return samples
