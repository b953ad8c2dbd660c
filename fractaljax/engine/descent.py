"""The loss of a network, its gradient on the batch of a step, and the factors on its rates."""

import functools
from contextvars import ContextVar
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding

from fractaljax.engine import order
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.streams import Draws, batch_stream, moments
from fractaljax.errors import FractaljaxError, at
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Key, Problem, Tree

# how the points of a batch lie on the devices, while one network trains on several
SPLIT: ContextVar[NamedSharding | None] = ContextVar("SPLIT", default=None)


def loss(spec: Spec, hparams: Hparams, params: Tree, data: Data) -> Array:
    """The loss on some data, or on their moments."""
    apply = order.network(spec, hparams).apply
    return build(spec, "problem", hparams).loss(apply(params, data.x), data.y)


class Descent(NamedTuple):
    """What a step knows of the loss; what nobody reads of it costs nothing."""

    shown: Array  # on all data, as the network is applied
    trained: Array  # on the batch, as the gradient sees it
    points: Array  # of the batch
    grads: Tree


def steepest(spec: Spec, hparams: Hparams, draws: Draws, t: Array, params: Tree) -> Descent:
    """The loss on all data, and loss and gradient on the batch of step `t`, of the size that the
    last callback before it set."""
    phases = _phases(spec, hparams)
    branches = [
        functools.partial(_descended, spec, hparams, draws, t, *phase)
        for phase in enumerate(phases)
    ]
    if len(branches) == 1:
        trained, points, grads = branches[0](params)
    else:
        # the step is one for all networks side by side: only the branch that is taken is computed
        now = sum((t >= phase.start).astype(jnp.int32) for phase in phases[1:])
        trained, points, grads = jax.lax.switch(now, branches, params)
    plain = phases[0].problem.batch is None and build(spec, "model", hparams).noisy is None
    if len(phases) == 1 and plain:
        return Descent(trained, trained, points, grads)
    return Descent(loss(spec, hparams, params, draws.whole), trained, points, grads)


def _descended(
    spec: Spec,
    hparams: Hparams,
    draws: Draws,
    t: Array,
    number: int,
    phase: "_Phase",
    params: Tree,
) -> tuple[Array, Array, Tree]:
    """Loss, number of points and gradient on the batch of a step of one phase."""
    problem, keys = phase.problem, batch_stream(spec, draws.batches, number)
    objective = functools.partial(_objective, spec, hparams, jax.random.fold_in(draws.noise, t))

    def on(data: Data, whole: Data) -> tuple[Array, Array, Tree]:
        if (split := SPLIT.get()) is not None:
            whole = jax.tree.map(lambda a: jax.lax.with_sharding_constraint(a, split), whole)
        loss, grads = jax.value_and_grad(objective)(params, whole)
        return loss, jnp.full((), data.x.shape[0], loss.dtype), grads

    if problem.batch is None:
        return on(draws.data, draws.whole)
    with at("problem"):
        data = problem.batch(keys, t - phase.start, draws.data)

    def first(count: int) -> tuple[Array, Array, Tree]:
        some = Data(data.x[:count], data.y)
        if count < size:
            some = some._replace(y=jax.tree.map(lambda leaf: leaf[:count], data.y))
        return on(some, moments(spec, some) or some)

    size = data.x.shape[0]
    left = size if problem.remainder is None else problem.remainder(draws.data.x.shape[0])
    if left == size:
        return first(size)
    # an if in the program, not a select: the step is one for all networks side by side
    ends = (t - phase.start + 1) % epoch_length(spec, hparams, draws.data) == 0
    return jax.lax.cond(ends, lambda: first(left), lambda: first(size))


def _objective(spec: Spec, hparams: Hparams, key: Key, params: Tree, data: Data) -> Array:
    """The loss as the gradient sees it."""
    model = order.network(spec, hparams)
    outputs = (
        model.apply(params, data.x) if model.noisy is None else model.noisy(params, data.x, key)
    )
    return build(spec, "problem", hparams).loss(outputs, data.y)


def epoch_length(spec: Spec, hparams: Hparams, data: Data) -> int:
    """Steps of an epoch on these data."""
    epoch = build(spec, "problem", hparams).epoch
    return 1 if epoch is None else epoch(data.x.shape[0])


def factors(spec: Spec, hparams: Hparams, t: Array) -> list[Array]:
    """What multiplies every learning rate at step `t`; none where nothing does."""
    schedule = build(spec, "schedule", hparams)
    found = [] if schedule is None else [schedule(t, spec.steps)]
    found += [c.factor(t) for c in build(spec, "callback", hparams) if c.factor]
    return [jnp.asarray(factor, spec.dtype) for factor in found]


class _Phase(NamedTuple):
    """Steps whose batches have one size."""

    start: int
    problem: Problem


def _phases(spec: Spec, hparams: Hparams) -> list[_Phase]:
    """In the order of the steps."""
    first = build(spec, "problem", hparams)
    switches = [switch for c in build(spec, "callback", hparams) for switch in c.batches]
    if switches and first.resized is None:
        raise FractaljaxError(
            f"callback: problem '{spec.problem.name}' cannot change the size of its batches"
        )
    steps = [step for step, _ in switches]
    for step in steps:
        if steps.count(step) > 1 or step >= spec.steps:
            why = "two sizes from one step on" if steps.count(step) > 1 else "never reached"
            raise FractaljaxError(f"callback: batches switch at step {step}: {why}")
    phases = [_Phase(0, first)]
    for step, size in sorted(switches, key=lambda switch: switch[0]):
        with at("callback"):
            phases.append(_Phase(step, first.resized(size)))  # pyright: ignore[reportOptionalCall]
    return phases
