"""Ten classes that are made, not read."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.parts.sampling import accuracy, batches, cross_entropy
from fractaljax.registry import register
from fractaljax.types import Array, Data, Key, Problem, Tree

CLASSES = 10


@register("problem", "synthetic_classes")
def synthetic_classes(
    points: int = 3000,
    inputs: int = 784,
    signal: float = 2.0,
    noise: float = 0.5,
    batch: int = 0,
    sampling: str = "",
    validation: int = 0,
    test: int = 0,
) -> Problem:
    """Ten classes of signals in noise, the toy on which sparse networks were published to break.

    A point is `0.8 N + signal S + noise N`. Signals S: a sine of two and of four turns (0, 1), the
    square and the cube of normals (2, 3), a cosine of one and of three turns (4, 5), normals that
    decay slowly and quickly (6, 7), and one mixture of a sine and a cosine for both 8 and 9.
    Its quirks: 8 and 9 are one distribution, and 3, 6 and 7 are noise of mean zero that differs in
    scale alone, so that no network of this size does much better than 0.7.

    Args:
        points: in all, those held out among them; each class has as many.
        inputs: samples of a signal, `I`.
        signal: amplitude; the published one is not known, and 2 gives the published ladder.
        noise: deviation of the last term.
        batch, sampling: as of `digits`.
        validation, test: points held out.
    """
    held = validation + test
    if min(points, inputs) < 1 or min(validation, test) < 0 or held >= points:
        raise FractaljaxError(
            f"points={points}, inputs={inputs}, validation={validation}, test={test}: takes whole "
            "numbers, fewer held out than there are"
        )

    def load(key: Key, source: Tree, count: Callable[[int, int], int]) -> Data:
        del source, count
        own = jax.random.split(key, 4)
        label = jax.random.permutation(own[0], jnp.arange(points) % CLASSES)
        base, extra, free = (jax.random.normal(k, (points, inputs)) for k in own[1:])
        x = 0.8 * base + signal * _signals(label, free) + noise * extra
        y = jax.nn.one_hot(label, CLASSES, dtype=x.dtype)

        def part(first: int, number: int) -> Data:
            return Data(x[first : first + number], y[first : first + number])

        rest = points - held
        return part(0, rest)._replace(
            valid=part(rest, validation) if validation else (),
            test=part(rest + validation, test) if test else (),
        )

    return Problem(
        lambda: (), load, cross_entropy, scores={"accuracy": accuracy}, **batches(batch, sampling)
    )


def _signals(label: Array, free: Array) -> Array:
    """What each class adds, `[N], [N, I] -> [N, I]`; `free` are normals."""
    time = jnp.linspace(0, 1, free.shape[1])[None]
    turn = 2 * jnp.pi * time
    mixture = 0.5 * (jnp.sin(3 * turn) + jnp.cos(5 * turn))
    every = [
        jnp.sin(2 * turn) + 0 * free,
        jnp.sin(4 * turn) + 0 * free,
        free**2,
        free**3,
        jnp.cos(turn) + 0 * free,
        jnp.cos(3 * turn) + 0 * free,
        free * jnp.exp(-2 * time),
        free * jnp.exp(-5 * time),
        mixture + 0 * free,
        mixture + 0 * free,
    ]
    return sum(jnp.where((label == i)[:, None], signal, 0) for i, signal in enumerate(every))
