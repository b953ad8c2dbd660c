"""A folder as a Field: settings at once, arrays when they are asked for."""

from pathlib import Path
from typing import Any

import numpy as np

from fractaljax import config
from fractaljax.config.plain_yaml import to_yaml
from fractaljax.field import Field
from fractaljax.ledger import provenance
from fractaljax.store import arrays, coordinates, origins, records
from fractaljax.store.disk import on_disk


def open_field(path: str | Path) -> Field:
    """The Field in a folder, as far as it is trained; arrays are read when they are asked for.

    Raises:
        FractaljaxError: there is no field, or it cannot be read.
    """
    path = Path(path)
    attributes = records.read(path)
    raw = config.parse(to_yaml(attributes["settings"]), str(path), "stored")
    # a folder may come from anywhere: only the user's own files and flags name code to import
    _, spec, window = config.experiments({**raw, "plugins": []})[0]
    with on_disk(path):
        window.check_pixels()
        arrays.check_layout(path, attributes)
        tiles = window.tiles(attributes["numeric"]["tile"])
        window = coordinates.read(path, window, attributes)
        opened, marks = arrays.opened(path, window, attributes)
        flags, _ = arrays.done(marks)
        done = np.zeros(window.grid, bool)
        for tile, flag in zip(tiles, flags, strict=True):
            done[tile.rows, tile.columns] = flag
        flat = window.y is None
        readings = {name: _Rows(path, array, flat) for name, array in opened.items()}
        known = origins.as_list(origins.read(path))
    made = provenance(spec, window, attributes["numeric"], records.runs(path))
    if known:
        made[origins.PROVENANCE] = known
    return Field(spec, window, readings, done.reshape(window.shape), made)


class _Rows:
    """An array on disk, read where it is sliced along its first axis."""

    def __init__(self, path: Path, array: Any, flat: bool):
        self._path, self._flat = path, flat
        self._array = array
        self.shape = tuple(self._array.shape[1:] if flat else self._array.shape)
        self.dtype = np.dtype(self._array.dtype.numpy_dtype)
        self.ndim = len(self.shape)

    def __getitem__(self, rows: Any) -> np.ndarray:
        if self._flat or not isinstance(rows, slice) or (rows.step or 1) < 0:
            return np.asarray(self)[rows]
        start, stop, step = rows.indices(self.shape[0])
        with on_disk(self._path):
            arrays.check_chunks(self._array, slice(start, max(start, stop)), slice(None))
            return self._array[start : max(start, stop)].read().result()[::step]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        with on_disk(self._path):
            arrays.check_chunks(self._array, slice(None), slice(None))
            values = self._array.read().result()
        values = values[0] if self._flat else values
        return values if dtype is None else values.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]
