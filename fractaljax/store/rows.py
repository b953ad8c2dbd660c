"""Runs as Arrow rows, and what makes two runs the same.

A swept path is a column of one kind (whole numbers, numbers, text, booleans, null), or JSON text
where its values are of several; a reading is a column of numbers or of nested lists. Fields say in
their metadata which they are. A run that lacks a swept column has the base setting's value.

The key of a run is the sum, mod 2^64, over the swept paths of a hash of the path and its value
less that of the base setting's value: it depends neither on the order of the paths nor on which of
them were swept, and all keys of a column are made at once. Among a million runs, two have the same
key with a chance of 3e-8.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from fractaljax.errors import FractaljaxError
from fractaljax.runs import values_at

KIND = b"fractaljax"  # key in the metadata of a field
SWEPT, TEXT, READING = b"swept", b"swept json", b"reading"
STEP, WRITTEN = "step", "written"
LARGEST = 2**53  # whole numbers up to here are floats exactly


def base_value(config: Mapping[str, Any], path: str) -> Any:
    """What the base setting says at a path; None where the sides of a pair disagree."""
    found = values_at(config, path)
    return found[0] if found and all(value == found[0] for value in found) else None


def swept(
    settings: Sequence[Mapping[str, Any]], config: Mapping[str, Any], written: float = 0.0
) -> pa.Table:
    """Runs given as path -> value each: their swept columns, and when they are written (UTC, s)."""
    fields, arrays = [], []
    for path in dict.fromkeys(path for run in settings for path in run):
        base = base_value(config, path)
        array, kind = _column([run.get(path, base) for run in settings], base)
        fields.append(pa.field(path, array.type, metadata={KIND: kind}))
        arrays.append(array)
    fields.append(pa.field(WRITTEN, pa.float64()))
    arrays.append(pa.array(np.full(len(settings), written)))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def with_readings(runs: pa.Table, readings: Mapping[str, Any]) -> pa.Table:
    """The same runs with their readings, `[n, ...]` each, or a list of `n` arrays."""
    for name, found in readings.items():
        if name in runs.column_names:
            raise FractaljaxError(f"reading '{name}': a column of the table has this name already")
        array = nested(found)
        runs = runs.append_column(pa.field(name, array.type, metadata={KIND: READING}), array)
    return runs


def keys(runs: pa.Table, config: Mapping[str, Any]) -> np.ndarray:
    """The key of every run, uint64, from the swept columns."""
    total = np.zeros(runs.num_rows, np.uint64)
    for field in runs.schema:
        if is_swept(field):
            salt = _digest(field.name)
            values = _hashes(salt, runs[field.name], field)
            total += values - _hash(salt, base_value(config, field.name))
    return total


def is_swept(field: pa.Field) -> bool:
    """Whether a field is of a swept path."""
    return (field.metadata or {}).get(KIND) in (SWEPT, TEXT)


def is_reading(field: pa.Field) -> bool:
    """Whether a field is of a reading, steps included."""
    return (field.metadata or {}).get(KIND) == READING


def unified(schemas: Sequence[pa.Schema], config: Mapping[str, Any]) -> pa.Schema:
    """One schema for files that have different columns, or kinds of values in them: swept paths
    first, in the order in which they came, then readings, steps and `written`."""
    found: dict[str, list[pa.Field]] = {}
    for schema in schemas:
        for field in schema:
            found.setdefault(field.name, []).append(field)
    for name, fields in found.items():
        if is_swept(fields[0]) and len(fields) < len(schemas):  # some are filled with the base
            base = base_value(config, name)
            array, kind = _column([base], base)
            fields.append(pa.field(name, array.type, metadata={KIND: kind}))
    joined = [_unified_field(fields) for fields in found.values()]
    joined.sort(key=lambda f: (not is_swept(f), f.name == WRITTEN, f.name == STEP))
    return pa.schema(joined)


def conformed(runs: pa.Table, schema: pa.Schema, config: Mapping[str, Any]) -> pa.Table:
    """The same rows in a schema that `unified` made of theirs."""
    arrays = []
    for field in schema:
        here = runs.schema.get_field_index(field.name)
        if here < 0:
            value = base_value(config, field.name) if is_swept(field) else None
            if _kind(field) == TEXT and value is not None:
                value = json.dumps(value)
            absent = pa.nulls(runs.num_rows, field.type)
            arrays.append(absent if value is None else absent.fill_null(value))
        else:
            own, array = runs.schema.field(here), runs.column(here)
            if _kind(field) == TEXT and _kind(own) != TEXT:
                texts = [None if v is None else json.dumps(v) for v in array.to_pylist()]
                array = pa.array(texts, pa.string())
            arrays.append(array.cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def values(array: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    """A swept column as numpy: of its own kind, or of objects where it holds null, text or
    several kinds."""
    whole = array.null_count == 0 and not pa.types.is_string(array.type) and len(array) > 0
    if whole:
        return array.to_numpy()
    out = np.empty(len(array), object)
    items = array.to_pylist()
    out[:] = [json.loads(v) if v is not None and _kind(field) == TEXT else v for v in items]
    return out


def nested(values: Any) -> pa.Array:
    """Readings of runs as Arrow: numbers of `[n]`, lists of `[n, K]`, lists of lists, ..."""
    if isinstance(values, list):
        return pa.concat_arrays([nested(np.asarray(one)[None]) for one in values])
    values = np.ascontiguousarray(values)
    array = pa.array(values.reshape(-1))
    for axis in range(values.ndim - 1, 0, -1):
        rows = int(np.prod(values.shape[:axis]))
        offsets = np.arange(rows + 1, dtype=np.int64) * values.shape[axis]
        array = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), array)
    return array


def dense(array: pa.Array) -> np.ndarray:
    """The way back: `[n, ...]`, or objects where the shapes of runs differ; None for null lists,
    NaN for null numbers."""
    if not pa.types.is_list(array.type):
        return array.to_numpy(zero_copy_only=False)
    inner = dense(array.flatten())
    lengths = array.value_lengths().fill_null(0).to_numpy()
    if not array.null_count and inner.dtype != object and (lengths == lengths[:1]).all():
        return inner.reshape(len(array), lengths[0] if len(array) else 0, *inner.shape[1:])
    out = np.empty(len(array), object)
    present = array.is_valid().to_numpy(zero_copy_only=False)
    for i, piece in enumerate(np.split(inner, np.cumsum(lengths)[:-1])):
        out[i] = _stacked(piece) if present[i] else None
    return out


def _stacked(piece: np.ndarray) -> np.ndarray:
    """Arrays of one shape as one array."""
    one = piece.dtype == object and len({np.shape(p) for p in piece}) == 1
    return np.stack(list(piece)) if one else piece


def _column(found: list[Any], base: Any) -> tuple[pa.Array, bytes]:
    """Values of one path as Arrow, and how they are kept."""
    found = [v.item() if isinstance(v, np.generic) else v for v in found]
    if isinstance(base, float):
        found = [float(v) if type(v) is int else v for v in found]
    kinds = {type(v) for v in found} - {type(None)}
    small = int not in kinds or all(abs(v) <= LARGEST for v in found if type(v) is int)
    for allowed, kind in (
        (set(), pa.null()),
        ({bool}, pa.bool_()),
        ({int}, pa.int64()),
        ({int, float}, pa.float64()),
        ({str}, pa.string()),
    ):
        if kinds <= allowed and small:
            return pa.array(found, kind), SWEPT
    return pa.array([None if v is None else json.dumps(v) for v in found], pa.string()), TEXT


def _kind(field: pa.Field) -> bytes:
    return (field.metadata or {}).get(KIND, b"")


def _unified_field(fields: list[pa.Field]) -> pa.Field:
    """One field for a column that several files have."""
    kinds, types = {_kind(f) for f in fields}, {f.type for f in fields} - {pa.null()}
    first = fields[0]
    if kinds <= {SWEPT, TEXT}:
        if len(kinds) == 1 and len(types) < 2:
            return first.with_type(next(iter(types), pa.null()))
        if kinds == {SWEPT} and types == {pa.int64(), pa.float64()}:
            return first.with_type(pa.float64())
        return pa.field(first.name, pa.string(), metadata={KIND: TEXT})
    if len(kinds) > 1 or len(types) > 1:
        raise FractaljaxError(
            f"column '{first.name}' is of different kinds in the parts of this table: "
            f"{' and '.join(sorted(map(str, types)))}"
        )
    return first


def _hashes(salt: int, array: pa.ChunkedArray, field: pa.Field) -> np.ndarray:
    """The hash of every value of a swept column."""
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        numbers = array.cast(pa.float64()).fill_null(0.0).to_numpy()
        absent = array.is_null().to_numpy()
        return np.where(absent, _hash(salt, None), _mixed(salt, numbers))
    if pa.types.is_null(array.type):
        return np.full(len(array), _hash(salt, None))
    coded = array.combine_chunks().dictionary_encode(null_encoding="encode")
    known = coded.dictionary.to_pylist()
    known = [json.loads(v) if v is not None and _kind(field) == TEXT else v for v in known]
    hashes = np.array([_hash(salt, value) for value in known], np.uint64)
    return hashes[coded.indices.to_numpy()]


def _hash(salt: int, value: Any) -> np.uint64:
    """The hash of one value; 1 and 1.0 are the same, also inside lists."""
    if type(value) is float or (type(value) is int and abs(value) <= LARGEST):
        return _mixed(salt, np.array([value], np.float64))[0]
    return np.uint64(_digest(f"{salt} {json.dumps(_whole(value), sort_keys=True)}"))


def _whole(value: Any) -> Any:
    """Floats that are whole numbers as such."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_whole(v) for v in value] if isinstance(value, list | tuple) else value


def _mixed(salt: int, numbers: np.ndarray) -> np.ndarray:
    """Hashes of numbers: the finaliser of splitmix64 (Steele, Lea, Flood 2014) over their bits."""
    bits = np.where(np.isnan(numbers), np.nan, numbers + 0.0).view(np.uint64)  # one NaN, one 0
    bits = bits ^ np.uint64(salt)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
