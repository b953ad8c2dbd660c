"""What lies where in the folder of a sweep.

DIR/config.yaml        the base setting
DIR/parts/*.parquet    runs, a file a finished chunk; never written twice
DIR/results.parquet    the runs of all parts there were when it was written
DIR/numeric.jsonl      one line a program: the numeric setting its runs are trained in
DIR/files.jsonl        digests of the files that the settings name (`origins`)
DIR/claims             locked bytes, as in the folder of a scan
DIR/.sums              the checksum of config.yaml
"""

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fractaljax import config
from fractaljax.config.plain_yaml import from_yaml, to_yaml
from fractaljax.errors import FractaljaxError
from fractaljax.runs import distinct
from fractaljax.store import disk, formats, origins, parquet, rows, seals

CONFIG, PARTS, RESULTS, NUMERIC = "config.yaml", "parts", "results.parquet", "numeric.jsonl"
HEADER = "# base setting of the sweep in this folder, written by fractaljax\n"
JOINING = 0  # the byte of `claims` held by who compacts


def read_config(folder: Path) -> dict[str, Any]:
    """The base setting of the sweep in a folder.

    Raises:
        FractaljaxError: there is no sweep, or the file is damaged or of a newer format.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise FractaljaxError(f"{folder}: no sweep here (there is no {file})")
    with disk.on_disk(file):
        text = seals.read_text(file)
    if not formats.is_ours(file, text, HEADER):
        raise FractaljaxError(f"{file} was not written by a sweep of fractaljax")
    try:
        found = from_yaml(text)
    except FractaljaxError:
        found = None
    if not isinstance(found, dict):
        raise FractaljaxError(f"{file} is damaged")
    return _as_json(found)


def begin(
    folder: Path, setting: Mapping[str, Any], named: origins.Named = MappingProxyType({})
) -> dict[str, Any]:
    """Makes a folder the one of a sweep of this setting, and answers with the setting as kept.

    Args:
        named: what the settings of its runs name on disk.

    Raises:
        FractaljaxError: it holds another sweep, one that was begun with other files, or files that
            a sweep would replace.
    """
    (folder / PARTS).mkdir(parents=True, exist_ok=True)
    begun = os.path.lexists(folder / CONFIG)
    if not begun:
        if not _of(folder, setting):
            raise FractaljaxError(
                f"{folder} holds no sweep, but {RESULTS} or {PARTS}, which a sweep would replace. "
                "Choose another --out."
            )
        origins.check_free(folder, named)
        _write_config(folder, setting)
    found, asked = read_config(folder), _as_json(setting)  # another process may have been first
    if differing := config.compared(found, asked):
        raise FractaljaxError(
            f"{folder} holds another sweep; it differs in {'; '.join(differing)} "
            "(stored -> asked). Choose another --out, or --overwrite it."
        )
    origins.keep(
        folder,
        named,
        begun=begun,
        instead=origins.ANEW,
        used=lambda key: _trained_by(folder, asked, *key),
    )
    if found != asked:  # begun before some of its settings were there to be said
        _write_config(folder, setting)
    return asked


def sources(folder: Path) -> list[Path]:
    """The files of runs: the parts in the order of their names, then what they are joined in.

    In this order nothing is missed while another process joins them.
    """
    parts = sorted(p for p in (folder / PARTS).glob("*.parquet") if not p.name.startswith("."))
    return [*parts, folder / RESULTS]


def discard(folder: Path) -> None:
    """Removes the sweep in a folder, and nothing that fractaljax did not write."""
    if not os.path.lexists(folder / CONFIG):
        return
    read_config(folder)  # raises unless it is ours
    discard_unfinished(folder)
    for file in [*(folder / PARTS).glob("*.parquet*"), *folder.glob(f"{RESULTS}*")]:
        file.unlink()
    with contextlib.suppress(OSError):  # what is not ours stays
        (folder / PARTS).rmdir()
    # without its setting, nothing here is ours
    origins.discard(folder)
    for name in (NUMERIC, CONFIG, seals.SUMS):
        (folder / name).unlink(missing_ok=True)


def discard_unfinished(folder: Path) -> None:
    """Removes what processes that were killed left half written; nobody may be writing."""
    for file in [*(folder / PARTS).glob(".*.parquet-*"), *folder.glob(f".{RESULTS}-*")]:
        file.unlink(missing_ok=True)


def _write_config(folder: Path, setting: Mapping[str, Any]) -> None:
    text = to_yaml(_as_json(setting))
    seals.replace(folder / CONFIG, formats.marked(HEADER) + text)


def _of(folder: Path, setting: Mapping[str, Any]) -> bool:
    """Whether all runs in a folder that lacks its setting are of this one: it was damaged, and
    removed."""
    there = [file for file in sources(folder) if os.path.lexists(file)]
    try:
        own = [one.about.get("config") == _as_json(setting) for one in parquet.indices(there)]
    except FractaljaxError:  # not of ours
        return False
    return all(own) and len(own) == len(there)


def _trained_by(folder: Path, setting: Mapping[str, Any], path: str, text: str) -> bool:
    """Whether a run in a folder may be trained with what a setting names by this text."""
    for one in parquet.indices(sources(folder)):
        found = [rows.base_value(setting, path)] if one.runs.num_rows else []
        if path in one.runs.column_names:
            found = distinct(rows.values(one.runs[path], one.schema.field(path)))
        if any(_may_name(value, text) for value in found):
            return True
    return False


def _may_name(value: Any, text: str) -> bool:
    """Whether a value is or holds this text, or a folder above; None and "" leave it open."""
    if isinstance(value, list):
        return any(_may_name(one, text) for one in value)
    if value is None or not isinstance(value, str):
        return value is None
    text, value = os.path.expanduser(text), os.path.expanduser(value)
    return text == value or text.startswith(os.path.join(value, ""))


def _as_json(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A setting as JSON has it, so that two of them can be compared."""
    return json.loads(json.dumps(tree))
