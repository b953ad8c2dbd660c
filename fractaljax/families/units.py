"""Units of studies as tasks of a cluster: architectures, targets, and arms of an experiment.

A worker runs the very study on the shared folder, restricted to one unit. Whoever runs the study
on that folder afterwards finds every unit done.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.cluster import Busy, Piece, Team, deal
from fractaljax.config.arms import Experiment
from fractaljax.config.study import Study
from fractaljax.families import growth, transfer
from fractaljax.families import search as searching
from fractaljax.families.members import Numeric


class Progress(NamedTuple):
    """What `on_unit` hears every so often."""

    phase: str  # search, transfer or grow
    done: int  # units
    total: int


OnUnit = Callable[[Progress], Any]


def search(
    team: Team, study: Study, folder: Path, *, chunk: int | None = None, on_unit: OnUnit | None
) -> None:
    """Every architecture that is not done.

    Raises:
        FractaljaxError: as `families.search.search` does, or a unit that kills its workers.
    """
    place = folder.absolute()
    numeric = Numeric(team.devices, chunk)
    pieces = [
        Piece(f"architecture {name}", _search, (study, place, numeric, name))
        for name in study.specs
        if not searching.is_done(place / name)
    ]
    _deal(team, pieces, study.specs, "search", len(study.specs), on_unit)


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
    numeric = Numeric(team.devices, chunk)
    pieces = [
        Piece(f"target {name}", _transfer, (found, origin, place, numeric, name))
        for name in specs
        if not transfer.is_done(place, name)
    ]
    _deal(team, pieces, specs, "transfer", len(specs), on_unit)


def grow(
    team: Team,
    experiment: Experiment,
    folder: Path,
    *,
    chunk: int | None = None,
    on_unit: OnUnit | None,
) -> None:
    """Every batch of an experiment that is not done, each once what it starts from is there."""
    place, numeric = folder.absolute(), Numeric(team.devices, chunk)
    work = growth.tasks(experiment, place)
    held = [task for task in work if not growth.is_done(task)]
    pieces: deque[Piece] = deque()

    def release() -> None:
        """Those for which nothing is to be waited for any more."""
        for task in [task for task in held if not growth.waits(experiment, task, place)]:
            held.remove(task)
            name = growth.name_of(task, place)
            pieces.append(Piece(f"arm {name}", _grow, (experiment, place, numeric, name)))

    release()
    specs = {arm.name: arm.spec for arm in experiment.arms.values()}
    _deal(team, pieces, specs, "grow", len(work), on_unit, release, len(held))


def _deal(
    team: Team,
    pieces: Sequence[Piece],
    specs: Mapping[str, Any],
    phase: str,
    total: int,
    on_unit: OnUnit | None,
    release: Callable[[], None] = lambda: None,
    held: int = 0,
) -> None:
    done = total - len(pieces) - held

    def heard(piece: Piece, receipt: Any) -> None:
        nonlocal done
        done += 1
        release()

    def shown() -> None:
        if on_unit:
            on_unit(Progress(phase, done, total))

    dtype = next(iter(specs.values())).dtype
    deal(team, pieces, dtype=dtype, heard=heard, shown=shown, short=False)


def _search(study: Study, folder: Path, numeric: Numeric, name: str, copy: bool) -> Busy | None:
    del copy
    return _busy(searching.search(study, folder, numeric=numeric, only=name))


def _transfer(
    found: transfer.Found, origin: Path, folder: Path, numeric: Numeric, name: str, copy: bool
) -> Busy | None:
    del copy
    return _busy(transfer.transfer(found, origin, folder, numeric=numeric, only=name))


def _grow(
    experiment: Experiment, folder: Path, numeric: Numeric, name: str, copy: bool
) -> Busy | None:
    del copy
    return _busy(growth.run(experiment, folder, numeric=numeric, only=name))


def _busy(elsewhere: Sequence[str]) -> Busy | None:
    return Busy(f"another process is at {', '.join(elsewhere)}") if elsewhere else None
