"""Parts that each break one law, as a beginner might; `fractaljax.laws.check` refuses them all."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax

import fractaljax as fj
from fractaljax.parts.problems import random_regression

_calls = itertools.count()


@fj.register("optimizer", "fixed_rate")
def fixed_rate(lr: float = 0.1):
    """Law 1: `lr` says that it may be an axis, but is made a plain number."""
    return optax.sgd(float(lr))


@fj.register("fold", "widening")
def widening(scale: float = 1.0) -> fj.Fold:
    """Law 7: its carry begins as a whole number and goes on as a float."""
    return fj.Fold(
        init=lambda params, steps: jnp.zeros((), jnp.int32),
        update=lambda carry, snapshot: carry + scale * snapshot.loss,
        settled=lambda carry: jnp.zeros((), bool),
        final=lambda carry, steps: {"widening": carry},
    )


@fj.register("fold", "counting_calls")
def counting_calls(scale: float = 1.0) -> fj.Fold:
    """Law 3: reads how many networks were read before this one."""

    def final(carry, steps):
        del steps
        shape = jax.ShapeDtypeStruct((), carry.dtype)
        found = jax.pure_callback(
            lambda _: np.asarray(next(_calls), carry.dtype), shape, carry, vmap_method="sequential"
        )
        return {"counting_calls": carry + scale * found}

    return fj.Fold(
        init=lambda params, steps: jnp.zeros((), jax.tree.leaves(params)[0].dtype),
        update=lambda carry, snapshot: carry,
        settled=lambda carry: jnp.zeros((), bool),
        final=final,
    )


@fj.register("problem", "restless")
def restless(points: int = 8) -> fj.Problem:
    """Law 4: its data depend on how often it was asked for them."""
    whole = random_regression(points=points, inputs=4)

    def load(key, source, count):
        return whole.load(jax.random.fold_in(key, next(_calls)), source, count)

    return whole._replace(load=load)
