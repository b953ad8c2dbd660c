"""One mesh over several processes (`jax.distributed`): placing, collecting, and going in step.

All processes run the same script; each holds its own devices' shards, and every call on the mesh
must be made by all of them in the same order. Process 0 says which tile is next and is the only
one with a store. With one process each function here is what it wraps.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, Sharding

from fractaljax.engine.order import KERNELS, begun_with
from fractaljax.errors import FractaljaxError
from fractaljax.types import Tree
from fractaljax.window import Tile, Window

AGREED = ("chunk", "tile", "kernel")  # of the numeric setting: what makes a program
LONGEST = 256  # bytes of the rule of coordinates
END = -1  # instead of the index of a tile


def several() -> bool:
    """Whether this process is one of several of a `jax.distributed` job."""
    return jax.process_count() > 1


def leads() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def check(mesh: Mesh, chunk: int | None) -> None:
    """Refuses what would make the processes wait for each other for ever."""
    if several() and mesh.size != jax.device_count():
        raise FractaljaxError(
            f"devices={mesh.size}: this job has {jax.device_count()} in {jax.process_count()} "
            "processes, and a scan takes all of them"
        )
    if several() and chunk is None:
        raise FractaljaxError(
            f"chunk: a scan by {jax.process_count()} processes needs a number; each would measure "
            "its own"
        )


def alone(what: str) -> None:
    """Refuses what one process does for itself, where there are several."""
    if several():
        raise FractaljaxError(
            f"{what}: this is one of {jax.process_count()} processes of a jax.distributed job, "
            "which can only scan"
        )


def placed(tree: Tree, sharding: Sharding) -> Tree:
    """Arrays on the devices of a sharding; JAX raises where two processes hold different ones."""

    def one(leaf: Any) -> Any:
        if sharding.is_fully_addressable or not _is_key(leaf):
            return jax.device_put(leaf, sharding)
        words = jax.device_put(jax.random.key_data(leaf), sharding)  # as keys they cannot travel
        return jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))

    return jax.tree.map(one, tree)


def collected(tree: Tree) -> Tree:
    """The same arrays on the host, whole in every process."""
    if all(leaf.is_fully_addressable for leaf in jax.tree.leaves(tree)):
        return jax.device_get(tree)
    return multihost_utils.process_allgather(tree, tiled=True)


def agreed(begin: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The numeric setting that `begin` answers with, with the chunk, tile and kernel of process 0,
    whose store may know them; where `begin` raises, all processes do."""
    if not several():
        return begin()
    numeric, refusal = {}, None
    try:
        numeric = begin()
    except FractaljaxError as error:  # raised once the others know
        refusal = error
    kernel = KERNELS.index(begun_with(numeric))
    own = np.array([numeric.get("chunk", 0), numeric.get("tile", 0), kernel])
    chunk, tile, kernel = map(int, multihost_utils.broadcast_one_to_all(own))
    if refusal:
        raise refusal
    if not chunk:
        raise FractaljaxError("process 0 of this job refused the scan, and says why")
    return numeric | dict(zip(AGREED, (chunk, tile, KERNELS[kernel]), strict=True))


def same(window: Window) -> Window:
    """The window with the coordinates of process 0, whose store may keep others than are computed
    here."""
    if not several():
        return window
    words = [axis.points().view(np.uint32) for axis in window.axes]  # float64 may not travel
    rules = [np.frombuffer(a.rule.encode().ljust(LONGEST), np.uint8) for a in window.axes]
    told = multihost_utils.broadcast_one_to_all((words, rules))
    axes = []
    for axis, line, rule in zip(window.axes, *told, strict=True):
        values = np.asarray(line, np.uint32).view(np.float64)
        axes.append(axis.keeping(values, np.asarray(rule, np.uint8).tobytes().decode().rstrip()))
    return Window(*axes)


def led(pending: Iterator[tuple[int, Tile]]) -> Iterator[tuple[int, Tile]]:
    """The tiles that process 0 has pending, in all processes; those of the others do not count."""
    if not several():
        yield from pending
        return
    end = END, Tile(0, 0, 0, 0)
    while True:
        index, tile = next(pending, end) if leads() else end
        index, *sides = map(int, multihost_utils.broadcast_one_to_all(np.array([index, *tile])))
        if index == END:
            return
        yield index, Tile(*sides)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(getattr(leaf, "dtype", np.float64), jax.dtypes.prng_key)
