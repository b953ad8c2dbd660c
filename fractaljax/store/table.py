"""The table of a sweep on disk: a row a run, written in parts, found again, never written twice.

`fractaljax.store.sweep_folder` says what lies where. A run that is written again is kept twice
until the parts are joined; the newest is the one that counts.
"""

import logging
import time
import uuid
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.runs import matches
from fractaljax.store import disk, merging, origins, parquet, records, rows, sweep_folder
from fractaljax.store.claims import Claims
from fractaljax.store.disk import on_disk

log = logging.getLogger("fractaljax")
PROGRAMS = 2**42  # bytes of the claims from here on: runs of programs, beyond any tile


class Table:
    """The runs of a sweep in a folder, which several processes may share.

    Memory: 8 bytes a run, and while a file is looked at its swept columns.

    Args:
        folder: made when missing.
        config: the base setting as a plain tree. A folder that holds another one is refused.
        provenance: how this process trains: backend, devices, versions; kept beside its runs.
        overwrite: throw away what the folder holds first.
        files: what the settings of its runs name on disk; a folder that was begun with other
            contents is refused.
        since: runs written until then do not count, and none is written before then: of `since`
            in another process, which has forgotten them.

    Raises:
        FractaljaxError: the folder is of another sweep (says what differs), or not writable.
    """

    def __init__(
        self,
        folder: str | Path,
        config: Mapping[str, Any],
        *,
        provenance: Mapping[str, Any] | None = None,
        overwrite: bool = False,
        files: origins.Named = MappingProxyType({}),
        since: float = 0.0,
    ):
        self.path = Path(folder)
        self._provenance = dict(provenance or {})
        self._known = np.empty(0, np.uint64)  # keys of the runs that are there, sorted
        self._forgotten = np.empty(0, np.uint64)
        self._oldest = since
        self._since = since  # what was written before does not count for the forgotten
        self._latest = since  # when the newest run that this process knows was written
        self._seen: set[tuple[str, parquet.Stamp]] = set()
        self._numeric: dict[int, dict[str, Any]] = {}
        self._numeric_read = 0
        with on_disk(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._claims = Claims(self.path)
            weakref.finalize(self, self._claims.close)
            self._config = self._begin(config, files, overwrite)

    @property
    def since(self) -> float:
        """When `forget` was called last: what it forgot counts if it is newer."""
        return self._since

    def missing(self, settings: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Which runs are not there yet, bool `[n]`; what other processes wrote meanwhile is.

        Args:
            settings: swept path -> value, a mapping a run.
        """
        with on_disk(self.path):
            self._look()
        keys = rows.keys(rows.swept(settings, self._config), self._config)
        at = np.searchsorted(self._known, keys)
        inside = at < len(self._known)
        inside[inside] = self._known[at[inside]] == keys[inside]
        return ~inside

    def write(
        self, settings: Sequence[Mapping[str, Any]], readings: Mapping[str, Any], step: np.ndarray
    ) -> None:
        """Keeps finished runs as one part.

        Args:
            settings: as in `missing`, `n` of them.
            readings: name -> array `[n, K, ...]`, or `[n]` of what is read once a training, or a
                list of `n` arrays.
            step: int `[K]`, the steps of the evaluations of all these runs.
        """
        self._latest = self._now()
        runs = rows.swept(settings, self._config, self._latest)
        steps = np.broadcast_to(np.asarray(step, np.int32), (len(settings), len(step)))
        table = rows.with_readings(runs, {**readings, rows.STEP: steps})
        schema = rows.unified([table.schema], self._config)
        name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
        path = self.path / sweep_folder.PARTS / name
        about = {"config": self._config, "provenance": [self._provenance]}
        with on_disk(self.path):
            parquet.write(path, schema, about, [table.select(schema.names)])
            self._seen.add((path.name, parquet.stamp(path)))
        self._add(rows.keys(runs, self._config))

    def forget(self, match: Mapping[str, Any]) -> int:
        """Runs that match count as missing in this process, until they are written again; on disk
        they stay until then.

        Args:
            match: path -> value, or a list of values; runs with other values elsewhere match too.

        Returns:
            how many runs match.
        """
        with on_disk(self.path):
            self._look()
            since = self._latest = self._now()
            gone = [np.setdiff1d(self._forgotten, self._known)]  # less what is there again
            for one in parquet.indices(sweep_folder.sources(self.path)):
                chosen = np.ones(one.runs.num_rows, bool)
                for path, value in match.items():
                    chosen &= matches(self._column(one, path), value)
                gone.append(rows.keys(one.runs, self._config)[chosen])
        self._forgotten, self._since = np.unique(np.concatenate(gone)), since
        left = np.setdiff1d(self._known, self._forgotten)
        found, self._known = len(self._known) - len(left), left
        return found

    def numeric(self, settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        """The numeric setting (chunk, ...) in which the runs of a program are trained: what the
        first process said that trained any, else what is wanted.

        Args:
            settings: static path -> value, of the program.
        """
        key = int(rows.keys(rows.swept([settings], self._config), self._config)[0])
        with on_disk(self.path):
            if key not in self._numeric:
                self._read_numeric()
            if key not in self._numeric:
                line = {"key": key, "settings": dict(settings), "numeric": dict(wanted)}
                disk.append(self.path / sweep_folder.NUMERIC, records.checked(line))
                self._read_numeric()
        return self._numeric[key]

    def claim(self, settings: Mapping[str, Any], first: int) -> bool:
        """Whether the runs of a program from this index on are this process's to look at and to
        train, until they are released.

        Args:
            settings: static path -> value, of the program.
        """
        return self._claims.take(self._byte(settings, first))

    def release(self, settings: Mapping[str, Any], first: int) -> None:
        """Ends a claim."""
        self._claims.release(self._byte(settings, first))

    def compact(self) -> None:
        """Joins all parts into one file, a row group at a time; left to another process that is
        about it."""
        with on_disk(self.path):
            *parts, _ = sweep_folder.sources(self.path)
            if parts and self._claims.take(sweep_folder.JOINING):
                try:
                    merging.gather(self.path, self._config)
                finally:
                    self._claims.release(sweep_folder.JOINING)

    def _begin(
        self, config: Mapping[str, Any], files: origins.Named, overwrite: bool
    ) -> dict[str, Any]:
        """Makes the folder this sweep's, or raises."""
        try:
            self._claims.be_alone()
        except FractaljaxError:
            if overwrite:
                raise
        else:
            if overwrite:
                origins.check_free(self.path, files)
                sweep_folder.discard(self.path)
            sweep_folder.discard_unfinished(self.path)
        self._claims.be_present()
        return sweep_folder.begin(self.path, config, files)

    def _byte(self, settings: Mapping[str, Any], first: int) -> int:
        key = int(rows.keys(rows.swept([settings], self._config), self._config)[0])
        return PROGRAMS + key % 2**20 * 2**40 + first

    def _look(self) -> None:
        """Takes in the files that came since the last look."""
        fresh = []
        for path in sweep_folder.sources(self.path):
            content = (path.name, parquet.stamp(path))
            if content not in self._seen:
                self._seen.add(content)
                fresh.append(path)
        for one in parquet.indices(fresh):
            keys = rows.keys(one.runs, self._config)
            written = one.runs[rows.WRITTEN].to_numpy()
            self._latest = max(self._latest, written.max(initial=0.0))
            counts = (written > self._since) | ~np.isin(keys, self._forgotten)
            self._add(keys[counts & (written > self._oldest)])

    def _now(self) -> float:
        """The time of day, but never one before what is there, though the clock may go back: of a
        run that was written twice the newest counts."""
        return max(time.time(), float(np.nextafter(self._latest, np.inf)))

    def _add(self, keys: np.ndarray) -> None:
        """Counts runs as being there."""
        fresh = np.setdiff1d(keys, self._known)
        self._known = np.insert(self._known, np.searchsorted(self._known, fresh), fresh)

    def _column(self, one: parquet.Index, path: str) -> np.ndarray:
        """The values of a path in the runs of a file, swept there or not."""
        if path in one.runs.column_names:
            return rows.values(one.runs[path], one.schema.field(path))
        column = np.empty(one.runs.num_rows, object)
        column[:] = [rows.base_value(self._config, path)] * len(column)
        return column

    def _read_numeric(self) -> None:
        """Takes in the lines that came since the last time; the first of a program holds."""
        try:
            with open(self.path / sweep_folder.NUMERIC, "rb") as file:
                file.seek(self._numeric_read)
                *lines, rest = file.read().split(b"\n")
                self._numeric_read = file.tell() - len(rest)
        except FileNotFoundError:
            return
        for line in filter(None, lines):
            found = records.parsed(line)  # nothing of one that a crash cut off
            if {"key", "numeric"} <= set(found):
                self._numeric.setdefault(found["key"], found["numeric"])
            elif line.endswith(b"}"):
                file = self.path / sweep_folder.NUMERIC
                log.warning("%s: a line is damaged: its program is settled anew", file)
