"""A matrix of targets and sources as a picture that can be read at eight rows and at thirty.

Drawn without pyplot, like `view.figure`. Cells without a number are hatched.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import CenteredNorm, Normalize

from fractaljax.errors import unknown
from fractaljax.view.figure import FAINT, INK, blank, save

KINDS = {"sequential": "viridis", "diverging": "coolwarm"}
FULL, SHORT = 12, 20  # rows up to which a cell holds four decimals, or two
_CELL = {4: 0.82, 2: 0.42, 0: 0.26}  # inches of a cell with so many decimals in it
_SMALL, _LABEL, _TITLE = 7.5, 9.5, 10.5  # points
_DARK = 0.45  # luminance below which words on a cell are white


def heatmap(
    matrix: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    path: str | Path,
    *,
    title: str,
    label: str,
    kind: str = "sequential",
    center: float = 0.0,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    sides: tuple[str, str] = ("target architecture", "source of the hyperparameters"),
) -> None:
    """Writes a PNG; every cell says its value, to as many decimals as there is room for.

    Args:
        matrix: `[R, C]`; what is not finite is hatched.
        kind: `sequential`, or `diverging`, whose colours are symmetric about `center`.
        low, high: an interval for each cell, said below its value where there is room, or NaN.
        sides: what rows and columns are.
    """
    if kind not in KINDS:
        raise unknown("kind of heatmap", kind, KINDS)
    matrix = np.ma.masked_invalid(matrix)
    size = max(matrix.shape)
    decimals = 4 if size <= FULL else 2 if size <= SHORT else 0
    cell = _CELL[decimals]
    width, height = cell * matrix.shape[1], cell * (0.72 if decimals == 4 else 1) * matrix.shape[0]
    figure = blank(width + 3.0, height + 2.0)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.patch.set(facecolor="white", edgecolor=FAINT, hatch="////")  # behind cells without one
    colours = colormaps[KINDS[kind]].with_extremes(bad=(0, 0, 0, 0))
    norm = CenteredNorm(center) if kind == "diverging" else Normalize()
    image = axes.imshow(matrix, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    _name(axes, rows, columns, sides)
    if decimals:
        _fill(axes, image, matrix, decimals, low, high)
    bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
    bar.outline.set(edgecolor=FAINT, linewidth=0.6)
    bar.set_label(label, size=_LABEL, color=INK)
    without = "" if not matrix.mask.any() else "   (hatched: no finite value)"
    axes.set_title(title + without, loc="left", size=_TITLE, color=INK)
    save(figure, path)


def _name(axes: Any, rows: Sequence[str], columns: Sequence[str], sides: tuple[str, str]) -> None:
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.set_ylabel(sides[0], size=_LABEL, color=INK)
    axes.set_xlabel(sides[1], size=_LABEL, color=INK)


def _fill(
    axes: Any,
    image: Any,
    matrix: np.ma.MaskedArray,
    decimals: int,
    low: np.ndarray | None,
    high: np.ndarray | None,
) -> None:
    """The numbers, dark on bright cells and bright on dark ones."""
    known = ~np.ma.getmaskarray(matrix)
    for i, j in np.argwhere(known):
        value = matrix[i, j]
        red, green, blue, _ = image.cmap(image.norm(value))
        bright = 0.2126 * red + 0.7152 * green + 0.0722 * blue > _DARK
        colour = INK if bright else "white"
        ends = (low[i, j], high[i, j]) if low is not None and high is not None else (np.nan,)
        interval = decimals == 4 and np.isfinite(ends).all()
        dy = -0.13 if interval else 0.0
        words = f"{value:.{decimals}f}"
        axes.text(j, i + dy, words, ha="center", va="center", size=_SMALL, color=colour)
        if interval:
            words = "[" + ", ".join(f"{end:.3f}" for end in ends) + "]"
            axes.text(j, i + 0.2, words, ha="center", va="center", size=5, color=colour)
