"""Optimisers: optax transforms with a learning rate per group of layers.

Every factory takes `lr` and, over it, `lr_in` (input layer), `lr_out` (output layer) and `lr_mid`
(the layers between; default: the geometric mean of the two). `grouping: alternating` is the
published rule for deeper networks instead: layer i takes `(lr_in, lr_out)[i mod 2]`.
"""

import math
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from optax import GradientTransformation

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.registry import register
from fractaljax.scalar import Scalar
from fractaljax.types import Array, Optimizer, Tree

GROUPINGS = ("position", "alternating")


@register("optimizer", "sgd")
def sgd(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Gradient descent with momentum; weight decay is added to the gradient. Default rate 0.1."""
    if nesterov and _is_zero(momentum):
        raise FractaljaxError("nesterov=True is not read: momentum is 0")
    memory = [] if _is_zero(momentum) else [optax.trace(momentum, nesterov)]
    rates = _rates(0.1, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(*_decay(weight_decay), *memory, rates)


@register("optimizer", "adam")
def adam(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam (arXiv:1412.6980); weight decay is added to the gradient. Default rate 1e-3."""
    rates = _rates(1e-3, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(*_decay(weight_decay), _scale_by_adam(beta1, beta2, eps), rates)


@register("optimizer", "adamw")
def adamw(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Optimizer:
    """Adam with decoupled weight decay on all weights (arXiv:1711.05101). Default rate 1e-3."""
    rates = _rates(1e-3, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(_scale_by_adam(beta1, beta2, eps), *_decay(weight_decay), rates)


@register("optimizer", "rmsprop")
def rmsprop(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    beta2: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """RMSProp; `beta2` is the decay of the squared gradient. Default rate 1e-3."""
    memory = [] if _is_zero(momentum) else [optax.trace(momentum)]
    rates = _rates(1e-3, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(*_decay(weight_decay), optax.scale_by_rms(beta2, eps), *memory, rates)


@register("optimizer", "lion")
def lion(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 1e-3,
) -> Optimizer:
    """Lion with decoupled weight decay (arXiv:2302.06675). Default rate 1e-4."""
    rates = _rates(1e-4, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(optax.scale_by_lion(beta1, beta2), *_decay(weight_decay), rates)


@register("optimizer", "lars")
def lars(
    lr: float | None = None,
    lr_in: float | None = None,
    lr_out: float | None = None,
    lr_mid: float | None = None,
    grouping: str = "position",
    trust: float = 1.0,
    eps: float = 1e-8,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> Optimizer:
    """LARS (arXiv:1708.03888): rates times `trust |w| / (|g| + eps)` of a layer. Default 1e-3."""
    memory = [] if _is_zero(momentum) else [optax.trace(momentum)]
    scaled = optax.scale_by_trust_ratio(trust_coefficient=trust, eps=eps)
    rates = _rates(1e-3, lr, lr_in, lr_out, lr_mid, grouping)
    return optax.chain(*_decay(weight_decay), scaled, *memory, rates)


def _scale_by_adam(beta1: Any, beta2: Any, eps: Any) -> optax.GradientTransformation:
    """Adam's direction (arXiv:1412.6980, algorithm 1).

    optax's own divides by the bias corrections, and XLA rewrites a quotient of quotients in one
    way on one device and in another on several: the same pixel would read differently. Here the
    corrections are factors.
    """
    moments = optax.scale_by_adam(beta1, beta2, eps)

    def update(updates: Tree, state: Any, params: Tree | None = None) -> tuple[Tree, Any]:
        _, state = moments.update(updates, state, params)
        first, second = (
            1 / (1 - beta ** jnp.asarray(state.count, float)) for beta in (beta1, beta2)
        )

        def direction(mu: Array, nu: Array) -> Array:
            one, two = jnp.asarray(first, mu.dtype), jnp.asarray(second, mu.dtype)
            return (mu * one) / (jnp.sqrt(nu * two) + eps)

        return jax.tree.map(direction, state.mu, state.nu), state

    return optax.GradientTransformation(moments.init, update)


def _decay(weight_decay: Any) -> list[GradientTransformation]:
    return [] if _is_zero(weight_decay) else [optax.add_decayed_weights(weight_decay)]


def _is_zero(value: Any) -> bool:
    """Zero for certain, not merely a tracer that may be: then its state need not be carried."""
    return isinstance(value, float) and value == 0


def _rates(
    default: float, lr: Any, lr_in: Any, lr_out: Any, lr_mid: Any, grouping: str
) -> GradientTransformation:
    """Minus the learning rate of each layer's group, as a transform."""
    if grouping not in GROUPINGS:
        raise unknown("grouping", grouping, GROUPINGS)
    if grouping == "alternating" and lr_mid is not None:
        raise FractaljaxError(
            "lr_mid is not read: grouping is alternating, which has no middle group"
        )
    if lr is not None and lr_in is not None and lr_out is not None:
        raise FractaljaxError("lr is not read: lr_in and lr_out are both set")
    for name, value in {"lr": lr, "lr_in": lr_in, "lr_out": lr_out, "lr_mid": lr_mid}.items():
        if isinstance(value, float) and not (math.isfinite(value) and value >= 0):
            raise FractaljaxError(f"{name}={value}: takes a finite rate of at least 0")
    lr = default if lr is None else lr
    first, last = lr if lr_in is None else lr_in, lr if lr_out is None else lr_out
    # the root of each before the product: the product of two rates near 1e308 would overflow
    between = _root(first) * _root(last) if lr_mid is None else lr_mid
    groups = {"in": first, "mid": between, "out": last}
    scales: dict[Hashable, GradientTransformation] = {
        group: optax.scale_by_learning_rate(rate) for group, rate in groups.items()
    }

    def labels(params: Tree) -> Tree:
        if lr_mid is not None and len(params) < 3:
            raise FractaljaxError("optimizer.lr_mid is not read: no layer lies between the two")
        if lr_out is not None and len(params) < 2:
            raise FractaljaxError("optimizer.lr_out is not read: one layer takes lr_in, or lr")
        return _labels(params, grouping)

    return optax.partition(scales, labels)


def _root(value: Any) -> Any:
    """Square root; plain floats stay plain, so that checking a Spec starts no backend."""
    if isinstance(value, Scalar):
        return value.sqrt()
    return math.sqrt(value) if isinstance(value, float) else jnp.sqrt(value)


def _labels(params: Tree, grouping: str) -> Tree:
    """The group of every layer; sorted names are the order of the layers."""
    order = sorted(params)
    if grouping == "alternating":
        groups = ["in" if i % 2 == 0 else "out" for i in range(len(order))]
    else:
        groups = ["in", *["mid"] * (len(order) - 2), "out"]
    return dict(zip(order, groups[: len(order)], strict=True))
