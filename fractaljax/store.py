"""Tiles on disk: a Zarr v3 group, each tile written once and atomically, checksummed.

    DIR/field/zarr.json     attributes: settings, numeric setting, format, their checksum
    DIR/field/<reading>/    one array a reading; one chunk, hence one file, a tile
    DIR/field/done/         uint8, one file a tile, written after all its readings
    DIR/spec.yaml           the settings again, in the form `scan` takes
    DIR/runs.jsonl          one line a run: devices, versions, wall time, pixels
    DIR/claims              byte k is locked by the process that trains tile k, byte `PRESENT` by
                            all that work here

A tile that is not marked done, or whose checksum fails, is pending. Locks go with their process,
so a killed one leaves nothing behind.
"""

import contextlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
import yaml

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.ledger import Reading, fill_value, provenance
from fractaljax.spec import Spec
from fractaljax.window import Tile, Window

try:
    import fcntl
except (
    ImportError
):  # Windows: tiles are still written atomically, but two processes both train them
    fcntl = None

log = logging.getLogger("fractaljax")
FORMAT = 1  # of the layout above; raised when an older reader could not read it
WAIT_S = 0.2  # between two looks at tiles that another process trains
PRESENT = 2**40  # beyond any tile
BESIDE = ("spec.yaml", "runs.jsonl", "image.png", "figure.png")  # what else a scan writes


