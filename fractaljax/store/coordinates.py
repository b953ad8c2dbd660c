"""The coordinates that a result keeps: float64 arrays `x` and `y` beside its readings.

They are computed once, when the result is begun, and read from there ever after. The attributes
of the group name the rule by which they were computed, and hold a checksum of each array besides
that of Zarr itself. A result without them is older than they are: `earlier`.
"""

import logging
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax.errors import FractaljaxError
from fractaljax.store import arrays, disk, earlier
from fractaljax.window import Axis, Lattice, Window

log = logging.getLogger("fractaljax")


def described(window: Window) -> dict[str, dict[str, Any]]:
    """What the attributes of a group say of the coordinates of a window."""
    return {
        name: {"rule": axis.rule, "crc32": _check(axis.points())} for name, axis in _named(window)
    }


def read(path: Path, window: Window, attributes: Mapping[str, Any], repair: bool = False) -> Window:
    """A window with the coordinates that the result in a folder keeps.

    An array that is damaged or missing is told, and computed again where what the window has, or
    the exact rule, gives the same to the bit.

    Args:
        window: as its settings say it, or with coordinates that may be the same.
        attributes: of the group; without coordinates the result is of an earlier version.
        repair: write an array anew that is damaged.

    Raises:
        FractaljaxError: an array is damaged and cannot be computed again.
    """
    if "coordinates" not in attributes:
        return earlier.placed(window)
    axes = []
    for name, axis in _named(window):
        try:
            said = attributes["coordinates"][name]
            rule, check = str(said["rule"]), int(said["crc32"])
        except (TypeError, KeyError, ValueError):
            raise FractaljaxError(
                f"{path / 'field' / 'zarr.json'} is damaged or was not written by fractaljax"
            ) from None
        place = path / "field" / name
        try:
            values = arrays.read_line(place, axis.n)
            if _check(values) != check:
                raise ValueError("its checksum is another")
        except ValueError as error:
            values = _again(place, axis, rule, check, disk.reason(error))
            if repair:
                arrays.write_line(place, values)
        axes.append(axis.keeping(values, rule))
    return Window(*axes)


def _again(place: Path, axis: Axis | Lattice, rule: str, check: int, why: str) -> np.ndarray:
    """Coordinates whose array is damaged."""
    for values in (axis.points(), axis.exact()):
        if _check(values) == check:
            log.warning("%s is damaged and was computed again (%s)", place, why)
            return values
    raise FractaljaxError(
        f"{place}: the coordinates of {axis.path} are damaged ({why}). Their rule is '{rule}': the "
        "same scan again computes them anew where it gives the same; else take this folder from a "
        "copy, or --overwrite the result"
    )


def _named(window: Window) -> Iterator[tuple[str, Axis | Lattice]]:
    return zip(arrays.COORDINATES, window.axes, strict=False)


def _check(values: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(values, "<f8").tobytes())
