"""Growing networks put to the test: arms of an experiment, trained as batches, and its verdicts.

DIR/study.yaml                       the experiment; another one is refused
DIR/files.jsonl                      digests of the files that the settings name (`origins`)
DIR/arms/ARM/[RUNG/]members.csv      a line a member: over, seed, readings, scores; written last
DIR/arms/ARM/[RUNG/]ledger.csv       a line an event of a member
DIR/arms/ARM/[RUNG/]curves.npz       CURVES of every epoch, [M, E]
DIR/arms/ARM/[RUNG/]snapshots/       the first seed at its events
DIR/arms/ARM/networks.npz            of every seed, where another arm starts from them
DIR/arms/ARM/[RUNG/]best/            the network of the best validation loss, with its masks
"""

import functools
import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from fractaljax import config
from fractaljax.analysis import paired
from fractaljax.config.arms import Arm, Experiment, Side, parse_arms
from fractaljax.config.files import named_files
from fractaljax.engine import cohort, growth, plan, program
from fractaljax.engine.streams import shared_draws
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.families import members, snapshots, transplant
from fractaljax.families.members import FREE, Numeric
from fractaljax.spec import Spec, build, crossed
from fractaljax.store import origins
from fractaljax.store import study_folder as files

log = logging.getLogger("fractaljax")
ARMS, MEMBERS, LEDGER, CURVES = "arms", "members.csv", "ledger.csv", "curves.npz"
BEST, NETWORKS = "best", "networks.npz"
DERIVED = ("kept_edges", "density", "extrema", "edges_grown", "first_event", "last_event")
MAY_DIFFER = ("question", "claims", "margin", "measure")  # of the folder's: nothing trained again


class Task(NamedTuple):
    """Members of an arm that train as one batch."""

    arm: Arm
    spec: Spec
    folder: Path
    fixed: dict[str, Any]  # values of `over` that are facets
    axes: dict[str, tuple[Any, ...]]  # those that are points


class Progress(NamedTuple):
    """What `on_look` hears."""

    task: str
    number: int  # of `tasks`, from 1
    tasks: int
    cohort: cohort.Progress


class Row(NamedTuple):
    """One member."""

    arm: str
    over: dict[str, Any]
    seed: int
    readings: dict[str, float]


class Judged(NamedTuple):
    """A claim at one value of `over`, among all those of its experiment."""

    claim: str
    text: str
    at: str
    difference: paired.Difference
    p: float  # of the claim by itself
    alone: str  # its verdict by that
    p_holm: float  # adjusted for all claims of the experiment
    verdict: str
    needed: int  # pairs that it takes to decide something about any one of the claims
    words: str  # the verdict, or how many pairs it takes


OnLook = Callable[[Progress], Any]


def run(
    experiment: Experiment,
    folder: Path,
    *,
    numeric: Numeric = FREE,
    on_look: OnLook | None = None,
    only: str | None = None,
) -> list[str]:
    """Trains what is missing, or `only` one batch of it; several processes may share a folder.

    Returns:
        The batches that another process is still at.

    Raises:
        FractaljaxError: an arm cannot be trained, or the folder holds another experiment.
    """
    first = next(iter(experiment.arms.values())).spec
    plan.prepare(first.dtype, numeric.devices)
    named = named_files(spec for arm in experiment.arms.values() for _, spec in _rungs(arm))
    origins.check(folder, named, origins.read(folder))
    work = tasks(experiment, folder)
    work = [task for task in work if only in (None, name_of(task, folder))]
    told: dict[str, set[str]] = {}  # arm -> names of its readings
    for task in work:  # all before any
        with at(f"arms.{task.arm.name}"):
            names, points = _points(experiment, task, {})
            told[task.arm.name] = _named(task.spec, cohort.check(task.spec, names, points))
            _check_named(experiment, task.arm, told)
            if not shared_draws(task.spec).data.test:
                raise FractaljaxError("problem.test: there are no test data to judge by")
    machine = members.machine({task.arm.name: task.spec for task in work}, numeric)
    files.begin(folder, experiment.tree, machine, MAY_DIFFER, named)
    if any(files.read_tree(folder / files.STUDY)[k] != experiment.tree[k] for k in MAY_DIFFER):
        files.write_tree(folder / files.STUDY, experiment.tree)  # another question of the same
    elsewhere = {}  # batch -> why it is not done here
    with files.claimed(folder) as claims:
        for number, task in enumerate(work, 1):
            name = name_of(task, folder)
            needed = waits(experiment, task, folder)
            # not claimed while it cannot be trained: the process that it waits for will want it
            if needed or not claims.take(zlib.crc32(name.encode())):
                elsewhere[name] = f"{name} (waits for {needed[0]})" if needed else name
                continue
            files.drop_damaged(task.folder, (MEMBERS,))
            if is_done(task):
                files.discard_running(task.folder)  # left by a kill just before
                claims.release(zlib.crc32(name.encode()))
                continue

            def heard(look: cohort.Progress, name: str = name, number: int = number) -> None:
                if on_look:
                    on_look(Progress(name, number, len(work), look))

            origins.check_folder(folder, [task.spec])  # every batch reads again
            files.make(task.folder, folder)
            _train(experiment, task, folder, numeric, heard)
            claims.release(zlib.crc32(name.encode()))
    return [
        why for name, why in elsewhere.items() if not (folder / ARMS / name / MEMBERS).is_file()
    ]


