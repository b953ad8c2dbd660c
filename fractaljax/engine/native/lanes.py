"""Networks in the lanes of a vector: which trainings the kernel takes, and how a chunk runs in it.

The kernel takes steps and gives their losses; folds, early exit and readings are the engine's own.

Letters beside those of `types`: `G` groups of `L` lanes, `H` hidden units, `S` steps of one call.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.engine import train
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.native import build
from fractaljax.engine.streams import Draws, own_purposes
from fractaljax.pair import Course, Pair
from fractaljax.spec import Spec, is_seed
from fractaljax.spec import build as built
from fractaljax.types import Array, Snapshot, State, Tree

ACTIVATIONS = ("tanh", "relu", "linear")  # in the order of the kernel's codes
TILE = 4  # inputs, hidden units and points are padded to multiples of it
MOST_WEIGHTS = 4096  # of the hidden layer: with more, its vectors leave the first-level cache
AXES = ("optimizer.lr", "model.init_", "fold.")  # begins of the paths that it has as axes
STRIDE = 25  # steps of one call: between two looks at whether all networks are settled


def fits(spec: Course, names: tuple[str, ...]) -> str | None:
    """Why the kernel does not take a training along these axes; None where it does."""
    if isinstance(spec, Pair):
        return "two networks in lockstep"
    told = built(spec, "model", {}).shallow
    if told is None or told.activation not in ACTIVATIONS:
        return "only networks of one hidden layer of tanh, relu or linear units, without biases"
    if spec.optimizer.name != "sgd" or any(
        spec.optimizer[name] for name in ("momentum", "weight_decay")
    ):
        return "only plain gradient descent: sgd without momentum and weight_decay"
    for role in ("rule", "growth", "rates", "stopping", "metric", "callback"):
        if getattr(spec, role):
            return f"a {role} is more than plain gradient descent"
    if built(spec, "schedule", {}) is not None:
        return f"the rates must not change, as with schedule {spec.schedule.name}"
    # built without the axes, all of these look as if the axis were at its default
    for path in names:
        if not path.startswith(AXES) and not is_seed(path):
            return f"no axis over {path}"
    problem = built(spec, "problem", {})
    if problem.batch is not None or problem.residuals is None:
        return "only the mean squared error on all data"
    if {"data"} & own_purposes(spec, names):
        return "the data must be those of all networks"
    return _misfit(spec, names)


def _misfit(spec: Spec, names: tuple[str, ...]) -> str | None:
    """What only the shapes tell: of the data, and of what folds look at."""
    draws = train.common(spec, names).draws
    x, y = draws.data.x, draws.data.y
    if len(jax.tree.leaves(y)) != 1 or jax.tree.leaves(y)[0].shape[-1] != 1:
        return "only networks of one output"
    hidden = built(spec, "model", {}).shallow.hidden
    if x.shape[-1] * hidden > MOST_WEIGHTS:
        return f"{x.shape[-1]} x {hidden} weights are more than {MOST_WEIGHTS}"
    for part, fold in zip(spec.fold, built(spec, "fold", {}), strict=True):
        if not _reads_losses_alone(fold, spec):
            return f"fold {part.name} looks at more than the loss"
    return None if spec.fold else "nothing is recorded of it"


class _Untouchable:
    """Stands for what the kernel does not have; whatever looks at it fails."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def _reads_losses_alone(fold: Any, spec: Spec) -> bool:
    """Whether an update of a fold does without gradients, weights and the network."""
    blank: Any = _Untouchable()

    def one(loss: Array) -> Tree:
        t = jnp.zeros((), jnp.int32)
        left = jnp.full((), spec.steps, jnp.int32)
        carry = fold.init({"layer_000": {"kernel": jnp.zeros((1, 1), spec.dtype)}}, spec.steps)
        return fold.update(carry, Snapshot(t, left, loss, blank, blank, blank))

    try:
        jax.eval_shape(one, jax.ShapeDtypeStruct((), spec.dtype))
    except Exception:  # whatever it is, it comes from looking at what is not there
        return False
    return True


class Lanes(NamedTuple):
    """A chunk in the kernel: as the functions of `program.Side`."""

    begin: Callable[[State], State]  # (state of the chunk, [C, ...]) -> the same in lanes
    stretch: Callable[[Array, Any, State], State]  # (t, count, state) -> after those steps
    plain: Callable[[State], State]  # (state in lanes) -> what folds need of it, [C, ...]


