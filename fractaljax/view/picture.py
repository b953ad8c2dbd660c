"""Values of a Field, strip by strip: a field on disk never lies in memory whole."""

import math

import numpy as np

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.field import Field
from fractaljax.view.colours import STATUS, table
from fractaljax.view.stretch import Scale, edges

STRIP = 2**20  # values of one strip
BAND = 2**26  # values of one band
SAMPLE = 2**24  # values that a stretch looks at; larger fields are thinned


def named(field: Field, reading: str | None) -> str:
    """The reading that is meant: the given one, or the one the field shows by default."""
    if not field.arrays:
        raise FractaljaxError("the field holds no reading")
    reading = field.shown if reading is None else reading
    if reading not in field.arrays:
        raise unknown("reading", reading, field.arrays)
    return reading


def signed(reading: str, values: np.ndarray) -> bool:
    """Whether the sign tells two kinds of pixels apart: always in `measure` (converged below 0),
    elsewhere where both signs occur."""
    return reading == "measure" or bool(np.any(values < 0) and np.any(values >= 0))


def rows(field: Field, reading: str, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and `done`, both `[bottom - top, nx]`, row `top` first (the lowest y is row 0).

    Of a reading with more dimensions (`history`) the last entry is taken. A field with one axis
    has one row.
    """
    nx = field.window.x.n
    if field.window.y is None:
        values, done = field.arrays[reading], field.done
    else:
        values, done = field.arrays[reading][top:bottom], field.done[top:bottom]
    values = np.asarray(values).reshape(bottom - top, nx, -1)[..., -1]
    return values, np.asarray(done, bool).reshape(bottom - top, nx)


def strips(field: Field, reading: str, multiple: int = 1) -> list[tuple[int, int]]:
    """Row ranges `(top, bottom)` of about `STRIP` values each, upwards from row 0; all but the
    last are a multiple of `multiple` rows."""
    ny, nx = field.window.grid
    deep = math.prod(np.shape(field.arrays[reading])[len(field.window.axes) :])
    step = max(STRIP // (nx * deep) // multiple, 1) * multiple
    return [(top, min(top + step, ny)) for top in range(0, ny, step)]


def bands(field: Field, reading: str, multiple: int = 1) -> list[tuple[int, int]]:
    """Row ranges like `strips`, but whole rows of stored tiles unless these hold more than `BAND`
    values: so a tile on disk is decoded once, however many strips it is coloured in."""
    ny, nx = field.window.grid
    deep = math.prod(np.shape(field.arrays[reading])[len(field.window.axes) :])
    tile, _ = field.window.tile_shape(field.provenance.get("tile", 1))
    step = math.lcm(tile, multiple)
    if not STRIP < step * nx * deep <= BAND:
        return strips(field, reading, multiple)
    return [(top, min(top + step, ny)) for top in range(0, ny, step)]


def sample(field: Field, reading: str) -> np.ndarray:
    """The trained values of a reading, float64 `[n]`, without NaN.

    All of them up to 2^24 pixels. Of larger fields every s-th row and column, with the smallest
    s that keeps at most that many: deterministic, and the same whatever the strips.
    """
    ny, nx = field.window.grid
    every = 1
    while -(-ny // every) * -(-nx // every) > SAMPLE:
        every += 1
    found = []
    for top, bottom in bands(field, reading, every):
        values, done = rows(field, reading, top, bottom)
        values, done = values[::every, ::every], done[::every, ::every]
        found.append(values[done & ~np.isnan(values)].astype(np.float64))
    return np.concatenate(found)


def scale(
    field: Field,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
) -> Scale:
    """How the values of a reading become colours.

    `status` has fixed colours of its own (`colours.STATUS`), whatever the map and the stretch.

    Args:
        field: gives the readings.
        reading: name of one; default: the field's first.
        cmap, stretch: names, see `colours.table` and `stretch.edges`.
        reference: values the stretch is balanced for, of any shape, NaN left out; default: the
            field's own (`sample`). Frames of a video or tiles of one map share a reference.

    Raises:
        FractaljaxError: a name is not known.
    """
    reading = named(field, reading)
    colours = table(cmap)[::-1]  # low readings at the end of the map
    if reading == "status":
        reference = np.empty(0)  # not looked at
    values = sample(field, reading) if reference is None else np.ravel(reference)
    values = values[~np.isnan(values)]
    found = edges(values, stretch, signed=signed(reading, values))
    if reading == "status":
        return Scale(np.arange(len(STATUS) - 1) + 0.5, np.array(list(STATUS.values()), np.uint8))
    return Scale(found, colours)
