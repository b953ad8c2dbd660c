"""Losses of a search as pictures: over seeds, over epochs, over trials.

Drawn without pyplot, like `view.figure`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from fractaljax.view.figure import FAINT, INK, blank, save
from fractaljax.view.panel import COLOURS

_SMALL, _LABEL, _TITLE = 7.5, 9.5, 10.5  # points
_BLUE, _RED, _GREY = "#2166ac", "#c0392b", "#9aa2ab"
_MANY = 12  # curves up to which each has a colour and a name of its own


def box_by_architecture(losses: Mapping[str, np.ndarray], path: str | Path, title: str) -> None:
    """Test losses over the seeds, a box and the points themselves for each architecture."""
    names = list(losses)
    figure, axes = _figure(max(4.0, 0.42 * len(names) + 1.6), 3.6, title)
    finite = [values[np.isfinite(values)] for values in losses.values()]
    ink = {"color": FAINT, "linewidth": 0.8}
    axes.boxplot(
        finite,
        positions=range(len(names)),
        widths=0.55,
        showfliers=False,
        boxprops=ink,
        whiskerprops=ink,
        capprops=ink,
        medianprops={"color": _RED, "linewidth": 1.2},
    )
    for place, values in enumerate(finite):
        shift = np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(place + shift, values, ls="", marker="o", ms=3, color=_BLUE, alpha=0.75, mew=0)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylabel("test loss", size=_LABEL, color=INK)
    axes.grid(axis="y", color="#e6e9ec", lw=0.6)
    axes.set_axisbelow(True)
    save(figure, path)


def loss_curve(
    epoch: np.ndarray,
    training_loss: np.ndarray,
    validation_loss: np.ndarray,
    best_epoch: int,
    path: str | Path,
    title: str,
) -> None:
    """Both losses of one training over its epochs, all `[E]`; validation is NaN between looks."""
    figure, axes = _figure(5.0, 3.2, title)
    looked = np.isfinite(validation_loss)
    axes.plot(epoch, training_loss, color=_GREY, lw=1.2, label="training, with dropout")
    dots = {"marker": "o", "ms": 2.5, "lw": 1.0, "color": _BLUE}
    axes.plot(epoch[looked], validation_loss[looked], label="validation", **dots)
    axes.axvline(best_epoch, color=_RED, lw=0.8, ls=(0, (4, 3)), label=f"best: epoch {best_epoch}")
    shown = np.concatenate([training_loss, validation_loss[looked]])
    if (shown[np.isfinite(shown)] > 0).all():
        axes.set_yscale("log")
    axes.set_xlabel("epoch", size=_LABEL, color=INK)
    axes.set_ylabel("cross entropy", size=_LABEL, color=INK)
    axes.legend(frameon=False, fontsize=_SMALL, labelcolor=INK)
    save(figure, path)


def budget_curve(trials: Mapping[str, np.ndarray], path: str | Path) -> None:
    """The best validation loss so far against the number of trials, a line an architecture."""
    figure, axes = _figure(5.6, 3.4, "what more trials would have bought")
    many = len(trials) > _MANY
    for number, (name, losses) in enumerate(trials.items()):
        best = np.fmin.accumulate(np.where(np.isfinite(losses), losses, np.nan))
        colour = _GREY if many else COLOURS[number % len(COLOURS)]
        axes.step(np.arange(1, len(best) + 1), best, where="post", lw=1.1, color=colour, label=name)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trials", size=_LABEL, color=INK)
    axes.set_ylabel("best validation loss", size=_LABEL, color=INK)
    if not many:
        axes.legend(
            frameon=False, fontsize=_SMALL, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1)
        )
    save(figure, path)


def _figure(width: float, height: float, title: str) -> tuple[Any, Any]:
    figure = blank(width, height)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", size=_TITLE, color=INK)
    axes.tick_params(labelsize=_SMALL, labelcolor=INK, color=FAINT, width=0.6)
    axes.tick_params(which="minor", color=FAINT, width=0.4, labelsize=_SMALL, labelcolor=INK)
    axes.spines[:].set(color=FAINT, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
