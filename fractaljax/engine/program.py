"""The compiled program of a tile: chunks of neighbouring pixels, dealt to the devices in turn.

`shard_map` over the mesh, `lax.map` over chunks, and inside a chunk the *step* is vmapped, not
the loop: one loop over vmapped steps is left as soon as all networks of the chunk are settled,
and its carry is never selected. Nothing here grows with pixels x steps.
"""

import contextlib
import functools
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fractaljax import contents
from fractaljax.engine import growth, hosts, lockstep, order, scaling, ties, train
from fractaljax.engine.hparams import Hparams, packed, unpacked
from fractaljax.engine.native import build, lanes
from fractaljax.engine.order import NATIVE, XLA
from fractaljax.engine.streams import generator
from fractaljax.errors import FractaljaxError
from fractaljax.ledger import Reading
from fractaljax.pair import Course, Pair, trainings
from fractaljax.types import Array, Tree

Common = Tree  # what all pixels share: a source on disk, draws

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
    kernel: str = XLA


def compile_tile(
    spec: Course,
    names: tuple[str, ...],
    pixels: int,
    chunk: int,
    mesh: Mesh,
    kernel: str = XLA,
) -> Program:
    """The program that trains up to `pixels` pixels; compiled once for all tiles of a size.

    Args:
        spec: what to train.
        names: canonical paths of the axes.
        pixels: capacity; fewer cost only their chunks.
        chunk: networks that train side by side on one device.
        mesh: one-dimensional, over the axis `pixels`.
        kernel: `xla`, or `native` or `published` where `plan` allows it.
    """
    devices = mesh.size
    chunks = -(-pixels // (chunk * devices)) * devices
    return _compiled(spec, names, _Layout(devices, chunks, chunk, kernel), mesh)


@contents.derived(maxsize=32)
def _compiled(spec: Course, names: tuple[str, ...], layout: _Layout, mesh: Mesh) -> Program:
    common = common_of(spec, names)
    split, whole = NamedSharding(mesh, P(PIXELS)), NamedSharding(mesh, P())
    common = hosts.placed(common, whole)

    def local(values: Array, words: Array, live: Array, common: Common) -> dict[str, Array]:
        one = functools.partial(_train_chunk, spec, names, layout.kernel, common)
        with order.summed(layout.kernel):
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
    inputs = _arguments(np.zeros((1, len(names))), spec, names, layout)
    shapes = [jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=split) for a in inputs]
    compiled = lowered(spec, names, program, *shapes, common).compile()

    def run(points: np.ndarray) -> dict[str, np.ndarray]:
        placed = hosts.placed(_arguments(points, spec, names, layout), split)
        out = hosts.collected(compiled(*placed, common))
        return {k: _collected(v, layout)[: len(points)] for k, v in out.items()}

    return Program(run, layout.chunks * layout.chunk, compiled)


def lowered(spec: Course, names: tuple[str, ...], program: Any, *arguments: Any) -> Any:
    """A jitted function of networks along these axes, lowered for some arguments."""
    with generator(spec):  # the generator is chosen when random bits are lowered
        traced = program.trace(*arguments)
        own = jax.tree.leaves(course_of(spec).drawn_axes(spec, names))
        # draws of a network's own are in float64, as the shared ones are
        with jax.enable_x64(True) if own else contextlib.nullcontext():
            return traced.lower()


