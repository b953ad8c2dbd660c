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

from fractaljax.cluster import Piece, Team, check_backend, deal, shared
from fractaljax.config.files import named_files
from fractaljax.config.sweeps import Grid
from fractaljax.engine import order, plan, program, scan
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
    backend: str
    kernel: str = order.XLA


class Written(NamedTuple):
    """The receipt of runs that are in the table."""

    runs: int
    worker: str


def run(
    team: Team,
    job: Job,
    out: str | Path,
    *,
    overwrite: bool = False,
    again: Mapping[str, Any],
    on_part: Callable[[Progress], Any] | None = None,
) -> Sweep:
    """Trains every run that is not in the table yet; arguments and errors as of `sweep.run`, but
    that `again` is its `rerun` by canonical path."""
    folder = Path(out).absolute()
    named = named_files(batch.course for batch in job.batches)
    table = Table(folder, job.setting.tree(), overwrite=overwrite, files=named)
    if again:
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
        self._questions = [
            Piece(f"the size of program {n}", _settle, (folder, common, batch, None))
            for n, batch in enumerate(job.batches, 1)
        ]
        self._numbers = {piece.name: n for n, piece in enumerate(self._questions)}
        self.pieces = deque(self._questions[:1])  # the answer says the backend of all others

    def heard(self, piece: Piece, receipt: Size | Written) -> None:
        """A size brings the parts of its program; runs must be in the table here too."""
        if isinstance(receipt, Size):
            number = self._numbers[piece.name]
            if number == 0:
                self._ask_the_rest(receipt.backend)
            self._add_parts(number, receipt)
        else:
            self._await(piece, receipt.worker)
            self._done, self._trained = self._done + receipt.runs, self._trained + receipt.runs
        self._news = True

    def _ask_the_rest(self, backend: str) -> None:
        for question in self._questions[1:]:
            self.pieces.append(question._replace(args=(*question.args[:-1], backend)))

    def _await(self, piece: Piece, worker: str) -> None:
        """Waits until the runs of a part are to be seen."""
        _, _, batch, indices, *_ = piece.args
        settings = [family.settings_of(self._job, batch, i) for i in indices]

        def there() -> bool:
            return not self._table.missing(settings).any()

        shared.wait_for(there, piece.name, worker, self._folder)

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


def _settle(folder: Path, job: Job, batch: Batch, backend: str | None, copy: bool) -> Size:
    """How a program is trained on this worker's kind, and hence on all; None: on the backend of
    this program before, or this worker's."""
    del copy
    mesh = plan.mesh(job.devices)
    own = mesh.devices.flat[0].platform
    wanted = {**family.settled(job, batch, mesh), "backend": own}
    numeric = _table(folder, job, batch).numeric(batch.settings, wanted)
    chunk, kernel = numeric["chunk"], order.begun_with(numeric)
    check_backend(own, backend or numeric.get("backend", own))
    return Size(chunk, family.capacity_of(batch, chunk, mesh), own, kernel)


def _train(
    folder: Path,
    job: Job,
    batch: Batch,
    indices: list[int],
    size: Size,
    since: float,
    copy: bool,
) -> Written:
    """Trains some runs of a program into the table, on a worker; runs written until `since` are to
    be trained again."""
    del copy
    mesh = plan.mesh(job.devices)
    check_backend(mesh.devices.flat[0].platform, size.backend)
    table = _table(folder, job, batch, since)  # before anything is read: it may be another's
    tile = program.compile_tile(
        batch.course, batch.names, size.capacity, size.chunk, mesh, size.kernel
    )
    settings = [family.settings_of(job, batch, i) for i in indices]
    curves = tile.run(family.points_of(batch, indices))
    if table.missing(settings).any():  # another may have been quicker
        table.write(settings, curves, np.asarray(batch.course.evaluated))
    return Written(len(indices), shared.whoami())


def _table(folder: Path, job: Job, batch: Batch, since: float = 0.0) -> Table:
    """The table, with what this process trains by."""
    mesh = plan.mesh(job.devices)
    made = {"backend": mesh.devices.flat[0].platform, **scan.machine_record(mesh)}
    named = named_files([batch.course])
    return Table(folder, job.setting.tree(), provenance=made, files=named, since=since)