def tasks(experiment: Experiment, folder: Path) -> list[Task]:
    """All batches of an experiment, in their order."""
    found = []
    for arm in experiment.arms.values():
        axes = {path: v for path, v in arm.over.items() if arm.spec.batched(path)}
        for fixed, spec in _rungs(arm):
            spec = spec.updated({"steps": experiment.epochs * cohort.epoch_length(spec)})
            rung = "_".join(f"{path}={_word(value)}" for path, value in fixed.items())
            where = folder / ARMS / arm.name
            found.append(Task(arm, spec, where / rung if rung else where, fixed, axes))
    return found


def _rungs(arm: Arm) -> Iterator[tuple[dict[str, Any], Spec]]:
    """Every combination of those values of `over` that are facets, and what is trained then."""
    facets = {path: v for path, v in arm.over.items() if not arm.spec.batched(path)}
    for fixed in crossed(facets):
        yield fixed, arm.spec.updated(fixed)


def name_of(task: Task, folder: Path) -> str:
    """A batch in words, as its folder is called."""
    return str(task.folder.relative_to(folder / ARMS))


def is_done(task: Task) -> bool:
    """Whether all members of a batch are there."""
    return (task.folder / MEMBERS).is_file()


def waits(experiment: Experiment, task: Task, folder: Path) -> list[str]:
    """Arms that a batch starts from, or takes values of, and that are not done."""
    needed = {task.arm.source, task.arm.start.get("from", "")} - {""}
    return [arm for arm in sorted(needed) if _rows_of(experiment, folder, arm) is None]


def read(folder: Path) -> Experiment:
    """The experiment of a folder.

    Raises:
        FractaljaxError: there is none.
    """
    if not (folder / files.STUDY).is_file():
        raise FractaljaxError(f"{folder}: no experiment here (there is no {folder / files.STUDY})")
    tree = files.read_tree(folder / files.STUDY)
    if "arms" not in tree:
        raise FractaljaxError(f"{folder}: holds a study, not an experiment with arms")
    return parse_arms(tree, folder.name, stored=folder)


def rows(experiment: Experiment, folder: Path) -> list[Row]:
    """All members that are there."""
    return [row for arm in experiment.arms for row in _rows_of(experiment, folder, arm) or []]


def comparisons(experiment: Experiment) -> int:
    """How many claims are tested side by side: each at every value of `over` or at its own."""
    arms = experiment.arms
    return sum(
        1 if c.one.at or c.one.arm not in arms else len(crossed(arms[c.one.arm].over))
        for c in experiment.claims
    )


def warn_of_few_seeds(experiment: Experiment) -> None:
    """Says before anything is trained that there will be no verdict."""
    few = paired.too_few(len(experiment.seeds), comparisons(experiment), "claim")
    if few:
        log.warning("%s: no verdict will be given: %s", experiment.name, few)


