"""What the problems share: losses, and how a minibatch is drawn from the data."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.types import Array, Data, Key, Stream

ROUNDS = 48  # of the swap-or-not network: some three times the bits of a large data set's size
Sampler = Callable[[Stream, Array, Data], Data]


def difference(outputs: Array, targets: Array) -> Array:
    """What `mean_squared_error` is the mean square of, `[N, O], [N, O] -> [N, O]`."""
    return outputs - targets


def mean_squared_error(outputs: Array, targets: Array) -> Array:
    """Mean over points and outputs of the squared difference, `[N, O], [N, O] -> []`."""
    return jnp.mean((outputs - targets) ** 2)


def cross_entropy(outputs: Array, targets: Array) -> Array:
    """Mean over points of the softmax cross entropy to one-hot targets, `[N, O], [N, O] -> []`."""
    return jnp.mean(optax.softmax_cross_entropy(outputs, targets))


def accuracy(outputs: Array, targets: Array) -> Array:
    """Share of points whose largest output is that of the target, `[N, O], [N, O] -> []`."""
    right = jnp.argmax(outputs, axis=-1) == jnp.argmax(targets, axis=-1)
    return jnp.mean(right.astype(outputs.dtype))


LOSSES = {"mse": mean_squared_error, "cross_entropy": cross_entropy}


def sampler(batch: int, sampling: str) -> Sampler | None:
    """How the minibatch of a step is drawn.

    Args:
        batch: points a minibatch, `B`; 0 is the full batch.
        sampling: `replacement` (what "" stands for) draws every point on its own; `distinct`
            draws different points within a step; `epochs` goes through a new permutation of
            the data every `N // B` steps and drops the remainder; `passes` goes through it in
            `ceil(N / B)` steps, and of the last one only the first `remainder` points count.

    Returns:
        `(stream, t, data) -> data` of `B` points, or None for the full batch. A function of the
        step alone, nothing carried, at a cost that does not grow with `N`.

    Raises:
        FractaljaxError: a bad argument; at trace time, more different points than there are.
    """
    if batch < 0:
        raise FractaljaxError(f"batch={batch}: allowed are 0, the full batch, and more")
    if sampling and sampling not in _INDICES:
        raise unknown("sampling", sampling, _INDICES)
    if batch == 0:
        if sampling:
            raise FractaljaxError(f"sampling={sampling} is not read: batch is 0")
        return None
    indices = _INDICES[sampling or "replacement"]

    def draw(stream: Stream, t: Array, data: Data) -> Data:
        chosen = indices(stream, t, batch, data.x.shape[0])
        return Data(data.x[chosen], jax.tree.map(lambda leaf: leaf[chosen], data.y))

    return draw


def _replacement(stream: Stream, t: Array, batch: int, total: int) -> Array:
    # The published draws are of JAX's default integer, which is another in single precision; all
    # other draws are of one kind, so that both precisions see the same batches.
    published = not jax.config.values["jax_threefry_partitionable"]
    return jax.random.randint(stream(t), (batch,), 0, total, dtype=None if published else jnp.int32)


def _distinct(stream: Stream, t: Array, batch: int, total: int) -> Array:
    _check_enough(batch, total)
    return shuffled(stream(t), jnp.arange(batch), total)


def _epochs(stream: Stream, t: Array, batch: int, total: int) -> Array:
    _check_enough(batch, total)
    epoch, step = jnp.divmod(t, epoch_length(batch, "epochs", total))
    return shuffled(stream(epoch), step * batch + jnp.arange(batch), total)


def _passes(stream: Stream, t: Array, batch: int, total: int) -> Array:
    _check_enough(batch, total)
    epoch, step = jnp.divmod(t, epoch_length(batch, "passes", total))
    places = jnp.minimum(step * batch + jnp.arange(batch), total - 1)  # beyond it none counts
    return shuffled(stream(epoch), places, total)


def remainder(batch: int, sampling: str, points: int) -> int:
    """How many points of the last batch of an epoch count."""
    return points % batch or batch if sampling == "passes" else batch


def epoch_length(batch: int, sampling: str, points: int) -> int:
    """Steps in which training sees as many points as there are."""
    if batch == 0:
        return 1
    return -(-points // batch) if sampling == "passes" else max(1, points // batch)


def batches(batch: int, sampling: str) -> dict[str, Any]:
    """What a Problem says of its minibatches, by the names of its fields."""
    return {
        "batch": sampler(batch, sampling),
        "remainder": functools.partial(remainder, batch, sampling) if batch else None,
        "epoch": functools.partial(epoch_length, batch, sampling),
    }


def traced_batch(sampling: str, stream: Stream, t: Array, size: Array, total: int) -> Array:
    """All points in an order whose first `size` are the batch of a step, `[N]`; as `sampler`
    takes them where the size is known, for one that is traced."""
    if sampling == "epochs":
        epoch, step = jnp.divmod(t, total // size)
        return shuffled(stream(epoch), (step * size + jnp.arange(total)) % total, total)
    if sampling == "distinct":
        return shuffled(stream(t), jnp.arange(total), total)
    raise FractaljaxError(f"sampling={sampling}: a batch that is an axis takes epochs or distinct")


def shuffled(key: Key, places: Array, total: int) -> Array:
    """What stands at some places of a pseudorandom permutation of `total` numbers, `[B] -> [B]`.

    `jax.random.permutation` sorts all numbers, 40 ms for the 60,000 of MNIST, to use a batch of
    them. This is a swap-or-not network (Hoang, Morris and Rogaway, CRYPTO 2012), a bijection of
    any range whatever its round function is: each round pairs up all numbers and swaps some.
    """
    # in primitives: of a short training, tracing what `jnp` makes of these lines is a large part
    bits = jax.random.bits(key, (ROUNDS, 2), jnp.uint32)
    number = lax.convert_element_type(places, jnp.uint32)
    offsets = lax.rem(bits[:, 0], lax.full((ROUNDS,), total, jnp.uint32))
    both = [lax.broadcast_in_dim(x, (ROUNDS, *number.shape), (0,)) for x in (offsets, bits[:, 1])]
    whole, one, shift, last_shift, factor, last_factor = (
        lax.full(number.shape, n, jnp.uint32) for n in (total, 1, 15, 13, 0x9E3779B1, 0x85EBCA77)
    )
    for i in range(ROUNDS):
        if i % 8 == 0:  # all rounds in one kernel take jaxlib 0.12 for ever to compile
            number = lax.optimization_barrier(number)
        offset, salt = (lax.index_in_dim(x, i, keepdims=False) for x in both)
        partner = lax.rem(lax.add(offset, lax.sub(whole, number)), whole)
        mixed = lax.mul(lax.bitwise_xor(lax.max(number, partner), salt), factor)
        mixed = lax.mul(lax.bitwise_xor(mixed, lax.shift_right_logical(mixed, shift)), last_factor)
        mixed = lax.bitwise_xor(mixed, lax.shift_right_logical(mixed, last_shift))
        number = lax.select(lax.eq(lax.bitwise_and(mixed, one), one), partner, number)
    return number


def _check_enough(batch: int, total: int) -> None:
    if batch > total:
        raise FractaljaxError(f"batch={batch}: more than the {total} points of the data")


_INDICES = {
    "replacement": _replacement,
    "distinct": _distinct,
    "epochs": _epochs,
    "passes": _passes,
}
