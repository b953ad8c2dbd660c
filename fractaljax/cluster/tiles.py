"""A scan whose tiles are trained by the workers of a cluster, straight into the shared store."""

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax.cluster import shared
from fractaljax.cluster.connect import Team
from fractaljax.cluster.deal import Busy, Piece, ask, deal
from fractaljax.cluster.fitness import Unfit, check_backend
from fractaljax.engine import order, plan, program
from fractaljax.engine import scan as engine
from fractaljax.engine.native import build
from fractaljax.field import Field
from fractaljax.ledger import Reading
from fractaljax.spec import Spec
from fractaljax.store import Store
from fractaljax.window import Window

log = logging.getLogger("fractaljax")


class Job(NamedTuple):
    """What a worker must know to train any tile of a scan."""

    path: Path  # of the store, the same on every machine
    spec: Spec
    window: Window
    names: tuple[str, ...]  # canonical paths of the axes
    known: engine.Known | None
    devices: int | None


class Settled(NamedTuple):
    """What the first worker says: how every tile is trained, and by what."""

    numeric: dict[str, Any]
    readings: Mapping[str, Reading]
    machine: dict[str, Any]


class Receipt(NamedTuple):
    """What is left of a tile once it is in the store."""

    pixels: int  # trained
    known: int  # taken as they are
    seconds: float
    worker: str  # host and process
    devices: int
    kind: str  # of a device


def scan(
    team: Team,
    spec: Spec,
    window: Window,
    path: str | Path,
    *,
    overwrite: bool = False,
    chunk: int | None = None,
    kernel: str | None = None,
    tile: int | None = None,
    known: engine.Known | None = None,
    allow_merged: bool = False,
    on_tile: Callable[[engine.Progress], Any] | None = None,
) -> Field:
    """Trains one network a pixel; arguments and errors as of `fractaljax.scan`.

    All tiles are trained in one numeric setting: that of the store, or what the first worker
    finds best. `known` goes to the workers, so it must be a value that can be pickled. `on_tile`
    hears no readings: they stay in the store.
    """
    names = engine.check(spec, window, allow_merged)
    place = Path(path).absolute()
    store = Store(place, spec, window, overwrite=overwrite)
    job = Job(place, spec, window, names, known, team.devices)
    asked = plan.Numeric(chunk, tile, "", kernel)
    question = Piece("the numeric setting", _settle, (job, store.begun(), asked))
    settled: Settled = ask(team, question, spec.dtype)
    store.begin(settled.readings, settled.numeric)
    run = _Run(store, window, on_tile)
    try:
        pending = np.flatnonzero(~store.done().ravel()).tolist()
        pieces = [Piece(_named(store, i), _train, (job, i)) for i in pending]
        deal(team, pieces, dtype=spec.dtype, heard=run.heard, shown=run.shown)
    finally:
        field = store.finish(run.record(settled.machine, known is not None))
    return field


class _Run:
    """The driver's side of a scan: receipts, and what is shown of them."""

    def __init__(self, store: Store, window: Window, on_tile: Callable[..., Any] | None):
        self._store, self._window, self._on_tile = store, window, on_tile
        self._started, self._clock = engine.now(), time.perf_counter()
        self._pixels = self._known = 0
        self._workers: dict[str, int] = {}  # -> devices
        self._kinds: set[str] = set()
        self._fresh: list[int] = []  # tiles that nobody was shown yet

    def heard(self, piece: Piece, receipt: Receipt) -> None:
        """Takes a receipt; raises where the tile is not to be seen in the folder here."""
        index = piece.args[1]
        there = functools.partial(self._store.is_done, index)
        shared.wait_for(there, piece.name, receipt.worker, self._store.path)
        self._pixels, self._known = self._pixels + receipt.pixels, self._known + receipt.known
        self._workers[receipt.worker] = receipt.devices
        if self._kinds and receipt.kind not in self._kinds:
            kinds = ", ".join(sorted(self._kinds | {receipt.kind}))
            log.warning("devices of several kinds (%s): last bits may differ between tiles", kinds)
        self._kinds.add(receipt.kind)
        self._fresh.append(index)

    def shown(self) -> None:
        """Tells of the tiles that have come."""
        fresh, self._fresh = self._fresh, []
        if self._on_tile is None:
            return
        for index in fresh:
            seconds = time.perf_counter() - self._clock
            left, total = self._store.left(), self._window.size
            tile = self._store.tile(index)
            self._on_tile(engine.Progress(tile, {}, left, total, self._pixels, seconds))

    def record(self, machine: Mapping[str, Any], known: bool) -> dict[str, Any]:
        """What there is to know about the run."""
        wall = round(time.perf_counter() - self._clock, 3)
        made = {"started": self._started, "wall_s": wall, "pixels": self._pixels, **machine}
        made |= {"devices": sum(self._workers.values()), "workers": len(self._workers)}
        made["device_kind"] = ", ".join(sorted(self._kinds)) or machine["device_kind"]
        return {**made, "known": self._known} if known else made


def _settle(job: Job, begun: dict[str, Any] | None, asked: plan.Numeric, copy: bool) -> Settled:
    """The one numeric setting of all tiles, on a worker."""
    del copy
    mesh = plan.mesh(job.devices)
    asked = asked._replace(backend=mesh.devices.flat[0].platform)
    wanted = begun or {"backend": asked.backend, "kernel": asked.kernel}
    _check_fit(wanted, asked.backend)
    if begun is None:
        numeric = plan.settle(job.spec, job.window, job.names, mesh, asked)
    else:
        numeric = plan.agree(begun, asked)
    plan.check_kernel(job.spec, job.names, asked._replace(kernel=numeric.get("kernel")))
    readings = program.readings(job.spec, job.names)
    return Settled(numeric, readings, engine.machine_record(mesh))


def _train(job: Job, index: int, copy: bool) -> Receipt | Busy:
    """Trains a tile into the store, on a worker; a tile that is there is left as it is."""
    clock, mesh = time.perf_counter(), plan.mesh(job.devices)
    store = Store(job.path, job.spec, job.window)
    with store.joined() as numeric:
        _check_fit(numeric, mesh.devices.flat[0].platform)
        trained = taken = 0
        if store.claim(index) or (copy and not store.is_done(index)):
            tile = store.tile(index)
            readings, _, pixels = engine.train_tile(
                job.spec, job.names, store.window, tile, numeric, mesh, store, job.known
            )
            if not store.is_done(index):  # a copy may have been quicker
                store.write(index, tile, readings)
                trained, taken = pixels, math.prod(tile.shape) - pixels
        elif not store.is_done(index):
            return Busy("another process trains it")
    kind = mesh.devices.flat[0].device_kind
    return Receipt(trained, taken, time.perf_counter() - clock, shared.whoami(), mesh.size, kind)


def _check_fit(numeric: Mapping[str, Any], backend: str) -> None:
    """Raises where this worker lacks what the scan is trained by."""
    check_backend(backend, numeric["backend"])
    if numeric.get("kernel") == order.NATIVE and (why := build.missing()):
        raise Unfit(f"the scan is trained by kernel=native: {why}")


def _named(store: Store, index: int) -> str:
    """A tile in messages."""
    tile = store.tile(index)
    rows, columns = (f"{s.start} to {s.stop - 1}" for s in (tile.rows, tile.columns))
    return f"tile {index} (rows {rows}, columns {columns})"