def judge(experiment: Experiment, found: Sequence[Row]) -> list[Judged]:
    """Every claim, at every value of `over` where it names none."""
    said, known = [], baselines(experiment)
    for claim in experiment.claims:
        sides = [
            {"": dict.fromkeys(experiment.seeds, known[side.arm])}
            if side.arm in known
            else _values(found, side, experiment.measure)
            for side in (claim.one, claim.other)
        ]
        places = list(sides[0]) if not claim.one.at else [next(iter(sides[0]), "")]
        for rung in places:
            one = sides[0].get(rung, {})
            other = sides[1].get(rung) or (
                next(iter(sides[1].values()), {}) if len(sides[1]) == 1 else {}
            )
            seeds = sorted(set(one) & set(other))
            first, second = ([side[s] for s in seeds] for side in (one, other))
            tested = paired.compared(first, second, claim.relation, experiment.margin)
            text = f"{_told(claim.one)} {claim.relation} {_told(claim.other)}"
            said.append((claim.name, text, "" if claim.one.at else rung, tested))
    verdicts = paired.verdicts([tested for _, _, _, tested in said])
    return [
        Judged(name, text, place, tested.difference, tested.p, *verdict)
        for (name, text, place, tested), verdict in zip(said, verdicts, strict=True)
    ]


def baselines(experiment: Experiment) -> dict[str, float]:
    """Accuracy on the test data of guessing, and of always naming the class that is most frequent
    in training."""
    data = shared_draws(next(iter(experiment.arms.values())).spec).data
    frequent = int(np.argmax(np.asarray(data.y).sum(axis=0)))
    share = float(np.mean(np.argmax(np.asarray(data.test.y), axis=1) == frequent))
    return {"chance": 1 / data.y.shape[1], "majority": share}


def ledger(folder: Path) -> list[dict[str, str]]:
    """The events of all members, with the arm of each."""
    found = []
    for file in sorted(folder.glob(f"{ARMS}/**/{LEDGER}")):
        arm = file.parent.relative_to(folder / ARMS).as_posix()
        found += [{"arm": arm, **line} for line in files.read_table(file)]
    return found


