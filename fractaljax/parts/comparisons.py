"""What is compared between the two networks of a pair; identical weights are at distance 0."""

import jax
import jax.numpy as jnp
import optax

from fractaljax.errors import FractaljaxError
from fractaljax.parts import linear_maps
from fractaljax.registry import register
from fractaljax.types import Array, Comparison, Evaluation, Tree


@register("comparison", "param_distance")
def param_distance() -> Comparison:
    """The Euclidean norm of the difference of all weights."""
    return lambda a, b: {"param_distance": optax.tree.norm(_difference(a, b))}


@register("comparison", "param_cosine_sim")
def param_cosine_sim() -> Comparison:
    """The cosine of the angle between all weights of one and of the other."""

    def read(a: Evaluation, b: Evaluation) -> dict[str, Array]:
        _check_alike(a, b)
        norms = optax.tree.norm(a.params) * optax.tree.norm(b.params)
        return {"param_cosine_sim": optax.tree.vdot(a.params, b.params) / norms}

    return read


@register("comparison", "layer_distances")
def layer_distances() -> Comparison:
    """The Frobenius norm of the difference of every layer's weights, `[L]`."""

    def read(a: Evaluation, b: Evaluation) -> dict[str, Array]:
        layers = sorted(_difference(a, b).items())
        return {"layer_distances": jnp.stack([optax.tree.norm(layer) for _, layer in layers])}

    return read


@register("comparison", "frobenius_distance")
def frobenius_distance() -> Comparison:
    """The Frobenius norm of the difference of the products of all layers; linear models only,
    which may differ in width and depth."""

    def read(a: Evaluation, b: Evaluation) -> dict[str, Array]:
        one, other = linear_maps.kernels(a), linear_maps.kernels(b)
        if _shapes(a.params) == _shapes(b.params):
            apart = linear_maps.difference(one, other)
        else:
            apart = linear_maps.product(one) - linear_maps.product(other)
        return {"frobenius_distance": jnp.linalg.norm(apart)}

    return read


def _difference(a: Evaluation, b: Evaluation) -> Tree:
    _check_alike(a, b)
    return optax.tree.sub(a.params, b.params)


def _check_alike(a: Evaluation, b: Evaluation) -> None:
    if _shapes(a.params) != _shapes(b.params):
        raise FractaljaxError("takes two networks of the same layers and widths")


def _shapes(params: Tree) -> Tree:
    return jax.tree.map(jnp.shape, params)
