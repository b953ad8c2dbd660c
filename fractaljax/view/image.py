"""A Field as a PNG file, one pixel a network, with everything needed to make it again inside."""

import io
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.view import figure, picture, png
from fractaljax.view.files import replacing
from fractaljax.view.metadata import PARAMETERS, texts


def save_image(
    field: Field,
    path: str | Path,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
    metadata: bool = True,
) -> None:
    """Writes the picture of a reading; y upwards, so the last row of the array is on top.

    Works a strip of rows at a time, so the field may be larger than memory. The file appears
    whole or not at all. A field with one axis becomes a line plot, for which `cmap`, `stretch`
    and `reference` mean nothing.

    Args:
        field: what to show.
        path: a file name that ends in `.png`.
        reading, cmap, stretch, reference: see `picture.scale`.
        metadata: whether the settings and the choices above go into the file.

    Raises:
        FractaljaxError: a name is not known, or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise FractaljaxError(f"{path}: an image is a PNG file; its name must end in .png")
    with replacing(path) as stream:
        _write(stream, field, reading, cmap, stretch, reference, metadata)


def png_bytes(
    field: Field,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
    metadata: bool = True,
) -> bytes:
    """The file that `save_image` writes, as bytes."""
    stream = io.BytesIO()
    _write(stream, field, reading, cmap, stretch, reference, metadata)
    return stream.getvalue()


def read_parameters(path: str | Path) -> str:
    """The settings inside a PNG file that this package wrote, YAML for `config.parse`.

    No pixel is decoded, so the size of the picture does not matter.

    Raises:
        FractaljaxError: the file cannot be read, is no PNG, or holds no settings.
    """
    try:
        with open(path, "rb") as stream:
            for keyword, text in png.texts(stream):
                if keyword == PARAMETERS:
                    return text  # what is behind it may be damaged
    except OSError as error:
        raise FractaljaxError(f"{path} cannot be read: {error.strerror or error}") from None
    except FractaljaxError as error:
        raise FractaljaxError(f"{path}: {error}") from None
    raise FractaljaxError(f"{path}: this picture holds no settings of fractaljax")


def _write(
    stream: BinaryIO,
    field: Field,
    reading: str | None,
    cmap: str,
    stretch: str,
    reference: np.ndarray | None,
    metadata: bool,
) -> None:
    reading = picture.named(field, reading)
    colouring = picture.scale(
        field, reading=reading, cmap=cmap, stretch=stretch, reference=reference
    )
    notes = texts(field, reading, cmap, stretch) if metadata else {}
    if field.window.y is None:
        figure.write(stream, figure.draw(field, reading=reading), notes, "png")
        return
    ny, nx = field.window.grid
    png.write(stream, nx, ny, picture.downwards(field, reading, colouring), notes)
