"""Curves: what the metrics of a Spec read every so many steps, and what they read it from."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.engine import descent, order
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.streams import Draws, moments
from fractaljax.errors import FractaljaxError, at
from fractaljax.pair import Course
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Evaluation, Tree


class Curves(NamedTuple):
    """`values` are `[K, ...]`, NaN where nothing is evaluated; `alive` while one still is."""

    values: dict[str, Array]
    alive: Array


def blank(spec: Course, read: Callable[[Tree], dict[str, Array]], params: Tree) -> Curves:
    """Curves without a point, for what `read` makes of some weights."""
    count = len(spec.evaluated)
    shapes = jax.eval_shape(read, params)
    empty = {k: jnp.full((count, *v.shape), jnp.nan, spec.dtype) for k, v in shapes.items()}
    return Curves(empty, jnp.ones((), bool))


def appended(curves: Curves, row: Array, alive: Array, values: dict[str, Array]) -> Curves:
    """The curves with one more point."""
    kept = {
        name: curve.at[row].set(values[name].astype(curve.dtype))
        for name, curve in curves.values.items()
    }
    return Curves(kept, alive)


def while_finite(alive: Array, values: dict[str, Array]) -> dict[str, Array]:
    """Readings of weights that are finite; NaN of others."""
    return {name: jnp.where(alive, value, jnp.nan) for name, value in values.items()}


def values(spec: Spec, hparams: Hparams, draws: Draws, params: Tree) -> dict[str, Array]:
    """What every metric reads of a network, by name."""
    seen = evaluation(spec, hparams, draws, params)
    found: dict[str, Array] = {}
    for part, metric in zip(spec.metric, build(spec, "metric", hparams), strict=True):
        with at(f"metric.{part.name}"):
            some = metric(seen)
            if not isinstance(some, dict):
                raise FractaljaxError(
                    f"must give a dict of named arrays, not {type(some).__name__}"
                )
        if twice := sorted(set(some) & set(found)):
            raise FractaljaxError(f"metric: '{twice[0]}' is recorded twice")
        found |= some
    return found


def evaluation(spec: Spec, hparams: Hparams, draws: Draws, params: Tree) -> Evaluation:
    """A network as metrics and comparisons see it."""
    model, problem = order.network(spec, hparams), build(spec, "problem", hparams)

    def loss(params: Tree, data: Data) -> Array:
        return descent.loss(spec, hparams, params, moments(spec, data) or data)

    def grad(params: Tree, data: Data) -> Tree:
        return jax.grad(loss)(params, data)

    def hvp(params: Tree, data: Data, direction: Tree) -> Tree:
        return jax.jvp(lambda p: grad(p, data), (params,), (direction,))[1]

    def residuals(params: Tree, data: Data) -> Array:
        assert problem.residuals is not None
        return problem.residuals(model.apply(params, data.x), data.y)

    data, whole = draws.data, draws.whole
    nothing = jnp.full((), jnp.nan, spec.dtype)  # a metric refuses before it reads it
    return Evaluation(
        params=params,
        train=() if problem.fresh else data._replace(test=()),
        test=data.test,
        train_loss=nothing if problem.fresh else loss(params, whole),
        test_loss=loss(params, whole.test) if data.test else nothing,
        apply=model.apply,
        linear=model.linear,
        residuals=None if problem.residuals is None else residuals,
        loss=loss,
        grad=grad,
        hvp=hvp,
        layers=model.layers,
        each=lambda function, tree: jax.vmap(function)(tree),
        loop=jax.lax.map,
        repeat=lambda step, carry, count: jax.lax.fori_loop(0, count, step, carry),
    )


def finite(params: Tree) -> Array:
    """Whether all weights are finite; once one is not, no update makes it so again."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(params)]))
