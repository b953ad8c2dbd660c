"""Curves of runs over their steps: each for itself, or their mean with its interval.

Drawn without pyplot, like `view.figure`: a function that is given no axes makes a figure of its
own, which is `axes.figure`. A `result` is a Run, a Sweep, a list of Runs, or a dict from labels to
any of these.
"""

import dataclasses
import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax.analysis.bands import band
from fractaljax.errors import FractaljaxError
from fractaljax.runs import Run
from fractaljax.view.figure import FAINT, INK, blank, kind_of, save
from fractaljax.view.groups import Groups, Result, Runs, groups, labels, members, recorded, stacked
from fractaljax.view.panel import COLOURS, LABEL, SMALL, How, Names, draw, legend, shared_legend

_SIZE, _PANEL = (6.6, 3.6), (3.6, 2.5)  # inches of a panel for itself, and of one among several
_COLUMNS, _KEY = 3, 1.8  # panels in a row; inches of a legend beside them


def plot(
    result: Result,
    metric: str = "test_loss",
    *,
    average: bool | str = False,
    ci: float = 0.95,
    smoothing: int = 0,
    log_scale: bool = True,
    ax: Any = None,
) -> Any:
    """Draws a metric over the steps.

    A metric with several values at a step is a line for each. Of more than `LINES` curves as many
    are drawn, at even distances, and the legend says so. Values that are not finite are left out;
    where a mean had to do without some, the legend says of how many runs.

    Args:
        result: see above.
        metric: its name in the history of every run.
        average: whether runs that differ in nothing but seeds, or those under one label of a dict,
            are drawn as their mean with its interval (`bands.band`). A text is a label: of what
            alone is averaged in a dict, else of one mean of all runs.
        ci: how much the interval covers.
        smoothing: points of a moving average of each run, before any mean (`bands.smooth`).
        log_scale: a log scale; where values change sign or reach 0, a symmetric one.
        ax: matplotlib axes to draw into; None makes a figure.

    Returns:
        The matplotlib axes.

    Raises:
        FractaljaxError: a run has no such metric, or runs to be averaged differ in their steps.
    """
    found, averaged = groups(result, average, len(COLOURS))
    return _panel(ax, metric, found, {"": metric}, How(averaged, ci, smoothing, log_scale))


def plot_comparative(
    result: Result,
    metric: str = "test_loss",
    suffixes: tuple[str, str] = ("_a", "_b"),
    *,
    average: bool | str = False,
    ci: float = 0.95,
    smoothing: int = 0,
    log_scale: bool = True,
    ax: Any = None,
) -> Any:
    """Draws a metric of both sides of pairs, two curves for one of `plot`; the rest is the same."""
    found, averaged = groups(result, average, len(COLOURS))
    names = {suffix.strip("_"): metric + suffix for suffix in suffixes}
    return _panel(ax, metric, found, names, How(averaged, ci, smoothing, log_scale))


def plot_run(run: Run, *, smoothing: int = 0, log_scale: bool = True) -> Any:
    """All that a run recorded, as a `matplotlib.figure.Figure`.

    The losses share a panel, and so do both sides of a pair; every other metric has its own.
    """
    title = labels([run])[0] or "one run"
    return _sheet({"": [run]}, How(frozenset(), 0.95, smoothing, log_scale), title)


def save_plots(result: Result, path: str | Path) -> None:
    """Writes the panels of `plot_run`, as PNG, PDF or SVG by the end of the name.

    Runs that differ in nothing but their seeds become their mean with its 95 % interval; each
    setting, or each label of a dict, has a colour.

    Raises:
        FractaljaxError: the kind is not known, or the file cannot be written.
    """
    kind = kind_of(path)
    found, averaged = groups(result, True, 0)
    count = sum(map(len, found.values()))
    title = f"{count:,} run" if count == 1 else f"{count:,} runs"
    if len(found) > 1:
        title += f", {len(found):,} settings"
    if count > len(found):
        title += ": mean and 95 % interval"
    save(_sheet(found, How(averaged), title), path, kind)


