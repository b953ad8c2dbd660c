"""Search: the best hyperparameters of every architecture, and several seeds of each winner.

All trials of an architecture train as one batch, and so do the seeds of its winner. The
validation data decide when a training stops and which trial wins; test data are looked at once a
member has ended, and decide nothing.
"""

import functools
import logging
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import config
from fractaljax.config.files import named_files
from fractaljax.config.study import Study
from fractaljax.engine import cohort, plan
from fractaljax.errors import at
from fractaljax.families import members, samplers
from fractaljax.families.members import Numeric, Result, Trained
from fractaljax.spec import Spec
from fractaljax.store import origins
from fractaljax.store import study_folder as files

log = logging.getLogger("fractaljax")
FREE = ("architectures", "transfer", "name")  # of a study that may differ from a folder's


class Progress(NamedTuple):
    """What `on_look` hears after every look at the validation data."""

    phase: str  # search, retrain or transfer
    architecture: str
    number: int  # of the architecture, from 1
    architectures: int
    cohort: cohort.Progress


OnLook = Callable[[Progress], Any]


class Trial(NamedTuple):
    """One line of `search_results.csv`."""

    number: int
    values: dict[str, float]
    result: Result


class Work(NamedTuple):
    """What the phases of one architecture need."""

    study: Study
    name: str  # of the architecture
    spec: Spec  # with its steps
    folder: Path
    numeric: Numeric
    on_look: Callable[..., Any]  # (look, phase=...)


def search(
    study: Study,
    folder: Path,
    *,
    numeric: Numeric = members.FREE,
    on_look: OnLook | None = None,
    only: str | None = None,
) -> list[str]:
    """Every architecture that is not done, or `only` one; several processes may share a folder.

    Returns:
        The architectures that another process is still at.

    Raises:
        FractaljaxError: the study cannot be trained, or the folder holds another one.
    """
    origins.check_folder(folder, study.specs.values())
    check(study, numeric, only)
    machine = members.machine(study.specs, numeric)
    works = _works(study, folder, numeric, on_look)
    works = [work for work in works if only in (None, work.name)]
    named = named_files(study.specs.values())  # of all, whichever is trained here
    files.begin(folder, study.tree, machine, FREE, named)
    elsewhere = []
    with files.claimed(folder) as claims:
        for work in works:
            if not claims.take(zlib.crc32(work.name.encode())):
                elsewhere.append(work.name)
                continue
            files.drop_damaged(work.folder, (files.SUMMARY, files.RESULTS))
            if is_done(work.folder):
                files.discard_running(work.folder)  # left by a kill just before
            else:
                origins.check_folder(folder, [work.spec])  # every architecture reads again
                files.make(work.folder, folder)
                _one(work)
            claims.release(zlib.crc32(work.name.encode()))
    return [name for name in elsewhere if not is_done(folder / name)]


def check(study: Study, numeric: Numeric = members.FREE, only: str | None = None) -> None:
    """Raises for what `search` would refuse of a study, before anything is written; JAX is set to
    its precision."""
    first = next(iter(study.specs.values()))
    plan.prepare(first.dtype, numeric.devices)
    plan.mesh(numeric.devices)
    named_files(study.specs.values())  # what was read of other contents is forgotten
    names = [dimension.path for dimension in study.space]
    points = np.array([[d.low if not d.choices else d.choices[0] for d in study.space]])
    for name, spec in study.specs.items():
        if only in (None, name):
            with at(f"architectures.{name}"):
                cohort.check(members.training(spec, study.epochs), names, points)


def is_done(folder: Path) -> bool:
    """Whether the search of an architecture is complete."""
    return (folder / files.SUMMARY).is_file()


