"""One network, from its first weights to its reading. No batch axis in sight."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fractaljax.engine.streams import Draws, batch_stream, draw_weights, generator, stream
from fractaljax.errors import FractaljaxError, at
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Key, Snapshot, State, Tree

Hparams = Mapping[str, Any]  # canonical path -> scalar, concrete or traced


def train(spec: Spec, hparams: Hparams, key: Key, data: Data) -> dict[str, Array]:
    """Trains one network and returns what its folds read.

    Args:
        spec: what to train.
        hparams: values over the Spec's own, by path or alias, scalars; they may be tracers.
        key: root of the random streams of this network. A concrete key draws in float64 and
            rounds, as a scan does; a traced one draws in the Spec's dtype.
        data: `x` `[N, I]`, `y` `[N, O]`.

    Returns:
        Reading name -> array, as the folds of the Spec define them.

    Raises:
        FractaljaxError: JAX is not in the Spec's precision, or a path is not traced.
    """
    check_precision(spec)
    hparams = {spec.traced(name): value for name, value in hparams.items()}
    with generator(spec):
        draws = Draws(data, draw_weights(spec, key, data), stream(spec, key, "batches"))

        def going(carry: tuple[Array, State]) -> Array:
            t, state = carry
            return (t < spec.steps) & ~settled(spec, hparams, state)

        def one(carry: tuple[Array, State]) -> tuple[Array, State]:
            t, state = carry
            return t + 1, step(spec, hparams, draws, t, state)

        start = jnp.zeros((), jnp.int32), begin(spec, hparams, draws)
        return reading(spec, hparams, jax.lax.while_loop(going, one, start)[1])


def check_precision(spec: Spec) -> None:
    """Raises unless JAX's global switch agrees with the Spec's dtype."""
    if (spec.dtype == "float64") != bool(jax.config.values["jax_enable_x64"]):
        raise FractaljaxError(
            f"the Spec is {spec.dtype}, JAX is not: call fractaljax.prepare('{spec.dtype}') first "
            "(fractaljax.load and the command line do)"
        )


def begin(spec: Spec, hparams: Hparams, draws: Draws) -> State:
    """The state before the first step."""
    params = build(spec, "model", hparams).init(draws.weights)
    rule = build(spec, "rule", hparams)
    params, rule_state = (params, ()) if rule is None else rule.init(params)
    opt = build(spec, "optimizer", hparams).init(params)
    folds = build(spec, "fold", hparams)
    return State(params, opt, rule_state, tuple(f.init(params, spec.steps) for f in folds))


def step(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> State:
    """One step: loss and gradient, folds, update, rule."""
    apply = build(spec, "model", hparams).apply
    loss, grads = _loss_and_grads(spec, hparams, draws, t, state.params)
    fold = _folded(
        spec, hparams, Snapshot(t, spec.steps - t, loss, grads, state.params, apply), state
    )
    updates, opt = build(spec, "optimizer", hparams).update(grads, state.opt, state.params)
    schedule = build(spec, "schedule", hparams)
    if schedule is not None:
        factor = jnp.asarray(schedule(t, spec.steps), spec.dtype)
        updates = jax.tree.map(lambda u: factor * u, updates)
    params = jax.tree.map(lambda p, u: p + u, state.params, updates)
    rule, rule_state = build(spec, "rule", hparams), state.rule
    if rule is not None:
        params, opt, rule_state = rule.update(params, opt, grads, rule_state, t)
    return State(params, opt, rule_state, fold)


def settled(spec: Spec, hparams: Hparams, state: State) -> Array:
    """Whether no later step can change any reading."""
    folds = zip(build(spec, "fold", hparams), state.fold, strict=True)
    return jnp.all(jnp.stack([f.settled(c) for f, c in folds]))


def reading(spec: Spec, hparams: Hparams, state: State) -> dict[str, Array]:
    """What the folds read in the end."""
    readings: dict[str, Array] = {}
    for fold, carry in zip(build(spec, "fold", hparams), state.fold, strict=True):
        final = fold.final(carry, spec.steps)
        if twice := sorted(set(final) & set(readings)):
            raise FractaljaxError(f"fold: two folds record '{twice[0]}'")
        readings |= final
    return readings


def _loss_and_grads(
    spec: Spec, hparams: Hparams, draws: Draws, t: Array, params: Tree
) -> tuple[Array, Tree]:
    """The loss on all data, and the gradient on the batch of this step."""
    problem = build(spec, "problem", hparams)
    apply = build(spec, "model", hparams).apply

    def loss(params: Tree, data: Data) -> Array:
        return problem.loss(apply(params, data.x), data.y)

    if problem.batch is None:
        return jax.value_and_grad(loss)(params, draws.data)
    with at("problem"):
        batch = problem.batch(batch_stream(spec, draws.batches), t, draws.data)
    return loss(params, draws.data), jax.grad(loss)(params, batch)


def _folded(spec: Spec, hparams: Hparams, snapshot: Snapshot, state: State) -> tuple[Tree, ...]:
    """Every fold's next carry; a settled one stands still, so that a reading never depends on
    how long the neighbours of a network run."""
    carries = []
    for fold, carry in zip(build(spec, "fold", hparams), state.fold, strict=True):
        still, new = fold.settled(carry), fold.update(carry, snapshot)
        carries.append(jax.tree.map(functools.partial(jnp.where, still), carry, new))
    return tuple(carries)