def side(spec: Spec, hparams: Mapping[str, Array], draws: Draws, chunk: int, width: int) -> Lanes:
    """The networks of a chunk along `hparams`, `[C]` each, in groups of `width` lanes."""
    call = _kernel(spec, draws, width)
    rates = _rates(spec, hparams, draws, chunk)
    count_of_groups = -(-chunk // width)

    def grouped(array: Array) -> Array:
        """`[C, ...]` -> `[G, ..., L]`; lanes left over repeat the last network."""
        missing = count_of_groups * width - chunk
        padded = jnp.concatenate([array, jnp.repeat(array[-1:], missing, axis=0)])
        return jnp.moveaxis(padded.reshape(count_of_groups, width, *array.shape[1:]), 1, -1)

    def begin(state: State) -> State:
        first, last = (state.params[name]["kernel"] for name in sorted(state.params))
        w0 = _padded(grouped(first), (1, 2))
        w1 = _padded(grouped(last[..., 0]), (1,))
        return state._replace(params=(w0, w1, grouped(rates)), opt=(), rule=())

    def stretch(t: Array, count: Any, state: State) -> State:
        w0, w1, pace = state.params
        w0, w1, losses = call(w0, w1, pace, jnp.asarray(count, jnp.int32))
        losses = jnp.moveaxis(losses, 1, 0).reshape(STRIDE, -1)[:, :chunk]
        fold = _folded(spec, hparams, t, count, losses, state.fold)
        return state._replace(params=(w0, w1, pace), fold=fold)

    return Lanes(begin, stretch, lambda state: state._replace(params=()))


def _folded(
    spec: Spec, hparams: Hparams, t: Array, count: Any, losses: Array, carries: Tree
) -> Tree:
    """The carries of the folds after `count` steps, by their losses `[S, C]`."""

    def one(hparams: Hparams, carry: Tree, loss: Array, now: Array) -> Tree:
        blank: Any = _Untouchable()
        seen = Snapshot(now, spec.steps - now, loss, blank, blank, blank)
        return train.folded(spec, hparams, seen, carry)

    many = jax.vmap(one, in_axes=(0, 0, 0, None))
    return jax.lax.fori_loop(0, count, lambda i, c: many(hparams, c, losses[i], t + i), carries)


def _rates(spec: Spec, hparams: Hparams, draws: Draws, chunk: int) -> Array:
    """The learning rates of both layers, `[C, 2]`: minus what the optimiser makes of a gradient
    of ones."""

    def one(hparams: Hparams) -> Array:
        ones = {name: {"kernel": jnp.ones((1, 1), spec.dtype)} for name in draws.weights}
        optimizer = built(spec, "optimizer", hparams)
        updates, _ = optimizer.update(ones, optimizer.init(ones), ones)
        return -jnp.stack([updates[name]["kernel"][0, 0] for name in sorted(updates)])

    return jax.vmap(one, axis_size=chunk)(hparams)


def _kernel(spec: Spec, draws: Draws, width: int) -> Callable[..., tuple[Array, Array, Array]]:
    """`(w0 [G, I, H, L], w1 [G, H, L], rates [G, 2, L], count) -> (w0, w1, losses [G, S, L])`."""
    shallow = built(spec, "model", {}).shallow
    points, inputs = draws.data.x.shape
    scale_in, scale_out = shallow.scales(inputs)
    zero = jnp.zeros((points, 1), spec.dtype)
    targets = -built(spec, "problem", {}).residuals(zero, draws.data.y)[:, 0]
    x, y = _padded(draws.data.x, (0, 1)), _padded(targets, (0,))

    def call(w0: Array, w1: Array, rates: Array, count: Array) -> tuple[Array, Array, Array]:
        shapes = [
            jax.ShapeDtypeStruct(w0.shape, w0.dtype),
            jax.ShapeDtypeStruct(w1.shape, w1.dtype),
            jax.ShapeDtypeStruct((w0.shape[0], STRIDE, width), w0.dtype),
        ]
        ffi = jax.ffi.ffi_call(build.target(spec.dtype), shapes, input_output_aliases={0: 0, 1: 1})
        w0, w1, losses = ffi(
            w0,
            w1,
            rates,
            x,
            y,
            count,
            points=points,
            scale_in=float(scale_in),
            scale_out=float(scale_out),
            activation=ACTIVATIONS.index(shallow.activation),
        )
        return w0, w1, losses

    return call


def _padded(array: Array, axes: tuple[int, ...]) -> Array:
    """With zeros up to a multiple of TILE along some axes."""
    widths = [(0, -n % TILE if i in axes else 0) for i, n in enumerate(array.shape)]
    return jnp.pad(array, widths)
