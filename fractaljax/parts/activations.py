"""Activations, and the gain that keeps the second moment of what passes through them."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.types import Array

# Where the published gain of sqrt(2) goes (paper, appendix): into the argument of an activation
# that saturates, onto the value of one that rectifies, nowhere for the identity.
ACTIVATIONS: dict[str, tuple[Callable, str]] = {
    "tanh": (jnp.tanh, "argument"),
    "erf": (jax.lax.erf, "argument"),
    "sin": (jnp.sin, "argument"),
    "sigmoid": (jax.nn.sigmoid, "argument"),
    "relu": (jax.nn.relu, "value"),
    "leaky_relu": (jax.nn.leaky_relu, "value"),
    "gelu": (lambda z: jax.nn.gelu(z, approximate=False), "value"),
    "silu": (jax.nn.silu, "value"),
    "linear": (lambda z: z, "none"),
}


def gained_activation(name: str, slope: Any, gained: bool) -> Callable[[Array], Array]:
    """The activation with its gain; `slope` may be a tracer."""
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    function, place = ACTIVATIONS[name]
    gain = math.sqrt(2)
    if name == "leaky_relu":
        slope = 0.01 if slope is None else slope
        gain = (2 / (1 + slope**2)) ** 0.5  # keeps the second moment
        function = functools.partial(jax.nn.leaky_relu, negative_slope=slope)
    elif slope is not None:
        raise FractaljaxError(f"slope={slope} is not read: only leaky_relu has one, not {name}")
    if not gained or place == "none":
        return function
    return (lambda z: function(gain * z)) if place == "argument" else (lambda z: gain * function(z))


def gain_places(name: str, gained: bool) -> tuple[float, float]:
    """The published gain as factors on the argument and on the value of an activation."""
    place = ACTIVATIONS[name][1] if gained else "none"
    gain = math.sqrt(2)
    return (gain if place == "argument" else 1.0), (gain if place == "value" else 1.0)
