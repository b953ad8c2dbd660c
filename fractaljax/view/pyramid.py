"""Tile pyramids for viewers: Deep Zoom (DZI) and z/x/y, in one pass over the field.

    NAME.dzi, NAME_files/LEVEL/X_Y.png    Deep Zoom: level 0 is one pixel, each level twice the last
    DIR/Z/X/Y.png, DIR/tiles.json         z/x/y (XYZ, as web maps): z 0 is one tile, y downwards

Both hold `parameters.yaml`, the settings in the form `scan` takes. Rows come in from the top; each
level keeps the rows of one row of tiles and hands the mean of every 2 x 2 pixels on to the next.
"""

import contextlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.view import png
from fractaljax.view.antialias import Halving
from fractaljax.view.files import replacing
from fractaljax.view.metadata import PARAMETERS, PICTURE
from fractaljax.view.painting import Painting

TILE, OVERLAP = 254, 1  # of Deep Zoom: a tile with its overlap on both sides is 256 pixels
XYZ_TILE = 256
NOTE = "parameters.yaml"
_OURS = "# made by fractaljax"  # how a note begins


class Cut(NamedTuple):
    """How a level is cut into tiles."""

    size: int
    overlap: int  # pixels that a tile shows of each neighbour
    padded: bool  # tiles at the end are filled up to full size, transparent
    name: Callable[[int, int, int], str]  # level, column, row -> path of a tile


DEEP_ZOOM = Cut(TILE, OVERLAP, False, lambda level, x, y: f"{level}/{x}_{y}.png")
XYZ = Cut(XYZ_TILE, 0, True, lambda level, x, y: f"{level}/{x}/{y}.png")


def save_dzi(painting: Painting, path: str | Path) -> None:
    """Writes a Deep Zoom image: `NAME.dzi` and beside it the folder `NAME_files`.

    They appear when all tiles are written, and only ever replace what this function wrote.

    Raises:
        FractaljaxError: something of that name is not ours, or the files cannot be written.
    """
    path = Path(path)
    with _folder(check_dzi(path)) as draft:
        _write(painting, draft, DEEP_ZOOM, 1)
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
        f'TileSize="{TILE}" Overlap="{OVERLAP}" Format="png">\n'
        f'  <Size Width="{painting.width}" Height="{painting.height}"/>\n</Image>\n'
    )
    with replacing(path) as stream:
        stream.write(head.encode())


def save_xyz(painting: Painting, path: str | Path) -> None:
    """Writes z/x/y tiles of 256 pixels into a folder, and what a viewer must know: `tiles.json`.

    The folder appears when all tiles are written, and only ever replaces one of this function.

    Raises:
        FractaljaxError: the folder is not ours, or the files cannot be written.
    """
    path = Path(path)
    check_free(path)
    with _folder(path) as draft:
        deepest = _write(painting, draft, XYZ, XYZ_TILE)
        about = {
            "tiles": "{z}/{x}/{y}.png",
            "scheme": "xyz",
            "format": "png",
            "tileSize": XYZ_TILE,
            "minzoom": 0,
            "maxzoom": deepest,
            "width": painting.width,
            "height": painting.height,
        }
        (draft / "tiles.json").write_text(json.dumps(about, indent=1) + "\n")


def check_dzi(path: str | Path) -> Path:
    """The folder of the tiles of a Deep Zoom image; raises unless both may be written."""
    path = Path(path)
    if path.suffix.lower() != ".dzi":
        raise FractaljaxError(f"{path}: the name of a Deep Zoom image ends in .dzi")
    folder = path.with_name(f"{path.stem}_files")
    check_free(folder)
    if os.path.lexists(path) and not folder.exists():
        raise FractaljaxError(f"{path} exists without {folder.name}: it is not replaced")
    return folder


def check_free(folder: str | Path) -> None:
    """Raises unless a folder is absent, empty, or a pyramid that this module wrote."""
    folder = Path(folder)
    try:
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return
        with (folder / NOTE).open() as note:
            if note.readline().startswith(_OURS):
                return
    except (OSError, UnicodeDecodeError):
        pass
    raise FractaljaxError(f"{folder} holds something else than tiles of fractaljax; choose another")


