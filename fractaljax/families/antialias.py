"""Antialiasing: a window trained again with n x n networks a pixel, where that shows."""

import dataclasses
import decimal
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fractaljax.analysis import edges
from fractaljax.axis import Axis, Lattice
from fractaljax.engine import order, plan
from fractaljax.engine.scan import Progress
from fractaljax.errors import FractaljaxError
from fractaljax.families import fractal
from fractaljax.field import Field
from fractaljax.store import earlier, origins
from fractaljax.window import Tile, Window

SAMPLES = (2, 8)  # sub-samples along a pixel, least and most
STEP = 1 / 32  # of all ranks of one outcome: neighbours further apart differ visibly
STRIP = 2**20  # pixels compared at once
REFERENCE = 2**20  # pixels the ranks are taken from, at most


def supersample(
    field: Field,
    n: int,
    *,
    store: str | Path | None,
    adaptive: bool = True,
    devices: int | None = None,
    on_tile: Callable[[Progress], Any] | None = None,
) -> Field:
    """Trains `n` x `n` sub-samples a pixel, evenly spread over the area of the pixel.

    Args:
        field: complete, with two axes.
        n: 2 to 8. An odd number has the pixel itself in the middle, which is not trained again
            where both are the same numbers.
        store: folder of the result, an ordinary store; None keeps it in memory. Keep adaptive
            and other results apart.
        adaptive: train the sub-samples of those pixels only that differ from one of their eight
            neighbours, in outcome or clearly in rank; the others take the value of their pixel.
        devices, on_tile: see `fractal.scan`.

    Returns:
        A Field of `n` times as many rows and columns; `provenance["known"]` counts what was not
        trained.

    Raises:
        FractaljaxError: the number or the field is not possible, or the sub-samples leave the
            range of an axis: they reach `(n - 1) / 2n` of a pixel beyond its ends.
    """
    check(field, n)
    window = Window(*(finer(axis, n) for axis in field.window.axes))
    same = field.provenance.get("backend") == plan.mesh(devices).devices.flat[0].platform
    try:
        window = fractal.placed(field.spec, window, store)
        known = _Known(field, n, window, adaptive, same)
        return fractal.scan(
            field.spec,
            window,
            store=store,
            # law 3: the same last bits
            chunk=field.provenance["chunk"] if same else None,
            kernel=order.begun_with(field.provenance) if same else None,
            devices=devices,
            known=known,
            on_tile=on_tile,
        )
    except FractaljaxError as error:
        begun = store is not None and (Path(store) / "field").exists()
        way_out = f" Remove {store} to begin anew." if begun else ""
        raise FractaljaxError(
            f"antialiasing with {n} x {n} samples a pixel: {error}{way_out}"
        ) from None


def check(field: Field, n: int) -> None:
    """Raises when a field cannot be antialiased with `n` x `n` samples a pixel."""
    if not SAMPLES[0] <= n <= SAMPLES[1]:
        raise FractaljaxError(f"antialiasing with {n}: allowed are {SAMPLES[0]} to {SAMPLES[1]}")
    if field.window.y is None:
        raise FractaljaxError("a field with one axis is a line plot: there is nothing to antialias")
    if not field.done.all():
        share = 100 * np.count_nonzero(field.done) / field.done.size
        raise FractaljaxError(f"only {share:.3g} % of the field are trained: finish the scan first")
    origins.check_field(field)


def finer(axis: Axis | Lattice, n: int) -> Axis | Lattice:
    """`n` samples for each sample of an axis: at `(k - (n - 1) / 2) / n` pitches from it, by the
    rule of an earlier version where the axis has its coordinates."""
    fine = _finer(axis, n)
    return earlier.kept(fine) if axis.rule == earlier.RULE else fine


def _finer(axis: Axis | Lattice, n: int) -> Axis | Lattice:
    if isinstance(axis, Lattice):
        return _finer_lattice(axis, n)
    pitch = axis.span / max(axis.n - 1, 1)
    middle = (axis.low + axis.high) / 2  # where a single sample lies
    low, high = (axis.low, axis.high) if axis.n > 1 else (middle, middle)
    beyond = pitch * (n - 1) / (2 * n)
    beyond *= axis.direction
    return dataclasses.replace(axis.between(low - beyond, high + beyond), n=n * axis.n)