def read_trials(folder: Path, names: Sequence[str]) -> list[Trial]:
    """The trials of an architecture that are there; `names` are those of the space."""
    path = folder / files.RESULTS
    if not path.is_file():
        return []
    found = []
    for line in files.read_table(path, ("trial", *Result._fields, *names)):
        result = Result(
            best_val_loss=float(line["best_val_loss"]),
            test_loss=float(line["test_loss"]),
            best_epoch=int(line["best_epoch"]),
            terminating_epoch=int(line["terminating_epoch"]),
            test_accuracy=float(line["test_accuracy"]),
        )
        found.append(Trial(int(line["trial"]), {n: float(line[n]) for n in names}, result))
    return found


def winner(trials: Sequence[Trial]) -> Trial | None:
    """The lowest validation loss, the first of equals; None where none is finite."""
    finite = [trial for trial in trials if math.isfinite(trial.result.best_val_loss)]
    return min(finite, key=lambda trial: trial.result.best_val_loss, default=None)


def about_network(
    work: Work, values: Mapping[str, float], seed: int, result: Result
) -> dict[str, Any]:
    """What is kept beside the weights of a network."""
    return {
        "architecture": work.name,
        "seed": seed,
        "hyperparameters": dict(values),
        "paths": {dimension.name: dimension.path for dimension in work.study.space},
        **result._asdict(),
        "scaling": members.scaling(work.spec),
        "training": config.training_tree(work.spec),
    }


def _works(study: Study, folder: Path, numeric: Numeric, on_look: OnLook | None) -> list[Work]:
    found = []
    for number, (name, spec) in enumerate(study.specs.items(), 1):

        def heard(look: cohort.Progress, phase: str, name: str = name, number: int = number) -> Any:
            if on_look:
                on_look(Progress(phase, name, number, len(study.specs), look))

        spec = members.training(spec, study.epochs)
        found.append(Work(study, name, spec, folder / name, numeric, heard))
    return found


def _one(work: Work) -> None:
    """All trials of one architecture, then the seeds of the winner."""
    trials = _searched(work)
    best = winner(trials)
    if best is None:
        why = "the validation loss of every trial was never finite"
        log.warning("%s: %s", work.name, why)
        files.write_tree(work.folder / files.SUMMARY, {"architecture": work.name, "failed": why})
        return
    _tell_best(work, best)
    _retrain(work, best)


def _searched(work: Work) -> list[Trial]:
    """All trials, those that are not there trained."""
    study = work.study
    names = [dimension.name for dimension in study.space]
    trials = read_trials(work.folder, names)
    if files.read_arrays(work.folder / files.CURVES) is None:
        trials = []  # without their curves they are only half there
    sampler = samplers.sampler(
        study.sampler, study.space, study.trials, study.draw_seed, work.folder
    )
    for trial in trials:
        sampler.tell(trial.number, trial.result.best_val_loss)
    while len(trials) < study.trials:
        there = {trial.number for trial in trials}
        count = min(study.batch or study.trials, study.trials - len(trials))
        asked = [pair for pair in sampler.ask(count) if pair[0] not in there]
        running = files.Running(work.folder, {"phase": "search", "trials": asked})
        found = members.train(
            work.spec,
            study.space,
            [values for _, values in asked],
            None,
            running=running,
            numeric=work.numeric,
            on_look=functools.partial(work.on_look, phase="search"),
        )
        fresh = [Trial(*pair, one.result) for pair, one in zip(asked, found, strict=True)]
        trials = sorted([*trials, *fresh], key=lambda trial: trial.number)
        _keep(work, trials, {trial.number: one for trial, one in zip(fresh, found, strict=True)})
        for trial in fresh:
            sampler.tell(trial.number, trial.result.best_val_loss)
        running.discard()
    return trials


