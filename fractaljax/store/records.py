"""What a store says of itself: its attributes, under a checksum, and a record of every run."""

import contextlib
import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fractaljax.errors import FractaljaxError
from fractaljax.store import disk, formats

log = logging.getLogger("fractaljax")
FORMAT = 2  # of the whole layout; raised when an older version could not read it or go on with it


def read(path: Path) -> dict[str, Any]:
    """What the group in a folder says of itself, checked as far as a reader relies on it.

    Raises:
        FractaljaxError: there is no group, it is damaged, or of a newer format.
    """
    file = path / "field" / "zarr.json"
    if not file.exists():
        raise FractaljaxError(f"{path}: no result here (there is no {file})")
    try:
        found = disk.from_json(disk.read_text(file))["attributes"]["fractaljax"]
        formats.check(file, found["format"], FORMAT)
        if {"settings", "numeric", "readings"} - set(found) or found["check"] != _check(found):
            raise ValueError
    except FractaljaxError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        raise FractaljaxError(f"{file} is damaged or was not written by fractaljax") from None
    return found


def write(group: Path, attributes: Mapping[str, Any]) -> None:
    """Writes `zarr.json` of a group, with the checksum of these attributes among them."""
    checked = {**attributes, "check": _check(attributes)}
    content = {"zarr_format": 3, "node_type": "group", "attributes": {"fractaljax": checked}}
    disk.replace(group / "zarr.json", json.dumps(content, indent=1))


def runs(path: Path) -> list[dict[str, Any]]:
    """The records of all runs in a folder; a line cut off by a crash is passed over, and so is a
    damaged one, with a warning."""
    found = []
    with contextlib.suppress(OSError):
        for line in (path / "runs.jsonl").read_bytes().split(b"\n"):
            run = parsed(line)
            with contextlib.suppress(TypeError, KeyError):
                if isinstance(run["wall_s"] + run["pixels"], int | float):
                    found.append(run)
                    continue
            if line.endswith(b"}"):
                log.warning("%s: the record of a run is damaged", path / "runs.jsonl")
    return found


def add_run(path: Path, run: Mapping[str, Any]) -> None:
    """Adds the record of one run."""
    disk.append(path / "runs.jsonl", checked(run))


def checked(tree: Mapping[str, Any]) -> str:
    """A line of JSON with its checksum."""
    return json.dumps({**tree, "check": _check(tree)})


def parsed(line: bytes) -> dict[str, Any]:
    """What a line of `checked` says, or one without a checksum; nothing where it is damaged."""
    try:
        found = disk.from_json(line)
        check = found.pop("check", None)
    except (ValueError, TypeError, AttributeError):
        return {}
    return found if check is None or check == _check(found) else {}


def _check(attributes: Mapping[str, Any]) -> int:
    """Checksum of everything the attributes say but itself."""
    rest = {k: v for k, v in attributes.items() if k != "check"}
    return zlib.crc32(json.dumps(rest, sort_keys=True).encode())
