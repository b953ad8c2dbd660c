"""What is evaluated of a network every so many steps, as curves.

Metrics read the test data, except `train_loss`. Layers are numbered from 0, the input's; a
reading of several numbers is one array. `W_i` is the matrix of layer i, `[fan out, fan in]`: the
transpose of its kernel. Readings keep the dtype of the weights.
"""

import itertools

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts import lanczos, lapack, linear_maps
from fractaljax.registry import register
from fractaljax.types import Array, Data, Evaluation, Metric

PRODUCTS = ("both", "singular_values", "rank")


@register("metric", "train_loss")
def train_loss() -> Metric:
    """The loss on the whole training set."""

    def read(e: Evaluation) -> dict[str, Array]:
        if not e.train:
            raise FractaljaxError("every batch is drawn anew: there is no fixed training set")
        return {"train_loss": e.train_loss}

    return read


@register("metric", "test_loss")
def test_loss() -> Metric:
    """The loss on the test data."""

    def read(e: Evaluation) -> dict[str, Array]:
        _test(e)
        return {"test_loss": e.test_loss}

    return read


@register("metric", "weight_norm")
def weight_norm() -> Metric:
    """The Euclidean norm of all weights."""
    return lambda e: {"weight_norm": optax.tree.norm(e.params)}


@register("metric", "layer_norms")
def layer_norms() -> Metric:
    """The Frobenius norm of every layer's weights, `[L]`."""

    def read(e: Evaluation) -> dict[str, Array]:
        norms = [optax.tree.norm(layer) for _, layer in sorted(e.params.items())]
        return {"layer_norms": jnp.stack(norms)}

    return read


@register("metric", "coordinates")
def coordinates() -> Metric:
    """Mean absolute value of what every layer makes of the test data before its activation, `[L]`.

    The coordinate check of mup (arXiv:2203.03466, appendix D.1): after a few steps, this does not
    depend on the width where a parametrisation is right.
    """

    def read(e: Evaluation) -> dict[str, Array]:
        if e.layers is None:
            raise FractaljaxError("this model does not show what its layers make")
        made = e.layers(e.params, (e.test or e.train).x)
        return {"coordinates": jnp.stack([jnp.mean(jnp.abs(z)) for _, z in sorted(made.items())])}

    return read


@register("metric", "gram_norms")
def gram_norms() -> Metric:
    """The Frobenius norm of `W_i W_i^T` for every layer, `[L]`."""

    def read(e: Evaluation) -> dict[str, Array]:
        grams = [k.T @ k if k.shape[0] > k.shape[1] else k @ k.T for k in _kernels(e)]
        return {"gram_norms": jnp.stack([jnp.linalg.norm(gram) for gram in grams])}

    return read


@register("metric", "balance_diffs")
def balance_diffs() -> Metric:
    """The Frobenius norm of `W_i W_i^T - W_{i+1}^T W_{i+1}`, `[L - 1]`; linear models only.

    Gradient flow keeps these matrices (Arora, Cohen and Hazan, arXiv:1802.06509, theorem 1).
    """

    def read(e: Evaluation) -> dict[str, Array]:
        layers = linear_maps.kernels(e)
        if len(layers) < 2:
            raise FractaljaxError("takes a model of at least 2 layers")
        pairs = itertools.pairwise(layers)
        diffs = [jnp.linalg.norm(k.T @ k - after @ after.T) for k, after in pairs]
        return {"balance_diffs": jnp.stack(diffs)}

    return read


@register("metric", "end_to_end_weight_norm")
def end_to_end_weight_norm() -> Metric:
    """The Frobenius norm of the product of all layers; linear models only."""

    def read(e: Evaluation) -> dict[str, Array]:
        whole = linear_maps.product(linear_maps.kernels(e))
        return {"end_to_end_weight_norm": jnp.linalg.norm(whole)}

    return read


@register("metric", "singular_values")
def singular_values() -> Metric:
    """The singular values of the product of all layers, `[min(I, O)]`, descending; linear models
    only."""

    def read(e: Evaluation) -> dict[str, Array]:
        return {"singular_values": _singular(linear_maps.product(linear_maps.kernels(e)))}

    return read


@register("metric", "layer_singular_values")
def layer_singular_values() -> Metric:
    """The singular values of every layer's matrix, descending: `layer_singular_values_<i>`."""

    def read(e: Evaluation) -> dict[str, Array]:
        layers = enumerate(_kernels(e))
        return {f"layer_singular_values_{i}": _singular(kernel) for i, kernel in layers}

    return read


