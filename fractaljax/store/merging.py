"""Many files of runs joined into one, a row group at a time; only keys are in memory."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.store import origins, parquet, rows, sweep_folder
from fractaljax.store.claims import Claims
from fractaljax.store.disk import on_disk

log = logging.getLogger("fractaljax")
OnRows = Callable[[int, int], Any]  # hears how many runs are joined, of how many


class Source(NamedTuple):
    """A file to join: 16 bytes a run, and what it says of itself."""

    one: parquet.Index  # without its runs
    keys: np.ndarray  # uint64 [n]
    written: np.ndarray  # UTC, s [n]


def merge(folders: Sequence[str | Path], out: str | Path, on_rows: OnRows | None = None) -> None:
    """Joins sweeps of one setting; of a run that several have, the newest is kept.

    Memory: about 40 bytes a run and a few row groups.

    Args:
        folders: of the sweeps; nothing in them is changed.
        out: folder of the joined sweep. One that is there already is joined with them.
        on_rows: hears (runs joined, runs in all) from time to time.

    Raises:
        FractaljaxError: a folder holds no sweep, or the settings differ; nothing is written then.
    """
    target = Path(out)
    others = [p for p in map(Path, folders) if _real(p) != _real(target)]
    if not folders:
        raise FractaljaxError("merge: names no sweep")
    inputs = [*others, *([target] if (target / sweep_folder.CONFIG).exists() else [])]
    settings = [_setting(folder) for folder in inputs]
    if any(setting != settings[0] for setting in settings):
        settings = [config.completed(setting) for setting in settings]
    for folder, setting in zip(inputs, settings, strict=True):
        if differing := config.differences(settings[0], setting):
            raise FractaljaxError(
                f"{inputs[0]} and {folder} hold different sweeps: {'; '.join(differing)} "
                f"({inputs[0]} -> {folder})"
            )
    with on_disk(target):
        named = _together(inputs)
        setting = sweep_folder.begin(target, settings[0], named)
        claims = Claims(target)
        try:
            if not claims.take(sweep_folder.JOINING):
                raise FractaljaxError(f"{target}: another process is joining parts here; wait")
            gather(target, setting, [f for o in others for f in sweep_folder.sources(o)], on_rows)
        finally:
            claims.close()


def gather(
    folder: Path,
    setting: Mapping[str, Any],
    others: Iterable[Path] = (),
    on_rows: OnRows | None = None,
) -> None:
    """Joins all runs of a folder, and of other files, into its one file; the caller has claimed
    `JOINING`. Parts that it holds are removed afterwards, unreadable files are set aside first."""
    *parts, results = sweep_folder.sources(folder)
    own = [results, *parts]
    found = [_source(one, setting) for one in parquet.indices([*others, *own])]
    readable = {source.one.path for source in found}
    for path in own:
        if path not in readable and path.exists():
            os.replace(path, path.with_name(f"{path.name}.damaged"))
    schema = rows.unified([source.one.schema for source in found], setting)
    ways = parquet.provenance(source.one for source in found)
    about = {"config": setting, "provenance": ways}
    parquet.write(results, schema, about, _kept(found, schema, setting, on_rows))
    for path in parts:
        if path in readable:
            path.unlink()


def _real(folder: Path) -> str:
    with on_disk(folder):
        return os.path.realpath(folder)  # unlike Path.resolve, an answer for links in a circle


def _setting(folder: Path) -> dict[str, Any]:
    with on_disk(folder):
        return sweep_folder.read_config(folder)


def _together(folders: Sequence[Path]) -> dict[origins.Key, origins.Content]:
    """What all these sweeps were begun with; raises where two of them differ."""
    found: dict[origins.Key, origins.Content] = {}
    first: dict[origins.Key, Path] = {}  # of the sweeps with this file
    known = {folder: origins.read(folder) for folder in folders}
    for folder, files in known.items():
        for key, content in files.items():
            before, there = found.setdefault(key, content), first.setdefault(key, folder)
            if content.sha256 != before.sha256:
                raise FractaljaxError(
                    f"{there} and {folder} were begun with different files: {origins.told(key)} "
                    f"has {origins.shown(before)} in {there}, {origins.shown(content)} in {folder}"
                )
    if found and (without := [str(folder) for folder, files in known.items() if not files]):
        log.warning(
            "%s: kept no digests of files, so they are not compared with those of %s",
            ", ".join(without),
            ", ".join(str(folder) for folder, files in known.items() if files),
        )
    return found


def _source(one: parquet.Index, setting: Mapping[str, Any]) -> Source:
    written = one.runs[rows.WRITTEN].to_numpy()
    return Source(one._replace(runs=one.runs.slice(0, 0)), rows.keys(one.runs, setting), written)


def _kept(
    found: list[Source], schema: pa.Schema, setting: Mapping[str, Any], on_rows: OnRows | None
) -> Iterator[pa.Table]:
    """The rows to keep of every row group, in the joined schema."""
    masks = parquet.newest([(source.keys, source.written) for source in found])
    done, total = 0, sum(len(mask) for mask in masks)
    for source, mask in zip(found, masks, strict=True):
        start = 0
        for number, count in enumerate(source.one.groups):
            keep = mask[start : start + count]
            start += count
            if keep.any():
                try:
                    group = parquet.group(source.one, number)
                except parquet.Damaged as error:
                    parquet.warn(source.one.path, error)
                else:
                    yield rows.conformed(group.filter(pa.array(keep)), schema, setting)
            done += count
            if on_rows:
                on_rows(done, total)