@contextlib.contextmanager
def _folder(place: Path) -> Iterator[Path]:
    """A fresh folder that takes its place when the block ends without an exception."""
    place = place.resolve()  # a link stays one
    draft = place.parent / f".fractaljax-{secrets.token_hex(8)}"
    old = draft.with_name(draft.name + "-old")
    try:
        draft.mkdir()
        try:
            yield draft
            if place.exists():
                os.rename(place, old)
            os.rename(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise FractaljaxError(f"{place} cannot be written: {error.strerror or error}") from None


def _write(painting: Painting, folder: Path, cut: Cut, smallest: int) -> int:
    """Writes all levels down to one of at most `smallest` pixels a side; returns their last."""
    sizes = [(painting.width, painting.height)]
    while max(sizes[-1]) > smallest:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    with ThreadPoolExecutor() as pool:  # zlib works beside Python
        level = None
        for number, size in enumerate(reversed(sizes)):
            level = _Level(number, size, cut, folder, level, pool)
        assert level is not None
        for strip in painting.downwards():
            level.add(strip)
        level.end()
    picture = painting.notes[PICTURE]
    head = f"{_OURS}: {painting.notes['Software']}\n# {picture}\n"
    (folder / NOTE).write_text(head + painting.notes[PARAMETERS])
    return len(sizes) - 1


class _Level:
    """One level: takes its rows from the top down and writes tiles as soon as they are complete."""

    def __init__(
        self,
        number: int,
        size: tuple[int, int],
        cut: Cut,
        folder: Path,
        smaller: "_Level | None",
        pool: ThreadPoolExecutor,
    ):
        self._number, (self._width, self._height), self._cut = number, size, cut
        self._folder, self._smaller, self._pool = folder, smaller, pool
        self._rows = np.empty((0, self._width, 3), np.uint8)  # that wait to be cut
        self._top = 0  # number of the first of them
        self._next = 0  # row of tiles to write
        self._halving = Halving()

    def add(self, rows: np.ndarray) -> None:
        """Takes some more rows, uint8 `[h, width, 3]`."""
        if self._smaller is not None:
            self._pass_on(self._halving.add(rows))
        self._rows = np.concatenate([self._rows, rows])
        size, overlap = self._cut.size, self._cut.overlap
        while self._next * size < self._height:
            end = min((self._next + 1) * size + overlap, self._height)
            if end > self._top + len(self._rows):
                return
            start = max(self._next * size - overlap, 0)
            self._write(self._rows[start - self._top : end - self._top])
            self._next += 1
            keep = min(max(self._next * size - overlap, 0), self._height)
            self._rows = self._rows[keep - self._top :]
            self._top = keep

    def end(self) -> None:
        """Passes the last row of an odd number on."""
        if self._smaller is not None:
            rest = self._halving.end()
            if rest is not None:
                self._pass_on(rest)
            self._smaller.end()

    def _pass_on(self, rows: np.ndarray) -> None:
        if self._smaller is not None and len(rows):
            self._smaller.add(rows)

    def _write(self, rows: np.ndarray) -> None:
        """Writes one row of tiles."""
        columns = range(-(-self._width // self._cut.size))
        list(self._pool.map(lambda x: self._write_tile(x, rows), columns))

    def _write_tile(self, x: int, rows: np.ndarray) -> None:
        size, overlap = self._cut.size, self._cut.overlap
        pixels = rows[:, max(x * size - overlap, 0) : (x + 1) * size + overlap]
        place = self._folder / self._cut.name(self._number, x, self._next)
        place.parent.mkdir(parents=True, exist_ok=True)
        height, width = pixels.shape[:2]
        partial = self._cut.padded and (height, width) != (size, size)
        if partial:
            padded = np.zeros((size, size, 4), np.uint8)
            padded[:height, :width, :3], padded[:height, :width, 3] = pixels, 255
            pixels = padded
        with place.open("wb") as stream:
            png.write(stream, pixels.shape[1], pixels.shape[0], [pixels], {}, alpha=partial)