def _keep(work: Work, trials: list[Trial], fresh: Mapping[int, Trained]) -> None:
    """Curves and the best network, then the table, which says that these trials are there."""
    epochs = work.study.epochs
    curves = files.read_arrays(work.folder / files.CURVES) or {}
    numbers = {int(n): i for i, n in enumerate(curves.get("trial", ()))}
    rows: dict[str, list[np.ndarray]] = {"training_loss": [], "validation_loss": []}
    for trial in trials:
        one = fresh.get(trial.number)
        for name, kept in rows.items():
            if one is not None:
                curve = one.training if name == "training_loss" else one.validation
                kept.append(np.pad(curve, (0, epochs - len(curve)), constant_values=np.nan))
            else:
                kept.append(curves[name][numbers[trial.number]])
    order = np.array([trial.number for trial in trials])
    stacked = {name: np.stack(kept) for name, kept in rows.items()}
    files.write_arrays(work.folder / files.CURVES, {"trial": order, **stacked})
    best = winner(trials)
    if best is not None and best.number in fresh:
        about = about_network(work, best.values, work.study.search_seed, best.result)
        files.write_network(work.folder / "best_trial", fresh[best.number].weights, about)
    names = [dimension.name for dimension in work.study.space]
    *told, last = Result._fields
    columns = ("trial", *told, *names, last)
    lines = [
        (t.number, *t.result[:-1], *(t.values[name] for name in names), t.result[-1])
        for t in trials
    ]
    files.write_table(work.folder / files.RESULTS, columns, lines)


def _tell_best(work: Work, best: Trial) -> None:
    told = {
        "architecture": work.name,
        "hyperparameters": best.values,
        "best_trial_idx": best.number,
        "best_validation_loss": best.result.best_val_loss,
        "best_epoch": best.result.best_epoch,
        "terminating_epoch": best.result.terminating_epoch,
    }
    files.write_tree(work.folder / files.BEST, told)
    curves = files.read_arrays(work.folder / files.CURVES) or {}
    row = list(curves["trial"]).index(best.number)
    upto = best.result.terminating_epoch
    training, validation = (curves[n][row, :upto] for n in ("training_loss", "validation_loss"))
    lines = zip(range(1, upto + 1), training, validation, strict=True)
    columns = ("epoch", "training_loss", "validation_loss")
    files.write_table(work.folder / "best_trial" / "metrics.csv", columns, lines)


def _retrain(work: Work, best: Trial) -> None:
    """The winner with every seed; with that of the search it is the trial that won."""
    study, folder = work.study, work.folder / "retrain"
    files.make(folder, work.folder.parent)
    seeds = [seed for seed in study.retrain_seeds if seed != study.search_seed]
    running = files.Running(work.folder, {"phase": "retrain", "seeds": seeds, "of": best.values})
    found = members.train(
        work.spec,
        study.space,
        [best.values] * len(seeds),
        seeds,
        running=running,
        numeric=work.numeric,
        on_look=functools.partial(work.on_look, phase="retrain"),
    )
    results = dict(zip(seeds, (one.result for one in found), strict=True))
    for seed, one in zip(seeds, found, strict=True):
        about = about_network(work, best.values, seed, one.result)
        files.write_network(folder / f"seed_{seed}", one.weights, about)
    if study.search_seed in study.retrain_seeds:
        weights, about = files.read_network(work.folder / "best_trial")
        files.write_network(folder / f"seed_{study.search_seed}", weights, about)
        results[study.search_seed] = best.result
    lines = [
        (seed, results[seed].test_loss, results[seed].test_accuracy) for seed in study.retrain_seeds
    ]
    files.write_table(folder / files.SEED_LOSSES, ("seed", "test_loss", "test_accuracy"), lines)
    files.write_tree(work.folder / files.SUMMARY, _summary(work.name, lines))
    running.discard()


def _summary(name: str, lines: Sequence[tuple[int, float, float]]) -> dict[str, Any]:
    losses = np.array([loss for _, loss, _ in lines])
    return {
        "architecture": name,
        "seeds": [seed for seed, _, _ in lines],
        "test_loss": {
            "mean": losses.mean(),
            "var": losses.var(),  # of the population
            "min": losses.min(),
            "max": losses.max(),
        },
        "test_accuracy": {"mean": float(np.mean([accuracy for *_, accuracy in lines]))},
    }
