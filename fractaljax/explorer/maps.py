"""A map: settings, a folder, and what it trains. All maps of a server, some of them open.

FOLDER/<id>/map.yaml         settings, in the form `scan` takes; the id is their digest
FOLDER/<id>/files.jsonl      digests of the files that the settings name
FOLDER/<id>/numeric.json     chunk, backend and rule of the coordinates, pinned when the map is
                             first trained; without a rule it is that of an earlier version
FOLDER/<id>/l<level>/...     blocks of tiles (`tiles`)
FOLDER/<id>/renders/...      boxes (`renders`)
"""

import contextlib
import json
import logging
import os
import queue
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fractaljax import config
from fractaljax.axis import EXACT
from fractaljax.config.files import named_files
from fractaljax.errors import FractaljaxError
from fractaljax.explorer import settings
from fractaljax.explorer.geometry import MIN_LEVEL, TILE, Place, Root, tiles_a_side
from fractaljax.explorer.refusals import Busy, Refused, TooDeep, Unknown
from fractaljax.explorer.tiles import Tiles
from fractaljax.families import explore
from fractaljax.families.explore import Training
from fractaljax.spec import Spec
from fractaljax.store import disk, earlier, origins
from fractaljax.view.colours import MISSING, STATUS
from fractaljax.window import Window

log = logging.getLogger("fractaljax")
MOST_OPEN = 8  # maps with a program and open folders
MOST_MAPS = 1000  # folders that requests may make
END_S = 0.3  # for a compilation to end, when the server ends
_ID = re.compile(r"[0-9a-f]{10}")


class Map:
    """One map; `compiled` says when it can train.

    Args:
        folder: of this map.
        spec, window: as `explored` and checked; the window has 64 samples a side.
        title: a few words.
    """

    def __init__(self, folder: Path, spec: Spec, window: Window, title: str):
        assert window.y is not None
        self.id, self.folder, self.title = folder.name, folder, title
        self.spec, self.window = spec, window
        numeric = _numeric(folder)
        self._rule = EXACT if numeric is None else numeric.pop("coordinates")
        self.roots = (Root.of(window.x, self._rule), Root.of(window.y, self._rule))
        self.floor_level = min(root.floor_level(spec.dtype) for root in self.roots)
        if self.floor_level < MIN_LEVEL:
            raise FractaljaxError(
                f"a map of this window would end at its first level in {spec.dtype}; take a wider "
                "window"
            )
        self.training = Training(spec, window, numeric)
        self.tiles = Tiles(folder, spec, self.roots, self.training)
        self.compiled, self.curve_compiled = threading.Event(), threading.Event()
        self.failed: BaseException | None = None  # why there is no program

    def readings(self) -> list[str]:
        """Names of the readings, the shown one first."""
        names = {"status": ("status", "diverged_at")}
        return [n for fold in self.spec.fold for n in names.get(fold.name, (fold.name,))]

    def place(self, level: int, x: int, y: int) -> Place:
        """A tile by its address; raises where there is none."""
        if level > self.floor_level:
            raise TooDeep(
                f"level {level} is beyond the precision floor: from level {self.floor_level + 1} "
                f"on neighbours are the same number in {self.spec.dtype}"
            )
        if level < MIN_LEVEL:
            raise Unknown(f"level {level}: the coarsest is {MIN_LEVEL}")
        if max(x, y) >= tiles_a_side(level):
            raise Unknown(f"tile {x}, {y}: level {level} has {tiles_a_side(level)} a side")
        return Place(level, x, y)

    def usable(self) -> None:
        """Raises when the map's program could not be made."""
        if isinstance(self.failed, FractaljaxError):
            raise self.failed
        if self.failed is not None:
            raise FractaljaxError(f"the map's program cannot be made: {self.failed}")

    def compile(self) -> None:
        """Makes the programs; the one of tiles first. In a thread of its own."""
        try:
            again = "Put back what was there, and start the explorer again"
            origins.check_folder(self.folder, [self.spec], again)  # what is there can be looked at
            self.training.compile()
            pinned = _pinned(self.folder, {**self.training.numeric, "coordinates": self._rule})
            if pinned.pop("coordinates") != self._rule:  # another process was first
                raise FractaljaxError("an earlier version began this map meanwhile: open it again")
            self.training.numeric = pinned
            self.training.compile()
        except Exception as error:
            log.warning("map %s: %s", self.id, error)
            self.failed = error
        self.compiled.set()

    def compile_curve(self) -> None:
        """Makes the program of training curves."""
        try:
            if self.failed is None:
                origins.check_folder(self.folder, [self.spec])  # another program reads again
                self.training.compile_curve()
        except Exception as error:  # a click tries again, and tells
            log.warning("map %s: %s", self.id, error)
        self.curve_compiled.set()

    def describe(self) -> dict[str, Any]:
        """What the page needs to know, as JSON."""
        status = [[name, "#{:02x}{:02x}{:02x}".format(*colour)] for name, colour in STATUS.items()]
        return {
            "id": self.id,
            "title": self.title,
            "config": str(self.folder / "map.yaml"),
            "settings": settings.flat(self.spec, self.window),
            "choices": settings.choices(self.spec, self.window),
            "readings": self.readings(),
            "shown": self.readings()[0],
            "axes": {
                which: {
                    "path": root.path,
                    "label": config.label(self.spec, root.path),
                    "scale": root.scale,
                    "low": root.low,
                    "high": root.high,
                }
                for which, root in zip("xy", self.roots, strict=True)
            },
            "tile": TILE,
            "min_level": MIN_LEVEL,
            "floor_level": self.floor_level,
            "dtype": self.spec.dtype,
            "status": status,
            "missing": "#{:02x}{:02x}{:02x}".format(*MISSING),
            "statistics": {
                "trained": self.training.trained,
                "reused": self.tiles.reused,
                "rate": round(self.training.rate, 1),
                **self.training.numeric,
            },
        }


