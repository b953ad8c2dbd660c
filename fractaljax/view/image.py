"""A Field as a PNG file, one pixel a network, with everything needed to make it again inside."""

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.view import figure, picture, png
from fractaljax.view.contour import Line
from fractaljax.view.files import replacing
from fractaljax.view.metadata import PARAMETERS, texts
from fractaljax.view.painting import paint, refuse_extras


def save_image(
    field: Field,
    path: str | Path,
    *,
    reading: str | None = None,
    cmap: str = "Spectral",
    stretch: str = "rank",
    reference: np.ndarray | None = None,
    fine: Field | None = None,
    contour: Line | None = None,
    metadata: bool = True,
) -> None:
    """Writes the picture of a reading; y upwards, so the last row of the array is on top.

    Works a strip of rows at a time, so the field may be larger than memory. The file appears
    whole or not at all. A field with one axis becomes a line plot, for which `cmap`, `stretch`
    and `reference` mean nothing, and `fine` and `contour` are refused.

    Args:
        field: what to show.
        path: a file name that ends in `.png`.
        reading, cmap, stretch, reference: see `picture.scale`.
        fine, contour: see `painting.paint`.
        metadata: whether the settings and the choices above go into the file.

    Raises:
        FractaljaxError: a name is not known, or the file cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise FractaljaxError(f"{path}: an image is a PNG file; its name must end in .png")
    look = {"reading": reading, "cmap": cmap, "stretch": stretch, "reference": reference}
    with replacing(path) as stream:
        _write(stream, field, metadata, **look, fine=fine, contour=contour)


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
    look = {"reading": reading, "cmap": cmap, "stretch": stretch, "reference": reference}
    _write(stream, field, metadata, **look)
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


def _write(stream: BinaryIO, field: Field, metadata: bool, **look: Any) -> None:
    if field.window.y is None:
        refuse_extras(look.get("fine"), look.get("contour"))
        shown = {name: look[name] for name in ("reading", "cmap", "stretch")}
        shown["reading"] = picture.named(field, look["reading"])
        notes = texts(field, **shown) if metadata else {}
        figure.write(stream, figure.draw(field, **shown), notes, "png")
        return
    painting = paint(field, **look)
    notes = painting.notes if metadata else {}
    png.write(stream, painting.width, painting.height, painting.downwards(), notes)
