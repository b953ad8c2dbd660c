"""Checksums within a Parquet file, of all that its pages' own checksums leave out.

A page's checksum covers neither its header nor the footer of the file, and one flipped bit there
can make other numbers, or end the process within the library. So what was written is summed up in
the room between the last column chunk and the footer, which readers of Parquet pass over:

    chunks | a CRC-32 each | how many | CRC-32 of these, the footer and its length | MARK | footer

A file without MARK in its place is one of an earlier version, or of another program.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

MARK = b"fj-sums1"
_TAIL = struct.Struct("<I4s")  # length of the footer, and what every Parquet file ends in
_HEAD = struct.Struct("<II8s")  # how many sums, sum of the sums and the footer, MARK


class Damaged(Exception):
    """A file that is there and cannot be read."""


class _Chunk(NamedTuple):
    """A column of a row group, as bytes of the file."""

    path: str  # name of the column, and what is nested in it, joined by dots
    start: int
    size: int


def add(path: Path) -> None:
    """Adds the checksums to a file that was just written."""
    with pq.ParquetFile(path) as file:
        metadata = file.metadata
    with path.open("r+b") as stream:
        chunks = _chunks(metadata, range(metadata.num_row_groups))
        sums = [_sum_of(stream, chunk) for chunk in chunks]
        footer, place = _footer(stream, stream.seek(0, 2))
        listed = struct.pack(f"<{len(sums)}I", *sums)
        stream.seek(place)
        stream.write(listed + _HEAD.pack(len(sums), zlib.crc32(listed + footer), MARK) + footer)


def read(source: pa.NativeFile) -> tuple[int, ...] | None:
    """The sums of all chunks, the footer being what was written; None where there are none.

    Raises:
        Damaged: the footer is another one.
    """
    footer, place = _footer(source, source.size())
    source.seek(max(place - _HEAD.size, 0))
    head = source.read(_HEAD.size)
    if not head.endswith(MARK) or len(head) < _HEAD.size:
        return None
    count, total, _ = _HEAD.unpack(head)
    start = place - _HEAD.size - 4 * count
    if start < 0:
        raise Damaged("its checksums are damaged")
    source.seek(start)
    listed = source.read(4 * count)
    if zlib.crc32(listed + footer) != total:
        raise Damaged("its footer is damaged")
    return struct.unpack(f"<{count}I", listed)


def check(
    source: pa.NativeFile,
    metadata: pq.FileMetaData,
    sums: Sequence[int],
    groups: Sequence[int],
    columns: Sequence[str] | None,
) -> None:
    """Raises Damaged unless these columns (None: all) of row groups are what was written."""
    for chunk, known in zip(_chunks(metadata, groups), _of(metadata, sums, groups), strict=True):
        wanted = columns is None or any(f"{chunk.path}.".startswith(f"{c}.") for c in columns)
        if wanted and _sum_of(source, chunk) != known:
            raise Damaged(f"its column {chunk.path} is damaged")


def _of(metadata: pq.FileMetaData, sums: Sequence[int], groups: Sequence[int]) -> list[int]:
    width = metadata.num_columns
    return [known for g in groups for known in sums[g * width : (g + 1) * width]]


def _chunks(metadata: pq.FileMetaData, groups: Sequence[int]) -> Iterator[_Chunk]:
    for number in groups:
        group = metadata.row_group(number)
        for i in range(metadata.num_columns):
            column = group.column(i)
            first = column.dictionary_page_offset
            start = column.data_page_offset if first is None else first
            yield _Chunk(column.path_in_schema, start, column.total_compressed_size)


def _sum_of(stream: BinaryIO | pa.NativeFile, chunk: _Chunk) -> int:
    stream.seek(chunk.start)
    return zlib.crc32(stream.read(chunk.size))


def _footer(stream: BinaryIO | pa.NativeFile, size: int) -> tuple[bytes, int]:
    """The footer with all that follows it, and where it begins.

    Raises:
        Damaged: this is no Parquet file.
    """
    stream.seek(max(size - _TAIL.size, 0))
    tail = stream.read(_TAIL.size)
    length = _TAIL.unpack(tail)[0] if len(tail) == _TAIL.size else size
    place = size - _TAIL.size - length
    if place < 0:
        raise Damaged("it has no footer")
    stream.seek(place)
    return stream.read(), place
