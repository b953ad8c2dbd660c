"""The arrays of a field as Zarr: their metadata, and how they are created and opened."""

import contextlib
import itertools
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts

from fractaljax.errors import FractaljaxError
from fractaljax.ledger import fill_value
from fractaljax.store import records
from fractaljax.window import Window

MAX_READINGS = 100  # arrays of one field
MAX_VALUES = 2**24  # of one reading of one network
COORDINATES = ("x", "y")  # the arrays that hold the samples of the axes
TAKEN = ("done", *COORDINATES)  # names that no reading can have
_BLOSC = 16  # bytes of a chunk's header; 4 to 8 say how large it is unpacked


def check_layout(path: Path, attributes: Mapping[str, Any]) -> None:
    """Refuses readings and tiles that no scan has: a name that leads elsewhere, a size that would
    fill the memory.

    Raises:
        FractaljaxError: says which.
    """
    where, readings = path / "field" / "zarr.json", attributes["readings"]
    tile = attributes["numeric"]["tile"]
    if type(tile) is not int or tile < 0:
        raise FractaljaxError(f"{where}: tile={tile!r} is no size of a tile")
    if len(readings) > MAX_READINGS:
        raise FractaljaxError(f"{where}: {len(readings)} readings; at most {MAX_READINGS}")
    for name, (shape, dtype) in readings.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or np.dtype(dtype).kind not in "biuf":
            raise FractaljaxError(f"{where}: '{name}' of {dtype} cannot be a reading")
        if (
            not all(type(n) is int and n >= 0 for n in shape)
            or np.prod(shape, dtype=float) > MAX_VALUES
        ):
            raise FractaljaxError(f"{where}: '{name}' has {shape} values; at most {MAX_VALUES}")


def create(path: Path, window: Window, attributes: Mapping[str, Any]) -> None:
    """Makes the group, empty but for the coordinates, beside its place and moves it there in one
    step."""
    for name in TAKEN:
        if name in attributes["readings"]:
            raise FractaljaxError(f"reading '{name}': a result keeps other values by this name")
    fresh = path / f".field-{os.getpid()}"
    shutil.rmtree(fresh, ignore_errors=True)
    for name, metadata in _layout(window, attributes).items():
        ts.open({**_kvstore(fresh / name), "metadata": metadata}, create=True).result()
    for name, axis in zip(COORDINATES, window.axes, strict=False):
        write_line(fresh / name, axis.points())
    records.write(fresh, attributes)
    try:
        os.rename(fresh, path / "field")
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        if not (path / "field").exists():  # else another process made it first
            raise


def opened(
    path: Path, window: Window, attributes: Mapping[str, Any], strict: bool = False
) -> tuple[dict[str, Any], Any]:
    """The readings, and the marks of finished tiles; unexpected metadata is an error.

    Args:
        strict: a missing tile of a reading is an error too, instead of the fill value.
    """
    found = {}
    for name, metadata in _layout(window, attributes).items():
        # a tile of NaN must be written like any other: its absence would read as "lost"
        spec = {**_kvstore(path / "field" / name), "store_data_equal_to_fill_value": True}
        spec |= {"metadata": metadata, "fill_missing_data_reads": name == "done" or not strict}
        found[name] = ts.open(spec, open=True, read=True, write=os.access(path, os.W_OK)).result()
    return found, found.pop("done")


def write_line(path: Path, values: np.ndarray) -> None:
    """Writes one whole array along one axis, `[n]`; what is there is replaced."""
    spec = {**_kvstore(path), "metadata": _line(path.name, len(values))}
    array = ts.open(spec, create=True, delete_existing=True).result()
    array.write(values).result()


def read_line(path: Path, n: int) -> np.ndarray:
    """The array of `write_line`.

    Raises:
        ValueError: it is damaged, missing, or of another length.
    """
    spec = {**_kvstore(path), "metadata": _line(path.name, n), "fill_missing_data_reads": False}
    array = ts.open(spec, open=True, read=True).result()
    check_chunks(array, slice(None), slice(None))
    return np.asarray(array.read().result())


def check_chunks(array: Any, rows: slice, columns: slice) -> None:
    """Refuses chunks that would unpack to more than the tile they hold: a file of a hundred
    kilobytes may claim two gigabytes, which are taken before anything is compared.

    Args:
        array: from `opened`.
        rows, columns: in samples; every chunk that they touch is looked at.

    Raises:
        ValueError: names the chunk.
    """
    tile = array.chunk_layout.read_chunk.shape
    most = int(np.prod(tile)) * array.dtype.numpy_dtype.itemsize
    spans = [
        range(part.indices(n)[0] // t, -(-part.indices(n)[1] // t))
        for part, n, t in zip((rows, columns), array.shape, tile, strict=False)
    ]
    for place in itertools.product(*spans):
        names = [*map(str, place), *["0"] * (len(tile) - 2)]
        try:
            with open(Path(array.kvstore.path, "c", *names), "rb") as stream:
                head = stream.read(_BLOSC)
        except OSError:  # what cannot be read is told where it is read
            continue
        if (size := int.from_bytes(head[4:8], "little")) > most:
            where = "/".join(names)
            raise ValueError(f"chunk {where} claims {size} bytes unpacked; a tile has {most}")


def done(marks: Any) -> tuple[np.ndarray, list[int]]:
    """Whether each tile is marked done, and the tiles whose mark is damaged, which are not."""
    with contextlib.suppress(ValueError):
        check_chunks(marks, slice(None), slice(None))
        return np.asarray(marks.read().result()).ravel().astype(bool), []
    found, unreadable = np.zeros(marks.shape, bool), []
    for index, place in enumerate(np.ndindex(*marks.shape)):
        try:
            check_chunks(marks, *(slice(at, at + 1) for at in place))
            found[place] = bool(marks[place].read().result())
        except ValueError:
            unreadable.append(index)
    return found.ravel(), unreadable


def _layout(window: Window, attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Zarr metadata of every array of a field: the readings, and the marks of finished tiles."""
    grid, tile = window.grid, window.tile_shape(attributes["numeric"]["tile"])
    layout = {}
    for name, (shape, dtype) in attributes["readings"].items():
        extra = [f"{name}_{i}" for i in range(len(shape))]
        layout[name] = _metadata(
            [*grid, *shape], [*tile, *shape], dtype, fill_value(dtype), ["y", "x", *extra]
        )
    counts = [-(-n // t) for n, t in zip(grid, tile, strict=True)]
    return layout | {"done": _metadata(counts, [1, 1], "uint8", 0, ["tile_y", "tile_x"])}


def _line(name: str, n: int) -> dict[str, Any]:
    return _metadata([n], [n], "float64", np.nan, [name])


def _metadata(
    shape: list[int], chunk: list[int], dtype: str, fill: Any, names: list[str]
) -> dict[str, Any]:
    """One array, with one file a chunk."""
    size = np.dtype(dtype).itemsize
    blosc = {"cname": "zstd", "clevel": 5, "shuffle": "shuffle", "typesize": size, "blocksize": 0}
    return {
        "shape": shape,
        "data_type": dtype,
        "fill_value": "NaN" if fill != fill else int(fill),
        "dimension_names": names,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk}},
        "codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "blosc", "configuration": blosc},
            {"name": "crc32c"},
        ],
    }


def _kvstore(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.resolve()}/"}}
