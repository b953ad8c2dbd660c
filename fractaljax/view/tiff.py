"""Posters: tiled BigTIFF with smaller copies inside, written a row of tiles at a time.

The smaller copies (SubIFDs, half the size each) let a viewer open a file of any size at once.
Their pixels wait in a temporary file beside the poster, one byte a pixel of it in all.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.view.antialias import Halving
from fractaljax.view.files import replacing
from fractaljax.view.metadata import PARAMETERS
from fractaljax.view.painting import Painting

SUFFIXES = (".tif", ".tiff")
TILE = 256
STRIP = 2**20  # pixels of a smaller copy in memory at once


def save_tiff(painting: Painting, path: str | Path) -> None:
    """Writes a BigTIFF, deflated without loss; its description holds the settings as JSON.

    Raises:
        FractaljaxError: the extra `bigimage` is missing, or the file cannot be written.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise FractaljaxError(f"{path}: the name of a TIFF file ends in .tif or .tiff")
    tifffile = module()
    sizes = [(painting.height, painting.width)]
    while max(sizes[-1]) > TILE:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    common = {
        "dtype": np.uint8,
        "photometric": "rgb",
        "tile": (TILE, TILE),
        "compression": "zlib",
        "compressionargs": {"level": 3},
        "predictor": True,
        "metadata": None,
    }
    about = {
        "software": painting.notes["Software"],
        "description": json.dumps(painting.notes),
        "subifds": len(sizes) - 1,
    }
    with replacing(path) as stream, contextlib.ExitStack() as stack:
        out = stack.enter_context(tifffile.TiffWriter(stream, bigtiff=True))
        strips: Iterable[np.ndarray] = painting.downwards()
        for level, size in enumerate(sizes):
            more = about if level == 0 else {"subfiletype": 1}
            smaller = None
            if level < len(sizes) - 1:
                smaller = stack.enter_context(tempfile.TemporaryFile(dir=Path(path).parent))
                strips = _halving(strips, smaller)
            out.write(_tiles(strips, size[1]), shape=(*size, 3), **common, **more)
            if smaller is not None:
                strips = _read(smaller, sizes[level + 1][1])


def read_parameters(path: str | Path) -> str:
    """The settings inside a TIFF file that this package wrote, YAML for `config.parse`.

    Raises:
        FractaljaxError: the file cannot be read, is no TIFF, or holds no settings.
    """
    tifffile = module()
    try:
        with tifffile.TiffFile(path) as found:
            return json.loads(found.pages[0].description)[PARAMETERS]
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be read: {error.strerror or error}") from None
    except tifffile.TiffFileError:
        raise FractaljaxError(f"{path}: not a TIFF file, or a damaged one") from None
    except (ValueError, KeyError, TypeError, IndexError):
        raise FractaljaxError(f"{path}: this picture holds no settings of fractaljax") from None


def module() -> Any:
    """The package `tifffile`; raises when the extra is not installed."""
    try:
        import tifffile
    except ImportError:
        raise FractaljaxError(
            "a TIFF file needs the extra: pip install 'fractaljax[bigimage]'"
        ) from None
    return tifffile


def _halving(strips: Iterable[np.ndarray], smaller: IO[bytes]) -> Iterator[np.ndarray]:
    """The strips as they come; the picture at half its size goes into a file."""
    halving = Halving()
    for strip in strips:
        smaller.write(halving.add(strip).tobytes())
        yield strip
    if (rest := halving.end()) is not None:
        smaller.write(rest.tobytes())


def _read(rows: IO[bytes], width: int) -> Iterator[np.ndarray]:
    """Strips of a picture from a file of its rows."""
    rows.seek(0)
    while content := rows.read(max(STRIP // width, 1) * width * 3):
        yield np.frombuffer(content, np.uint8).reshape(-1, width, 3)


def _tiles(strips: Iterable[np.ndarray], width: int) -> Iterator[np.ndarray]:
    """Tiles `[TILE, TILE, 3]` row by row, filled up with black at the right and lower end."""
    across = -(-width // TILE)
    waiting = np.empty((0, width, 3), np.uint8)
    for strip in strips:
        waiting = np.concatenate([waiting, strip])
        while len(waiting) >= TILE:
            yield from _cut(waiting[:TILE], across)
            waiting = waiting[TILE:]
    if len(waiting):
        yield from _cut(waiting, across)


def _cut(rows: np.ndarray, across: int) -> Iterator[np.ndarray]:
    padded = np.zeros((TILE, across * TILE, 3), np.uint8)
    padded[: len(rows), : rows.shape[1]] = rows
    for x in range(across):
        yield np.ascontiguousarray(padded[:, x * TILE : (x + 1) * TILE])
