"""Transfer: every architecture with the best hyperparameters of every other.

A cell is a target, a source and a seed. What the search has trained already is not trained again:

1. sources whose best hyperparameters are the same are one;
2. with a target's own hyperparameters, the retrained networks of the search are taken;
3. with the seed of the search, its trial of the same hyperparameters is taken.
"""

import contextlib
import logging
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax import contents
from fractaljax.config.files import Key, named_files
from fractaljax.config.study import Study, parse_study
from fractaljax.contents import Content
from fractaljax.engine import cohort, plan
from fractaljax.errors import FractaljaxError
from fractaljax.families import members
from fractaljax.families.members import Numeric
from fractaljax.families.search import OnLook, Progress, read_trials
from fractaljax.store import origins, seals
from fractaljax.store import study_folder as files

log = logging.getLogger("fractaljax")
TARGETS, ORIGIN = "targets", "search.yaml"
COLUMNS = ("target_arch", "source_arch", "seed", "test_loss", "test_accuracy", "from")
Signature = tuple[float, ...]  # the values of the space, in its order


class Judged(NamedTuple):
    """A test loss, and which training it is of."""

    test_loss: float
    test_accuracy: float
    origin: str  # trained, retrain or search


class Found(NamedTuple):
    """What a search has found."""

    study: Study
    best: dict[str, dict[str, float]]  # architecture -> values
    retrained: dict[str, dict[int, Judged]]  # by seed
    searched: dict[str, dict[Signature, Judged]]  # trials, all of the seed of the search


def read_study(folder: Path, name: str = "study") -> Study:
    """The study of the search in a folder.

    Raises:
        FractaljaxError: there is none.
    """
    if not (folder / files.STUDY).is_file():
        raise FractaljaxError(
            f"{folder}: no search here (there is no {folder / files.STUDY}); "
            f"make it: fractaljax search STUDY.yaml --out {folder}"
        )
    return parse_study(files.read_tree(folder / files.STUDY), name, stored=folder)


def read_search(study: Study, folder: Path) -> Found:
    """What a transfer needs of a search.

    Raises:
        FractaljaxError: something is missing, with the command that makes it.
    """
    again = f"make it: fractaljax search {folder / files.STUDY} --out {folder}"
    found = Found(study, {}, {}, {})
    names = [dimension.name for dimension in study.space]
    for arch in study.specs:
        if not (folder / arch / files.SUMMARY).is_file():
            raise FractaljaxError(
                f"{folder}: the search of {arch} is missing or not complete (there is no "
                f"{folder / arch / files.SUMMARY}); {again}"
            )
        trials = read_trials(folder / arch, names)
        found.searched[arch] = {
            _signature(study, t.values): Judged(
                t.result.test_loss, t.result.test_accuracy, "search"
            )
            for t in reversed(trials)  # of equals the first counts, as in the search
        }
        if "failed" in files.read_tree(folder / arch / files.SUMMARY):
            continue
        for file in (folder / arch / files.BEST, folder / arch / "retrain" / files.SEED_LOSSES):
            if not file.is_file():
                raise FractaljaxError(
                    f"there is no {file}; remove {folder / arch / files.SUMMARY} and {again}"
                )
        best = files.read_tree(folder / arch / files.BEST)["hyperparameters"]
        found.best[arch] = {name: float(best[name]) for name in names}
        found.retrained[arch] = {
            int(line["seed"]): Judged(
                float(line["test_loss"]), float(line["test_accuracy"]), "retrain"
            )
            for line in files.read_table(folder / arch / "retrain" / files.SEED_LOSSES)
        }
    if not found.best:
        raise FractaljaxError(f"{folder}: no trial of any architecture had a finite loss")
    return found


