"""The colour bar of a figure: every colour that is in use, and the values at which it begins."""

from typing import Any, NamedTuple

import numpy as np

from fractaljax.view import picture
from fractaljax.view.colours import STATUS
from fractaljax.view.stretch import Scale
from fractaljax.view.ticks import number

PARTS = 4  # of a block, from label to label
_SPACE = 0.045  # of the bar, between two blocks
_DIGITS = range(3, 10)  # of a label: as many as tell it from its neighbours
_INK, _TICK = "#24292f", "#6e7781"


class Block(NamedTuple):
    """Neighbouring levels, drawn without a break."""

    name: str
    colours: np.ndarray  # uint8 [levels, 3], lowest values first
    marks: list[tuple[float, str]]  # where (0 at the lower end, 1 at the upper) and what


def blocks(scale: Scale, reading: str, values: np.ndarray) -> list[Block]:
    """The blocks of a reading, lowest values first; a side of zero that is empty is left out.

    Args:
        scale: of the picture.
        reading: its name.
        values: trained values `[n]`, without NaN.
    """
    if reading == "status" and values.size:
        codes = np.searchsorted(scale.edges, values, side="right")
        shares = np.bincount(codes, minlength=len(STATUS)) / values.size
        names = [f"{name}\n{100 * share:.3g} %" for name, share in zip(STATUS, shares, strict=True)]
        return [Block(names[i], scale.table[i : i + 1], []) for i in np.flatnonzero(shares)]
    sides = {reading: values}
    if picture.signed(reading, values):
        names = ("converged", "diverged") if reading == "measure" else ("below 0", "from 0 on")
        sides = dict(zip(names, (values[values < 0], values[values >= 0]), strict=True))
    return [_block(name, scale, side) for name, side in sides.items() if side.size]


def _block(name: str, scale: Scale, values: np.ndarray) -> Block:
    """Inner labels are edges of the scale, so they hold for every stretch; the ends are data."""
    ends = np.array([values.min(), values.max()])
    low, high = np.searchsorted(scale.edges, ends, side="right")
    high += 1
    inner = np.unique(np.linspace(low, high, PARTS + 1).astype(int)[1:-1])
    inner = inner[(inner > low) & (inner < high)]
    places = [0.0, *(inner - low) / (high - low), 1.0]
    found = [float(v) for v in (ends[0], *scale.edges[inner - 1], ends[1])]
    if ends[0] == ends[1]:
        places, found = [0.5], found[:1]
    return Block(name, scale.table[low:high], list(zip(places, _labels(found), strict=True)))


def _labels(values: list[float]) -> list[str]:
    def label(i: int) -> str:
        beside = [v for v in values[max(i - 1, 0) : i + 2] if v != values[i]]
        for digits in _DIGITS:
            text = number(values[i], digits)
            if all(number(v, digits) != text for v in beside):
                break
        return text

    return [label(i) for i in range(len(values))]


def draw(axes: Any, found: list[Block]) -> None:
    """Draws the blocks from the bottom of the axes to their top, all of one height."""
    axes.set_axis_off()
    longest = max((len(text) for block in found for _, text in block.marks), default=0)
    right = 2.8 + 0.45 * longest  # widths of the bar; room for the labels
    for i, block in enumerate(found):
        low = i * (1 + _SPACE) / len(found)
        height = (1 + _SPACE) / len(found) - _SPACE
        extent = (0, 1, low, low + height)
        axes.imshow(block.colours[:, None], extent=extent, origin="lower", aspect="auto")
        for part, text in block.marks:
            at = low + height * part
            axes.plot([1, 1.3], [at, at], clip_on=False, lw=0.6, color=_TICK)
            axes.text(1.6, at, text, va="center_baseline", size=7.5, color=_INK)
        where = {"x": right, "rotation": 90, "ha": "center"} if block.marks else {"x": 1.6}
        axes.text(y=low + height / 2, s=block.name, va="center", size=8, color=_INK, **where)
    axes.set(xlim=(0, 1), ylim=(0, 1))  # imshow moves them
