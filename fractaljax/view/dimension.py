"""A figure of a dimension: what the line goes through, the local slopes, and level by level.

Drawn without pyplot, like `view.figure`. The null model is grey, pooled is red, levels go from dark
(widest) to bright (deepest). Hollow: outside the scaling window, or not to be trusted.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax.analysis.dimension import Dimension, Estimate, Level
from fractaljax.view.figure import FAINT, INK, blank, kind_of, save

NULL = "#9aa2ab"
POOLED = "#c0392b"
_SIZE = (7.6, 5.4)  # inches
_NARROW = 4.6  # with a single level there is no right half
_LABEL, _SMALL = 9, 7.5  # points


class _Words(NamedTuple):
    x: str
    y: str
    title: str


_WORDS = {
    "published": _Words("box size (pixels)", "boxes", "published estimator"),
    "boxcount": _Words("box size (pixels)", "boxes", "box counting"),
    "uncertainty": _Words(
        "distance (widths of the window)", "share of pairs that differ", "uncertainty exponent"
    ),
}


def save_dimension(found: Dimension, path: str | Path) -> None:
    """Writes the figure as PNG, PDF or SVG, by the end of its name.

    Raises:
        FractaljaxError: the kind is not known, or the file cannot be written.
    """
    kind = kind_of(path)
    save(draw(found), path, kind)


def draw(found: Dimension) -> Any:
    """The figure as a `matplotlib.figure.Figure`: log-log counts with the fitted lines, local
    dimensions below, and with several levels their dimensions on the right."""
    many = len(found.levels) > 1
    figure = blank(_SIZE[0] if many else _NARROW, _SIZE[1])
    figure.set_layout_engine("constrained")
    ratios = {"height_ratios": (3, 2), "width_ratios": (3, 2) if many else (1,)}
    grid = figure.add_gridspec(2, 2 if many else 1, **ratios)
    counts = figure.add_subplot(grid[0, 0])
    slopes = figure.add_subplot(grid[1, 0], sharex=counts)
    _draw_counts(counts, found)
    _draw_slopes(slopes, found)
    panels = [counts, slopes]
    if many:
        panels.append(figure.add_subplot(grid[:, 1]))
        _draw_levels(panels[-1], found)
    for axes in panels:
        axes.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
        axes.tick_params(which="minor", color=FAINT, width=0.4)
        axes.spines[:].set(color=FAINT, linewidth=0.6)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set(size=_LABEL, color=INK)
    _mark_sizes(slopes, found)
    counts.yaxis.set_minor_formatter("")
    counts.tick_params(labelbottom=False, which="both")
    figure.suptitle(_title(found), x=0.01, ha="left", size=_LABEL + 1, color=INK)
    return figure


def _draw_counts(axes: Any, found: Dimension) -> None:
    axes.set(xscale="log", yscale="log", ylabel=_WORDS[found.method].y)
    for level in found.null.levels if found.null else ():
        some = level.curve.y > 0
        axes.plot(level.curve.x[some], level.curve.y[some], color=NULL, lw=0.8, alpha=0.5)
    for level, colour in _coloured(found):
        x, y, used = level.curve.x, level.curve.y, level.curve.used
        dots = {"ls": "", "marker": "o", "ms": 3, "mew": 0.5, "color": colour}
        axes.plot(x[used], y[used], **dots)
        axes.plot(x[~used & (y > 0)], y[~used & (y > 0)], mfc="none", **dots)
        if found.method == "published":
            axes.plot(x[used], y[used], color=colour, lw=0.8)
        elif level.estimate is not None:
            slope = _slope(found, level.estimate)
            near = np.log(x[used]) - np.log(x[used]).mean()
            line = np.exp(np.log(y[used]).mean() + slope * near)
            axes.plot(x[used], line, color=colour, lw=1)


def _draw_slopes(axes: Any, found: Dimension) -> None:
    axes.set(xscale="log", xlabel=_WORDS[found.method].x, ylabel="local dimension")
    for level in found.null.levels if found.null else ():
        axes.plot(level.curve.at, level.curve.local, color=NULL, lw=0.8, alpha=0.5)
    for level, colour in _coloured(found):
        axes.plot(level.curve.at, level.curve.local, color=colour, lw=0.8, marker=".", ms=3)
    if found.pooled:
        axes.axhline(found.pooled.dimension, color=POOLED, lw=1)
        axes.axhspan(found.pooled.low, found.pooled.high, color=POOLED, alpha=0.15, lw=0)
    axes.set_ylim(found.axes - 1.6, found.axes + 0.3)
    axes.grid(axis="y", color="#e4e7ea", lw=0.6)
    axes.set_axisbelow(True)


def _mark_sizes(axes: Any, found: Dimension) -> None:
    """Box sizes as plain numbers; distances, which span many decades, as powers of ten."""
    from matplotlib.ticker import LogLocator

    if found.method != "uncertainty":
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda size, _: f"{size:g}")
    axes.xaxis.set_minor_formatter("")


def _draw_levels(axes: Any, found: Dimension) -> None:
    axes.set(xlabel="dimension", ylabel="level (widest at the top)")
    for level in found.null.levels if found.null else ():
        _dot(axes, level, NULL)
    for level, colour in _coloured(found):
        _dot(axes, level, colour)
    if found.pooled:
        axes.axvline(found.pooled.dimension, color=POOLED, lw=1)
        axes.axvspan(found.pooled.low, found.pooled.high, color=POOLED, alpha=0.15, lw=0)
    axes.set_xlim(found.axes - 1.3, found.axes + 0.15)
    axes.invert_yaxis()
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="x", color="#e4e7ea", lw=0.6)
    axes.set_axisbelow(True)


def _dot(axes: Any, level: Level, colour: Any) -> None:
    """A level's dimension with its interval; hollow where it is not to be trusted."""
    found = level.estimate
    if found is None:
        return
    reach = None
    if np.isfinite(found.low):
        reach = [[found.dimension - found.low], [found.high - found.dimension]]
    face = "white" if level.note else colour
    look = {"color": colour, "marker": "o", "ms": 3.5, "lw": 0.9, "mfc": face}
    axes.errorbar(found.dimension, level.number, xerr=reach, **look)


def _coloured(found: Dimension) -> Iterator[tuple[Level, Any]]:
    """Levels with a colour each."""
    from matplotlib import colormaps

    last = max(len(found.levels) - 1, 1)
    for i, level in enumerate(found.levels):
        yield level, colormaps["viridis"](0.1 + 0.75 * i / last)


def _slope(found: Dimension, estimate: Estimate) -> float:
    """The slope on the log-log panel that a dimension stands for."""
    return found.axes - estimate.dimension if found.method == "uncertainty" else -estimate.dimension


def _title(found: Dimension) -> str:
    lines = [f"{_WORDS[found.method].title}: {told(found.pooled)}"]
    if found.null:
        lines.append(f"grey, null model: {told(found.null.pooled)}")
    return "\n".join(lines)


def told(estimate: Estimate | None) -> str:
    """A dimension in words: `1.66 [1.61, 1.70]`."""
    if estimate is None:
        return "none"
    if not np.isfinite(estimate.low):
        return f"{estimate.dimension:z.3f}"
    return f"{estimate.dimension:z.3f} [{estimate.low:z.3f}, {estimate.high:z.3f}]"
