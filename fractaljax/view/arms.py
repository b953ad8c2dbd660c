"""An experiment as pictures: what each arm reached, and how it got there.

Drawn without pyplot, like `view.figure`.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax.analysis.paired import interval
from fractaljax.view.figure import FAINT, INK, blank, save
from fractaljax.view.panel import COLOURS

_SMALL, _LABEL, _TITLE = 7.5, 9.5, 10.5  # points
_LINE, _WIDE = 72, 110  # letters of a line of the title, and of those below
_SPACING = 1.3  # of the latter
_BLUE, _RED, _GREY = "#2166ac", "#c0392b", "#9aa2ab"


def dots(
    values: Mapping[str, np.ndarray],
    path: str | Path,
    *,
    title: str,
    label: str,
    marks: Mapping[str, float] | None = None,
    under: Sequence[str] = (),
) -> None:
    """A row an arm: every member, and the mean with its interval where members are enough for one.

    Args:
        values: arm -> `[K]`; what is not finite is left out.
        marks: name -> a value to be drawn across all rows.
        under: lines of text below the picture.
    """
    names = list(values)
    figure = blank(6.4, 0.34 * len(names) + 1.2 + _height(under))
    figure.set_layout_engine("constrained")
    _write(figure, under)
    axes = _axes(figure.add_subplot(), title)
    for row, name in enumerate(names):
        some = np.asarray(values[name], float)
        some = some[np.isfinite(some)]
        if not len(some):
            continue
        shift = np.linspace(-0.16, 0.16, len(some)) if len(some) > 1 else np.zeros(1)
        axes.plot(some, row + shift, ls="", marker="o", ms=3, color=_BLUE, alpha=0.35, mew=0)
        if np.isfinite(ends := interval(some)).all():
            axes.plot(ends, [row, row], color=_RED, lw=1.6, solid_capstyle="butt")
        axes.plot(some.mean(), row, marker="D", ms=4.5, color=_RED, mew=0)
    for number, (name, place) in enumerate((marks or {}).items()):
        axes.axvline(place, color=_GREY, lw=0.8, ls=(0, (4, 3)))
        axes.text(place, -0.55 - 0.4 * number, f" {name}", size=_SMALL, color=FAINT, va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.7 - 0.4 * len(marks or ()))
    axes.set_xlabel(label, size=_LABEL, color=INK)
    axes.grid(axis="x", color="#e6e9ec", lw=0.6)
    axes.set_axisbelow(True)
    save(figure, path)


def ladder(
    values: Mapping[str, Mapping[float, np.ndarray]],
    path: str | Path,
    *,
    title: str,
    label: str,
    over: str,
    logarithmic: bool,
    under: Sequence[str] = (),
) -> None:
    """What members reached against the values of `over`, a line an arm with its intervals.

    Args:
        values: arm -> value of `over` -> `[K]`; what is not finite is left out.
        under: lines of text below the picture.
    """
    figure = blank(6.4, 4.0 + _height(under))
    figure.set_layout_engine("constrained")
    _write(figure, under)
    axes = _axes(figure.add_subplot(), title)
    for number, (name, rungs) in enumerate(values.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = sorted(rungs)
        finite = [rungs[p][np.isfinite(rungs[p])] for p in places]
        means = [some.mean() if len(some) else np.nan for some in finite]
        ends = [interval(some) for some in finite]
        axes.fill_between(places, *np.transpose(ends), color=colour, alpha=0.18, lw=0)
        axes.plot(places, means, color=colour, lw=1.3, marker="o", ms=3.5, mew=0, label=name)
        for place, some in zip(places, finite, strict=True):
            axes.plot([place] * len(some), some, ls="", marker=".", ms=2.5, color=colour, alpha=0.4)
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(over, size=_LABEL, color=INK)
    axes.set_ylabel(label, size=_LABEL, color=INK)
    axes.grid(color="#e6e9ec", lw=0.6)
    axes.set_axisbelow(True)
    if len(values) > 1:
        axes.legend(frameon=False, fontsize=_SMALL, labelcolor=INK)
    save(figure, path)


def curves(
    arms: Mapping[str, Mapping[str, np.ndarray]],
    events: Mapping[str, np.ndarray],
    path: str | Path,
    title: str,
) -> None:
    """Accuracy on the validation data, training loss and edges over the epochs, a line an arm.

    Args:
        arms: name -> `accuracy`, `training`, `edges`, `[M, E]` each.
        events: name -> epochs at which members grew; marked below the curves.
    """
    figure = blank(7.2, 6.4)
    figure.set_layout_engine("constrained")
    rows = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 2])
    shown = (("accuracy", "validation accuracy"), ("training", "training loss"), ("edges", "edges"))
    for axes, (name, label) in zip(rows, shown, strict=True):
        _axes(axes, title if name == "accuracy" else "")
        for number, (arm, found) in enumerate(arms.items()):
            values = np.asarray(found[name], float)
            counted = np.isfinite(values).sum(axis=0) > 0
            mean = np.full(values.shape[1], np.nan)
            mean[counted] = np.nanmean(values[:, counted], axis=0)
            epochs = np.arange(1, len(mean) + 1)
            colour = COLOURS[number % len(COLOURS)]
            style = "-" if number < len(COLOURS) else "--"
            axes.plot(epochs[counted], mean[counted], style, color=colour, lw=1.2, label=arm)
            if name == "accuracy" and len(events.get(arm, ())):
                place = -0.02 - 0.025 * number
                axes.plot(
                    np.unique(events[arm]),
                    np.full(len(np.unique(events[arm])), place),
                    ls="",
                    marker="|",
                    ms=5,
                    color=colour,
                    transform=axes.get_xaxis_transform(),
                    clip_on=False,
                )
        axes.set_ylabel(label, size=_LABEL, color=INK)
        axes.grid(axis="y", color="#e6e9ec", lw=0.6)
    for axes in rows[1:]:
        if all(line.get_ydata().min() > 0 for line in axes.lines if len(line.get_ydata())):
            axes.set_yscale("log")
    rows[-1].set_xlabel("epoch; ticks under the accuracy: growth", size=_LABEL, color=INK)
    rows[0].legend(
        frameon=False, fontsize=_SMALL, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1)
    )
    save(figure, path)


def table(
    columns: Sequence[str], lines: Sequence[Sequence[Any]], path: str | Path, title: str
) -> None:
    """A table as a picture: the ledger of a network."""
    figure = blank(0.4 + 0.95 * len(columns), 0.7 + 0.24 * len(lines))
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.96))
    axes.set_axis_off()
    height = len(lines) + 1.6
    axes.set_xlim(0, len(columns))
    axes.set_ylim(height, 0)
    axes.text(0, 0.35, title, size=_TITLE, color=INK, va="center")
    for i, name in enumerate(columns):
        words = name.replace("_", " ")
        axes.text(i + 0.95, 1.2, words, size=_SMALL, color=FAINT, ha="right", va="center")
    axes.plot([0, len(columns)], [1.55, 1.55], color=FAINT, lw=0.6)
    for row, line in enumerate(lines):
        for i, value in enumerate(line):
            text = f"{value:g}" if isinstance(value, float | int) else str(value)
            axes.text(i + 0.95, row + 2.1, text, size=_SMALL, color=INK, ha="right", va="center")
    save(figure, path)


def _write(figure: Any, under: Sequence[str]) -> None:
    """Lines of text below everything."""
    if under:
        text = "\n".join(_folded(under))
        figure.supxlabel(text, x=0.01, ha="left", size=_SMALL, color=FAINT, linespacing=_SPACING)


def _height(under: Sequence[str]) -> float:
    """Inches of those lines."""
    return len(_folded(under)) * _SPACING * _SMALL / 72 + (0.1 if under else 0)


def _folded(under: Sequence[str]) -> list[str]:
    return [part for line in under for part in textwrap.wrap(line, _WIDE)]


def _axes(axes: Any, title: str) -> Any:
    axes.set_title(textwrap.fill(title, _LINE), loc="left", size=_TITLE, color=INK)
    axes.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
    axes.tick_params(which="minor", color=FAINT, width=0.4, labelsize=_SMALL, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