def subtract_baseline(baseline: Run | Runs, runs: Result, metric: str = "test_loss") -> Any:
    """Runs with nothing but this metric, less that of a baseline.

    Args:
        baseline: a Run; of several, their mean at every step.
        runs: a result, see above.
        metric: its name in every history.

    Returns:
        What `plot` takes: a Run for a Run, a dict for a dict, else a list of Runs.

    Raises:
        FractaljaxError: a run has no such metric, or other steps than the baseline; or the
            baseline has no run.
    """
    if isinstance(runs, Mapping):
        return {label: subtract_baseline(baseline, some, metric) for label, some in runs.items()}
    base = members(baseline)
    if not len(base):
        raise FractaljaxError("baseline: has no runs")
    level, first = band(stacked(base, metric)).mean, base[0]
    found = []
    for run in members(runs):
        own = stacked([first, run], metric)[1]  # raises for other steps
        found.append(dataclasses.replace(run, history={metric: own - level}))
    return found[0] if isinstance(runs, Run) else found


def _panel(axes: Any, title: str, some: Groups, names: Names, how: How) -> Any:
    """One panel for itself, with its legend."""
    own = axes is None
    if own:
        drawn = blank(*_SIZE)
        drawn.set_layout_engine("constrained")
        axes = drawn.add_subplot()
    draw(axes, some, names, how)
    axes.set_ylabel(title)
    shaded = f"mean, {100 * how.ci:g} % interval" if axes.collections else None
    legend(axes, shaded, outside=own)
    return axes


def _sheet(some: Groups, how: How, title: str) -> Any:
    """A figure with a panel for each metric, and one legend for the groups of all."""
    known = {label: recorded(runs) for label, runs in some.items()}
    panels = _panels(dict.fromkeys(name for names in known.values() for name in names)) or {
        "nothing recorded": {}
    }
    columns = min(len(panels), _COLUMNS)
    rows = math.ceil(len(panels) / columns)
    drawn = blank(columns * _PANEL[0] + (len(some) > 1) * _KEY, rows * _PANEL[1] + 0.4)
    drawn.set_layout_engine("constrained")
    drawn.suptitle(title, x=0.01, ha="left", size=LABEL + 1, color=INK)
    for i, (name, shown) in enumerate(panels.items()):
        axes = drawn.add_subplot(rows, columns, i + 1)
        wanted = set(shown.values())
        seen = {k: runs if wanted <= set(known[k]) else [] for k, runs in some.items()}
        draw(axes, seen, shown, how, told=False)
        axes.set_title(name, loc="left", size=LABEL, color=INK)
        axes.set_title(_lost(seen, wanted), loc="right", size=SMALL, color=FAINT)
        legend(axes, None, outside=False)
    if len(some) > 1:
        shared_legend(drawn, list(some))
    return drawn


def _panels(names: Collection[str]) -> dict[str, Names]:
    """Panels by title: the losses in one, and both sides of a pair."""
    panels: dict[str, Names] = {"loss": {}}
    for name in names:
        base, side = name[:-2], name[-1]
        if name in ("train_loss", "test_loss"):
            panels["loss"][name.removesuffix("_loss")] = name
        elif name.endswith(("_a", "_b")) and {f"{base}_a", f"{base}_b"} <= set(names):
            panels.setdefault(base, {})[side] = name
        else:
            panels.setdefault(name, {})[""] = name
    return {title: names for title, names in panels.items() if names}


def _lost(some: Groups, metrics: Iterable[str]) -> str:
    """How many runs have a gap somewhere, in words; nothing where none has."""
    count = sum(map(len, some.values()))
    gaps = 0
    for runs in filter(len, some.values()):
        whole = [np.isfinite(stacked(runs, m)).reshape(len(runs), -1).all(1) for m in metrics]
        gaps += len(runs) - int(np.logical_and.reduce(whole).sum())
    if not gaps:
        return ""
    return f"{gaps:,} of {count:,} not finite" if count > 1 else "in part not finite"
