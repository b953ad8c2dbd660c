"""Random streams and what is drawn from them: data, initial weights, order of the batches.

A stream a purpose, each derived by `fold_in` with a tag of its own, so that no stream moves
because another option changed.
"""

import contextlib
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from fractaljax.errors import at
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Key, Problem, Stream, Tree

TAGS = {"data": 0, "init": 1, "batches": 2}
PUBLISHED_BATCH_SEED = 42  # of the paper's notebook: minibatches do not depend on the seed there


class Draws(NamedTuple):
    """What one training starts from."""

    data: Data
    weights: Tree  # standard normals; `Model.init` turns them into weights
    batches: Key  # one key; in legacy draws one a step, `[T]`


def generator(spec: Spec) -> contextlib.AbstractContextManager:
    """The random generator a Spec asks for, while something is traced, lowered or drawn."""
    return jax.threefry_partitionable(spec.draws != "legacy")


def stream(spec: Spec, key: Key, purpose: str) -> Key:
    """The key of a purpose; the published splits in legacy draws."""
    if spec.draws == "legacy":
        rest, init = jax.random.split(key)
        return {"data": rest, "init": init, "batches": _published_batches(spec)}[purpose]
    return jax.random.fold_in(key, TAGS[purpose])


def batch_stream(spec: Spec, batches: Key) -> Stream:
    """The i-th key of the batch stream, as `Problem.batch` asks for it."""
    if spec.draws == "legacy":
        return lambda i: batches[i]
    return lambda i: jax.random.fold_in(batches, i)


def draw(spec: Spec, key: Key, source: Tree, dtype: str | None = None) -> Draws:
    """Data and initial weights of one network.

    Args:
        key: root of all streams.
        source: arrays that the problem read from disk.
        dtype: of the draw itself; it is rounded to the Spec's afterwards. None: the Spec's.
    """
    model, problem = build(spec, "model", {}), build(spec, "problem", {})
    precise = contextlib.nullcontext() if dtype is None else jax.enable_x64(dtype == "float64")
    with precise:
        data_key, init_key = stream(spec, key, "data"), stream(spec, key, "init")
        with at("problem"):
            data = problem.load(data_key, source, functools.partial(count_parameters, spec))
        weights = model.draw(init_key, data.x, data.y.shape[-1])
        data, weights = cast((data, weights), spec.dtype)
    return Draws(data, weights, stream(spec, key, "batches"))


def draw_weights(spec: Spec, key: Key, data: Data) -> Tree:
    """Initial weights alone, for data at hand; in float64, rounded, where the key is concrete."""
    traced = isinstance(key, Tracer)
    precise = contextlib.nullcontext() if traced else jax.enable_x64(True)
    now = contextlib.nullcontext() if traced else jax.ensure_compile_time_eval()
    with now, precise:
        x = jnp.zeros(data.x.shape)  # only its shape counts
        weights = build(spec, "model", {}).draw(stream(spec, key, "init"), x, data.y.shape[-1])
        return cast(weights, spec.dtype)


@functools.lru_cache(maxsize=8)
def shared_draws(spec: Spec) -> Draws:
    """The draw that all pixels share, made in float64 and rounded, so that a float32 scan trains
    the same networks as a float64 one."""
    with generator(spec), jax.enable_x64(True):
        source = cast(build(spec, "problem", {}).source(), "float64")
        return draw(spec, jax.random.key(spec.seed), source, "float64")


def source_of(spec: Spec) -> Tree:
    """What the problem reads from disk, in the Spec's dtype; an argument of the program."""
    problem: Problem = build(spec, "problem", {})
    return cast(problem.source(), spec.dtype)


def count_parameters(spec: Spec, inputs: int, outputs: int) -> int:
    """Weights of the Spec's model between these dimensions."""
    model = build(spec, "model", {})
    x = jax.ShapeDtypeStruct((1, inputs), jnp.float32)
    draws = jax.eval_shape(lambda key, x: model.draw(key, x, outputs), jax.random.key(0), x)
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, draws)))


def cast(tree: Tree, dtype: str) -> Tree:
    """Every floating-point leaf in another dtype."""

    def one(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, tree)


def _published_batches(spec: Spec) -> Key:
    return jax.random.split(jax.random.key(PUBLISHED_BATCH_SEED), spec.steps)