@register("metric", "relative_rank")
def relative_rank(tol: float = 0.01, abs_tol: float = 0.0) -> Metric:
    """How many singular values of the product of all layers count; linear models only.

    Args:
        tol: of the largest one, what the others must exceed.
        abs_tol: what all must exceed.
    """
    _check_tolerances(tol, abs_tol)

    def read(e: Evaluation) -> dict[str, Array]:
        values = _singular(linear_maps.product(linear_maps.kernels(e)))
        return {"relative_rank": _rank(values, tol, abs_tol)}

    return read


@register("metric", "partial_products")
def partial_products(what: str = "both", tol: float = 0.01, abs_tol: float = 0.0) -> Metric:
    """Of every product `W_j ... W_i` of neighbouring layers, `i <= j`; linear models only:
    `product_singular_values_<i>_<j>`, descending, and `product_rank_<i>_<j>`.

    Args:
        what: singular_values, rank, or both.
        tol, abs_tol: of the ranks, as in `relative_rank`.
    """
    if what not in PRODUCTS:
        raise unknown("what", what, PRODUCTS)
    if what == "singular_values":
        for name, value, default in (("tol", tol, 0.01), ("abs_tol", abs_tol, 0.0)):
            if not (isinstance(value, float) and value == default):
                raise FractaljaxError(f"{name}={value} is not read: what is {what}")
    _check_tolerances(tol, abs_tol)

    def read(e: Evaluation) -> dict[str, Array]:
        layers, found = linear_maps.kernels(e), {}
        for i in range(len(layers)):
            for j in range(i, len(layers)):
                values = _singular(linear_maps.product(layers[i : j + 1]))
                if what != "rank":
                    found[f"product_singular_values_{i}_{j}"] = values
                if what != "singular_values":
                    found[f"product_rank_{i}_{j}"] = _rank(values, tol, abs_tol)
        return found

    return read


@register("metric", "grad_norm_squared")
def grad_norm_squared() -> Metric:
    """The squared norm of the gradient of the loss on the test data."""

    def read(e: Evaluation) -> dict[str, Array]:
        gradient = e.grad(e.params, _test(e))
        return {"grad_norm_squared": optax.tree.norm(gradient, squared=True)}

    return read


@register("metric", "trace_gradient_covariance")
def trace_gradient_covariance(chunks: int = 1) -> Metric:
    """`Tr(S)`, S the covariance of the points' gradients: as in `trace_covariances`."""
    _check_chunks(chunks)

    def read(e: Evaluation) -> dict[str, Array]:
        if _closed(e):
            traces = linear_maps.gradient_traces(*_squared(e))
        else:
            traces = _noise_traces(e, chunks, curved=False)
        return {"trace_gradient_covariance": traces["trace_gradient_covariance"]}

    return read


@register("metric", "trace_covariances")
def trace_covariances(chunks: int = 1) -> Metric:
    """How the gradients of single points scatter, and how the loss bends where they do.

    With `g_i` the gradient of the loss of test point i, `g` their mean over the N points,
    `n_i = g_i - g`, and H the Hessian of the mean loss: `grad_norm_squared`, `|g|^2`;
    `trace_gradient_covariance`, the mean of `|n_i|^2`; `trace_hessian_covariance`, the mean of
    `n_i^T H n_i`. Means are over N, not N - 1. Linear models with a mean square have closed forms.

    Args:
        chunks: passes over the test data; a pass holds a gradient for each of its points. The
            closed forms need one pass only, whatever this says.
    """
    _check_chunks(chunks)

    def read(e: Evaluation) -> dict[str, Array]:
        if _closed(e):
            known = _squared(e)
            trace = linear_maps.trace_hessian_covariance(*known)
            return {**linear_maps.gradient_traces(*known), "trace_hessian_covariance": trace}
        norm = optax.tree.norm(e.grad(e.params, _test(e)), squared=True)
        return {"grad_norm_squared": norm, **_noise_traces(e, chunks, curved=True)}

    return read


@register("metric", "gradient_stats")
def gradient_stats() -> Metric:
    """`grad_norm_squared` and `trace_gradient_covariance` together, in closed form; linear models
    with a mean square only."""
    return lambda e: linear_maps.gradient_traces(*_squared(e))


