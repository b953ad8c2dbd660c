"""Decompositions of one matrix at a time, also where many networks train side by side.

jaxlib hands the matrices of a batch to the threads that run the program and waits for them. Where
two CPU devices do so at once they wait for each other, for ever; a single matrix is done in place.
"""

from jax.custom_batching import sequential_vmap
from jax.numpy import linalg

from fractaljax.types import Array


@sequential_vmap
def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues, ascending, and eigenvectors as columns, of a symmetric matrix."""
    values, vectors = linalg.eigh(matrix)
    return values, vectors


@sequential_vmap
def eigvalsh(matrix: Array) -> Array:
    """Eigenvalues of a symmetric matrix, ascending."""
    return linalg.eigvalsh(matrix)


@sequential_vmap
def singular_values(matrix: Array) -> Array:
    """Singular values, descending, `[m, n] -> [min(m, n)]`."""
    return linalg.svd(matrix, compute_uv=False)


@sequential_vmap
def qr(matrix: Array) -> tuple[Array, Array]:
    """An orthogonal and an upper triangular matrix whose product it is."""
    q, r = linalg.qr(matrix)
    return q, r