def differing(field: Field) -> np.ndarray:
    """Pixels that differ from one of their eight neighbours: bool `[ny, nx]`.

    In the outcome (the sign of `measure`, else the value of `status`), or by more than `STEP`
    in rank among the pixels of their sign.
    """
    ny, nx = field.window.grid
    ranks = _ranks(field)
    found = np.zeros((ny, nx), bool)
    rows = max(STRIP // nx, 1)
    for top in range(0, ny, rows):
        low, high = max(top - 1, 0), min(top + rows + 1, ny)
        place = ranks(low, high)
        padded = np.pad(place, 1, mode="edge")
        least = most = place
        for dy, dx in np.ndindex(3, 3):
            beside = padded[dy : dy + high - low, dx : dx + nx]
            least, most = np.minimum(least, beside), np.maximum(most, beside)
        apart = np.maximum(most - place, place - least) > STEP
        bottom = min(top + rows, ny)
        found[top:bottom] = apart[top - low : bottom - low]
    return found


def _ranks(field: Field) -> Callable[[int, int], np.ndarray]:
    """A function that gives rows of ranks: 0 to 1 below zero, 2 to 3 from zero on, 5 for NaN;
    whole numbers for `status`."""
    reading = edges.telling(field.arrays) or field.shown

    def rows(low: int, high: int, every: int = 1) -> np.ndarray:
        values = np.asarray(field.arrays[reading][low:high][::every])
        return values.reshape(*values.shape[:2], -1)[:, ::every, -1].astype(np.float64)

    if reading == "status":
        return rows
    ny, nx = field.window.grid
    every = math.ceil(math.sqrt(max(ny * nx / REFERENCE, 1)))
    strip = max(STRIP // nx // every, 1) * every
    parts = [rows(t, min(t + strip, ny), every).ravel() for t in range(0, ny, strip)]
    reference = np.sort(np.concatenate(parts))
    negative, others = reference[reference < 0], reference[reference >= 0]

    def ranks(low: int, high: int) -> np.ndarray:
        values = rows(low, high)
        below = np.searchsorted(negative, values) / max(len(negative), 1)
        above = 2 + np.searchsorted(others, values) / max(len(others), 1)
        return np.where(np.isnan(values), 5.0, np.where(values < 0, below, above))

    return ranks


class _Known:
    """Which sub-samples need no training, tile by tile, and what they read.

    Args:
        field, n, window: the coarse field, and the window of its sub-samples.
        adaptive: see `supersample`.
        same: whether pixels that are sub-samples themselves may be taken as they are.
    """

    def __init__(self, field: Field, n: int, window: Window, adaptive: bool, same: bool):
        self._field, self._n = field, n
        self._rough = differing(field) if adaptive else None
        self._same = [
            np.repeat(a.points(), n) == b.points() if same and n % 2 else np.zeros(b.n, bool)
            for a, b in zip(field.window.axes, window.axes, strict=True)
        ]

    def __call__(self, tile: Tile) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        rows, columns = (np.arange(s.start, s.stop) // self._n for s in (tile.rows, tile.columns))
        mask = np.outer(self._same[1][tile.rows], self._same[0][tile.columns])
        if self._rough is not None:
            mask |= ~self._rough[rows][:, columns]
        low, high = int(rows[0]), int(rows[-1]) + 1
        taken = {
            name: np.asarray(array[low:high])[rows - low][:, columns]
            for name, array in self._field.arrays.items()
        }
        return mask, taken


def _finer_lattice(axis: Lattice, n: int) -> Lattice:
    """Odd numbers keep the origin; even ones need it half a pitch further, in exact decimals."""
    count, first = n * axis.n, axis.first * n - n // 2
    # aimed between two whole numbers: `first` of the new axis rounds towards zero
    start = (first + math.copysign(0.25, first)) / count
    if n % 2:
        return dataclasses.replace(axis, n=count, start=start)
    with decimal.localcontext(prec=60):
        beside = axis.direction * decimal.Decimal(axis.width / count) / 2
        place = axis.coordinate(-axis.first) + beside
    origin = Lattice.around(axis.path, place, axis.width, count, axis.scale)
    return dataclasses.replace(origin, start=start)