def transfer(
    found: Found,
    search: Path,
    folder: Path,
    *,
    numeric: Numeric = members.FREE,
    on_look: OnLook | None = None,
    only: str | None = None,
) -> list[str]:
    """Every target that is not done, or `only` one; several processes may share a folder.

    Returns:
        The targets that another process is still at.
    """
    study = found.study
    plan.prepare(next(iter(study.specs.values())).dtype, numeric.devices)
    named = named_files(study.specs.values())
    origins.check(search, named, origins.read(search), "Search anew, into another folder")
    named |= _found_in(search, study.specs)
    origins.check(folder, named, origins.read(folder))
    machine = members.machine(study.specs, numeric)
    for arch in study.specs:
        if arch not in found.best:
            log.warning("%s: its search failed; it is a target, and no source", arch)
    files.begin(folder, study.tree, machine, ("name",), named)
    files.write_tree(folder / ORIGIN, {"search_dir": str(search)})
    elsewhere = []
    with files.claimed(folder) as claims:
        for number, target in enumerate(study.specs, 1):
            if only not in (None, target):
                continue
            if not claims.take(zlib.crc32(target.encode())):
                elsewhere.append(target)
                continue
            if is_done(folder, target):
                claims.release(zlib.crc32(target.encode()))
                continue

            def listener(look: cohort.Progress, target: str = target, number: int = number) -> Any:
                if on_look:
                    on_look(Progress("transfer", target, number, len(study.specs), look))

            origins.check_folder(folder, [study.specs[target]])  # every target reads again
            files.make(folder / TARGETS / target, folder)
            _one(found, target, folder / TARGETS, numeric, listener)
            claims.release(zlib.crc32(target.encode()))
    return [target for target in elsewhere if not is_done(folder, target)]


def _found_in(search: Path, archs: Iterable[str]) -> dict[Key, Content | None]:
    """What a transfer takes from a search."""
    names = (files.RESULTS, files.BEST, f"retrain/{files.SEED_LOSSES}")
    places = (f"{arch}/{name}" for arch in archs for name in names)
    return {("search", place): contents.look(str(search / place)) for place in places}


def is_done(folder: Path, target: str) -> bool:
    """Whether the cells of a target are there, and as they were written."""
    file = folder / TARGETS / f"{target}.csv"
    if not file.is_file():
        return False
    if file in seals.damaged(file.parent):
        log.warning("%s is damaged: its cells are trained again", file)
        return False
    return True


def missing(found: Found, target: str) -> list[tuple[Signature, int]]:
    """The cells of a target that nobody has trained: hyperparameters and seed, each once."""
    study = found.study
    wanted = [
        (_signature(study, values), seed)
        for values in found.best.values()
        for seed in study.transfer_seeds
    ]
    known = _known(found, target)
    return [cell for cell in dict.fromkeys(wanted) if cell not in known]


def _known(found: Found, target: str) -> dict[tuple[Signature, int], Judged]:
    """Cells of a target that the search has trained; its retrained networks win."""
    study = found.study
    known = {(s, study.search_seed): judged for s, judged in found.searched[target].items()}
    if target in found.best:
        own = _signature(study, found.best[target])
        known |= {(own, seed): judged for seed, judged in found.retrained[target].items()}
    return known


def _one(found: Found, target: str, folder: Path, numeric: Numeric, on_look: Any) -> None:
    """All cells of one target."""
    study, cells = found.study, missing(found, target)
    running = files.Running(folder / target, {"phase": "transfer", "cells": cells})
    names = [dimension.name for dimension in study.space]
    trained = members.train(
        members.training(study.specs[target], study.epochs),
        study.space,
        [dict(zip(names, signature, strict=True)) for signature, _ in cells],
        [seed for _, seed in cells],
        running=running,
        numeric=numeric,
        on_look=on_look,
    )
    judged = _known(found, target) | {
        cell: Judged(one.result.test_loss, one.result.test_accuracy, "trained")
        for cell, one in zip(cells, trained, strict=True)
    }
    lines = []
    for source, values in found.best.items():
        for seed in study.transfer_seeds:
            lines.append((target, source, seed, *judged[_signature(study, values), seed]))
    running.discard()
    with contextlib.suppress(OSError):  # what is not ours stays
        (folder / target).rmdir()
    files.write_table(folder / f"{target}.csv", COLUMNS, lines)


def read_cells(folder: Path, targets: Sequence[str]) -> list[dict[str, str]]:
    """The lines of all targets.

    Raises:
        FractaljaxError: a target is missing, with the command that makes it.
    """
    lines = []
    for target in targets:
        file = folder / TARGETS / f"{target}.csv"
        if not file.is_file():
            search = files.read_tree(folder / ORIGIN)["search_dir"]
            raise FractaljaxError(
                f"there is no {file}; make it: fractaljax transfer {search} --out {folder}"
            )
        lines += files.read_table(file)
    return lines


def _signature(study: Study, values: Mapping[str, float]) -> Signature:
    return tuple(values[dimension.name] for dimension in study.space)