class Store:
    """A `Ledger` on disk; see the top of this file for the layout.

    Args:
        path: folder of the result; made when missing.
        spec, window: what is scanned. A store that holds another scan is refused.
        overwrite: throw that other scan (or this one) away first.
    """

    def __init__(self, path: str | Path, spec: Spec, window: Window, *, overwrite: bool = False):
        self.path = Path(path)
        self._spec, self._window = spec, window
        self._overwrite = overwrite
        self._claims: int | None = None

    def begun(self) -> dict[str, Any] | None:
        """The numeric setting this store was begun with, or None where there is none yet.

        Raises:
            FractaljaxError: the store belongs to another Spec or window; says what differs.
        """
        with _disk(self.path):
            if not os.path.lexists(self.path / "field"):
                self._check_free()
                return None
            attributes = _attributes(self.path)
        if self._overwrite:
            return None
        self._check_same(attributes)
        return attributes["numeric"]

    def _check_free(self) -> None:
        """Raises where files lie in the way that belong to nothing of ours."""
        found = [name for name in BESIDE if os.path.lexists(self.path / name)]
        spec = self.path / "spec.yaml"
        if found and not (spec.is_file() and spec.read_bytes() == self._settings().encode()):
            raise FractaljaxError(
                f"{self.path} holds no result, but {', '.join(found)}, which a scan would replace. "
                "Choose another --out."
            )

    def _settings(self) -> str:
        return config.dump(self._spec, self._window)

    def _check_same(self, attributes: dict[str, Any]) -> None:
        mine = json.loads(json.dumps(config.as_tree(self._spec, self._window)))
        if found := config.differences(attributes["settings"], mine):
            raise FractaljaxError(
                f"{self.path} holds another scan; it differs in {'; '.join(found)} (stored -> asked). "
                "Choose another --out, or --overwrite it."
            )

    def begin(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> dict[str, Any]:
        with _disk(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._claims = os.open(self.path / "claims", os.O_RDWR | os.O_CREAT, 0o644)
            if self._overwrite:
                self._be_alone()
                _discard(self.path)
                self._overwrite = False
            if fcntl is not None:
                fcntl.lockf(self._claims, fcntl.LOCK_SH, 1, PRESENT)
            if not (self.path / "field").exists():
                self._create(readings, numeric)
            # another process may have created it first: what is on disk holds
            attributes = _attributes(self.path)
            self._check_same(attributes)
            if not (self.path / "spec.yaml").exists():
                _replace(self.path / "spec.yaml", self._settings())
            self._numeric = attributes["numeric"]
            self._tiles = self._window.tiles(self._numeric["tile"])
            self._arrays, self._flags = _arrays(self.path, self._window, attributes, strict=True)
            self._done, unreadable = _done(self._flags)
            for index in unreadable:
                self._drop(index, "its mark cannot be read")
            self._drop_damaged()
        return self._numeric

    def _be_alone(self) -> None:
        """Raises while another process works here: it would go on writing into the new result."""
        if fcntl is None:
            return
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, PRESENT)
        except OSError:
            raise FractaljaxError(
                f"{self.path}: another process is writing here; stop it first"
            ) from None

    def pending(self) -> Iterator[tuple[int, Tile]]:
        todo = [i for i in range(len(self._tiles)) if not self._done[i]]
        while todo:
            busy = []
            for index in todo:
                if not self._lock(index):
                    busy.append(index)
                    continue
                try:
                    if self._written(index):  # by another process, since this one began
                        self._done[index] = True
                    else:
                        yield index, self._tiles[index]
                finally:
                    self._unlock(index)
            todo = busy
            if busy:
                time.sleep(WAIT_S)

    def write(self, index: int, tile: Tile, readings: Mapping[str, np.ndarray]) -> None:
        with _disk(self.path):
            writes = [
                self._arrays[name][tile.rows, tile.columns].write(values)
                for name, values in readings.items()
            ]
            for future in writes:
                future.result()
            self._flags[self._place(index)].write(1).result()
        self._done[index] = True

    def renew(self, numeric: dict[str, Any]) -> None:
        self._numeric = numeric
        with _disk(self.path):
            attributes = _attributes(self.path) | {"numeric": numeric}
            _replace(self.path / "field" / "zarr.json", _group(attributes))

    def left(self) -> int:
        missing = np.flatnonzero(~self._done)
        return sum(int(np.prod(self._tiles[i].shape)) for i in missing)

    def finish(self, run: dict[str, Any]) -> Field:
        with _disk(self.path):
            if run["pixels"] or not _runs(
                self.path
            ):  # the run that trained it may have been killed
                _append(self.path / "runs.jsonl", json.dumps(run))
            if self._claims is not None:
                os.close(self._claims)
                self._claims = None
        return open_field(self.path)

    def _create(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> None:
        """Makes the empty group beside its place and moves it there in one step."""
        fresh = self.path / f".field-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        attributes = {
            "format": FORMAT,
            "settings": config.as_tree(self._spec, self._window),
            "numeric": numeric,
            "readings": {name: [list(r.shape), r.dtype] for name, r in readings.items()},
        }
        for name, metadata in _layout(self._window, attributes).items():
            ts.open({**_kvstore(fresh / name), "metadata": metadata}, create=True).result()
        _replace(fresh / "zarr.json", _group(attributes))
        try:
            os.rename(fresh, self.path / "field")
        except OSError:
            shutil.rmtree(fresh, ignore_errors=True)
            if not (self.path / "field").exists():
                raise

    def _drop_damaged(self) -> None:
        """Marks every tile that cannot be read back as pending again."""
        for index in np.flatnonzero(self._done):
            tile = self._tiles[index]
            try:
                for array in self._arrays.values():
                    array[tile.rows, tile.columns].read().result()
            except ValueError as error:
                self._drop(index, _reason(error))

    def _drop(self, index: int, reason: str) -> None:
        log.warning("%s: tile %d is damaged and is trained again (%s)", self.path, index, reason)
        self._flags[self._place(index)].write(0).result()
        self._done[index] = False

    def _place(self, index: int) -> tuple[int, int]:
        columns = self._flags.shape[1]
        return int(index) // columns, int(index) % columns

    def _written(self, index: int) -> bool:
        with _disk(self.path):
            return bool(self._flags[self._place(index)].read().result())

    def _lock(self, index: int) -> bool:
        if fcntl is None:
            return True
        try:
            fcntl.lockf(self._claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, index)
        except OSError:
            return False
        return True

    def _unlock(self, index: int) -> None:
        if fcntl is not None:
            fcntl.lockf(self._claims, fcntl.LOCK_UN, 1, index)


def open_field(path: str | Path) -> Field:
    """The Field in a folder, as far as it is trained; arrays are read when they are asked for.

    Raises:
        FractaljaxError: there is no field, or it cannot be read.
    """
    path = Path(path)
    attributes = _attributes(path)
    raw = config.parse(yaml.safe_dump(attributes["settings"], sort_keys=False), str(path), "stored")
    # a folder may come from anywhere: only the user's own files and flags name code to import
    _, spec, window = config.experiments({**raw, "plugins": []})[0]
    with _disk(path):
        tiles = window.tiles(attributes["numeric"]["tile"])
        opened, marks = _arrays(path, window, attributes)
        flags, _ = _done(marks)
        done = np.zeros(window.grid, bool)
        for tile, flag in zip(tiles, flags, strict=True):
            done[tile.rows, tile.columns] = flag
        flat = window.y is None
        arrays = {name: _Rows(path, array, flat) for name, array in opened.items()}
    runs = _runs(path)
    return Field(
        spec,
        window,
        arrays,
        done.reshape(window.shape),
        provenance(spec, attributes["numeric"], runs),
    )


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
        with _disk(self._path):
            return self._array[start : max(start, stop)].read().result()[::step]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        with _disk(self._path):
            values = self._array.read().result()
        values = values[0] if self._flat else values
        return values if dtype is None else values.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]


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


