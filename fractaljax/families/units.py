"""Units of studies as tasks of a cluster: architectures, targets, and arms of an experiment.

A worker runs the very study on the shared folder, restricted to one unit. Whoever runs the study
on that folder afterwards finds every unit done.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.cluster import Busy, Piece, Team, ask, check_backend, deal, shared
from fractaljax.config.arms import Experiment
from fractaljax.config.study import Study
from fractaljax.engine import plan
from fractaljax.families import growth, transfer
from fractaljax.families import search as searching
from fractaljax.families.members import Numeric


class Progress(NamedTuple):
    """What `on_unit` hears every so often."""

    phase: str  # search, transfer or grow
    done: int  # units
    total: int


class Kind(NamedTuple):
    """How all units of a command are trained."""

    numeric: Numeric
    backend: str  # of the worker that was asked first


class Work(NamedTuple):
    """Units of one phase."""

    phase: str
    total: int
    folder: Path
    is_done: Callable[[str], bool]  # by name


OnUnit = Callable[[Progress], Any]


def search(
    team: Team, study: Study, folder: Path, *, chunk: int | None = None, on_unit: OnUnit | None
) -> None:
    """Every architecture that is not done.

    Raises:
        FractaljaxError: as `families.search.search` does, or a unit that kills its workers.
    """
    place = folder.absolute()
    work = Work("search", len(study.specs), place, lambda name: searching.is_done(place / name))
    waiting = [name for name in study.specs if not work.is_done(name)]
    if not waiting:
        return
    dtype, kind = _kind(team, study.specs, chunk)
    pieces = [
        Piece(f"architecture {name}", _search, (study, place, kind, name)) for name in waiting
    ]
    _deal(team, pieces, dtype, work, on_unit)


def moved(
    team: Team,
    found: transfer.Found,
    origin: Path,
    folder: Path,
    *,
    chunk: int | None = None,
    on_unit: OnUnit | None,
) -> None:
    """Every target of a transfer that is not done; errors as of `search`."""
    place, specs = folder.absolute(), found.study.specs
    work = Work("transfer", len(specs), place, lambda name: transfer.is_done(place, name))
    waiting = [name for name in specs if not work.is_done(name)]
    if not waiting:
        return
    dtype, kind = _kind(team, specs, chunk)
    pieces = [
        Piece(f"target {name}", _transfer, (found, origin.absolute(), place, kind, name))
        for name in waiting
    ]
    _deal(team, pieces, dtype, work, on_unit)


def grow(
    team: Team,
    experiment: Experiment,
    folder: Path,
    *,
    chunk: int | None = None,
    on_unit: OnUnit | None,
) -> None:
    """Every batch of an experiment that is not done, each once what it starts from is there."""
    place = folder.absolute()
    tasks = {growth.name_of(task, place): task for task in growth.tasks(experiment, place)}
    held = [name for name, task in tasks.items() if not growth.is_done(task)]
    if not held:
        return
    specs = {arm.name: arm.spec for arm in experiment.arms.values()}
    dtype, kind = _kind(team, specs, chunk)
    pieces: deque[Piece] = deque()

    def release() -> None:
        """Those for which nothing is to be waited for any more."""
        free = [n for n in held if not growth.waits(experiment, tasks[n], place)]
        for name in free:
            held.remove(name)
            pieces.append(Piece(f"arm {name}", _grow, (experiment, place, kind, name)))

    release()
    work = Work("grow", len(tasks), place, lambda name: growth.is_done(tasks[name]))
    _deal(team, pieces, dtype, work, on_unit, release, len(held))


def _kind(team: Team, specs: Mapping[str, Any], chunk: int | None) -> tuple[str, Kind]:
    """Precision of all units, and how they are trained."""
    dtype = next(iter(specs.values())).dtype
    backend = ask(team, Piece("the backend", _backend, (team.devices,)), dtype)
    return dtype, Kind(Numeric(team.devices, chunk), backend)


def _deal(
    team: Team,
    pieces: Sequence[Piece],
    dtype: str,
    work: Work,
    on_unit: OnUnit | None,
    release: Callable[[], None] = lambda: None,
    held: int = 0,
) -> None:
    done = work.total - len(pieces) - held

    def heard(piece: Piece, worker: str) -> None:
        nonlocal done
        *_, name = piece.args
        shared.wait_for(lambda: work.is_done(name), piece.name, worker, work.folder)
        done += 1
        release()

    def shown() -> None:
        if on_unit:
            on_unit(Progress(work.phase, done, work.total))

    deal(team, pieces, dtype=dtype, heard=heard, shown=shown, short=False)


def _backend(devices: int | None, copy: bool = False) -> str:
    del copy
    return plan.mesh(devices).devices.flat[0].platform


def _numeric(kind: Kind) -> Numeric:
    """The numeric setting, on a worker that is one for it."""
    check_backend(_backend(kind.numeric.devices), kind.backend)
    return kind.numeric


def _search(study: Study, folder: Path, kind: Kind, name: str, copy: bool) -> Busy | str:
    del copy
    return _receipt(searching.search(study, folder, numeric=_numeric(kind), only=name))


def _transfer(
    found: transfer.Found, origin: Path, folder: Path, kind: Kind, name: str, copy: bool
) -> Busy | str:
    del copy
    return _receipt(transfer.transfer(found, origin, folder, numeric=_numeric(kind), only=name))


def _grow(experiment: Experiment, folder: Path, kind: Kind, name: str, copy: bool) -> Busy | str:
    del copy
    return _receipt(growth.run(experiment, folder, numeric=_numeric(kind), only=name))


def _receipt(elsewhere: Sequence[str]) -> Busy | str:
    """Who has done a unit, or why it is not done."""
    if elsewhere:
        return Busy(f"another process is at {', '.join(elsewhere)}")
    return shared.whoami()
