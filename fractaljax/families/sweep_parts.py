"""The parts of a sweep as tasks of a cluster, written straight into the shared table.

A worker says first in how large parts a program is trained on it; then these are dealt out.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax.cluster import Piece, Team, deal
from fractaljax.config.sweeps import Grid
from fractaljax.engine import plan, program, scan
from fractaljax.errors import at
from fractaljax.families import sweep as family
from fractaljax.families.sweep import Batch, Job, Progress
from fractaljax.runs import Sweep
from fractaljax.store.sweeps import load_sweep
from fractaljax.store.table import Table

log = logging.getLogger("fractaljax")


class Size(NamedTuple):
    """How a program is trained."""

    chunk: int  # networks side by side on a device
    capacity: int  # runs of one part


def run(
    team: Team,
    job: Job,
    out: str | Path,
    *,
    overwrite: bool = False,
    rerun: Mapping[str, Any] | None = None,
    on_part: Callable[[Progress], Any] | None = None,
) -> Sweep:
    """Trains every run that is not in the table yet; arguments and errors as of `sweep.run`."""
    folder = Path(out).absolute()
    table = Table(folder, job.setting.tree(), overwrite=overwrite)
    if rerun:
        with at("rerun"):
            again = {job.setting.path(path): value for path, value in rerun.items()}
        log.info("%d runs are trained again", table.forget(again))
    common = job._replace(grid=Grid(), batches=[], devices=team.devices)
    driver = _Driver(job, common, table, folder, on_part)
    dtype = job.setting.course.dtype
    deal(team, driver.pieces, dtype=dtype, heard=driver.heard, shown=driver.shown)
    table.compact()
    return load_sweep(folder)


class _Driver:
    """What is still to be dealt out, and what has come back."""

    def __init__(
        self,
        job: Job,
        common: Job,
        table: Table,
        folder: Path,
        on_part: Callable[[Progress], Any] | None,
    ):
        self._job, self._common, self._table, self._folder = job, common, table, folder
        self._on_part, self._news = on_part, False
        self._clock, self._done, self._trained = time.perf_counter(), 0, 0
        self._program = 1
        self.pieces = deque(
            Piece(f"the size of program {n}", _settle, (folder, common, batch))
            for n, batch in enumerate(job.batches, 1)
        )
        self._numbers = {piece.name: n for n, piece in enumerate(self.pieces)}

    def heard(self, piece: Piece, receipt: Size | int) -> None:
        """A size brings the parts of its program; a part is so many runs."""
        if isinstance(receipt, Size):
            self._add_parts(self._numbers[piece.name], receipt)
        else:
            self._done, self._trained = self._done + receipt, self._trained + receipt
        self._news = True

    def shown(self) -> None:
        """Tells how far it is."""
        if self._on_part and self._news:
            seconds = time.perf_counter() - self._clock
            programs = len(self._job.batches)
            told = (self._done, self._job.grid.size, self._trained, seconds)
            self._on_part(Progress(*told, self._program, programs))
        self._news = False

    def _add_parts(self, number: int, size: Size) -> None:
        batch = self._job.batches[number]
        found = family.missing(self._job, batch, self._table, size.capacity)
        for k, (waiting, seen) in enumerate(found, 1):
            self._done += seen - len(waiting)
            if waiting:
                args = (self._folder, self._common, batch, waiting, size, self._table.since)
                name = f"part {k} of program {number + 1} ({len(waiting)} runs)"
                self.pieces.append(Piece(name, _train, args))
        self._program = number + 1


def _settle(folder: Path, job: Job, batch: Batch, copy: bool) -> Size:
    """How a program is trained on this worker's kind, and hence on all."""
    del copy
    mesh = plan.mesh(job.devices)
    wanted = {"chunk": family.choose_chunk(job, batch, mesh)}
    chunk = _table(folder, job).numeric(batch.settings, wanted)["chunk"]
    return Size(chunk, family.capacity_of(batch, chunk, mesh))


def _train(
    folder: Path,
    job: Job,
    batch: Batch,
    indices: list[int],
    size: Size,
    since: float,
    copy: bool,
) -> int:
    """Trains some runs of a program into the table, on a worker; runs written until `since` are to
    be trained again."""
    del copy
    mesh = plan.mesh(job.devices)
    tile = program.compile_tile(batch.course, batch.names, size.capacity, size.chunk, mesh)
    settings = [family.settings_of(job, batch, i) for i in indices]
    curves = tile.run(family.points_of(batch, indices))
    table = _table(folder, job, since)
    if table.missing(settings).any():  # another may have been quicker
        table.write(settings, curves, np.asarray(batch.course.evaluated))
    return len(indices)


def _table(folder: Path, job: Job, since: float = 0.0) -> Table:
    """The table, with what this process trains by."""
    mesh = plan.mesh(job.devices)
    made = {"backend": mesh.devices.flat[0].platform, **scan.machine_record(mesh)}
    return Table(folder, job.setting.tree(), provenance=made, since=since)
