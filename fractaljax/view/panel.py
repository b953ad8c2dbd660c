"""One panel of curves over the steps: lines, bands, its scale and its legend."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from fractaljax.analysis.bands import band, smooth
from fractaljax.runs import Sweep
from fractaljax.view.figure import FAINT, INK
from fractaljax.view.groups import Groups, Runs, curve, stacked

LINES = 200  # curves drawn in one panel, at most; of more, some at even distances
COLOURS = ("#326eb4", "#d53e4f", "#2a9d78", "#e08a1e", "#7b52ab", "#8c5a3c", "#cf5fa0", "#5f6b76")
STYLES = ("-", (0, (4, 1.5)), ":", "-.")  # of the metrics that share a panel
NEAR = 1e-8  # a symmetric log scale is linear from there to zero
LABEL, SMALL = 9, 7.5  # points
_DECADES = 12  # that a log scale shows on either side of zero
_HEAVY = 30  # ratio of sizes from which on a log scale shows more, where some values are 0
_ROOM = 0.09  # of an axis, for each label
_KEYS = 9  # entries of a legend; of more, as many
_GRID, _ZERO = "#e4e7ea", "#9aa2ab"

Names = dict[str, str]  # word that tells the metrics of a panel apart -> metric


class How(NamedTuple):
    """What is asked for, the same for all panels of a figure."""

    average: frozenset[str]  # labels of the groups whose mean is drawn
    ci: float = 0.95
    smoothing: int = 0
    log_scale: bool = True


class _Strand(NamedTuple):
    """A line for each component of a metric, and what lies around it."""

    step: np.ndarray  # [K]
    middle: np.ndarray  # [K, C]
    low: np.ndarray | None = None  # [K, C]
    high: np.ndarray | None = None


def draw(axes: Any, some: Groups, names: Names, how: How, *, told: bool = True) -> None:
    """Lines, bands, scales and ticks of a panel.

    Several groups have a colour each; of a single one, the metrics, else their components. `told`:
    the legend has an entry for each group.
    """
    from matplotlib.colors import to_hex

    some = dict(_spread(list(some.items()), LINES))
    several = len(some) > 1
    room = LINES // max(len(some) * len(names), 1)
    used = len({to_hex(line.get_color()) for line in axes.get_lines()})
    hues = _palette(len(some) if several else len(names), used)
    shade = 0.18 if len(some) <= len(COLOURS) else 0.06
    for i, (label, runs) in enumerate(some.items()):
        for j, (word, metric) in enumerate(names.items()):
            strands, count = _strands(runs, metric, how, mean=label in how.average, room=room)
            entry = _entry([label if told else "", "" if several else word], count if told else "")
            if several:
                _lines(axes, strands, [hues[i]], STYLES[j], "" if j else entry, shade=shade)
            else:
                width = strands[0].middle.shape[1] if strands else 1
                split = len(names) == 1 and width > 1
                own = _ramp(width) if split else [hues[j]]
                _lines(axes, strands, own, STYLES[0], entry, shade=shade)
    if several and len(names) > 1:
        for (word, metric), style in zip(names.items(), STYLES, strict=False):
            axes.plot([], [], color=FAINT, ls=style, label=word or metric)
    _scale(axes, how.log_scale)
    _dress(axes)


def _strands(
    runs: Runs, metric: str, how: How, *, mean: bool, room: int
) -> tuple[list[_Strand], str]:
    """What is drawn of a group in about `room` lines, and in words of how many runs that is."""
    if mean and len(runs) > 1:
        curves = [smooth(one, how.smoothing) for one in stacked(runs, metric)]
        found = band(np.stack(curves), how.ci)
        least = found.n.min(initial=found.runs)
        lost = f", at least {least:,} finite" if least < found.runs else ""
        strand = _Strand(runs[0].step, *map(_columns, (found.mean, found.low, found.high)))
        return [strand], f"{found.runs:,} runs{lost}"
    width = _columns(curve(runs[0], metric)).shape[1] if len(runs) else 1
    picked = _spread(runs, max(room // max(width, 1), 1))
    drawn = [_columns(smooth(curve(run, metric), how.smoothing)) for run in picked]
    strands = [_Strand(run.step, one) for run, one in zip(picked, drawn, strict=True)]
    if len(picked) < len(runs):
        return strands, f"{len(picked):,} of {len(runs):,} runs"
    return strands, f"{len(runs):,} runs" if len(runs) > 1 else ""


def _columns(values: np.ndarray) -> np.ndarray:
    """`[K, ...]` as `[K, C]`."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


def _entry(names: list[str], count: str) -> str:
    name = " ".join(filter(None, names))
    return f"{name} ({count})" if name and count else name or count


def _lines(
    axes: Any, strands: list[_Strand], hues: list[Any], style: Any, entry: str, *, shade: float
) -> None:
    """Strands with one entry in the legend, or under it one for each component that has a hue."""
    labels = [entry or "_"]
    if len(hues) > 1:
        labels = [f"[{c}]" for c in range(len(hues))]
        if entry:
            axes.plot([], [], ls="", label=entry)
    crowd = len(strands)
    look = {"ls": style, "lw": 1.3 if crowd == 1 else 0.7}
    look["alpha"] = 1 if crowd == 1 else min(max(12 / max(crowd, 1), 0.15), 0.8)
    for step, middle, low, high in strands:
        axes.update_datalim([(step[0], 0), (step[-1], 0)], updatey=False)  # also where it diverged
        for c, line in enumerate(middle.T):
            line = np.where(np.isfinite(line), line, np.nan)
            dot = "." if np.isfinite(line).sum() == 1 else ""
            hue = hues[c % len(hues)]
            axes.plot(
                step, line, color=hue, marker=dot, label=labels.pop(0) if labels else "_", **look
            )
            if low is not None and high is not None:
                ends = low[:, c], high[:, c]
                there = np.isfinite(ends).all(0)
                axes.fill_between(step, *ends, there, color=hue, alpha=shade, lw=0)


