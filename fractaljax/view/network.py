"""A network as a picture: its units in columns, its edges by what they are part of and their age.

Drawn without pyplot, like `view.figure`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.collections import LineCollection

from fractaljax.view.figure import FAINT, INK, blank, pixels, save
from fractaljax.view.files import replacing

_SMALL, _TITLE = 7.5, 10.5  # points
COLOURS = {
    "scaffold": "#9aa2ab",
    "patch": "#c0392b",
    "neck": "#8e44ad",
    "new": "#2166ac",
    "clone": "#d98c00",
    "highway": "#1a9850",
}
MOST = 4000  # edges that are drawn; of more, those of the largest weights


class Drawn(NamedTuple):
    """A network at some epoch; every mapping is by layer, in the order of their names."""

    epoch: int
    kernels: Mapping[str, np.ndarray]  # [S, n]
    masks: Mapping[str, np.ndarray]  # [S, n] bool
    kinds: Mapping[str, np.ndarray]  # [S, n] index into `names`
    born: Mapping[str, np.ndarray]  # [S, n] steps
    units: Mapping[str, np.ndarray]  # [n] bool: units that exist
    now: int  # steps


def picture(states: Sequence[Drawn], path: str | Path, *, names: Sequence[str], title: str) -> None:
    """The network at several epochs, side by side."""
    columns = min(3, len(states))
    rows = -(-len(states) // columns)
    figure = blank(3.6 * columns, 3.1 * rows + 0.5)
    figure.set_layout_engine("constrained")
    figure.suptitle(title, x=0.01, ha="left", size=_TITLE, color=INK)
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, state in zip(grid, states, strict=False):
        _draw(axes, state, names)
    _legend(figure, states, names)
    save(figure, path)


def animation(
    states: Sequence[Drawn], path: str | Path, *, names: Sequence[str], title: str, ms: int = 900
) -> None:
    """The same one after the other, as an animated PNG or GIF by the name of the file."""
    from PIL import Image

    frames = []
    for state in states:
        figure = blank(6.0, 4.8)
        figure.suptitle(title, x=0.02, ha="left", size=_TITLE, color=INK)
        axes = figure.add_axes((0.02, 0.1, 0.96, 0.8))
        axes.set_axis_off()
        _draw(axes, state, names)
        _legend(figure, states, names)
        frames.append(Image.fromarray(pixels(figure)))
    kind = "GIF" if str(path).endswith(".gif") else "PNG"
    with replacing(path) as stream:
        frames[0].save(
            stream, format=kind, save_all=True, append_images=frames[1:], duration=ms, loop=0
        )


def _draw(axes: Any, state: Drawn, names: Sequence[str]) -> None:
    layers = sorted(state.kernels)
    sizes = [state.kernels[layers[0]].shape[0], *(state.kernels[n].shape[1] for n in layers)]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    column = np.repeat(np.arange(len(sizes)), sizes)
    height = np.concatenate([(np.arange(n) + 0.5) / n for n in sizes])
    segments, colours, widths = [], [], []
    edges = 0
    for j, name in enumerate(layers):
        there = np.argwhere(state.masks[name])
        edges += len(there)
        kernel = np.abs(state.kernels[name])
        if len(there) > MOST:
            order = np.argsort(-kernel[tuple(there.T)], kind="stable")[:MOST]
            there = there[order]
        first = starts[j + 1] - kernel.shape[0]
        largest = kernel.max(initial=1e-12)
        for row, unit in there:
            one, other = first + row, starts[j + 1] + unit
            kind = names[int(state.kinds[name][row, unit])]
            old = state.born[name][row, unit] < state.now
            alpha = 0.25 if kind == "scaffold" else 0.45 if old else 0.9
            segments.append([(column[one], height[one]), (column[other], height[other])])
            colours.append((*_rgb(COLOURS[kind]), alpha))
            widths.append(0.25 + 1.1 * kernel[row, unit] / largest)
    order = np.argsort([c[3] for c in colours], kind="stable")  # the newest on top
    axes.add_collection(
        LineCollection(
            [segments[i] for i in order],
            colors=[colours[i] for i in order],
            linewidths=[widths[i] for i in order],
        )
    )
    exists = np.concatenate([np.ones(sizes[0], bool), *(state.units[n] for n in layers)])
    axes.plot(column[exists], height[exists], ls="", marker="o", ms=1.8, color=INK, mew=0)
    axes.set_xlim(-0.3, len(sizes) - 0.7)
    axes.set_ylim(1.04, -0.1)
    hidden = sum(int(state.units[n].sum()) for n in layers[:-1])
    text = f"epoch {state.epoch}: {edges:,} edges, {hidden} hidden units"
    axes.text(-0.3, -0.06, text, size=_SMALL + 1, color=INK)


def _legend(figure: Any, states: Sequence[Drawn], names: Sequence[str]) -> None:
    seen = sorted(
        {
            int(kind)
            for state in states
            for name in state.masks
            for kind in np.unique(state.kinds[name][state.masks[name]])
        }
    )
    inch, place = 1 / figure.get_size_inches()[0], 0.1  # from the left
    for kind in seen:
        name = names[kind]
        figure.text(place * inch, 0.012, "■", size=_SMALL + 2, color=COLOURS[name])
        figure.text((place + 0.16) * inch, 0.015, name, size=_SMALL, color=FAINT)
        place += 0.36 + 0.06 * len(name)


def _rgb(colour: str) -> tuple[float, float, float]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))  # pyright: ignore[reportReturnType]
