"""Teacher matrices: the linear map a `teacher` problem asks a network to learn.

A teacher takes some of `scale`, `alpha` and `k`, the arguments of the problem that names it, and
gives the diagonal of its matrix from the dimensions: `(I, O) -> [min(I, O)]`.
"""

from collections.abc import Callable

import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.registry import register
from fractaljax.types import Array

Teacher = Callable[[int, int], Array]  # (inputs, outputs) -> singular values, [min(I, O)]


@register("teacher", "diagonal")
def diagonal(scale: float = 10.0) -> Teacher:
    """`scale * diag(1, 2, ..., d)`."""
    return lambda inputs, outputs: scale * jnp.arange(1.0, _square(inputs, outputs) + 1)


@register("teacher", "identity")
def identity() -> Teacher:
    """The identity matrix."""
    return lambda inputs, outputs: jnp.ones(_square(inputs, outputs))


@register("teacher", "power_law")
def power_law(scale: float = 50.0, alpha: float = 1.0) -> Teacher:
    """`scale * diag(1, 2^-alpha, 3^-alpha, ...)`."""
    return lambda inputs, outputs: _powers(_square(inputs, outputs), scale, alpha)


@register("teacher", "power_law_topk")
def power_law_topk(scale: float = 50.0, alpha: float = 1.0, k: int = 1) -> Teacher:
    """`power_law` with all but the first `k` values zero."""

    def values(inputs: int, outputs: int) -> Array:
        size = _square(inputs, outputs)
        if not 1 <= k <= size:
            raise FractaljaxError(f"k={k}: allowed are 1 to {size}")
        return jnp.where(jnp.arange(size) < k, _powers(size, scale, alpha), 0)

    return values


def _powers(size: int, scale: float, alpha: float) -> Array:
    return scale * jnp.arange(1.0, size + 1) ** -alpha


def _square(inputs: int, outputs: int) -> int:
    if inputs != outputs:
        raise FractaljaxError(
            f"in_dim={inputs}, out_dim={outputs}: this teacher is square, they must be equal"
        )
    return inputs