def _spread(items: Sequence[Any] | Sweep, most: int) -> list[Any]:
    """Some of the items at even distances, with the first and the last, or all of a few."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).round().astype(int)]


def _palette(count: int, used: int) -> list[Any]:
    """Colours that are easily told apart, of which the first are used; of many, a scale."""
    if used + count <= len(COLOURS):
        return list(COLOURS[used : used + count])
    return _ramp(count)


def _ramp(count: int) -> list[Any]:
    from matplotlib import colormaps

    return list(colormaps["viridis"](np.linspace(0, 0.84, count)))


def _scale(axes: Any, log_scale: bool) -> None:
    """The y scale that all that was drawn needs, or words where that is nothing."""
    low, high = axes.dataLim.intervaly
    if not np.isfinite([low, high]).all():
        nothing = "no finite value" if axes.get_lines() else "no runs"
        axes.text(0.5, 0.5, nothing, transform=axes.transAxes, ha="center", color=FAINT)
        axes.tick_params(labelleft=False, labelbottom=False)
        return
    if log_scale and low > 0:
        _logarithmic(axes)
    elif log_scale:
        drawn = [np.abs(np.asarray(line.get_ydata(), float)) for line in axes.get_lines()]
        _symmetric(axes, np.concatenate(drawn), signed=low < 0)


def _logarithmic(axes: Any) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter, ScalarFormatter

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    axes.yaxis.set_minor_formatter(NullFormatter())
    if high / low < 10:  # may hold no power of ten
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(ScalarFormatter())


def _symmetric(axes: Any, size: np.ndarray, *, signed: bool) -> None:
    """A log scale on either side of zero, as far as there is more to see than on a linear one."""
    size = size[np.isfinite(size) & (size > 0)]
    if not size.size:
        return
    near = max(size.min(), size.max() * 10.0**-_DECADES)
    if signed:
        near = max(near, min(NEAR, size.max()))
        axes.axhline(0, color=_ZERO, lw=0.6, zorder=0)
    elif size.max() / near < _HEAVY:
        return
    axes.set_yscale("symlog", linthresh=near)
    axes.set_yticks(*_signed_ticks(axes.get_ylim(), near))


def _signed_ticks(ends: tuple[float, float], near: float) -> tuple[list[float], list[str]]:
    """Zero and powers of ten on both sides, with room for their labels, and these."""
    linear = 10 / 9  # decades that matplotlib gives to what is linear on one side

    def place(size: float) -> float:
        return linear * min(size / near, 1) + math.log10(max(size / near, 1))

    room = _ROOM * sum(map(place, np.abs(ends)))
    at, labels = [0.0], ["0"]
    for sign, size in (("", ends[1]), ("-", -ends[0])):
        top = math.floor(math.log10(size)) if size > 0 else 0
        for exponent in range(top, top - round(place(max(size, 0))), -max(math.ceil(room), 1)):
            if place(10.0**exponent) >= room:
                at.append(float(f"{sign}1e{exponent}"))
                labels.append(f"${sign}10^{{{exponent}}}$")
    return at, labels


def _dress(axes: Any) -> None:
    axes.set_xlabel("step")
    axes.margins(x=0.01)
    axes.grid(color=_GRID, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SMALL, labelcolor=INK, color=FAINT, width=0.6)
    axes.tick_params(which="minor", color=FAINT, width=0.4)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(size=LABEL, color=INK)


def legend(axes: Any, title: str | None, *, outside: bool) -> None:
    """What the labelled lines are: beside the panel, or in it."""
    handles, words = axes.get_legend_handles_labels()
    if not words:
        return
    place = {"loc": "upper right" if len(axes.get_lines()) > 40 else "best"}
    if outside:
        place = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02)}
    _key(axes, handles, words, title, **place)


def shared_legend(drawn: Any, names: list[str]) -> None:
    """The colours of several groups, beside all panels of a figure."""
    from matplotlib.lines import Line2D

    shown = _spread(names, LINES)
    handles = [Line2D([], [], color=hue, lw=1.3) for hue in _palette(len(shown), 0)]
    _key(drawn, handles, shown, None, loc="outside right upper")


def _key(
    parent: Any, handles: list[Any], words: list[str], title: str | None, **place: Any
) -> None:
    """A legend of a figure or of axes."""
    shown = _spread(list(zip(handles, words, strict=True)), _KEYS)
    if len(shown) < len(words):
        title = f"{len(shown)} of {len(words):,}" + (f"; {title}" if title else "")
    made = parent.legend(
        *zip(*shown, strict=True), title=title, frameon=False, fontsize=SMALL, **place
    )
    made.get_title().set(size=SMALL, color=FAINT)
    made.set_alignment("left")
    for handle in made.legend_handles:
        handle.set(alpha=1, linewidth=1.3)
