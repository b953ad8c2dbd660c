"""Extreme eigenvalues of a symmetric matrix that is known by its products with vectors alone."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.parts import lapack
from fractaljax.types import Array, Tree

SEED = 0  # of the vectors to start from: the same for all networks


class Extremes(NamedTuple):
    """Eigenvalues at both ends of a spectrum."""

    largest: Array  # [k], descending
    smallest: Array  # [k], ascending
    error: Array  # each of these has an eigenvalue within this distance


class _Carry(NamedTuple):
    basis: Array  # [m + 1, P], orthonormal rows; zero where they are still to come
    diagonal: Array  # [m]
    beside: Array  # [m]; its last is what the basis leaves out
    scale: Array  # length of the longest product


def extremes(
    times: Callable[[Array], Array],
    like: Array,
    k: int,
    steps: int,
    repeat: Callable[[Callable, Tree, int], Tree],
) -> Extremes:
    """Lanczos with full reorthogonalisation (Golub and Van Loan, Matrix Computations, 10.3).

    Where the products stay within the basis a new vector starts another one, so that eigenvalues
    of some multiplicity are found as often as the steps allow.

    Args:
        times: the product of the matrix and a vector, `[P] -> [P]`.
        like: any vector, `[P]`.
        k: how many of either end, at most `steps`.
        steps: products, `m`; at most P.
        repeat: `(step, carry, count) -> carry` with `step(i, carry)`.
    """
    size, dtype = like.shape[0], like.dtype
    nothing = jnp.zeros(steps, dtype)

    def fresh(i: Array | int) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.key(SEED), i), (size,), dtype)

    def step(i: Array, c: _Carry) -> _Carry:
        image = times(c.basis[i])
        scale = jnp.maximum(c.scale, jnp.linalg.norm(image))
        rest = _apart(image, c.basis)
        length = jnp.linalg.norm(rest)
        exhausted = length <= 10 * jnp.finfo(dtype).eps * scale
        beside = jnp.where(exhausted, 0, length)
        rest = jnp.where(exhausted, fresh(i + 1), rest / jnp.where(exhausted, 1, length))
        return _Carry(
            c.basis.at[i + 1].set(_unit(_apart(rest, c.basis))),
            c.diagonal.at[i].set(image @ c.basis[i]),
            c.beside.at[i].set(beside),
            scale,
        )

    basis = jnp.zeros((steps + 1, size), dtype).at[0].set(_unit(fresh(0)))
    end = repeat(step, _Carry(basis, nothing, nothing, nothing[0]), steps)
    between = end.beside[:-1]
    small = jnp.diag(end.diagonal) + jnp.diag(between, 1) + jnp.diag(between, -1)
    values, vectors = lapack.eigh(small)
    errors = jnp.abs(end.beside[-1] * vectors[-1])
    error = jnp.maximum(jnp.max(errors[:k]), jnp.max(errors[-k:]))
    return Extremes(values[::-1][:k], values[:k], error)


def _apart(vector: Array, basis: Array) -> Array:
    """The part of a vector that the basis does not hold."""
    return vector - basis.T @ (basis @ vector)


def _unit(vector: Array) -> Array:
    return vector / jnp.linalg.norm(vector)
