"""A reading over a single axis: one dot a network."""

from typing import Any

import numpy as np

from fractaljax.field import Field
from fractaljax.view import picture
from fractaljax.view.colours import STATUS
from fractaljax.view.ticks import number

_HEAVY = 1e3  # ratio of largest to smallest from which a reading needs a log scale
_DECADES = 12  # that a log scale shows; smaller values lie on its end, or on zero


def draw_line(axes: Any, field: Field, reading: str) -> None:
    """Draws the reading into matplotlib axes whose x is the number of the sample.

    `measure` is shown on both sides of zero, each with its colour; values that are not finite
    are left out.
    """
    values, done = (row[0] for row in picture.rows(field, reading, 0, 1))
    values = np.where(done & np.isfinite(values), values, np.nan)
    at = np.arange(len(values))
    size = float(np.clip(2000 / len(values), 0.8, 4))
    dots = {"ls": "", "marker": "o", "ms": size, "mew": 0, "rasterized": len(values) > 10_000}
    axes.set_ylabel(reading)
    axes.grid(axis="y", color="#e4e7ea", lw=0.6)
    axes.set_axisbelow(True)
    if reading == "measure":
        for name, side in (("diverged", values >= 0), ("converged", values < 0)):
            colour = np.divide(STATUS[name], 255)
            axes.plot(at[side], values[side], color=colour, label=name, **dots)
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.01, 0.5),
            frameon=False,
            fontsize=8,
            markerscale=max(4 / size, 1),
        )
    else:
        axes.plot(at, values, color=np.divide(STATUS["converged"], 255), **dots)
    if reading == "status":
        axes.set_yticks(range(len(STATUS)), STATUS)
        axes.set_ylim(-0.5, len(STATUS) - 0.5)
    else:
        _scale(axes, values, signed=reading == "measure")
        axes.yaxis.set_major_formatter(lambda value, _: number(value, 6))


def _scale(axes: Any, values: np.ndarray, *, signed: bool) -> None:
    """A symmetric log scale for a signed reading, a log scale for a heavy tail above 0."""
    size = np.abs(values[np.isfinite(values) & (values != 0)])
    if not size.size:
        return
    least = max(size.min(), size.max() * 10.0**-_DECADES)
    if signed:
        axes.set_yscale("symlog", linthresh=least)
        axes.axhline(0, color="#9aa2ab", lw=0.6, zorder=0)
    elif np.nanmin(values) > 0 and size.max() / least > _HEAVY:
        axes.set_yscale("log")