@contents.derived(maxsize=64)
def readings(spec: Course, names: tuple[str, ...]) -> Mapping[str, Reading]:
    """Name, shape and dtype of what one network reads, in the order of the folds, without
    compiling anything; whatever a step refuses is refused here, before a store is made."""
    for side in trainings(spec):
        scaling.check(side)
        ties.warn(side, names)
    common = common_of(spec, names)
    values, words, _ = _arguments(np.zeros((1, len(names))), spec, names, _Layout(1, 1, 1))
    order: list[str] = []  # noted while tracing: what comes out of it is sorted by name

    def one(hparams: Hparams, words: Array, common: Common) -> dict[str, Array]:
        course, t = course_of(spec), jnp.zeros((), jnp.int32)
        draws = course.drawn(spec, common, hparams, words)
        state = course.begin(spec, hparams, draws)
        state = course.evaluate(spec, hparams, draws, t, state)
        state = course.step(spec, hparams, draws, t, state)
        state = course.look(spec, hparams, draws, t, state)
        if not isinstance(spec, Pair):
            state = train.growing(spec, hparams, draws)(t, state)
        out = course.reading(spec, hparams, state)
        order.extend(out)
        return out

    with generator(spec):
        hparams = unpacked(names, values[0, 0])
        out = jax.eval_shape(one, hparams, words[0, 0], common)
    if not order:
        raise FractaljaxError("nothing is recorded: a fold, a metric or stopping is needed")
    return types.MappingProxyType({k: Reading(out[k].shape, out[k].dtype.name) for k in order})


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of a compiled program says that it asked for too much memory."""
    text = str(error)
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text or "Out of memory" in text


def course_of(spec: Course) -> Any:
    """The module that trains: one network, or two in lockstep."""
    return lockstep if isinstance(spec, Pair) else train


def _train_chunk(
    spec: Course,
    names: tuple[str, ...],
    kernel: str,
    common: Common,
    values: Array,
    words: Array,
    live: Array,
) -> dict[str, Array]:
    """Trains a chunk: `values` `[chunk, A + S]`; nothing at all where `live` is false."""
    side = side_by_side(spec, names, common, values, words, kernel)
    stride = side.stride or STEPS_A_CHECK

    def going(carry):
        t, state = carry
        return live & (t < spec.steps) & ~jnp.all(side.settled(state))

    def some(carry):
        t, state = carry
        count = stride if spec.steps % stride == 0 else jnp.minimum(stride, spec.steps - t)
        return t + count, side.stretch(t, count, state)

    start = jnp.zeros((), jnp.int32), side.begin()
    return side.reading(jax.lax.while_loop(going, some, start)[1])


class Side(NamedTuple):
    """Networks side by side, each function of the course vmapped over them."""

    stride: int | None  # as in `train.stride`
    begin: Callable[[], Tree]  # () -> state
    stretch: Callable[[Array, Any, Tree], Tree]  # (t, count, state) -> state after those steps
    settled: Callable[[Tree], Array]  # (state) -> bool [chunk]
    reading: Callable[[Tree], dict[str, Array]]  # (state) -> readings [chunk, ...]


def side_by_side(
    spec: Course,
    names: tuple[str, ...],
    common: Common,
    values: Array,
    words: Array,
    kernel: str = XLA,
) -> Side:
    """The networks of some points, `values` `[chunk, A + S]` and `words` `[chunk, W]`."""
    course = course_of(spec)
    hparams = unpacked(names, values.T)
    axes = course.drawn_axes(spec, names)
    draws = jax.vmap(functools.partial(course.drawn, spec, common), out_axes=axes)(hparams, words)
    begin = jax.vmap(functools.partial(course.begin, spec), in_axes=(0, axes))

    def each(function: Callable) -> Callable[[Array, Tree], Tree]:
        mapped = jax.vmap(functools.partial(function, spec), in_axes=(0, axes, None, 0))
        return lambda t, state: mapped(hparams, draws, t, state)

    evaluate, step, look = each(course.evaluate), each(course.step), each(course.look)
    grows = not isinstance(spec, Pair) and (spec.growth or spec.rates)
    grow = growth.together(each) if grows else lambda t, state: state

    def stretch(t: Array, count: Any, state: Tree) -> Tree:
        state = evaluate(t, state)
        state = jax.lax.fori_loop(0, count, lambda i, s: step(t + i, s), state)
        return grow(t + count, look(t + count, state))

    side = Side(
        course.stride(spec, draws),
        lambda: begin(hparams, draws),
        stretch,
        lambda state: jax.vmap(functools.partial(course.settled, spec))(hparams, state),
        lambda state: jax.vmap(functools.partial(course.reading, spec))(hparams, state),
    )
    return _in_lanes(side, spec, hparams, draws, len(values)) if kernel == NATIVE else side


def _in_lanes(side: Side, spec: Course, hparams: Hparams, draws: Tree, chunk: int) -> Side:
    """The same networks in the native kernel."""
    assert not isinstance(spec, Pair), "the kernel does not take pairs"
    own = lanes.side(spec, hparams, draws, chunk, build.lanes(spec.dtype))
    return Side(
        lanes.STRIDE,
        lambda: own.begin(side.begin()),
        own.stretch,
        lambda state: side.settled(own.plain(state)),
        lambda state: side.reading(own.plain(state)),
    )


def common_of(spec: Course, names: tuple[str, ...]) -> Common:
    """What all pixels share, as an argument of the program."""
    return course_of(spec).common(spec, names)


def identity_words(spec: Course, points: np.ndarray) -> np.ndarray:
    """What tells networks of other values apart where each draws its own, `[P, W]`."""
    if spec.redraw:
        return np.ascontiguousarray(points).view(np.uint32)
    return np.zeros((len(points), 0), np.uint32)


def _arguments(
    points: np.ndarray, spec: Course, names: tuple[str, ...], layout: _Layout
) -> list[np.ndarray]:
    """Values, identity words and liveness of every chunk, in the order the devices hold them."""
    chunks, chunk = layout.chunks, layout.chunk
    missing = chunks * chunk - len(points)
    last = points[-1:] if len(points) else np.ones((1, points.shape[1]))  # all pixels are known
    padded = np.concatenate([points, np.broadcast_to(last, (missing, points.shape[1]))])
    words = identity_words(spec, padded)
    live = np.arange(chunks) * chunk < len(points)
    rows = [packed(padded, names, spec.dtype), words]
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