def _arrays(
    path: Path, window: Window, attributes: Mapping[str, Any], strict: bool = False
) -> tuple[dict[str, Any], Any]:
    """The readings and the marks, opened; metadata that is not as it was written is an error.

    Args:
        strict: a missing tile of a reading is an error too, instead of the fill value.
    """
    opened = {}
    for name, metadata in _layout(window, attributes).items():
        # a tile of NaN must be written like any other: its absence would read as "lost"
        spec = {**_kvstore(path / "field" / name), "store_data_equal_to_fill_value": True}
        spec |= {"metadata": metadata, "fill_missing_data_reads": name == "done" or not strict}
        opened[name] = ts.open(spec, open=True, read=True, write=os.access(path, os.W_OK)).result()
    return opened, opened.pop("done")


def _done(marks: Any) -> tuple[np.ndarray, list[int]]:
    """Whether each tile is marked done, and the tiles whose mark is damaged, which are not."""
    with contextlib.suppress(ValueError):
        return np.asarray(marks.read().result()).ravel().astype(bool), []
    done, unreadable = np.zeros(marks.shape, bool), []
    for index, place in enumerate(np.ndindex(*marks.shape)):
        try:
            done[place] = bool(marks[place].read().result())
        except ValueError:
            unreadable.append(index)
    return done.ravel(), unreadable


def _kvstore(path: Path) -> dict[str, Any]:
    return {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path.resolve()}/"}}


def _group(attributes: dict[str, Any]) -> str:
    checked = attributes | {"check": _check(attributes)}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {"fractaljax": checked}}
    return json.dumps(group, indent=1)


def _check(attributes: Mapping[str, Any]) -> int:
    """Checksum of everything the attributes say but itself."""
    rest = {k: v for k, v in attributes.items() if k != "check"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())


def _attributes(path: Path) -> dict[str, Any]:
    """What the group says of itself, checked as far as a reader relies on it."""
    file = path / "field" / "zarr.json"
    if not file.exists():
        raise FractaljaxError(f"{path}: no result here (there is no {file})")
    try:
        attributes = json.loads(file.read_text())["attributes"]["fractaljax"]
        known = attributes["format"] <= FORMAT
        missing = {"settings", "numeric", "readings"} - set(attributes)
        if known and attributes["check"] != _check(attributes):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError):
        raise FractaljaxError(f"{file} is damaged or was not written by fractaljax") from None
    if not known or missing:
        raise FractaljaxError(
            f"{file} has a format that this version does not read (it knows {FORMAT})"
        )
    return attributes


def _runs(path: Path) -> list[dict[str, Any]]:
    """The records of all runs; a line cut off by a crash is passed over."""
    runs = []
    with contextlib.suppress(OSError):
        for line in (path / "runs.jsonl").read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                run = json.loads(line)
                if isinstance(run["wall_s"] + run["pixels"], int | float):
                    runs.append(run)
    return runs


def _append(path: Path, line: str) -> None:
    """Adds one line, in one write; a line cut off by a crash is ended first."""
    with open(path, "a+b") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
        cut = file.read(1) not in (b"", b"\n")
        file.write(b"\n" * cut + line.encode() + b"\n")


def _discard(path: Path) -> None:
    """Removes an earlier result, and nothing that fractaljax did not write."""
    if not (path / "field").exists():
        return
    _attributes(path)  # raises unless it is a field of ours
    for name in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            (path / name).unlink()
    old = path / f".field-{os.getpid()}-old"
    os.rename(path / "field", old)  # gone in one step: half a field would be nobody's
    shutil.rmtree(old)


def _replace(path: Path, text: str) -> None:
    """Writes a small file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        fresh.write_text(text)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _disk(path: Path) -> Iterator[None]:
    """Turns what the operating system or the array library says into one line."""
    try:
        yield
    except FractaljaxError:
        raise
    except (OSError, ValueError) as error:
        raise FractaljaxError(f"{path}: {_reason(error)}. Finished tiles are kept.") from error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error).split(" [")[0].split("\n")[0].replace("\x00", "/")