def curves(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Batch -> `seed` `[M]`, `over` `[M]`, and CURVES `[M, E]` each."""
    found = {}
    for file in sorted(folder.glob(f"{ARMS}/**/{CURVES}")):
        arrays = files.read_arrays(file)
        if arrays is not None:
            found[file.parent.relative_to(folder / ARMS).as_posix()] = arrays
    return found


def _train(
    experiment: Experiment, task: Task, folder: Path, numeric: Numeric, on_look: Callable
) -> None:
    taken = _taken(experiment, task, folder)
    names, points = _points(experiment, task, taken)
    about = {"names": names, "points": points.tolist(), "chunk": numeric.chunk}
    running = files.Running(task.folder, about)
    keep = None
    if experiment.snapshots:
        keep = functools.partial(snapshots.keep, task.spec, names, points, task.folder)
    with at(f"arms.{task.arm.name}"):
        starts = _starts(experiment, task, folder, names, points)
        found = cohort.train_cohort(
            task.spec,
            names,
            points,
            chunk=numeric.chunk,
            mesh=plan.mesh(numeric.devices),
            checkpoint=running,
            on_look=on_look,
            on_event=keep,
            starts=starts,
        )
    _write(experiment, task, names, points, found)
    running.discard()


def _write(
    experiment: Experiment,
    task: Task,
    names: Sequence[str],
    points: np.ndarray,
    found: Sequence[cohort.Member],
) -> None:
    """All of a batch; the table of its members last."""
    length = cohort.epoch_length(task.spec)
    test = shared_draws(task.spec).data.test
    scores = cohort.evaluate(task.spec, names, points, [m.params for m in found], test)
    flow = cohort.gradient_flow(task.spec, names, points)
    extreme = cohort.extrema(task.spec, names, points, found)
    shown = list(task.axes)
    lines, events = [], []
    columns = growth.columns(task.spec)
    for i, member in enumerate(found):
        values = dict(zip(names, points[i], strict=True))
        steps, before, after = (
            member.ledger[:, columns.index(c)] if len(member.ledger) else np.zeros(0)
            for c in ("step", "edges_before", "edges_after")
        )
        readings = dict(member.readings)
        readings |= {f"test_{name}": float(score[i]) for name, score in scores.items()}
        readings["kept_edges"] = float(
            sum(np.sum(own["kernel"]) for own in member.masks.values()) if member.masks else np.nan
        )
        readings["density"] = readings["edges"] / _possible(task.spec) if member.masks else np.nan
        readings["extrema"] = float(extreme[i])
        readings |= {f"gradient_{layer}": float(norms[i]) for layer, norms in flow.items()}
        readings["edges_grown"] = float(after[-1] - before[0]) if len(steps) else 0.0
        readings["first_event"] = float(steps[0] // length) if len(steps) else 0.0
        readings["last_event"] = float(steps[-1] // length) if len(steps) else 0.0
        lines.append((*(values[path] for path in shown), int(values["seed"]), readings))
        events += [
            (*(values[path] for path in shown), int(values["seed"]), int(row[0] // length), *row)
            for row in member.ledger
        ]
    told = list(lines[0][-1])
    files.write_table(task.folder / LEDGER, (*shown, "seed", "epoch", *columns), events)
    padded = {
        name: np.stack([_padded(m.curves[name], experiment.epochs) for m in found])
        for name in cohort.CURVES
    }
    places = [place(dict(zip(shown, line, strict=False)) | task.fixed) for line in lines]
    seeds = np.array([line[len(shown)] for line in lines])
    files.write_arrays(task.folder / CURVES, {"seed": seeds, "over": np.array(places), **padded})
    if any(arm.start.get("from") == task.arm.name for arm in experiment.arms.values()):
        files.write_arrays(task.folder / NETWORKS, _networks(seeds, found))
    losses = [member.readings["validation_loss"] for member in found]
    if np.isfinite(losses).any():
        best = int(np.nanargmin(losses))
        judged = {f"test_{name}": float(score[best]) for name, score in scores.items()}
        _write_best(task, names, points, found, best, judged)
    table = [(*line[:-1], *(line[-1][name] for name in told)) for line in lines]
    files.write_table(task.folder / MEMBERS, (*shown, "seed", *told), table)


def _networks(seeds: np.ndarray, found: Sequence[cohort.Member]) -> dict[str, np.ndarray]:
    """Weights and masks of all members by `seed/layer/name`."""
    arrays: dict[str, np.ndarray] = {}
    for seed, member in zip(seeds, found, strict=True):
        weights: Any = traverse_util.flatten_dict(member.params, sep="/")
        masks: Any = traverse_util.flatten_dict(member.masks, sep="/")
        arrays |= {f"{seed}/{name}": leaf for name, leaf in weights.items()}
        arrays |= {f"{files.MASK}{seed}/{name}": leaf for name, leaf in masks.items()}
    return arrays


def _starts(
    experiment: Experiment, task: Task, folder: Path, names: Sequence[str], points: np.ndarray
) -> list[cohort.Start] | None:
    """What the members start from: the networks of another arm of the same seeds."""
    how = task.arm.start
    if not how:
        return None
    path = folder / ARMS / how["from"] / NETWORKS
    arrays = files.read_arrays(path)
    if arrays is None:
        raise FractaljaxError(f"{path} is missing or damaged: remove {path.parent / MEMBERS}")
    found = []
    data = shared_draws(task.spec).data
    own = cohort.drawn(task.spec, names, points)
    for point, (params, masks) in zip(points, own, strict=True):
        seed = int(dict(zip(names, point, strict=True))["seed"])
        old = _tree(arrays, f"{seed}/"), _tree(arrays, f"{files.MASK}{seed}/")
        if how["by"] == "copy":
            side, fine = (round(t[min(t)]["kernel"].shape[0] ** 0.5) for t in (old[0], params))
            found.append(transplant.transplant(*transplant.finer(*old, side, fine), params))
        else:
            settings = {key: how[key] for key in ("top", "second", "strong", "weak")}
            spread = np.asarray(data.x).std(axis=0)
            found.append(transplant.decisive(old[0], params, masks, spread, **settings))
    return found


def _tree(arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    """The arrays of a prefix as a tree."""
    flat = {n.removeprefix(prefix): leaf for n, leaf in arrays.items() if n.startswith(prefix)}
    return traverse_util.unflatten_dict(flat, sep="/")


def _write_best(
    task: Task,
    names: Sequence[str],
    points: np.ndarray,
    found: Sequence[cohort.Member],
    i: int,
    scores: Mapping[str, float],
) -> None:
    weights: Any = traverse_util.flatten_dict(found[i].params, sep="/")
    masks: Any = traverse_util.flatten_dict(found[i].masks, sep="/") if found[i].masks else {}
    about = {
        "architecture": task.arm.name,
        "seed": int(dict(zip(names, points[i], strict=True))["seed"]),
        "hyperparameters": dict(zip(names, map(float, points[i]), strict=True)),
        "paths": {name: name for name in names},
        "scaling": members.scaling(task.spec),
        "training": config.training_tree(task.spec),
        **scores,
    }
    arrays = {**weights, **{files.MASK + name: mask for name, mask in masks.items()}}
    files.write_network(task.folder / BEST, arrays, about)


def _points(
    experiment: Experiment, task: Task, taken: Mapping[tuple[str, int], Mapping[str, float]]
) -> tuple[list[str], np.ndarray]:
    """Paths, and values of every member: all rungs of all seeds."""
    names = [*task.axes, "seed", *task.arm.takes]
    found = []
    for rung in crossed(task.axes):
        for seed in experiment.seeds:
            readings = taken.get((place(rung | task.fixed), seed)) or taken.get(("", seed), {})
            extra = [readings.get(reading, 1.0) for reading in task.arm.takes.values()]
            found.append([*rung.values(), float(seed), *extra])
    return names, np.array(found, float)


def _named(spec: Spec, names: tuple[str, ...]) -> set[str]:
    """Names of the readings that `_write` tells of a member."""
    scores = ("loss", *build(spec, "problem", {}).scores)
    judged = {f"test_{name}" for name in scores}
    flow = {f"gradient_{layer}" for layer in shared_draws(spec).weights}
    return {*program.readings(spec, names), *judged, *flow, *DERIVED}


def _check_named(experiment: Experiment, arm: Arm, told: Mapping[str, set[str]]) -> None:
    """Refuses readings that an arm, or the one that it takes from, does not have."""
    if experiment.measure not in told[arm.name]:
        raise unknown("measure", experiment.measure, told[arm.name])
    for path, reading in arm.takes.items():
        if reading not in told.get(arm.source, {reading}):  # that arm may be another process's
            raise unknown(f"take.{path}: reading", reading, told[arm.source])


def _possible(spec: Spec) -> int:
    """Edges of a masked network whose levels are those of its start, at density 1."""
    data, model = shared_draws(spec).data, dict(spec.model.args)
    levels = [units for units in model["start"] or model["widths"] if units]
    sizes = [data.x.shape[1], *levels, data.y.shape[1]]
    return sum(a * b for a, b in pairwise(sizes))


def _taken(
    experiment: Experiment, task: Task, folder: Path
) -> dict[tuple[str, int], Mapping[str, float]]:
    """Readings of the arm that this one takes from, by rung and seed."""
    if not task.arm.source:
        return {}
    found = {}
    for row in _rows_of(experiment, folder, task.arm.source) or []:
        for reading in task.arm.takes.values():
            if reading not in row.readings:
                raise unknown(f"arms.{task.arm.name}.take: reading", reading, row.readings)
        found[place(row.over), row.seed] = row.readings
    return found


def _rows_of(experiment: Experiment, folder: Path, arm: str) -> list[Row] | None:
    """The members of an arm; None while one of its batches is missing."""
    found = []
    for task in tasks(experiment, folder):
        if task.arm.name != arm:
            continue
        if not is_done(task):
            return None
        for line in files.read_table(task.folder / MEMBERS, ("seed", *task.axes)):
            seed = int(line.pop("seed"))
            over = {path: float(line.pop(path)) for path in task.axes} | task.fixed
            readings = {name: float(value) for name, value in line.items()}
            found.append(Row(arm, over, seed, readings))
    return found


def _values(found: Sequence[Row], side: Side, measure: str) -> dict[str, dict[int, float]]:
    """Rung -> seed -> measure, of one side of a claim."""
    values: dict[str, dict[int, float]] = {}
    for row in found:
        if row.arm != side.arm:
            continue
        if measure not in row.readings:
            raise unknown("measure", measure, row.readings)
        rung = place(row.over)
        if not side.at or side.at in (rung, *(str(v) for v in row.over.values())):
            values.setdefault(rung, {})[row.seed] = row.readings[measure]
    return values


def place(over: Mapping[str, Any]) -> str:
    """A rung in words, the same for 1 and 1.0."""
    return ", ".join(f"{path}={_word(value)}" for path, value in sorted(over.items()))


def _word(value: Any) -> str:
    if isinstance(value, float | int) and not isinstance(value, bool):
        return f"{float(value):g}"
    return json.dumps(value).replace(" ", "") if isinstance(value, list | tuple) else str(value)


def _told(side: Side) -> str:
    return f"{side.arm} at {side.at}" if side.at else side.arm


def _padded(curve: np.ndarray, epochs: int) -> np.ndarray:
    return np.pad(curve, (0, epochs - len(curve)), constant_values=np.nan)
