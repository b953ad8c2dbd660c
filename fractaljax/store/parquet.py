"""Files of runs: Parquet with checksums, written whole or not at all, read by row groups."""

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fractaljax.errors import FractaljaxError
from fractaljax.store import disk, formats, parquet_sums, rows
from fractaljax.store.parquet_sums import Damaged

log = logging.getLogger("fractaljax")
FORMAT = 1  # raised when an older reader could not read it
GROUP_BYTES = 2**23  # of a row group in memory
ABOUT = b"fractaljax"  # key in the metadata of a file
SUMMED = "sums"  # there, of a file that has checksums: since 0.2.0
MAX_RUNS = 2**28  # of one file, as of one sweep
MAX_GROUP_BYTES = 64 * GROUP_BYTES  # a row group may be one run that is larger than others


Stamp = tuple[int, ...]  # what tells one content of a file from another


class Index(NamedTuple):
    """What a file of runs says without its readings."""

    path: Path
    stamp: Stamp
    schema: pa.Schema
    about: dict[str, Any]
    groups: list[int]  # runs in each row group
    runs: pa.Table  # swept columns and when they were written


def write(
    path: Path, schema: pa.Schema, about: Mapping[str, Any], tables: Iterable[pa.Table]
) -> None:
    """Writes tables of one schema as one file, atomically, in row groups of bounded size."""
    text = json.dumps({"format": FORMAT, SUMMED: True, **about})
    schema = schema.with_metadata({ABOUT: text.encode()})
    few: Any = [f.name for f in schema if rows.is_swept(f)] + [f"{rows.STEP}.list.element"]
    fresh = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        with pq.ParquetWriter(
            fresh, schema, compression="zstd", use_dictionary=few, write_page_checksum=True
        ) as writer:
            for group in _grouped(tables):
                writer.write_table(group.replace_schema_metadata(schema.metadata))
        parquet_sums.add(fresh)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def index(path: Path) -> Index:
    """The index of a file.

    Raises:
        Damaged: it cannot be read.
        FractaljaxError: it was not written by fractaljax, or by a newer version.
        FileNotFoundError: it is not there (any more).
    """
    now = stamp(path)
    with _reading(path) as opened:
        schema, metadata = opened.file.schema_arrow, opened.file.metadata
        about = opened.about()
        formats.check(path, about.get("format"), FORMAT)
        groups = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
        names = [f.name for f in schema if rows.is_swept(f)] + [rows.WRITTEN]
        runs = opened.read(range(len(groups)), names)
        return Index(path, now, schema, about, groups, runs)


def _check_sizes(metadata: pq.FileMetaData) -> None:
    """Refuses what would be far larger in memory than any group that `write` makes, before it is
    read: a value that is repeated takes no room in a file.

    Raises:
        Damaged: says what is too large.
    """
    if metadata.num_rows > MAX_RUNS:
        raise Damaged(f"{metadata.num_rows} runs; at most {MAX_RUNS}")
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        values = sum(group.column(i).num_values for i in range(group.num_columns))
        size = max(group.total_byte_size, values)  # a value takes a byte or more
        if size > MAX_GROUP_BYTES:
            raise Damaged(f"row group {number} takes {size} bytes; at most {MAX_GROUP_BYTES}")


def indices(paths: Iterable[Path]) -> Iterator[Index]:
    """The index of every file that can be read; a warning for others. Files that vanish were
    compacted meanwhile: name them before the file they went into."""
    for path in paths:
        try:
            yield index(path)
        except FileNotFoundError:
            continue
        except Damaged as error:
            warn(path, error)


def warn(path: Path, error: Damaged) -> None:
    """Says that a file is damaged."""
    log.warning("%s is damaged: runs in it count as missing (%s)", path, error)


def group(one: Index, number: int, columns: list[str] | None = None) -> pa.Table:
    """A row group of a file; of some columns, or all.

    Raises:
        Damaged: it cannot be read.
        FractaljaxError: the file is not the one any more that the index was made of.
    """
    if stamp(one.path) != one.stamp:
        raise FractaljaxError(f"{one.path} was joined with others meanwhile; load the sweep again")
    with _reading(one.path) as opened:
        return opened.read([number], columns)


def stamp(path: Path) -> Stamp:
    """The stamp of a file, or of none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return ()
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def newest(runs: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """Which rows of several files to keep, bool `[n]` a file: of runs with the same key the one
    that was written last.

    Args:
        runs: keys, and when they were written, a pair a file.
    """
    if not runs:
        return []
    keys, written = (np.concatenate(columns) for columns in zip(*runs, strict=True))
    order = np.lexsort((written, keys))  # stable: at equal times the later file wins
    last = np.ones(len(keys), bool)
    last[:-1] = keys[order[1:]] != keys[order[:-1]]
    keep = np.zeros(len(keys), bool)
    keep[order[last]] = True
    return np.split(keep, np.cumsum([len(k) for k, _ in runs])[:-1])


def provenance(found: Iterable[Index]) -> list[Any]:
    """How the runs of several files were trained, an entry a way."""
    ways = [way for one in found for way in one.about.get("provenance", [])]
    return list({json.dumps(way, sort_keys=True): way for way in ways}.values())


class _Opened(NamedTuple):
    """A file whose footer is what was written."""

    source: pa.NativeFile
    file: pq.ParquetFile
    sums: tuple[int, ...] | None  # of its column chunks

    def about(self) -> dict[str, Any]:
        """What `write` was told about it."""
        return disk.from_json((self.file.schema_arrow.metadata or {}).get(ABOUT, b"{}"))

    def read(self, groups: Sequence[int], columns: list[str] | None) -> pa.Table:
        """Row groups; of some columns, or all."""
        if self.sums is not None:
            parquet_sums.check(self.source, self.file.metadata, self.sums, groups, columns)
        return self.file.read_row_groups(groups, columns)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[_Opened]:
    """An open file; what the library says of a damaged one becomes `Damaged`."""
    try:
        with pa.OSFile(str(path)) as source:
            sums = parquet_sums.read(source)
            with pq.ParquetFile(source, page_checksum_verification=True) as file:
                opened = _Opened(source, file, sums)
                if sums is None and SUMMED in opened.about():
                    raise Damaged("its checksums are gone")
                _check_sizes(file.metadata)
                yield opened
    except pa.ArrowInvalid as error:
        raise Damaged(str(error).splitlines()[0]) from None
    except OSError as error:
        if error.errno is not None:  # the operating system's own: nothing is said about the file
            raise
        raise Damaged(str(error).splitlines()[0]) from None


def _grouped(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in tables of about `GROUP_BYTES`."""
    waiting: list[pa.Table] = []
    size = 0
    for table in tables:
        step = max(1, GROUP_BYTES * table.num_rows // max(table.nbytes, 1))
        for start in range(0, table.num_rows, step):
            piece = table.slice(start, step)
            if waiting and size + piece.nbytes > GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, size = [], 0
            waiting.append(piece)
            size += piece.nbytes
    if waiting:
        yield pa.concat_tables(waiting)
