"""A Spec over a Window: tile by tile through one compiled program."""

import datetime
import logging
import math
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from fractaljax.engine import coordinates, hosts, order, plan, program, ties
from fractaljax.engine.train import check_precision
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.ledger import Ledger, Memory
from fractaljax.spec import MANY_ROLES, MAX_SEED, PART_ROLES, Spec, build, is_seed
from fractaljax.window import Tile, Window

log = logging.getLogger("fractaljax")
# tile -> which of its pixels are known, bool [rows, columns], and readings [rows, columns, ...]
Known = Callable[[Tile], tuple[np.ndarray, Mapping[str, np.ndarray]]]
VERSIONED = ("fractaljax", "jax", "jaxlib", "flax", "optax", "numpy")


class Progress(NamedTuple):
    """What `on_tile` hears after every tile."""

    tile: Tile
    readings: dict[str, np.ndarray]  # `[rows, columns, ...]` of this tile
    left: int  # pixels of the window that are not trained yet
    total: int
    pixels: int  # trained in this run
    seconds: float  # of this run


def scan(
    spec: Spec,
    window: Window,
    *,
    chunk: int | None = None,
    kernel: str | None = None,
    mesh: Mesh | None = None,
    tile: int | None = None,
    store: Ledger | None = None,
    known: Known | None = None,
    allow_merged: bool = False,
    on_tile: Callable[[Progress], None] | None = None,
) -> Field:
    """Trains one network a pixel.

    Args:
        spec: what to train; its dtype must agree with `jax_enable_x64`.
        window: where; each axis is a traced path of the Spec.
        chunk: networks side by side on one device (default: the store's, else `plan` chooses).
        kernel: who takes the steps, `xla`, `native` or `published` (default: likewise).
        mesh: devices (default: all).
        tile: side of a tile in pixels; 0 is the whole window in one call (default: by backend).
        store: keeps every finished tile and knows which are pending (default: in memory).
        known: pixels that are taken as they are instead of being trained.
        allow_merged: train a window whose neighbours are equal in the dtype all the same.
        on_tile: called after every tile; whatever it raises ends the scan, tiles kept.

    Returns:
        The Field, with provenance.

    Raises:
        FractaljaxError: precision, axes or window are not possible, before anything compiles.
    """
    window = coordinates.begun(spec, window)
    names = check(spec, window, allow_merged)
    mesh = plan.mesh() if mesh is None else mesh
    hosts.check(mesh, chunk)
    ledger = Memory(spec, window) if store is None else store
    asked = plan.Numeric(chunk, tile, mesh.devices.flat[0].platform, kernel)
    numeric = hosts.agreed(lambda: _begin(spec, window, names, mesh, asked, ledger))
    window = hosts.same(ledger.window)  # from here on with the coordinates of the result
    if isinstance(ledger, Memory):
        ledger.window = window
    started, clock, pixels, taken = now(), time.perf_counter(), 0, 0
    try:
        for index, part in hosts.led(ledger.pending()):
            out, numeric, fresh = train_tile(
                spec, names, window, part, numeric, mesh, ledger, known
            )
            ledger.write(index, part, out)
            pixels, taken = pixels + fresh, taken + math.prod(part.shape) - fresh
            if on_tile:
                seconds = time.perf_counter() - clock
                on_tile(Progress(part, out, ledger.left(), window.size, pixels, seconds))
    finally:
        wall = time.perf_counter() - clock
        record = run_record(mesh, started, wall, pixels)
        field = ledger.finish({**record, "known": taken} if known else record)
    return field


def train_tile(
    spec: Spec,
    names: tuple[str, ...],
    window: Window,
    tile: Tile,
    numeric: dict[str, Any],
    mesh: Mesh,
    ledger: Ledger,
    known: Known | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, Any], int]:
    """The readings of a tile, `[rows, columns, ...]`, the numeric setting from here on, and how
    many of its pixels were trained."""
    mask, given = known(tile) if known else (np.zeros(tile.shape, bool), {})
    points = window.points(tile)[~mask.ravel()]
    fresh, numeric = _train(spec, names, window, points, numeric, mesh, ledger)
    return _merged(mask, given, fresh), numeric, len(points)


