"""Closed forms for networks that are a product of matrices and learn by a mean square.

The kernels `K_0, K_1, ...` are `[fan in, fan out]`: the network is `x K_0 K_1 ...`. With residuals
`r_i` (outputs minus targets) the loss of point i is the mean over the O outputs of `r_i**2`. Its
gradient by a kernel is `2 / O` times the outer product of what enters that layer, `x_i P_k`, and
of the residual that comes back to it, `r_i S_k^T`, where `P_k` and `S_k` are the products of the
kernels before and after. So nothing here differentiates, and nothing is as large as a gradient
a point.
"""

import itertools

import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.types import Array, Evaluation


def kernels(evaluation: Evaluation) -> list[Array]:
    """The kernels of a network that is their product, from the input on.

    Raises:
        FractaljaxError: the network is no such product.
    """
    if not evaluation.linear:
        raise FractaljaxError("takes a model that is a product of matrices, as deep_linear is")
    return [evaluation.params[name]["kernel"] for name in sorted(evaluation.params)]


def product(factors: list[Array]) -> Array:
    """The product of matrices, in the order that costs least."""
    return jnp.linalg.multi_dot(factors) if len(factors) > 1 else factors[0]


def difference(factors: list[Array], others: list[Array]) -> Array:
    """The product of some matrices minus that of others of the same shapes.

    A sum over the layers of what each of them changes: no digits cancel where they hardly differ,
    and nothing is left where they are equal.
    """
    apart, before = factors[0] - others[0], factors[0]
    for one, other in zip(factors[1:], others[1:], strict=True):
        apart = apart @ other + before @ (one - other)
        before = before @ one
    return apart


def gradient_traces(factors: list[Array], x: Array, residuals: Array) -> dict[str, Array]:
    """`grad_norm_squared` and `trace_gradient_covariance`, as the metrics of these names.

    Args:
        factors: the kernels.
        x: inputs, `[N, I]`.
        residuals: `[N, O]`.
    """
    n, outputs = residuals.shape
    befores, afters = _befores(factors), _afters(factors)
    correlation = 2 / outputs * x.T @ residuals / n
    layers = list(zip(befores, afters, strict=True))
    norm = sum(jnp.sum((p.T @ correlation @ s.T) ** 2) for p, s in layers)
    squares = sum(_squares(x @ p) * _squares(residuals @ s.T) for p, s in layers)
    trace = (2 / outputs) ** 2 * jnp.mean(squares) - norm
    # rounding alone could make it negative
    return {"grad_norm_squared": norm, "trace_gradient_covariance": jnp.maximum(trace, 0)}


def trace_hessian_covariance(factors: list[Array], x: Array, residuals: Array) -> Array:
    """The mean over points of `n_i^T H n_i`, as `metrics.trace_covariances` has it.

    The second derivative of the loss in a direction `V` is made of two derivatives of the network
    as a map `M`, `2 / (N O) (|X M'|^2 + <X^T R, M''>)`, where `M'` is the sum over layers of
    `P_k V_k S_k` and `M''` twice the sum over pairs `k < l` of `P_k V_k B_kl V_l S_l`, with `B_kl`
    the product of the kernels between. In the directions of the points' gradients both are outer
    products of I and O numbers a point.

    Args:
        factors: the kernels.
        x: inputs, `[N, I]`.
        residuals: `[N, O]`.
    """
    n, outputs = residuals.shape
    a = 2 / outputs
    befores, afters = _befores(factors), _afters(factors)
    ins = [p @ p.T for p in befores]  # [I, I]
    outs = [s.T @ s for s in afters]  # [O, O]
    u, z = [x @ p for p in ins], [residuals @ s for s in outs]
    correlation = a * x.T @ residuals / n  # of the mean gradient

    slopes = a * sum(jnp.einsum("ni,no->nio", *uz) for uz in zip(u, z, strict=True))
    slopes = slopes - jnp.mean(slopes, axis=0)  # M' of the noise alone
    curved = a * jnp.mean(jnp.sum((x.T @ x / n @ slopes) * slopes, axis=(1, 2)))

    bent = jnp.zeros((), x.dtype)
    for k, start in enumerate(afters):
        chain = start.T  # S_k^T B_kl, [O, fan in of l]
        for later in range(k + 1, len(factors)):
            across = chain @ befores[later].T  # [O, I]
            each = jnp.sum(residuals * (x @ across.T), 1) * jnp.sum(
                u[k] * (z[later] @ correlation.T), 1
            )
            mean = ins[k] @ correlation @ across @ correlation @ outs[later]
            bent += a**2 * jnp.mean(each) - jnp.sum(correlation * mean)
            chain = chain @ factors[later]
    return curved + 2 * bent


def hessian_trace(factors: list[Array], x: Array) -> Array:
    """The trace of the Hessian of the loss; the residuals do not matter for it."""
    layers = zip(_befores(factors), _afters(factors), strict=True)
    outputs = factors[-1].shape[1]
    return 2 / outputs * sum(jnp.mean(_squares(x @ p)) * jnp.sum(s**2) for p, s in layers)


def _befores(factors: list[Array]) -> list[Array]:
    """`P_k`, `[I, fan in of k]`: the products of the kernels before each."""
    first = jnp.eye(factors[0].shape[0], dtype=factors[0].dtype)
    return list(itertools.accumulate(factors[:-1], jnp.matmul, initial=first))


def _afters(factors: list[Array]) -> list[Array]:
    """`S_k`, `[fan out of k, O]`: the products of the kernels after each."""
    last = jnp.eye(factors[-1].shape[1], dtype=factors[-1].dtype)
    backward = itertools.accumulate(factors[:0:-1], lambda s, k: k @ s, initial=last)
    return list(backward)[::-1]


def _squares(rows: Array) -> Array:
    return jnp.sum(rows**2, axis=-1)
