"""The loss of a network, its gradient on the batch of a step, and the factors on its rates."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fractaljax.engine.streams import Draws, batch_stream, moments
from fractaljax.errors import FractaljaxError, at
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Problem, Tree

Hparams = Mapping[str, Any]  # canonical path -> scalar, concrete or traced


def loss(spec: Spec, hparams: Hparams, params: Tree, data: Data) -> Array:
    """The loss on some data, or on their moments."""
    apply = build(spec, "model", hparams).apply
    return build(spec, "problem", hparams).loss(apply(params, data.x), data.y)


def loss_and_gradient(
    spec: Spec, hparams: Hparams, draws: Draws, t: Array, params: Tree
) -> tuple[Array, Tree]:
    """The loss on all data, and the gradient on the batch of step `t`, of the size that the last
    callback before it set. A loss that nobody reads costs nothing."""
    on_all = functools.partial(loss, spec, hparams)
    phases = _phases(spec, hparams)
    starts = [start for start, _ in phases]

    def branch(number: int) -> Callable[[Tree], Tree]:
        start, problem = phases[number]

        def gradient(params: Tree) -> Tree:
            data = draws.whole
            if problem.batch is not None:
                with at("problem"):
                    keys = batch_stream(spec, draws.batches, number)
                    data = problem.batch(keys, t - start, draws.data)
                data = moments(spec, data) or data
            return jax.grad(on_all)(params, data)

        return gradient

    if len(phases) == 1 and phases[0][1].batch is None:
        return jax.value_and_grad(on_all)(params, draws.whole)
    if len(phases) == 1:
        return on_all(params, draws.whole), branch(0)(params)
    # the step is one for all networks side by side, so only the branch that is taken is computed
    now = sum((t >= start).astype(jnp.int32) for start in starts[1:])
    branches = [branch(number) for number in range(len(phases))]
    return on_all(params, draws.whole), jax.lax.switch(now, branches, params)


def factors(spec: Spec, hparams: Hparams, t: Array) -> list[Array]:
    """What multiplies every learning rate at step `t`; none where nothing does."""
    schedule = build(spec, "schedule", hparams)
    found = [] if schedule is None else [schedule(t, spec.steps)]
    found += [c.factor(t) for c in build(spec, "callback", hparams) if c.factor]
    return [jnp.asarray(factor, spec.dtype) for factor in found]


def _phases(spec: Spec, hparams: Hparams) -> list[tuple[int, Problem]]:
    """`(first step, problem with the batches of then)`, in the order of the steps."""
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
    phases = [(0, first)]
    for step, size in sorted(switches, key=lambda switch: switch[0]):
        with at("callback"):
            phases.append((step, first.resized(size)))  # pyright: ignore[reportOptionalCall]
    return phases