def check(spec: Spec, window: Window, allow_merged: bool = False) -> tuple[str, ...]:
    """The canonical paths of the axes; raises when the Spec cannot be trained over the window."""
    check_precision(spec)
    names = tuple(spec.traced(axis.path) for axis in window.axes)
    if len(set(names)) < len(names):
        raise FractaljaxError(f"window: both axes are {names[0]}; two different ones are needed")
    window.check(
        spec.dtype, allow_merged, [axis.path for axis in window.axes if is_seed(axis.path)]
    )
    # arrays, not plain floats: an end of an axis is a value among others, and a momentum of 0 on
    # an axis does not mean that there is no momentum
    values = {n: np.asarray(a.min) for n, a in zip(names, window.axes, strict=True)}
    for role in (*PART_ROLES, *MANY_ROLES):
        build(spec, role, values)
    for name, axis in zip(names, window.axes, strict=True):
        if is_seed(name) and not are_seeds(axis.points()):
            raise FractaljaxError(
                f"axis {name}: samples must be whole numbers from 0 to {MAX_SEED}; use scale: "
                "linear and n = max - min + 1"
            )
    ties.warn(spec, names)
    return names


def are_seeds(values: np.ndarray) -> bool:
    """Whether all values can be seeds of networks."""
    return np.array_equal(values, np.clip(np.rint(values), 0, MAX_SEED))


def _begin(
    spec: Spec,
    window: Window,
    names: tuple[str, ...],
    mesh: Mesh,
    asked: plan.Numeric,
    ledger: Ledger,
) -> dict[str, Any]:
    """The numeric setting, as the ledger was begun with or as it is begun now."""
    begun = ledger.begun()
    if begun is None and hosts.several() and asked.kernel is None:  # else each would measure
        asked = asked._replace(kernel=order.automatic(spec))
    numeric = (
        plan.settle(spec, window, names, mesh, asked) if begun is None else plan.agree(begun, asked)
    )
    plan.check_kernel(spec, names, asked._replace(kernel=numeric.get("kernel")))
    return ledger.begin(program.readings(spec, names), numeric)


def _train(
    spec: Spec,
    names: tuple[str, ...],
    window: Window,
    points: np.ndarray,
    numeric: dict[str, Any],
    mesh: Mesh,
    ledger: Ledger,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The readings of some pixels of a tile, `[P, ...]`, with a smaller chunk from here on if
    memory runs out."""
    capacity = math.prod(window.tile_shape(numeric["tile"]))
    while True:
        try:
            chunk, kernel = numeric["chunk"], order.begun_with(numeric)
            tiles = program.compile_tile(spec, names, capacity, chunk, mesh, kernel)
            return tiles.run(points), numeric
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not program.out_of_memory(error):
                raise
            if numeric["chunk"] == 1:
                raise FractaljaxError(
                    f"out of memory with one network at a time: {_first_line(error)}"
                ) from None
            first = numeric.get("first_chunk", numeric["chunk"])
            numeric = {**numeric, "chunk": numeric["chunk"] // 2, "first_chunk": first}
            log.warning("out of memory: going on with chunk %d", numeric["chunk"])
            ledger.renew(numeric)


def _merged(
    mask: np.ndarray, given: Mapping[str, np.ndarray], fresh: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """The readings of a tile, `[rows, columns, ...]`: known pixels where the mask says so."""
    out = {}
    for name, values in fresh.items():
        out[name] = np.empty((*mask.shape, *values.shape[1:]), values.dtype)
        out[name][~mask] = values
        if mask.any():
            out[name][mask] = given[name][mask]
    return out


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0]


def run_record(mesh: Mesh, started: str, wall: float, pixels: int) -> dict[str, Any]:
    """What there is to know about one run."""
    about = {"started": started, "wall_s": round(wall, 3), "pixels": pixels}
    return about | machine_record(mesh)


def machine_record(mesh: Mesh) -> dict[str, Any]:
    """By what something is trained: devices, versions, commit."""
    return {
        "devices": mesh.size,
        "device_kind": mesh.devices.flat[0].device_kind,
        "versions": {name: _version(name) for name in VERSIONED},
        "git": _git_revision(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None  # imported from a source tree that is not installed


def _git_revision() -> str | None:
    """The commit of the source tree this package is imported from, if it is one."""
    here = Path(__file__).parent
    try:
        tracked = subprocess.run(
            ["git", "ls-files", "--error-unmatch", __file__],
            cwd=here,
            capture_output=True,
            timeout=10,
        )
        if tracked.returncode:
            return None
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return (
            subprocess.run(
                describe, cwd=here, capture_output=True, text=True, timeout=10
            ).stdout.strip()
            or None
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def now() -> str:
    """Date and time of day, as records have them."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