@register("metric", "hessian_spectrum")
def hessian_spectrum(k: int = 10, exact_below: int = 1000, iterations: int = 100) -> Metric:
    """Eigenvalues of the Hessian of the loss on the test data.

    `hessian_largest` and `hessian_smallest`, `[min(k, P)]` each, outermost first, with P the
    number of weights. Below `exact_below` weights also all of them, `hessian_spectrum`, `[P]`,
    ascending, and their sum, `hessian_trace`. From there on the outermost ones are found by
    Lanczos iterations, each within `hessian_error` and rounding of an eigenvalue (of several
    equal ones some may be missing), and `hessian_trace`, in closed form, is there for linear
    models with a mean square only.

    Args:
        k: how many eigenvalues of either end.
        exact_below: number of weights; a matrix of its square is made below it.
        iterations: products with the Hessian, at least `2 k`; as many vectors of P are held.
    """
    if k < 1 or iterations < 2 * k:
        raise FractaljaxError(f"k={k}, iterations={iterations}: at least 1 and 2 k are needed")
    if exact_below < 0:
        raise FractaljaxError(f"exact_below={exact_below}: at least 0")

    def read(e: Evaluation) -> dict[str, Array]:
        data = _test(e)
        flat, tree = ravel_pytree(e.params)

        def times(vector: Array) -> Array:
            return ravel_pytree(e.hvp(e.params, data, tree(vector)))[0]

        if flat.size < exact_below:
            values = lapack.eigvalsh(e.loop(times, jnp.eye(flat.size, dtype=flat.dtype)))
            return {
                "hessian_largest": values[::-1][:k],
                "hessian_smallest": values[:k],
                "hessian_spectrum": values,
                "hessian_trace": jnp.sum(values),
            }
        ends = lanczos.extremes(
            times, flat, min(k, flat.size), min(iterations, flat.size), e.repeat
        )
        found = {
            "hessian_largest": ends.largest,
            "hessian_smallest": ends.smallest,
            "hessian_error": ends.error,
        }
        if _closed(e):
            found["hessian_trace"] = linear_maps.hessian_trace(linear_maps.kernels(e), data.x)
        return found

    return read


def _test(e: Evaluation) -> Data:
    if not e.test:
        raise FractaljaxError("reads test data, and the problem has none")
    return e.test


def _kernels(e: Evaluation) -> list[Array]:
    """The matrices of any model, `[fan in, fan out]` each."""
    return [layer["kernel"] for _, layer in sorted(e.params.items())]


def _closed(e: Evaluation) -> bool:
    """Whether the closed forms of `linear_maps` hold."""
    return e.linear and e.residuals is not None


def _squared(e: Evaluation) -> tuple[list[Array], Array, Array]:
    """Kernels, inputs and residuals of the test data, as the closed forms take them."""
    layers, data = linear_maps.kernels(e), _test(e)
    if e.residuals is None:
        raise FractaljaxError("takes a problem whose loss is a mean square")
    return layers, data.x, e.residuals(e.params, data)


def _noise_traces(e: Evaluation, chunks: int, curved: bool) -> dict[str, Array]:
    """The traces of `trace_covariances` for any model, with `curved` that of the Hessian too."""
    data = _test(e)
    points = data.x.shape[0]
    mean = e.grad(e.params, data)
    size = -(-points // chunks)
    # the last pass may be short of points; it repeats the last one, which then counts for nothing
    numbers = jnp.arange(-(-points // size) * size).reshape(-1, size)

    def of_point(i: Array) -> dict[str, Array]:
        noise = optax.tree.sub(e.grad(e.params, _point(data, i)), mean)
        square = {"trace_gradient_covariance": optax.tree.norm(noise, squared=True)}
        if not curved:
            return square
        bent = optax.tree.vdot(noise, e.hvp(e.params, data, noise))
        return {**square, "trace_hessian_covariance": bent}

    def of_pass(numbers: Array) -> dict[str, Array]:
        traces = e.each(of_point, jnp.minimum(numbers, points - 1))
        return {k: jnp.sum(jnp.where(numbers < points, v, 0)) for k, v in traces.items()}

    return {k: jnp.sum(v) / points for k, v in e.loop(of_pass, numbers).items()}


def _point(data: Data, i: Array) -> Data:
    """The i-th point alone. What targets are made of may be shared by all points: a leaf whose
    leading axis is not theirs."""
    points = data.x.shape[0]
    rows = Data(data.x, data.y)
    return jax.tree.map(lambda leaf: leaf[i][None] if leaf.shape[:1] == (points,) else leaf, rows)


def _singular(matrix: Array) -> Array:
    """Singular values, descending; NaN where an entry is not finite."""
    # of infinite entries LAPACK prints a complaint, of NaN it does not
    return lapack.singular_values(jnp.where(jnp.isfinite(matrix), matrix, jnp.nan))


def _rank(values: Array, tol: Array | float, abs_tol: Array | float) -> Array:
    """How many of descending singular values exceed both tolerances; NaN where they overflow."""
    count = jnp.sum(values > jnp.maximum(tol * values[0], abs_tol))
    return jnp.where(jnp.isfinite(values[0]), count, jnp.nan).astype(values.dtype)


def _check_tolerances(tol: Array | float, abs_tol: Array | float) -> None:
    for name, value in (("tol", tol), ("abs_tol", abs_tol)):
        if isinstance(value, float) and not value >= 0:
            raise FractaljaxError(f"{name}={value}: at least 0")


def _check_chunks(chunks: int) -> None:
    if chunks < 1:
        raise FractaljaxError(f"chunks={chunks}: at least 1")
