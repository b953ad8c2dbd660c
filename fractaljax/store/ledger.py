"""The ledger on disk: tiles are written once, found again, and shared between processes."""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax import config
from fractaljax.config.files import named_files
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.ledger import Reading
from fractaljax.spec import Spec
from fractaljax.store import arrays, coordinates, disk, folder, origins, records
from fractaljax.store.claims import Claims
from fractaljax.store.disk import on_disk
from fractaljax.store.stored import open_field
from fractaljax.window import Tile, Window

log = logging.getLogger("fractaljax")
WAIT_S = 0.2  # between two looks at tiles that another process trains


class Store:
    """A `Ledger` on disk; `fractaljax.store` says what lies where.

    Args:
        path: folder of the result; made when missing.
        spec, window: what is scanned, with the coordinates that a new store is to keep. A store
            that holds another scan is refused.
        overwrite: throw that other scan (or this one) away first.
        lazy: look for damage in a tile when it is read, not in all of them at the beginning, and
            leave it to whoever trains to compare files: of a part of something larger.
    """

    def __init__(
        self,
        path: str | Path,
        spec: Spec,
        window: Window,
        *,
        overwrite: bool = False,
        lazy: bool = False,
    ):
        self.path = Path(path)
        self._spec, self._window = spec, window
        self._overwrite, self._lazy = overwrite, lazy
        self._placed = False  # whether the window has the coordinates that are on disk

    @property
    def window(self) -> Window:
        """The window with the coordinates that this store keeps, or is to keep once it is begun."""
        if not (self._placed or self._overwrite) and os.path.lexists(self.path / "field"):
            with on_disk(self.path):
                attributes = records.read(self.path)
                self._check_same(attributes)
                self._place(attributes)
        return self._window

    def begun(self) -> dict[str, Any] | None:
        """The numeric setting this store was begun with, or None where there is none yet.

        Raises:
            FractaljaxError: the store belongs to another Spec or window; says what differs.
        """
        with on_disk(self.path):
            if not os.path.lexists(self.path / "field"):
                folder.check_free(self.path, config.dump(self._spec, self._window))
                return None
            attributes = records.read(self.path)
        if self._overwrite:
            return None
        self._check_same(attributes)
        if not self._lazy:
            with on_disk(self.path):
                origins.check_folder(self.path, [self._spec], origins.ANEW)
        return attributes["numeric"]

    def begin(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> dict[str, Any]:
        with on_disk(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._claims = Claims(self.path)
            try:
                return self._join(readings, numeric)
            except BaseException:  # nobody is going to `close` it
                self._claims.close()
                raise

    def _join(self, readings: Mapping[str, Reading], numeric: dict[str, Any]) -> dict[str, Any]:
        """Creates or opens the arrays, with the claims open."""
        if self._overwrite:
            self._claims.be_alone()
            folder.discard(self.path)
            self._overwrite = False
        self._claims.be_present()
        begun = (self.path / "field").exists()
        if not begun:
            origins.discard(self.path)  # of a field that was removed
            arrays.create(self.path, self._window, self._attributes(readings, numeric))
        # another process may have created it first: what is on disk holds
        attributes = records.read(self.path)
        self._check_same(attributes)
        if not self._lazy:
            self._keep_files(begun)
        settings, file = config.dump(self._spec, self._window), self.path / "spec.yaml"
        if not file.exists() or file.read_bytes() != settings.encode():
            disk.replace(file, settings)
        self._open(attributes)
        self._done, unreadable = arrays.done(self._marks)
        for index in unreadable:
            self._drop(index, "its mark cannot be read")
        if not self._lazy:
            self._drop_damaged()
        return attributes["numeric"]

    def _place(self, attributes: dict[str, Any]) -> None:
        if not self._placed:
            self._window = coordinates.read(self.path, self._window, attributes, repair=True)
            self._placed = True

    def _open(self, attributes: dict[str, Any]) -> None:
        self._place(attributes)
        self._tiles = self._window.tiles(attributes["numeric"]["tile"])
        self._arrays, self._marks = arrays.opened(self.path, self._window, attributes, strict=True)

    @contextlib.contextmanager
    def joined(self) -> Iterator[dict[str, Any]]:
        """The store for some tiles that are told from elsewhere, with its numeric setting.

        Nothing is looked through, so that this costs the same for any number of tiles: a tile
        counts as pending until `claim` or `read` looked at it. What was claimed is released.

        Raises:
            FractaljaxError: nobody has begun this store, or it is of another scan.
        """
        with on_disk(self.path):
            attributes = records.read(self.path)
            self._check_same(attributes)
            self._keep_files(begun=False)  # whoever began it may not have seen them
            self._claims = Claims(self.path)
        try:
            with on_disk(self.path):
                self._claims.be_present()
                self._open(attributes)
                self._done = np.zeros(len(self._tiles), bool)
            yield attributes["numeric"]
        finally:
            self._claims.close()

    def pending(self) -> Iterator[tuple[int, Tile]]:
        todo = [i for i in range(len(self._tiles)) if not self._done[i]]
        while todo:
            busy = []
            for index in todo:
                if self.claim(index):
                    try:
                        yield index, self._tiles[index]
                    finally:
                        self.release(index)
                elif not self._done[index]:
                    busy.append(index)
            todo = busy
            if busy:
                time.sleep(WAIT_S)

    def claim(self, index: int) -> bool:
        """Whether a tile is this process's to train, until it is released: not where it is done,
        nor while another process trains it."""
        if self._done[index] or not self._claims.take(index):
            return False
        ours = False
        try:
            ours = not self._written(index)  # by another process, since this one began
            self._done[index] = not ours
        finally:
            if not ours:
                self.release(index)
        return ours

    def is_done(self, index: int) -> bool:
        """Whether a tile is done, by whomever."""
        self._done[index] = self._done[index] or self._written(index)
        return bool(self._done[index])

    def tile(self, index: int) -> Tile:
        """The pixels of a tile."""
        return self._tiles[index]

    def release(self, index: int) -> None:
        """Ends a claim, whether the tile was written or not."""
        self._claims.release(index)

    def done(self) -> np.ndarray:
        """Which tiles are known to be done, bool `[tiles along y, tiles along x]`."""
        return self._done.reshape(self._marks.shape)

    def read(self, index: int) -> dict[str, np.ndarray] | None:
        """The readings of a tile, `[rows, columns, ...]`; None where it is not done, or damaged."""
        with on_disk(self.path):
            if not (self._done[index] or self._written(index)):
                return None
            self._done[index], tile = True, self._tiles[index]
            try:
                for array in self._arrays.values():
                    arrays.check_chunks(array, tile.rows, tile.columns)
                found = {k: a[tile.rows, tile.columns].read() for k, a in self._arrays.items()}
                return {name: future.result() for name, future in found.items()}
            except ValueError as error:
                self._drop(index, disk.reason(error))
        return None

    def write(self, index: int, tile: Tile, readings: Mapping[str, np.ndarray]) -> None:
        with on_disk(self.path):
            self._check_there()
            writes = [
                self._arrays[name][tile.rows, tile.columns].write(values)
                for name, values in readings.items()
            ]
            for future in writes:
                future.result()
            self._mark(index).write(1).result()
            if not self._is_there():  # it went while this was written, which made it again
                shutil.rmtree(self.path / "field", ignore_errors=True)
            self._check_there()
        self._done[index] = True

    def renew(self, numeric: dict[str, Any]) -> None:
        with on_disk(self.path):
            attributes = records.read(self.path) | {"numeric": numeric}
            records.write(self.path / "field", attributes)

    def left(self) -> int:
        missing = np.flatnonzero(~self._done)
        return sum(int(np.prod(self._tiles[i].shape)) for i in missing)

    def finish(self, run: dict[str, Any]) -> Field:
        self.close(run)
        return open_field(self.path)

    def close(self, run: dict[str, Any]) -> None:
        """Ends all claims and keeps the record of a run; no tile is claimed or written after."""
        with on_disk(self.path):
            # a run that trained nothing is told only where the one that did was killed before
            news = run["pixels"] or run.get("known") or not records.runs(self.path)
            if news and self._is_there():
                records.add_run(self.path, run)
            self._claims.close()

    def _is_there(self) -> bool:
        return (self.path / "field" / "zarr.json").exists()

    def _check_there(self) -> None:
        """Raises where the field was moved away or removed meanwhile."""
        if not self._is_there():
            raise FractaljaxError(f"{self.path}: its field is gone, and what was finished too")

    def _attributes(
        self, readings: Mapping[str, Reading], numeric: dict[str, Any]
    ) -> dict[str, Any]:
        return {
            "format": records.FORMAT,
            "settings": config.as_tree(self._spec, self._window),
            "numeric": numeric,
            "readings": {name: [list(r.shape), r.dtype] for name, r in readings.items()},
            "coordinates": coordinates.described(self._window),
        }

    def _check_same(self, attributes: dict[str, Any]) -> None:
        """Raises unless the attributes are of this scan."""
        mine = json.loads(json.dumps(config.as_tree(self._spec, self._window)))
        if found := config.compared(attributes["settings"], mine):
            raise FractaljaxError(
                f"{self.path} holds another scan; it differs in {'; '.join(found)} "
                "(stored -> asked). Choose another --out, or --overwrite it."
            )

    def _keep_files(self, begun: bool) -> None:
        """Raises unless what the settings name on disk is what the store was begun with."""
        origins.keep(self.path, named_files([self._spec]), begun=begun, instead=origins.ANEW)

    def _drop_damaged(self) -> None:
        """Marks every tile that cannot be read back as pending again."""
        for index in map(int, np.flatnonzero(self._done)):
            tile = self._tiles[index]
            try:
                for array in self._arrays.values():
                    arrays.check_chunks(array, tile.rows, tile.columns)
                    array[tile.rows, tile.columns].read().result()
            except ValueError as error:
                self._drop(index, disk.reason(error))

    def _drop(self, index: int, why: str) -> None:
        log.warning("%s: tile %d is damaged and is trained again (%s)", self.path, index, why)
        self._mark(index).write(0).result()
        self._done[index] = False

    def _written(self, index: int) -> bool:
        with on_disk(self.path):
            return bool(self._mark(index).read().result())

    def _mark(self, index: int) -> Any:
        """The mark of one tile, to read or to write."""
        return self._marks[divmod(index, self._marks.shape[1])]
