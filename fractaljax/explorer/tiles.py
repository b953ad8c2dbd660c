"""Values of the tiles of a map: from disk, from coarser and finer tiles, or trained.

Tiles lie in ordinary result folders, one a block of 16 x 16 tiles: `l<level>/<x>_<y>`.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.explorer import geometry
from fractaljax.explorer.geometry import TILE, Part, Place, Root
from fractaljax.families.explore import Training
from fractaljax.spec import Spec
from fractaljax.store import Store, origins
from fractaljax.window import Tile, Window

log = logging.getLogger("fractaljax")
MOST_BLOCKS = 32  # open at a time: a file descriptor and some marks each
MOST_UNFINISHED = 64  # tiles that were dropped half way, kept in memory
CLAIMED_S = 0.2  # between two looks at a tile that another process trains
Values = dict[str, np.ndarray]


class Made(NamedTuple):
    """How the points of an answer came about."""

    trained: int
    reused: int


class _Block:
    """An open result folder."""

    def __init__(self, store: Store, window: Window):
        self.store = store
        self.columns = -(-window.x.n // TILE)
        self.users = 0  # tiles of it that are being trained
        self.pixels, self.seconds = 0, 0.0  # trained here since it was opened

    def index(self, place: Place) -> int:
        row, column = place.inside
        return row * self.columns + column

    def has(self, place: Place) -> bool:
        return bool(self.store.done()[place.inside])


class Tiles:
    """The tiles of one map.

    Args:
        folder: of the map.
        spec, roots: what is trained, and the axes of the whole map, x first.
        training: trains what is nowhere else.
    """

    def __init__(self, folder: Path, spec: Spec, roots: tuple[Root, Root], training: Training):
        self._folder, self._spec, self._roots = folder, spec, roots
        self._training = training
        self._lock = threading.RLock()
        self._blocks: OrderedDict[tuple[int, int, int], _Block] = OrderedDict()
        self._unfinished: OrderedDict[Place, tuple[np.ndarray, Values]] = OrderedDict()
        self.reused = 0  # points, of this session

    def stored(self, place: Place) -> Values | None:
        """The readings of a finished tile, `[side, side]` each; None where it is not finished."""
        block = self._opened(place.block)
        return None if block is None else block.store.read(block.index(place))

    def work(self, place: Place) -> Generator[float, None, Made]:
        """Work for the queue that finishes a tile; nothing of it is trained twice."""
        origins.check_folder(self._folder, [self._spec])  # those of all blocks
        block = self._created(place.block)
        try:
            index = block.index(place)
            while not block.store.claim(index):
                if block.has(place):
                    return Made(0, 0)
                yield CLAIMED_S
            try:
                return (yield from self._finish(place, block))
            finally:
                block.store.release(index)
        finally:
            with self._lock:
                block.users -= 1

    def close(self) -> None:
        """Ends all claims and keeps the records of what was trained."""
        with self._lock:
            for block in self._blocks.values():
                self._close(block)
            self._blocks.clear()

    def _finish(self, place: Place, block: _Block) -> Generator[float, None, Made]:
        window = geometry.window(self._roots, place)
        mask, values = self._begun(place)
        before = int(mask.sum())
        self._reuse(place, window, mask, values)
        reused = int(mask.sum()) - before
        todo, points = np.flatnonzero(~mask), window.points(window.tiles(0)[0])
        try:
            seconds = yield from trained_into(self._training, points, todo, mask, values)
        except GeneratorExit:  # nobody waits any more; what is trained is kept for the next time
            with self._lock:
                self._unfinished[place] = mask, values
                while len(self._unfinished) > MOST_UNFINISHED:
                    self._unfinished.popitem(last=False)
            raise
        row, column = place.inside
        top, left = row * TILE, column * TILE
        area = Tile(top, top + place.side, left, left + place.side)
        block.store.write(block.index(place), area, values)
        block.pixels += len(todo)
        block.seconds += seconds
        self.reused += reused
        return Made(len(todo), reused)

    def _begun(self, place: Place) -> tuple[np.ndarray, Values]:
        """Which points of a tile are there, and the readings: what was dropped half way, if so."""
        with self._lock:
            if place in self._unfinished:
                return self._unfinished.pop(place)
        shape = (place.side, place.side)
        return np.zeros(shape, bool), {
            k: r.empty(shape) for k, r in self._training.readings.items()
        }

    def _reuse(self, place: Place, window: Window, mask: np.ndarray, values: Values) -> None:
        """Takes over what other levels hold: of the coarser tiles the finest has all."""
        for part in place.coarser():
            if self._take(part, window, mask, values):
                break
        for parts in place.finer():
            block = self._opened(parts[0].other.block)  # they lie in one block
            for part in parts:
                if block is not None and block.has(part.other):
                    self._take(part, window, mask, values)

    def _take(self, part: Part, window: Window, mask: np.ndarray, values: Values) -> bool:
        """Takes over the samples of one other tile that have the very same coordinates."""
        found = self.stored(part.other)
        if found is None:
            return False
        axes = zip(geometry.window(self._roots, part.other).axes, window.axes, strict=True)
        columns, rows = (
            theirs.points()[a] == ours.points()[b]
            for (theirs, ours), a, b in zip(axes, part.theirs[::-1], part.ours[::-1], strict=True)
        )
        fresh = rows[:, None] & columns & ~mask[part.ours]
        for name, whole in values.items():
            whole[part.ours][fresh] = found[name][part.theirs][fresh]
        mask[part.ours] |= fresh
        return True

    def _opened(self, key: tuple[int, int, int]) -> _Block | None:
        """A block that is on disk."""
        with self._lock:
            if key in self._blocks:
                self._blocks.move_to_end(key)
                return self._blocks[key]
            if not (self._path(key) / "field" / "zarr.json").exists():
                return None
            return self._open(key)

    def _created(self, key: tuple[int, int, int]) -> _Block:
        """A block to train in, not closed before its user count is taken back."""
        with self._lock:
            block = self._opened(key) or self._open(key)
            block.users += 1
            return block

    def _open(self, key: tuple[int, int, int]) -> _Block:
        window = geometry.block_window(self._roots, key)
        store = Store(self._path(key), self._spec, window, lazy=True)
        begun = store.begun()
        pinned = {"tile": TILE, **self._training.numeric}
        if begun is not None and any(begun[k] != v for k, v in pinned.items()):
            raise FractaljaxError(f"{store.path} was not written by this map: {begun}")
        store.begin({} if begun else self._training.readings, begun or pinned)
        if store.window.rule != window.rule:
            store.close({"pixels": 0, "wall_s": 0.0})
            raise FractaljaxError(
                f"{store.path}: its coordinates are '{store.window.rule}', those of this map "
                f"'{window.rule}': remove that folder"
            )
        block = self._blocks[key] = _Block(store, window)
        for old in [k for k, b in self._blocks.items() if not b.users]:
            if len(self._blocks) <= MOST_BLOCKS or old == key:
                break
            self._close(self._blocks.pop(old))
        return block

    def _close(self, block: _Block) -> None:
        run = {"pixels": block.pixels, "wall_s": round(block.seconds, 3)}
        try:
            block.store.close({**(self._training.record if block.pixels else {}), **run})
        except FractaljaxError as error:  # only the record of this run is lost
            log.warning("%s", error)

    def _path(self, key: tuple[int, int, int]) -> Path:
        level, x, y = key
        return self._folder / f"l{level}" / f"{x}_{y}"


def trained_into(
    training: Training, points: np.ndarray, todo: np.ndarray, mask: np.ndarray, values: Values
) -> Generator[float, None, float]:
    """Trains the points with numbers `todo` and writes their readings into `values`, and into
    `mask` which are there; work for the queue, which returns the seconds that it took itself."""
    seconds, clock = 0.0, time.perf_counter()
    for found in training.slices(points[todo]):
        now, todo = np.split(todo, [len(next(iter(found.values())))])
        for name, whole in values.items():
            whole.reshape(-1)[now] = found[name]
        mask.reshape(-1)[now] = True
        seconds += time.perf_counter() - clock
        yield 0.0
        clock = time.perf_counter()
    return seconds
