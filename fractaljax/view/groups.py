"""Which runs are drawn alike, and how they are called: from any result to groups with a label."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.runs import Run, Sweep
from fractaljax.spec import is_seed
from fractaljax.view.ticks import number

Runs: TypeAlias = Sweep | Sequence[Run]
Result: TypeAlias = Run | Runs | Mapping[str, Run | Runs]
Groups: TypeAlias = Mapping[str, Runs]  # by label


def members(result: Run | Runs) -> Runs:
    """A single Run as one of several."""
    return [result] if isinstance(result, Run) else result


def groups(result: Result, average: bool | str, few: int) -> tuple[Groups, frozenset[str]]:
    """What is drawn alike, and the labels of those whose mean is wanted.

    A label of a dict is a group; else each of up to `few` runs is, and of more or of those to be
    averaged, what differs in nothing but seeds.

    Args:
        result: see above.
        average: whether groups become their mean. A text is the label of the only one that does:
            of those of a dict, else of all runs.
        few: see above.

    Raises:
        FractaljaxError: a dict has no such label.
    """
    if isinstance(result, Mapping):
        if isinstance(average, str) and average not in result:
            raise unknown("label to average", average, result)
        found = {str(label): members(runs) for label, runs in result.items()}
    elif isinstance(average, str):
        found = {average: members(result)}
    else:
        runs = members(result)
        if average or not 1 < len(runs) <= few:
            found = settings(runs)
        else:
            found = {label: [run] for label, run in zip(labels(runs), runs, strict=True)}
    return found, frozenset([average] if isinstance(average, str) else found if average else ())


def settings(runs: Runs) -> Groups:
    """Runs that differ in nothing but their seeds, by the values that others do not share."""
    found: dict[tuple, Runs] = {}
    if isinstance(runs, Sweep):
        paths = [path for path in runs.swept if not is_seed(path)]
        cells = zip(*(runs.values(path) for path in paths), strict=True)
        distinct = {tuple(map(str, values)): values for values in cells}
        for key, values in distinct.items():
            found[key] = runs.select({p: [v] for p, v in zip(paths, values, strict=True)})
    else:
        lists: dict[tuple, list[Run]] = {}
        for run in runs:
            told = sorted((p, str(v)) for p, v in run.overrides.items() if not is_seed(p))
            lists.setdefault(tuple(told), []).append(run)
        found = dict(lists)
    if len(found) < 2:
        return {"": runs}
    firsts = [some[0] for some in found.values()]
    return dict(zip(labels(firsts, seeds=False), found.values(), strict=True))


def labels(runs: Runs, *, seeds: bool = True) -> list[str]:
    """A label for each run, no two alike: the values in which they differ, or all of a single run.

    A value goes by the last word of its path where that is clear, to four digits where that will
    do.
    """
    told = [run.overrides for run in runs]
    known = dict.fromkeys(p for values in told for p in values if seeds or not is_seed(p))
    paths = [p for p in known if len(told) == 1 or len({str(v.get(p)) for v in told}) > 1]
    last = [p.rpartition(".")[2] for p in paths]
    words = {p: w if last.count(w) == 1 else p for p, w in zip(paths, last, strict=True)}
    found = []
    for text in (_brief, str):
        found = [", ".join(f"{words[p]}={text(v[p])}" for p in paths if p in v) for v in told]
        if len(set(found)) == len(found):
            return found
    return [f"{label} #{i}".strip() for i, label in enumerate(found)]


def recorded(runs: Runs) -> list[str]:
    """The metrics of which the first run has a curve."""
    return [name for name in runs[0].history if _is_curve(runs[0], name)] if len(runs) else []


def curve(run: Run, metric: str) -> np.ndarray:
    """A metric over the steps, float64 `[K, ...]`.

    Raises:
        FractaljaxError: the run has no curve of that name; with the nearest one.
    """
    if not _is_curve(run, metric):
        raise unknown("metric", metric, recorded([run]))
    return np.asarray(run.history[metric], float)


def stacked(runs: Runs, metric: str) -> np.ndarray:
    """A metric of several runs over the same steps, float64 `[R, K, ...]`.

    Raises:
        FractaljaxError: a run has no such curve, or the runs differ in their steps.
    """
    curve(runs[0], metric)  # raises for the name, with those that are curves
    if isinstance(runs, Sweep):
        _ = runs.steps  # raises where they differ
        return np.asarray(runs.history[metric], float)
    curves = [curve(run, metric) for run in runs]
    for run, own in zip(runs, curves, strict=True):
        if not np.array_equal(run.step, runs[0].step) or own.shape != curves[0].shape:
            raise FractaljaxError(f"{metric}: the runs differ in their steps or in its shape")
    return np.stack(curves)


def _is_curve(run: Run, name: str) -> bool:
    """Not a number that is read once a training, nor what only other runs recorded."""
    values: Any = run.history.get(name)
    return np.shape(values)[:1] == (len(run.step),)


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return number(value, 4)
    return "null" if value is None else str(value)
