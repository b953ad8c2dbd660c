"""The compiled program of a tile: chunks of neighbouring pixels, dealt to the devices in turn.

`shard_map` over the mesh, `lax.map` over chunks, and inside a chunk the *step* is vmapped, not
the loop: one loop over vmapped steps is left as soon as all networks of the chunk are settled,
and its carry is never selected. Nothing here grows with pixels x steps.
"""

import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fractaljax.engine import train
from fractaljax.engine.streams import Draws, draw, generator, shared_draws, source_of
from fractaljax.ledger import Reading
from fractaljax.spec import Spec
from fractaljax.types import Array, Tree

STEPS_A_CHECK = 10  # between two looks at whether all networks of a chunk are settled
PIXELS = "pixels"  # the one axis of the mesh


class Program(NamedTuple):
    """A compiled tile of at most `capacity` pixels."""

    run: Callable[[np.ndarray], dict[str, np.ndarray]]  # points [P, A] float64 -> readings [P, ...]
    capacity: int
    compiled: Any  # for its memory and cost analysis


class _Layout(NamedTuple):
    """`chunks` chunks of `chunk` pixels each, on `devices` devices; `chunks` is a multiple."""

    devices: int
    chunks: int
    chunk: int


def compile_tile(
    spec: Spec, names: tuple[str, ...], pixels: int, chunk: int, mesh: Mesh
) -> Program:
    """The program that trains up to `pixels` pixels; compiled once for all tiles of a size.

    Args:
        spec: what to train.
        names: canonical paths of the axes.
        pixels: capacity; fewer cost only their chunks.
        chunk: networks that train side by side on one device.
        mesh: one-dimensional, over the axis `pixels`.
    """
    devices = mesh.size
    chunks = -(-pixels // (chunk * devices)) * devices
    return _compiled(spec, names, _Layout(devices, chunks, chunk), mesh)


@functools.lru_cache(maxsize=32)
def _compiled(spec: Spec, names: tuple[str, ...], layout: _Layout, mesh: Mesh) -> Program:
    own = draws_of_its_own(spec, names)
    common = source_of(spec) if own else shared_draws(spec)
    split, whole = NamedSharding(mesh, P(PIXELS)), NamedSharding(mesh, P())
    common = jax.tree.map(lambda leaf: jax.device_put(leaf, whole), common)

    def local(values: Array, words: Array, live: Array, common: Tree) -> dict[str, Array]:
        one = functools.partial(_train_chunk, spec, names, own, common)
        return jax.lax.map(lambda c: one(*c), (values, words, live))

    program = jax.jit(
        jax.shard_map(
            local,
            mesh=mesh,
            in_specs=(P(PIXELS), P(PIXELS), P(PIXELS), P()),
            out_specs=P(PIXELS),
            check_vma=False,
        )
    )
    inputs = _arguments(np.zeros((1, len(names))), spec, layout)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=split) for a in inputs]
    with generator(spec):  # the generator is chosen when random bits are lowered
        compiled = program.lower(*shapes, common).compile()

    def run(points: np.ndarray) -> dict[str, np.ndarray]:
        placed = [jax.device_put(a, split) for a in _arguments(points, spec, layout)]
        out = jax.device_get(compiled(*placed, common))
        return {k: _collected(v, layout)[: len(points)] for k, v in out.items()}

    return Program(run, layout.chunks * layout.chunk, compiled)


@functools.lru_cache(maxsize=64)
def readings(spec: Spec, names: tuple[str, ...]) -> Mapping[str, Reading]:
    """Name, shape and dtype of what one network reads, in the order of the folds, without
    compiling anything; whatever a step refuses is refused here, before a store is made."""
    own = draws_of_its_own(spec, names)
    common = source_of(spec) if own else shared_draws(spec)
    values, words, _ = _arguments(np.zeros((1, len(names))), spec, _Layout(1, 1, 1))
    order: list[str] = []  # noted while tracing: what comes out of it is sorted by name

    def one(hparams: train.Hparams, words: Array) -> dict[str, Array]:
        draws = _own_draws(spec, common, hparams, words) if own else common
        state = train.begin(spec, hparams, draws)
        state = train.step(spec, hparams, draws, jnp.zeros((), jnp.int32), state)
        out = train.reading(spec, hparams, state)
        order.extend(out)
        return out

    with generator(spec):
        hparams = dict(zip(names, values[0, 0], strict=True))
        out = jax.eval_shape(one, hparams, words[0, 0])
    return types.MappingProxyType({k: Reading(out[k].shape, out[k].dtype.name) for k in order})


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of a compiled program says that it asked for too much memory."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text


