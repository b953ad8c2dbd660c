"""A click: the readings of one network, as its tile has them, and its training curve."""

from collections.abc import Generator
from typing import Any

import numpy as np

from fractaljax import config
from fractaljax.explorer import geometry
from fractaljax.explorer.maps import Map
from fractaljax.explorer.queue import POLL_S
from fractaljax.store import origins
from fractaljax.view.colours import STATUS


def work(
    shown: Map, coordinates: tuple[str, str], level: int | None
) -> Generator[float, None, dict[str, Any]]:
    """Work for the queue that trains one network; returns the answer for the page.

    Args:
        shown: the map.
        coordinates, level: see `geometry.point`.
    """
    shown.usable()
    origins.check_folder(shown.folder, [shown.spec])
    x, y = geometry.point(shown.roots, coordinates, level, shown.floor_level)
    point = np.array([x, y])
    # the program of tiles gives the readings: another one may round otherwise, and at a fractal
    # edge that decides
    (found,) = shown.training.slices(point[None])
    while not shown.curve_compiled.is_set():
        yield POLL_S
    every, losses = shown.training.curve(point)
    labels = [config.label(shown.spec, root.path) for root in shown.roots]
    return {
        "values": dict(zip(labels, (x, y), strict=True)),
        "readings": {name: _plain(name, values[0]) for name, values in found.items()},
        "curve": {"every": every, "loss": [_number(v) for v in losses]},
    }


def _plain(name: str, value: Any) -> Any:
    """A reading as JSON takes it."""
    if name == "status":
        return list(STATUS)[int(value)]
    return int(value) if np.issubdtype(type(value), np.integer) else _number(value)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
