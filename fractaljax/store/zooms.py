"""A zoom sequence on disk: its plan, and a folder a level.

DIR/zoom.json            what was asked for, the centre, and the rule of the coordinates: `exact`;
                         a zoom that names none is of an earlier version, and keeps its rule
DIR/files.jsonl          digests of the files that the settings name (`origins`)
DIR/level_000/           the widest level, an ordinary result
DIR/level_001/ ...       `factor` times narrower each
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fractaljax import config
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.levels import Zoom
from fractaljax.store import disk, formats, seals
from fractaljax.store.stored import open_field

FORMAT = 1


def level_folder(path: str | Path, level: int) -> Path:
    """Where a level is kept."""
    return Path(path) / f"level_{level:03d}"


def read_plan(path: str | Path) -> dict[str, Any] | None:
    """The plan in a folder, or None where there is none.

    Raises:
        FractaljaxError: the file is damaged, or of a newer format.
    """
    file = Path(path) / "zoom.json"
    if not file.is_file():
        return None
    try:
        found = disk.from_json(seals.read_text(file))
        formats.check(file, found["format"], FORMAT)
        if not (
            1 < found["factor"] < math.inf
            and range(found["levels"])  # a whole number above 0
            and isinstance(found["center"], list)
        ):
            raise ValueError
    except FractaljaxError:
        raise
    except (OSError, ValueError, KeyError, TypeError):
        raise FractaljaxError(f"{file} is damaged or was not written by fractaljax") from None
    return found


def write_plan(path: str | Path, plan: Mapping[str, Any]) -> None:
    """Keeps a plan; a folder with another one is refused, but a zoom may go on deeper."""
    path = Path(path)
    fresh = json.loads(json.dumps({"format": FORMAT, **plan}))
    found = read_plan(path)
    deeper = found is None or fresh["levels"] > found["levels"]
    if found is not None and (differing := _differing(found, fresh)):
        raise FractaljaxError(
            f"{path} holds another zoom; it differs in {'; '.join(differing)} "
            "(stored -> asked). Choose another --out."
        )
    if deeper:
        if found is not None and "coordinates" not in found:
            del fresh["coordinates"]  # its levels go on by the rule they were begun with
        with disk.on_disk(path):
            path.mkdir(parents=True, exist_ok=True)
            seals.replace(path / "zoom.json", json.dumps(fresh, indent=1) + "\n")


def _differing(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """How two plans differ, but for their levels."""
    same = {"levels": asked["levels"], "format": FORMAT, "settings": asked["settings"]}
    same |= {} if "coordinates" in found else {"coordinates": asked["coordinates"]}
    settings = config.compared(found["settings"], asked["settings"])
    return [*config.differences({**found, **same}, asked), *(f"settings.{s}" for s in settings)]


def open_zoom(path: str | Path) -> Zoom:
    """The zoom in a folder: its levels from the widest on, as far as they are trained whole.

    Raises:
        FractaljaxError: there is no zoom, or no level of it is complete.
    """
    path = Path(path)
    plan = read_plan(path)
    if plan is None:
        raise FractaljaxError(f"{path}: no zoom here (there is no {path / 'zoom.json'})")
    levels = []
    for level in range(plan["levels"]):
        folder = level_folder(path, level)
        field = open_field(folder) if (folder / "field").exists() else None
        if field is None or not field.done.all():
            break
        levels.append(field)
    if not levels:
        raise FractaljaxError(f"{path}: no level of this zoom is complete")
    return Zoom(tuple(levels), float(plan["factor"]), path, plan)


def open_result(path: str | Path) -> Field | Zoom:
    """What a folder holds: the Field of a scan, or a Zoom."""
    return open_field(path) if read_plan(path) is None else open_zoom(path)


def open_levels(path: str | Path) -> tuple[Field, ...]:
    """The Fields in a folder: the levels of a zoom, or the one field of a scan."""
    found = open_result(path)
    return found.levels if isinstance(found, Zoom) else (found,)