def draws_of_its_own(spec: Spec, names: tuple[str, ...]) -> bool:
    """Whether every pixel has its own data and weights."""
    return spec.redraw or "seed" in names


def _train_chunk(
    spec: Spec,
    names: tuple[str, ...],
    own: bool,
    common: Tree,
    values: Array,
    words: Array,
    live: Array,
) -> dict[str, Array]:
    """Trains a chunk: `values` `[chunk, A]`; nothing at all where `live` is false."""
    hparams = dict(zip(names, values.T, strict=True))
    draw_own = jax.vmap(functools.partial(_own_draws, spec, common))
    draws, axes = (draw_own(hparams, words), 0) if own else (common, None)
    begin = jax.vmap(functools.partial(train.begin, spec), in_axes=(0, axes))
    step = jax.vmap(functools.partial(train.step, spec), in_axes=(0, axes, None, 0))
    settled = jax.vmap(functools.partial(train.settled, spec))
    reading = jax.vmap(functools.partial(train.reading, spec))

    def going(carry):
        t, state = carry
        return live & (t < spec.steps) & ~jnp.all(settled(hparams, state))

    def some(carry):
        t, state = carry
        count = (
            STEPS_A_CHECK
            if spec.steps % STEPS_A_CHECK == 0
            else jnp.minimum(STEPS_A_CHECK, spec.steps - t)
        )
        state = jax.lax.fori_loop(0, count, lambda i, s: step(hparams, draws, t + i, s), state)
        return t + count, state

    start = jnp.zeros((), jnp.int32), begin(hparams, draws)
    return reading(hparams, jax.lax.while_loop(going, some, start)[1])


def _own_draws(spec: Spec, source: Tree, hparams: train.Hparams, words: Array) -> Draws:
    """Draws of one pixel, from its values and not from its place: the same point has the same
    networks in every window."""
    key = jax.random.key(jnp.asarray(hparams.get("seed", spec.seed)).astype(jnp.uint32))
    for i in range(words.shape[-1]):
        key = jax.random.fold_in(key, words[i])
    return draw(spec, key, source)


def _arguments(points: np.ndarray, spec: Spec, layout: _Layout) -> list[np.ndarray]:
    """Values, identity words and liveness of every chunk, in the order the devices hold them."""
    chunks, chunk = layout.chunks, layout.chunk
    missing = chunks * chunk - len(points)
    last = points[-1:] if len(points) else np.ones((1, points.shape[1]))  # all pixels are known
    padded = np.concatenate([points, np.broadcast_to(last, (missing, points.shape[1]))])
    words = (
        np.ascontiguousarray(padded).view(np.uint32)
        if spec.redraw
        else np.zeros((len(padded), 0), np.uint32)
    )
    live = np.arange(chunks) * chunk < len(points)
    rows = [padded.astype(spec.dtype), words]
    return [
        _dealt(a, layout) for a in (*(r.reshape(chunks, chunk, r.shape[1]) for r in rows), live)
    ]


def _dealt(chunks: np.ndarray, layout: _Layout) -> np.ndarray:
    """Chunk g goes to device g mod D: no device gets all the chunks that settle early."""
    rows = chunks.reshape(len(chunks) // layout.devices, layout.devices, *chunks.shape[1:])
    return np.swapaxes(rows, 0, 1).reshape(chunks.shape)


def _collected(dealt: np.ndarray, layout: _Layout) -> np.ndarray:
    """The inverse of `_dealt`, flattened to one row a pixel."""
    rows = dealt.reshape(layout.devices, len(dealt) // layout.devices, *dealt.shape[1:])
    return np.swapaxes(rows, 0, 1).reshape(layout.chunks * layout.chunk, *dealt.shape[2:])