class Maps:
    """All maps of one folder.

    Args:
        folder: `outputs/explore` or another.
        in_use: whether work of a map waits or runs, by its id.
        woken: called when a map has been compiled.
    """

    def __init__(self, folder: Path, in_use: Callable[[str], bool], woken: Callable[[], None]):
        self._folder, self._in_use, self._woken = folder, in_use, woken
        self._lock = threading.RLock()
        self._open: OrderedDict[str, Map] = OrderedDict()
        self._orders: queue.SimpleQueue[Map | None] = queue.SimpleQueue()
        self.compiling = 0  # maps that have no program yet
        self._closed = False
        self._before = 0  # points trained by maps that are closed
        self._thread = threading.Thread(target=self._compile, name="compiling", daemon=True)
        self._thread.start()

    def add(self, spec: Spec, window: Window, title: str) -> Map:
        """The map of these settings, new or not, already `explored` and checked."""
        window = window.resized(TILE)
        if window.y is None:
            raise FractaljaxError("a map needs two axes; give --axes X Y, or window.y=NAME")
        name = config.digest(spec, window)
        with self._lock:
            if name in self._open:
                return self._open[name]
            file = self._folder / name / "map.yaml"
            if not file.exists():
                with disk.on_disk(self._folder):
                    known = len(os.listdir(self._folder)) if self._folder.exists() else 0
                if known >= MOST_MAPS:
                    raise Refused(f"{self._folder} holds {MOST_MAPS} maps; remove some", 507)
                fresh = Map(self._folder / name, spec, window, title)  # refuses before it writes
                with disk.on_disk(file):
                    line = " ".join(title.split())
                    self._folder.mkdir(parents=True, exist_ok=True)
                    disk.replace(file, f"# {line}\n{config.dump(spec, window)}")
                    origins.keep(file.parent, named_files([spec]), begun=False)
                return self._keep(fresh)
            return self.get(name)

    def change(self, base: Map, changes: Any) -> Map:
        """The map of a base with other settings."""
        spec, window = settings.changed(base.spec, base.window, changes)
        title = f"{base.title.split(' · ')[0]} · {settings.described(changes)}"
        return self.add(spec, window, title if changes else base.title)

    def get(self, name: str) -> Map:
        """The map with this id, opened if it is only on disk."""
        with self._lock:
            if name in self._open:
                self._open.move_to_end(name)
                return self._open[name]
            if not _ID.fullmatch(name) or not (self._folder / name / "map.yaml").is_file():
                raise Unknown(f"no map '{name[:20]}'")
            file = self._folder / name / "map.yaml"
            with disk.on_disk(file):
                text = file.read_text()
            raw = config.parse(text, str(file), "map") | {"plugins": []}
            _, spec, window = config.experiments(raw)[0]
            if config.digest(spec, window) != name:
                raise FractaljaxError(f"{file} was changed: its settings are not those of this map")
            explore.check(spec, window)
            with disk.on_disk(file):
                named = named_files([spec])
                if not origins.differences(origins.read(file.parent), named):
                    origins.keep(file.parent, named, begun=True)
            title = text.split("\n")[0].removeprefix("# ")
            return self._keep(Map(file.parent, spec, window, title))

    def trained(self) -> int:
        """Points trained in this session."""
        with self._lock:
            return self._before + sum(m.training.trained for m in self._open.values())

    def rate(self) -> float:
        """Points a second of the map that trained last."""
        with self._lock:
            opened = [m.training for m in self._open.values()]
        return max(opened, key=lambda t: t.last).rate if opened else 0.0

    def close(self) -> None:
        """Ends all claims; nothing is trained afterwards, nor compiled but what is under way."""
        self._closed = True
        self._orders.put(None)
        self._thread.join(END_S)
        with self._lock:
            for each in self._open.values():
                each.tiles.close()
            self._open.clear()

    def _keep(self, fresh: Map) -> Map:
        """Opens a map, closes those that were not used for longest, and compiles."""
        for name in list(self._open):
            if len(self._open) < MOST_OPEN:
                break
            if not self._in_use(name) and self._open[name].curve_compiled.is_set():
                closed = self._open.pop(name)
                closed.failed = Busy("the map was just closed; try again")
                closed.tiles.close()
                self._before += closed.training.trained
        if len(self._open) >= MOST_OPEN:
            raise Busy(f"{MOST_OPEN} maps are being trained; try again soon")
        self._open[fresh.id] = fresh
        self.compiling += 1
        self._orders.put(fresh)
        return fresh

    def _compile(self) -> None:
        while (ordered := self._orders.get()) is not None and not self._closed:
            ordered.compile()
            with self._lock:
                self.compiling -= 1
            self._woken()
            if not self._closed:
                ordered.compile_curve()
                self._woken()

    @property
    def alive(self) -> bool:
        """Whether something is being compiled after all."""
        return self._thread.is_alive()


def _numeric(folder: Path) -> dict[str, Any] | None:
    """The numeric setting a map was begun with, or None."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((folder / "numeric.json").read_text())
        if isinstance(found, Mapping) and isinstance(found.get("chunk"), int):
            kernel = str(found.get("kernel", "xla"))  # there was a time without another
            made = {"chunk": found["chunk"], "kernel": kernel, "backend": str(found.get("backend"))}
            rule = str(found.get("coordinates", earlier.RULE))
            if rule not in (EXACT, earlier.RULE):
                raise FractaljaxError(f"{folder}: its coordinates are '{rule}', of a newer version")
            return made | {"coordinates": rule}
    return None


def _pinned(folder: Path, numeric: dict[str, Any]) -> dict[str, Any]:
    """Keeps a numeric setting, unless another process was first; answers with the one kept."""
    file = folder / "numeric.json"
    draft = folder / f".numeric-{secrets.token_hex(8)}"
    with disk.on_disk(file):
        try:
            draft.write_text(json.dumps(numeric))
            with contextlib.suppress(FileExistsError):
                os.link(draft, file)  # in one step, and only where there is none
        finally:
            draft.unlink(missing_ok=True)
    return _numeric(folder) or numeric
