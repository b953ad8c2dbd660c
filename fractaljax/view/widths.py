"""What people know from mup: loss against rate by width, and the coordinate check.

Drawn without pyplot, like `view.figure`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.ticker import NullLocator

from fractaljax.view.figure import FAINT, INK, blank, save

_SMALL, _LABEL, _TITLE = 7.5, 9.5, 10.5  # points
_PANEL = (2.2, 2.4)  # inches of one layer
_TOP = 1.5  # of the largest loss that is shown, over the loss of the slowest rate


def rate_by_width(
    rates: np.ndarray,
    losses: np.ndarray,
    widths: Sequence[int],
    path: str | Path,
    *,
    optima: np.ndarray | None = None,
    title: str,
) -> None:
    """Loss against learning rate, a curve a width from dark (narrow) to bright (wide).

    Args:
        rates: `[R]`.
        losses: `[W, R]`; what is not finite leaves a gap.
        optima: `[W]` rates that are marked.
    """
    figure = blank(5.4, 3.5)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    for curve, width, colour in zip(losses, widths, _colours(len(widths)), strict=True):
        axes.plot(rates, np.where(np.isfinite(curve), curve, np.nan), color=colour, label=width)
    if optima is not None:
        for rate, curve, colour in zip(optima, losses, _colours(len(widths)), strict=True):
            at = {"marker": "v", "ms": 6, "mec": "white", "mew": 0.6, "ls": "", "zorder": 5}
            axes.plot([rate], [np.nanmin(curve)], color=colour, **at)
    finite = losses[np.isfinite(losses)]
    least = max(finite[finite > 0].min(), 1e-6)
    axes.set(xscale="log", yscale="log", ylim=(least / 1.5, _TOP * np.nanmax(losses[:, 0])))
    _label(axes, "learning rate", "loss", title)
    axes.legend(title="width", title_fontsize=_SMALL, fontsize=_SMALL, frameon=False)
    save(figure, path)


def coordinate_check(
    widths: Sequence[int],
    sizes: np.ndarray,
    layers: Sequence[str],
    path: str | Path,
    title: str,
) -> None:
    """Mean absolute preactivation against width, a panel a layer, a line a step.

    Args:
        sizes: `[W, steps, layers]`.
    """
    figure = blank(_PANEL[0] * len(layers) + 0.8, _PANEL[1] + 0.5)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(1, len(layers), sharey=True, squeeze=False)[0]
    steps = sizes.shape[1]
    for layer, (axes, name) in enumerate(zip(panels, layers, strict=True)):
        for step, colour in enumerate(_colours(steps)):
            line = {"marker": "o", "ms": 2.5, "lw": 1.1, "color": colour, "label": step}
            axes.plot(widths, sizes[:, step, layer], **line)
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(widths, [str(w) for w in widths], rotation=45)
        axes.xaxis.set_minor_locator(NullLocator())
        _label(axes, "width", "mean |preactivation|" if layer == 0 else "", name)
    panels[-1].legend(title="step", title_fontsize=_SMALL, fontsize=_SMALL, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", size=_TITLE, color=INK)
    save(figure, path)


def _colours(count: int) -> np.ndarray:
    return colormaps["viridis"](np.linspace(0.0, 0.85, count))


def _label(axes: Any, x: str, y: str, title: str) -> None:
    axes.set_xlabel(x, size=_LABEL, color=INK)
    axes.set_ylabel(y, size=_LABEL, color=INK)
    axes.set_title(title, loc="left", size=_LABEL, color=INK)
    axes.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
    axes.tick_params(which="minor", color=FAINT, width=0.4, labelsize=_SMALL, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
