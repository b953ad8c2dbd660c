"""The trainability fractal: load a config, scan a window, keep the Field."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fractaljax import config
from fractaljax.cluster import Cluster, Team, connected, tiles
from fractaljax.config.files import named_files
from fractaljax.engine import coordinates, hosts, plan, program
from fractaljax.engine import scan as engine
from fractaljax.errors import FractaljaxError
from fractaljax.field import Field
from fractaljax.spec import Spec
from fractaljax.store import Store, origins
from fractaljax.window import Window


def prepare(dtype: str = "float32", devices: int | None = None) -> None:
    """Sets JAX up for a precision and this machine; call it before anything is computed.

    Args:
        dtype: `float32` or `float64` (JAX's global switch).
        devices: virtual CPU devices (default: one a core).
    """
    plan.prepare(dtype, devices)


def check(
    spec: Spec,
    window: Window,
    *,
    chunk: int | None = None,
    devices: int | None = None,
    tile: int | str | None = None,
    allow_merged: bool = False,
) -> None:
    """Raises for what `scan` would refuse, before anything is compiled or written; JAX is set to
    the precision."""
    plan.check_sizes(chunk, _side(tile))
    plan.mesh(devices)
    program.readings(spec, engine.check(spec, window, allow_merged))


def load(
    path: str | Path, overrides: Iterable[str] = (), only: str | None = None
) -> tuple[Spec, Window]:
    """The Spec and Window of one experiment, with JAX set to its precision.

    Args:
        path: a YAML config.
        overrides: `path=value` texts, as on the command line: `["steps=100"]`.
        only: name of the experiment (default: the first).

    Raises:
        FractaljaxError: for whatever the config or an override gets wrong, in one line.

    Example:
        >>> spec, window = fj.load("configs/paper/tanh.yaml", ["steps=20"], only="demo")
        >>> spec.steps, spec.dtype, window.shape
        (20, 'float64', (512, 512))
    """
    experiment = config.experiments(config.read(path), overrides, only=only)[0]
    plan.prepare(experiment.spec.dtype)
    return experiment.spec, experiment.window


def placed(spec: Spec, window: Window, store: str | Path | None) -> Window:
    """The window with the coordinates that `scan` trains at: those that the store keeps, or, where
    there is none yet, those it will be begun with.

    Raises:
        FractaljaxError: the store holds another scan, or cannot be read.
    """
    window = coordinates.begun(spec, window)
    return window if store is None else Store(store, spec, window).window


def scan(
    spec: Spec,
    window: Window,
    *,
    store: str | Path | None = None,
    overwrite: bool = False,
    chunk: int | None = None,
    kernel: str | None = None,
    devices: int | None = None,
    tile: int | str | None = None,
    known: engine.Known | None = None,
    allow_merged: bool = False,
    on_tile: Callable[[engine.Progress], Any] | None = None,
    cluster: str | Cluster | Team | None = None,
) -> Field:
    """Trains one network a pixel and returns the Field.

    Args:
        spec, window: what to train, and where.
        store: folder that keeps every finished tile; the same call goes on where it stopped.
            None keeps the result in memory, as all processes but the first of a
            `jax.distributed` job do.
        overwrite: throw away what the folder holds.
        chunk: networks side by side on a device (default: chosen for this machine).
        kernel: who takes the steps: `xla`, or `native`, a compiled loop for networks of one
            hidden layer (default: the quicker one, where that pays and there is a compiler). Where
            numbers are to come out as published (`draws: legacy` in float64): `xla`, or
            `published` where the notebook takes its sums in another order, as with three layers.
        devices: how many (default: all); with a cluster, of each worker.
        tile: side of a tile in pixels; 0 or `all` for the whole window in one call.
        known: tile -> (bool `[rows, columns]`, readings `[rows, columns, ...]`): pixels that are
            taken as they are instead of being trained.
        allow_merged: train a window whose neighbours are equal in the dtype all the same.
        on_tile: called with a `Progress` after every tile.
        cluster: `local:N`, `slurm:N`, `tcp://HOST:PORT` or a scheduler file: its workers train
            the tiles, into `store`, which all of them must see (extra `cluster`). Their `Progress`
            has no readings, and `known` is pickled.

    Raises:
        FractaljaxError: the scan is not possible as asked; nothing on disk is touched.

    Example:
        >>> spec, window = fj.load("configs/paper/tanh.yaml", ["steps=20"], only="demo")
        >>> field = fj.scan(spec, window.resized(6, 4), store="outputs/small")
        >>> field["measure"].shape, bool(field.done.all())
        ((4, 6), True)
        >>> field["measure"][0] < 0  # at the lowest rate of the output layer: converged
        array([ True,  True,  True,  True,  True,  True])
        >>> fj.open("outputs/small")["measure"].shape
        (4, 6)
    """
    side = _side(tile)
    for name, value in (("chunk", chunk), ("devices", devices), ("tile", side)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise FractaljaxError(f"{name}={value!r}: takes a whole number")
    window = coordinates.begun(spec, window)
    engine.check(spec, window, allow_merged)
    named = named_files([spec])  # what was read of other contents is forgotten
    if cluster is not None:
        if store is None:
            raise FractaljaxError("cluster: give a store, the folder that its workers write into")
        hosts.alone("a scan on a cluster")
        with connected(cluster, devices) as team:
            how: dict[str, Any] = {"overwrite": overwrite, "chunk": chunk, "tile": side}
            how |= {
                "kernel": kernel,
                "known": known,
                "allow_merged": allow_merged,
                "on_tile": on_tile,
            }
            return tiles.scan(team, spec, window, store, **how)
    mesh = plan.mesh(devices)
    hosts.check(mesh, chunk)
    ledger = None
    if store is not None and hosts.leads():
        ledger = Store(store, spec, window, overwrite=overwrite)
    field = engine.scan(
        spec,
        window,
        chunk=chunk,
        kernel=kernel,
        mesh=mesh,
        tile=side,
        store=ledger,
        known=known,
        allow_merged=allow_merged,
        on_tile=on_tile,
    )
    if ledger is None and (files := origins.as_list(named)):  # a store keeps its own
        return dataclasses.replace(
            field, provenance={**field.provenance, origins.PROVENANCE: files}
        )
    return field


def _side(tile: int | str | None) -> int | None:
    """The side of a tile; 0 for the whole window."""
    side = 0 if tile == "all" else tile
    if isinstance(side, str):
        raise FractaljaxError(f"tile={tile!r}: takes a whole number or all")
    return side
