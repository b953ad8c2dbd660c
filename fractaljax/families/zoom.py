"""Zoom sequences: levels around one centre, each trained again at full resolution.

All levels have one shape, so all go through one compiled program; samples that a level shares
with the one before, bit for bit, are taken over instead of being trained again. Coordinates are
exact, also with `draws: legacy`: levels are lattices, which the published notebook has none of. A
zoom that an earlier version began goes on with the coordinates of that version.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import config
from fractaljax.axis import EXACT, Axis, Lattice
from fractaljax.cluster import Cluster, Team, connected
from fractaljax.config.files import named_files
from fractaljax.engine import hosts, order
from fractaljax.engine.scan import Known, Progress
from fractaljax.errors import FractaljaxError
from fractaljax.families import fractal
from fractaljax.field import Field
from fractaljax.levels import Zoom
from fractaljax.spec import Spec
from fractaljax.store import earlier, open_field, open_zoom, origins
from fractaljax.store.disk import on_disk
from fractaljax.store.zooms import level_folder, read_plan, write_plan
from fractaljax.window import Tile, Window

WIDE = 6.0  # decades: a zoom goes out until both log axes span as many, as published
MAX_LEVELS = 1100  # more halvings than any float64 has


class Plan(NamedTuple):
    """A zoom sequence before it is trained."""

    spec: Spec
    windows: tuple[Window, ...]  # widest first
    center: tuple[Decimal, ...]  # axis coordinates, x first
    factor: float
    found: Mapping[str, Any]  # how the centre was found; empty where it was given


def zoom(
    spec: Spec,
    window: Window,
    store: str | Path,
    *,
    center: Sequence[Decimal | str | float] | None = None,
    levels: int | None = None,
    factor: float = 2.0,
    resolution: int | None = None,
    **how: Any,
) -> Zoom:
    """Trains a zoom sequence: `plan`, then `run`.

    Args:
        spec, window: what to train, and where.
        store: folder of the zoom; the same call goes on where an earlier one stopped.
        center: axis coordinates, x first; text keeps all its digits. See `plan`.
        levels, factor, resolution: see `plan`.
        how: see `run`.

    Example:
        >>> spec, window = fj.load("configs/paper/tanh.yaml", ["steps=20"], only="demo")
        >>> zoom = fj.zoom(spec, window.resized(4), "outputs/zoom", center=("1", "2"), levels=2)
        >>> len(zoom), zoom[1].window.x.span / zoom[0].window.x.span
        (2, 0.5)
    """
    try:
        exact = None if center is None else [Decimal(c) for c in center]
    except (InvalidOperation, TypeError, ValueError):
        raise FractaljaxError(f"center={center!r}: takes a number for each axis") from None
    asked = plan(spec, window, center=exact, levels=levels, factor=factor, resolution=resolution)
    return run(asked, store, **how)


def plan(
    spec: Spec,
    window: Window,
    *,
    center: Sequence[Decimal] | None = None,
    levels: int | None = None,
    factor: float = 2.0,
    resolution: int | None = None,
    found: Mapping[str, Any] | None = None,
) -> Plan:
    """The windows of a zoom.

    Args:
        spec, window: what to train, and where.
        center: axis coordinates, x first, to any precision: the zoom goes in from `window` to
            this point. None: it goes out from `window` around its middle, until log axes span
            six decades (the published way) and linear ones are as wide as their largest value.
        levels: how many (default: 12 on the way in; as many as it takes on the way out).
        factor: how many times narrower each level is than the one before.
        resolution: samples along each axis (default: the window's).
        found: how the centre was found, to be kept beside it.

    Raises:
        FractaljaxError: the window or a number does not allow a zoom, in one line.
    """
    if not 1 < factor <= 1024:
        raise FractaljaxError(f"factor={factor}: a number above 1, up to 1024")
    factor = float(factor)
    if levels is not None and not 1 <= levels <= MAX_LEVELS:
        raise FractaljaxError(f"levels={levels}: allowed are 1 to {MAX_LEVELS}")
    if resolution is not None:
        window = window.resized(resolution)
    if center is None:
        depths = _outwards(window, levels, factor)
    else:
        depths = [factor**-k for k in range(levels or 12)]
    middle = tuple(a.center for a in window.axes) if center is None else tuple(center)
    if len(middle) != len(window.axes):
        raise FractaljaxError(
            f"center has {len(middle)} numbers, the window {len(window.axes)} axes"
        )
    windows = tuple(around(window, middle, scale) for scale in depths)
    return Plan(spec, windows, middle, factor, dict(found or {}))


def around(window: Window, center: Sequence[Decimal], scale: float) -> Window:
    """A window of the same shape around a centre, `scale` times as wide."""
    axes = []
    for axis, middle in zip(window.axes, center, strict=True):
        if not middle.is_finite():
            raise FractaljaxError(f"center {middle}: must be a finite number")
        width = axis.span * axis.n / max(axis.n - 1, 1) * scale
        axes.append(Lattice.around(axis.path, middle, width, axis.n, axis.scale))
    return Window(*axes)


def run(
    plan: Plan,
    path: str | Path,
    *,
    chunk: int | None = None,
    kernel: str | None = None,
    devices: int | None = None,
    tile: int | str | None = None,
    allow_merged: bool = False,
    on_level: Callable[[int, Field], Any] | None = None,
    on_tile: Callable[[int, Progress], Any] | None = None,
    cluster: str | Cluster | Team | None = None,
) -> Zoom:
    """Trains every level, the widest first; the same call goes on where an earlier one stopped.

    Args:
        plan: of this module.
        path: folder of the zoom; `fractaljax.store.zooms` says what lies where.
        chunk, kernel, devices, tile: see `fractaljax.scan`; one choice for all levels.
        allow_merged: train levels beyond the precision floor all the same.
        on_level: called with the number of a level and its Field.
        on_tile: called with the number of the level and a `Progress` after every tile.
        cluster: see `fractaljax.scan`; the levels are trained one after the other, tile by tile.

    Raises:
        FractaljaxError: a level lies beyond the precision floor, before anything is trained.
    """
    hosts.alone("a zoom")
    begin(plan, path, allow_merged)
    windows = [placed(window, path) for window in plan.windows]
    before: Field | None = None
    with contextlib.ExitStack() as stack:
        team = None if cluster is None else stack.enter_context(connected(cluster, devices))
        for level, window in enumerate(windows):
            origins.check_folder(Path(path), [plan.spec])  # every level reads again
            known = None
            if team is not None and level:  # workers read the level before where it lies
                known = _Stored(level_folder(path, level - 1).absolute(), window, chunk, kernel)
            elif before is not None:
                known = shared(before, window, chunk, kernel)
            field = fractal.scan(
                plan.spec,
                window,
                store=level_folder(path, level),
                chunk=chunk,
                kernel=kernel,
                devices=devices,
                tile=tile,
                known=known,
                allow_merged=allow_merged,
                on_tile=on_tile and _numbered(on_tile, level),
                cluster=team,
            )
            chunk, before = field.provenance["chunk"], field
            kernel = order.begun_with(field.provenance)
            if on_level:
                on_level(level, field)
    return open_zoom(path)


def begin(plan: Plan, path: str | Path, allow_merged: bool = False) -> None:
    """Keeps a plan in its folder; raises for what `check` refuses, and where that cannot be."""
    check(plan, allow_merged)
    begun = read_plan(path) is not None
    named = begin_files(plan.spec, path)
    write_plan(path, as_tree(plan))
    if begun:
        origins.keep(Path(path), named, begun=True)


def begin_files(spec: Spec, path: str | Path) -> origins.Named:
    """The digests of the files of a zoom, which it keeps from here on if it has no plan yet: before
    anything is trained to make one. Raises where a zoom was begun with other files."""
    named = named_files([spec])
    origins.check(path, named, origins.read(Path(path)))
    if read_plan(path) is None:
        origins.check_free(Path(path), named)
        with on_disk(Path(path)):
            Path(path).mkdir(parents=True, exist_ok=True)
            origins.keep(Path(path), named, begun=False)
    return named


def placed(window: Window, path: str | Path) -> Window:
    """The window of a level with the coordinates of the zoom in a folder, already begun: one rule
    for all levels."""
    kept = read_plan(path)
    return window if kept is None or "coordinates" in kept else earlier.placed(window)


def check(plan: Plan, allow_merged: bool = False) -> None:
    """Raises when a level leaves the range of the dtype, or lies beyond the precision floor,
    unless that is allowed."""
    plan.windows[0].check(plan.spec.dtype, allow_merged=True)  # the widest reaches the farthest
    last = len(plan.windows) - 1
    deepest = floor_level(plan)
    if last > deepest and not allow_merged:
        raise FractaljaxError(
            f"level {deepest} is the last at which {plan.windows[0].x.n} columns differ in "
            f"{plan.spec.dtype}, and {last} is asked for: take fewer levels or fewer columns, or "
            "--allow-merged"
        )


def floor_level(plan: Plan) -> int:
    """The last level at which all samples of every axis differ in the Spec's dtype; the windows of
    the plan need not go that deep."""
    level = 0
    while level < MAX_LEVELS:
        try:
            window = around(plan.windows[0], plan.center, plan.factor ** -(level + 1))
            if window.merged(plan.spec.dtype):
                break
        except FractaljaxError:  # the width itself ended
            break
        level += 1
    return level


def shared(
    before: Field, window: Window, chunk: int | None, kernel: str | None = order.XLA
) -> Known:
    """Pixels of a window that are samples of a Field, bit for bit, with what they read there."""
    places = [_places(a, b) for a, b in zip(before.window.axes, window.axes, strict=True)]
    (columns, same_x), (rows, same_y) = places[0], (places[1:] or [(np.zeros(1, int), [True])])[0]
    flat = window.y is None
    # another chunk or kernel reads other last bits, and a chunk that shrank on the way is two
    made = before.provenance
    agrees = (made["chunk"], order.begun_with(made)) == (chunk, kernel)
    agrees &= "first_chunk" not in made

    def known(tile: Tile) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        mask = np.outer(np.asarray(same_y)[tile.rows], same_x[tile.columns]) & agrees
        if not mask.any():
            return mask, {}
        at = rows[tile.rows]
        low, high = int(at.min()), int(at.max()) + 1
        taken = {}
        for name, array in before.arrays.items():
            values = np.asarray(array)[None] if flat else np.asarray(array[low:high])
            taken[name] = values[at - low][:, columns[tile.columns]]
        done = before.done[None] if flat else before.done[low:high]
        return mask & done[at - low][:, columns[tile.columns]], taken

    return known


class _Stored(NamedTuple):
    """`shared` with a level on disk, as a value that can be sent to other machines."""

    path: Path
    window: Window
    chunk: int | None
    kernel: str | None

    def __call__(self, tile: Tile) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
        return _shared_with(*self)(tile)


@functools.lru_cache(maxsize=1)  # all tiles of a level ask for the same
def _shared_with(path: Path, window: Window, chunk: int | None, kernel: str | None) -> Known:
    return shared(open_field(path), window, chunk, kernel)


def as_tree(plan: Plan) -> dict[str, Any]:
    """The plan as plain values, for `zoom.json`."""
    return {
        "factor": plan.factor,
        "levels": len(plan.windows),
        "center": [str(c) for c in plan.center],
        "coordinates": EXACT,
        "found": dict(plan.found),
        "settings": config.as_tree(plan.spec, plan.windows[0]),
    }


def _outwards(window: Window, levels: int | None, factor: float) -> list[float]:
    """Scales of the levels on the way out from the deepest window, widest first."""
    count = levels or 1
    if levels is None:
        while not all(_wide(axis, axis.span * factor ** (count - 1)) for axis in window.axes):
            count += 1
            if count > MAX_LEVELS:
                raise FractaljaxError(
                    f"factor={factor}: more than {MAX_LEVELS} levels on the way out; take a "
                    "larger one"
                )
        if count == 1:
            raise FractaljaxError(
                "this window is an overview already: give --center X Y, or --auto, to zoom in"
            )
    try:
        return [factor**k for k in reversed(range(count))]
    except OverflowError:
        raise FractaljaxError(
            f"levels={count}, factor={factor}: the widest level leaves the range of float64"
        ) from None


def _wide(axis: Axis | Lattice, width: float) -> bool:
    linear = axis.scale == "linear"
    return width >= (max(abs(axis.min), abs(axis.max)) if linear else WIDE)


def _places(old: Axis | Lattice, new: Axis | Lattice) -> tuple[np.ndarray, np.ndarray]:
    """For every sample of `new` a place in `old`, and whether it is the same number there."""
    have, want = old.points(), new.points()
    at = np.clip(np.searchsorted(have, want), 0, len(have) - 1)
    return at, have[at] == want


def _numbered(on_tile: Callable[[int, Progress], Any], level: int) -> Callable[[Progress], Any]:
    return lambda progress: on_tile(level, progress)
