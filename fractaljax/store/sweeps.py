"""A folder as a Sweep or a Run: swept values at once, readings when they are asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fractaljax.errors import FractaljaxError
from fractaljax.runs import Run, Sweep, distinct, listed
from fractaljax.store import parquet, rows, sweep_folder
from fractaljax.store.disk import on_disk


def load_sweep(folder: str | Path) -> Sweep:
    """The runs in a folder so far; of one that was written several times the newest.

    Swept values are in memory, readings are read when they are asked for: `history["test_loss"]`
    reads that one column. Once another process joined files of the folder, load it again.

    Raises:
        FractaljaxError: there is no sweep.
    """
    folder = Path(folder)
    with on_disk(folder):
        config = sweep_folder.read_config(folder)
        found = [*parquet.indices(sweep_folder.sources(folder))]
    found.sort(key=lambda one: one.path.name != sweep_folder.RESULTS)  # the oldest runs first
    written = [one.runs[rows.WRITTEN].to_numpy() for one in found]
    keys = [rows.keys(one.runs, config) for one in found]
    masks = parquet.newest([*zip(keys, written, strict=True)])
    schema = rows.unified([one.schema for one in found], config)
    swept = pa.schema([field for field in schema if rows.is_swept(field)])
    runs = [
        rows.conformed(one.runs.filter(pa.array(mask)), swept, config)
        for one, mask in zip(found, masks, strict=True)
    ]
    together = pa.concat_tables(runs) if runs else pa.Table.from_arrays([], schema=swept)
    columns = {field.name: rows.values(together[field.name], field) for field in swept}
    places = _Places.of(found, masks)
    readings = {f.name: _Column(places, f) for f in schema if rows.is_reading(f)}
    step = readings.pop(rows.STEP, None) or np.empty((0, 0), np.int32)
    return Sweep(config, columns, readings, step, provenance=parquet.provenance(found))


def load_run(folder: str | Path, match: Mapping[str, Any] | None = None, /, **more: Any) -> Run:
    """The one run in a folder, or the one that has these values; see `Sweep.select`.

    Raises:
        FractaljaxError: there is no sweep, no such run, or more than one.
    """
    sweep = load_sweep(folder)
    found = sweep.select(match, **more) if match or more else sweep
    if not len(found):
        raise FractaljaxError(f"{folder}: there are no runs here yet")
    if len(found) > 1:
        values = {path: distinct(found.values(path)) for path in found.swept}
        which = [f"{path} ({listed(several)})" for path, several in values.items()]
        which = [text for text, path in zip(which, values, strict=True) if len(values[path]) > 1]
        raise FractaljaxError(
            f"{folder}: {len(found)} runs match; select one by {'; '.join(which)}"
        )
    return found[0]


class _Places(NamedTuple):
    """Where each run is: a row of a row group of a file."""

    groups: list[tuple[parquet.Index, int]]  # file without its runs, row group of it
    group: np.ndarray  # int32 [R]
    row: np.ndarray  # int32 [R]

    @classmethod
    def of(cls, found: list[parquet.Index], masks: list[np.ndarray]) -> "_Places":
        groups, group, row = [], [], []
        for one, mask in zip(found, masks, strict=True):
            start = 0
            for number, count in enumerate(one.groups):
                kept = np.flatnonzero(mask[start : start + count]).astype(np.int32)
                group.append(np.full(len(kept), len(groups), np.int32))
                row.append(kept)
                groups.append((one._replace(runs=one.runs.slice(0, 0)), number))
                start += count
        none = [np.empty(0, np.int32)]
        return cls(groups, np.concatenate(group or none), np.concatenate(row or none))

    def pieces(self, chosen: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Every row group that holds some of these runs, and which of `chosen` those are."""
        group = self.group[chosen]
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        for at, positions in zip(starts, np.split(order, starts[1:]), strict=True):
            yield int(group[order[at]]), positions


class _Column:
    """A reading on disk, read where it is indexed by rows."""

    def __init__(self, places: _Places, field: pa.Field):
        self._places, self._name = places, field.name
        self._absent = None if pa.types.is_list(field.type) else np.nan  # where a file lacks it
        self._last: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        return len(self._places.row)

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        out = None
        for number, positions in self._places.pieces(chosen):
            piece = self._read(number)[self._places.row[chosen[positions]]]
            if out is None and piece.dtype != object:
                out = np.empty((len(chosen), *piece.shape[1:]), piece.dtype)
            elif out is None:
                out = np.empty(len(chosen), object)
            if out.dtype != object and (piece.dtype, piece.shape[1:]) != (out.dtype, out.shape[1:]):
                out = _objects(out)
            if out.dtype == object and piece.dtype != object:
                piece = _objects(piece)
            out[positions] = piece
        return np.empty((0, 0)) if out is None else out

    def _read(self, number: int) -> np.ndarray:
        """The reading in all runs of a row group; the last one is kept."""
        if self._last[0] != number:
            one, group = self._places.groups[number]
            if self._name not in one.schema.names:
                count = int(self._places.row[self._places.group == number].max()) + 1
                values = np.full(count, self._absent)
            else:
                with on_disk(one.path):
                    try:
                        table = parquet.group(one, group, [self._name])
                    except parquet.Damaged as error:
                        raise FractaljaxError(
                            f"{one.path} is damaged ({error}); move it away, and the same sweep "
                            "trains its runs again"
                        ) from None
                values = rows.dense(table[self._name].combine_chunks())
            self._last = (number, values)
        return self._last[1]


def _objects(values: np.ndarray) -> np.ndarray:
    """`[n, ...]` as `n` objects."""
    out = np.empty(len(values), object)
    for i, value in enumerate(values):
        out[i] = value
    return out
