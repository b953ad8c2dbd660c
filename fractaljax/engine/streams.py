"""Random streams and what is drawn from them: data, initial weights, batches, dropout, growth.

A stream a purpose, each derived by `fold_in` with a tag of its own, so that no stream moves
because another option changed.
"""

import contextlib
import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from fractaljax import contents
from fractaljax.errors import FractaljaxError, at
from fractaljax.pair import Course
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, Key, Problem, Stream, Tree

TAGS = {"data": 0, "init": 1, "batches": 2, "noise": 3, "growth": 4}
OWN_SEEDS = {
    "data": "data_seed",
    "init": "model_seed",
    "batches": "batch_seed",
    "noise": "batch_seed",  # dropout is of the training, as the order of its batches is
    "growth": "batch_seed",  # as above: where a network grows at random
}
MAX_NUMBERS = 2**30  # of data, or of weights, of one network: 8 GiB
PUBLISHED_BATCH_SEED = 42  # of the paper's notebook: minibatches do not depend on the seed there


class Streams(NamedTuple):
    """The key of every purpose; the names are those of `TAGS`."""

    data: Key
    init: Key
    batches: Key
    noise: Key
    growth: Key


class Draws(NamedTuple):
    """What one training starts from."""

    data: Tree  # Data
    weights: Tree  # standard normals; `Model.init` turns them into weights
    batches: Key  # one key; in legacy draws one a step, `[T]`
    noise: Key  # of dropout
    growth: Key
    moments: Tree = ()  # of the data, as Data, where they serve instead of all points

    @property
    def whole(self) -> Data:
        """What a loss on all points needs."""
        return self.moments or self.data


def generator(spec: Course) -> contextlib.AbstractContextManager:
    """The random generator a Spec asks for, while something is traced, lowered or drawn."""
    return jax.threefry_partitionable(spec.draws != "legacy")


def stream(spec: Spec, key: Key, purpose: str) -> Key:
    """The key of a purpose under a root; the published splits in legacy draws."""
    if spec.draws == "legacy" and purpose in ("data", "init", "batches"):  # all that is published
        rest, init = jax.random.split(key)
        return {"data": rest, "init": init, "batches": _published_batches(spec)}[purpose]
    return jax.random.fold_in(key, TAGS[purpose])


def streams(spec: Spec, values: Mapping[str, Any], words: Array | None = None) -> Streams:
    """The keys of a network, from its seeds and not from its place.

    Args:
        values: canonical path -> value; seeds among them win over the Spec's.
        words: `[W]` uint32 that tell this network from others of the same seeds.
    """

    def one(purpose: str) -> Key:
        own = OWN_SEEDS[purpose]
        name = own if own in values or getattr(spec, own) is not None else "seed"
        seed = values.get(name, getattr(spec, name))
        key = jax.random.key(jnp.asarray(seed).astype(jnp.uint32))
        for word in () if words is None else words:
            key = jax.random.fold_in(key, word)
        return stream(spec, key, purpose)

    return Streams(*map(one, TAGS))


def own_purposes(spec: Spec, names: Iterable[str]) -> frozenset[str]:
    """The purposes for which every pixel has a stream of its own."""
    names = set(names)
    return frozenset(
        purpose
        for purpose, own in OWN_SEEDS.items()
        if spec.redraw or own in names or ("seed" in names and getattr(spec, own) is None)
    )


def batch_stream(spec: Spec, batches: Key, phase: int = 0) -> Stream:
    """The i-th key of the batch stream, as `Problem.batch` asks for it; another stream for every
    phase that another size of the batches begins."""
    if spec.draws == "legacy":
        return lambda i: batches[i]
    if phase:
        batches = jax.random.fold_in(batches, 2**32 - phase)  # no step and no epoch is as large
    return lambda i: jax.random.fold_in(batches, i)


def draw_data(spec: Spec, key: Key, source: Tree) -> tuple[Data, Tree]:
    """The data of one network and their moments, from the key of their stream."""
    problem = build(spec, "problem", {})
    with at("problem"):
        data = problem.load(key, source, functools.partial(count_parameters, spec))
    return data, moments(spec, data)


def draw_weights(spec: Spec, key: Key, data: Data) -> Tree:
    """Standard normals in the shape of the weights, from the key of their stream."""
    return build(spec, "model", {}).draw(key, data.x, outputs(data))


def drawn_precisely(spec: Spec, key: Key, data: Data) -> Tree:
    """Initial weights for data at hand; in float64, rounded, where the key is concrete."""
    traced = isinstance(key, Tracer)
    precise = contextlib.nullcontext() if traced else jax.enable_x64(True)
    now = contextlib.nullcontext() if traced else jax.ensure_compile_time_eval()
    with now, precise:
        blank = data._replace(x=jnp.zeros(data.x.shape))  # only its shape counts
        return cast(draw_weights(spec, stream(spec, key, "init"), blank), spec.dtype)


def moments(spec: Spec, data: Data) -> Tree:
    """Data of `I` points on which the Spec's model has the same loss as on these `N`, test data
    alike; () where only the points themselves will do, or are fewer."""
    problem = build(spec, "problem", {})
    points, inputs = data.x.shape
    if problem.moments is None or not build(spec, "model", {}).linear or points <= inputs:
        return ()
    test = problem.moments(data.test) if data.test else ()
    return problem.moments(data)._replace(test=test)


def outputs(data: Data) -> int:
    """Targets of a point, `O`."""
    return jax.tree.leaves(data.y)[-1].shape[-1]


@contents.derived(maxsize=3)  # of MNIST, each is 190 MB
def shared_draws(spec: Spec) -> Draws:
    """The draw that all pixels share, made in float64 and rounded, so that a float32 scan trains
    the same networks as a float64 one."""
    with generator(spec), jax.enable_x64(True):
        source = cast(source_of(spec), "float64")
        _check_size(spec, jax.eval_shape(lambda: _shared(spec, source)))
        return _shared(spec, source)


def _shared(spec: Spec, source: Tree) -> Draws:
    keys = streams(spec, {})
    data, summed = draw_data(spec, keys.data, source)
    weights = draw_weights(spec, keys.init, data)
    data, summed, weights = cast((data, summed, weights), spec.dtype)
    return Draws(data, weights, keys.batches, keys.noise, keys.growth, summed)


def _check_size(spec: Spec, draws: Draws) -> None:
    """Refuses what no machine holds, by shapes alone: XLA ends the process over some of them."""
    for what, tree, roles in (
        ("data", draws.data, ("problem", "model")),  # as many points as weights, perhaps
        ("weights", draws.weights, ("model", "problem")),
        ("steps", draws.batches, ("steps",)),
    ):
        if (size := sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))) > MAX_NUMBERS:
            sizes = [
                f"{path}={value}"
                for path, value in spec.paths().items()
                if path.startswith(roles) and _counts(value)
            ]
            raise FractaljaxError(
                f"{', '.join(sizes) or roles[0]}: too large: {size:.3g} numbers of {what} "
                f"in one network; at most {MAX_NUMBERS}"
            )


def _counts(value: Any) -> bool:
    """Whether a setting is a number of something, or several."""
    several = value if isinstance(value, tuple) else (value,)
    return bool(several) and all(type(one) is int for one in several)


def source_of(spec: Spec) -> Tree:
    """What the problem reads from disk; an argument of the program.

    Raises:
        FractaljaxError: a file is not there, or cannot be read.
    """
    problem: Problem = build(spec, "problem", {})
    try:
        return problem.source()
    except OSError as error:  # of somebody else's problem: ours say more
        said = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        raise FractaljaxError(f"problem '{spec.problem.name}': {said}") from error


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
