"""Networks. A Flax module behind the pure functions of the `Model` contract."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.registry import register
from fractaljax.types import Array, Key, Model, Tree

# Where the published gain of sqrt(2) goes (paper, appendix): into the argument of an activation
# that saturates, onto the value of one that rectifies, nowhere for the identity.
ACTIVATIONS: dict[str, tuple[Callable, str]] = {
    "tanh": (jnp.tanh, "argument"),
    "erf": (jax.lax.erf, "argument"),
    "sin": (jnp.sin, "argument"),
    "relu": (jax.nn.relu, "value"),
    "leaky_relu": (jax.nn.leaky_relu, "value"),
    "gelu": (lambda z: jax.nn.gelu(z, approximate=False), "value"),
    "silu": (jax.nn.silu, "value"),
    "linear": (lambda z: z, "none"),
}


def _mean_field(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    return 1.0, 1 / fan_in if kind == "output" else 1 / math.sqrt(fan_in)


def _ntk(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    return 1.0, 1 / math.sqrt(fan_in)


def _standard(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    return math.sqrt(2 / (fan_in + fan_out)), 1.0


def _mup(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    width = fan_out if kind == "input" else fan_in
    multiplier = {"input": math.sqrt(width / fan_in), "mid": 1.0, "output": 1 / math.sqrt(width)}
    return 1 / math.sqrt(width), multiplier[kind]


def _mup_adam(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    std = {"input": 1 / math.sqrt(fan_in), "mid": math.sqrt(fan_in), "output": 1.0}
    return std[kind], 1.0 if kind == "input" else 1 / fan_in


# (kind of layer, fan in, fan out) -> (std of the initial weights, multiplier in the forward pass).
# mup in the abc form with learning rates that do not scale with width: Yang and Hu,
# arXiv:2011.14522 table 1 for gradient descent; arXiv:2203.03466 table 8 for Adam-like updates.
PARAMETRISATIONS = {
    "mean_field": _mean_field,
    "ntk": _ntk,
    "standard": _standard,
    "mup": _mup,
    "mup_adam": _mup_adam,
}
GAINED = ("mean_field", "ntk")  # these multiply the activation by the published sqrt(2)


class Dense(nn.Module):
    """One layer, `multiplier * (kernel.T @ x) + bias`; features first: `[I, N] -> [O, N]`.

    Points lie along the last axis: the products of a whole chunk of networks then are one matrix
    product without a transposed copy, and elementwise work runs along contiguous points.

    With `by_points` the product is taken over a transposed copy instead, so that its gradient is
    summed point after point, in the published code's order: 83.5 % of the published overview then
    come out within 1e-6, else 77 %. Against `[N, I] @ [I, O]` in all layers the paper's network
    is 1.1 times as fast in float64 and 1.4 in float32 (two cores); without `by_points` in the
    output layer it would be 1.4 and 1.9.
    """

    features: int
    multiplier: float
    bias: bool
    by_points: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", _no_draw, (x.shape[0], self.features), x.dtype)
        if self.by_points:  # the barrier keeps XLA from folding the transposition away
            z = (jax.lax.optimization_barrier(x.T) @ kernel).T * self.multiplier
        else:
            z = (kernel.T @ x) * self.multiplier
        if self.bias:
            z = z + self.param("bias", _no_draw, (self.features,), x.dtype)[:, None]
        return z


class Mlp(nn.Module):
    """`depth` layers of weights, `depth - 1` of them hidden; see `mlp`."""

    width: int
    depth: int
    outputs: int
    residual: bool
    bias: bool
    parametrisation: str
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = self.activation(self._layer(0, x.T))
        i = 1
        while i < self.depth - 1:
            if self.residual and i + 1 < self.depth - 1:
                inner = self.activation(self._layer(i, x))
                x = (x + self.activation(self._layer(i + 1, inner))) / math.sqrt(2)
                i += 2
            else:
                x = self.activation(self._layer(i, x))
                i += 1
        return self._layer(self.depth - 1, x).T

    def _layer(self, i: int, x: Array) -> Array:
        last = i == self.depth - 1
        features = self.outputs if last else self.width
        scale = PARAMETRISATIONS[self.parametrisation]
        _, multiplier = scale(_kind(i, self.depth), x.shape[0], features)
        return Dense(features, multiplier, self.bias, last, name=f"layer_{i:03d}")(x)


@register("model", "mlp")
def mlp(
    width: int = 16,
    depth: int = 2,
    residual: bool = False,
    bias: bool = False,
    activation: str = "tanh",
    slope: float | None = None,
    parametrisation: str = "mean_field",
    init_offset: float = 0.0,
    init_scale: float = 1.0,
) -> Model:
    """Fully connected network, the paper's by default (arXiv:2402.06184, section 2).

    Args:
        width: units of every hidden layer.
        depth: layers of weights, at least 2 (one hidden layer).
        residual: pairs of hidden layers become blocks `(x + f(x)) / sqrt(2)`; a layer left over
            stays plain.
        bias: adds biases, which start at zero.
        activation: tanh, relu, linear, leaky_relu, gelu, silu, sin or erf.
        slope: of `leaky_relu` below zero (default 0.01).
        parametrisation: mean_field (the paper's), ntk, standard (Xavier normal), mup (gradient
            descent, no biases) or mup_adam.
        init_offset: mean of the initial input-layer weights.
        init_scale: factor on the standard deviation of all initial weights.

    Raises:
        FractaljaxError: width below 1, depth below 2, an unknown name, a slope nobody reads.
    """
    if width < 1 or depth < 2:
        raise FractaljaxError(f"width={width}, depth={depth}: at least 1 and 2 are needed")
    if parametrisation not in PARAMETRISATIONS:
        raise unknown("parametrisation", parametrisation, PARAMETRISATIONS)
    if bias and parametrisation == "mup":
        raise FractaljaxError(
            "bias=True: mup for gradient descent is without biases; mup_adam has them"
        )
    act = _activation(activation, slope, gained=parametrisation in GAINED)

    def module(outputs: int) -> Mlp:
        return Mlp(width, depth, outputs, residual, bias, parametrisation, act)

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        return _normals(key, module(outputs), x)

    def init(draws: Tree) -> Tree:
        params = {}
        for i, (name, layer) in enumerate(sorted(draws.items())):
            fan_in, fan_out = layer["kernel"].shape
            std, _ = PARAMETRISATIONS[parametrisation](_kind(i, depth), fan_in, fan_out)
            kernel = layer["kernel"] * (std * init_scale) + (init_offset if i == 0 else 0.0)
            params[name] = {"kernel": kernel}
            if bias:
                params[name]["bias"] = jnp.zeros(fan_out, kernel.dtype)
        return params

    def apply(params: Tree, x: Array) -> Array:
        outputs = params[f"layer_{depth - 1:03d}"]["kernel"].shape[-1]
        return module(outputs).apply({"params": params}, x)

    return Model(draw, init, apply)


class Linear(nn.Module):
    """One layer of weights and nothing else."""

    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return Dense(self.outputs, 1.0, False, by_points=True, name="layer_000")(x.T).T


@register("model", "linear")
def linear(start: float = 1.0, spread: float = 0.0) -> Model:
    """One layer of weights that start where they are put: a single number with one input.

    Args:
        start: mean of the initial weights.
        spread: their standard deviation.
    """

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        return {"layer_000": {"kernel": jax.random.normal(key, (x.shape[-1], outputs))}}

    def init(draws: Tree) -> Tree:
        return jax.tree.map(lambda normal: start + spread * normal, draws)

    def apply(params: Tree, x: Array) -> Array:
        outputs = params["layer_000"]["kernel"].shape[-1]
        return Linear(outputs).apply({"params": params}, x)

    return Model(draw, init, apply, linear=True)


class DeepLinear(nn.Module):
    """A product of matrices; see `deep_linear`."""

    num_hidden: int
    hidden_dim: int
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.T
        for i in range(self.num_hidden + 1):
            features = self.outputs if i == self.num_hidden else self.hidden_dim
            x = Dense(features, 1.0, False, name=f"layer_{i:03d}")(x)
        return x.T


@register("model", "deep_linear")
def deep_linear(num_hidden: int = 3, hidden_dim: int = 100, gamma: float = 1.0) -> Model:
    """Deep linear network `W_L ... W_1 x`; all entries start as N(0, hidden_dim^-gamma).

    The scale of all layers, first and last too, is that of the hidden width (arXiv:2106.15933):
    `gamma` of 0.5 is called standard, 0.75 the neural tangent kernel's (with four layers), 1 mean
    field, and from 1.5 on training goes from saddle to saddle. Inputs and outputs are the data's.

    Args:
        num_hidden: hidden layers; there is one more layer of weights.
        hidden_dim: units of each.
        gamma: minus the exponent of the variance.
    """
    if num_hidden < 0 or hidden_dim < 1:
        raise FractaljaxError(
            f"num_hidden={num_hidden}, hidden_dim={hidden_dim}: at least 0 and 1 are needed"
        )

    if isinstance(gamma, float) and not math.isfinite(gamma):
        raise FractaljaxError(f"gamma={gamma}: takes a finite number")

    def module(outputs: int) -> DeepLinear:
        return DeepLinear(num_hidden, hidden_dim, outputs)

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        return _normals(key, module(outputs), x)

    def init(draws: Tree) -> Tree:
        return jax.tree.map(lambda normal: normal * hidden_dim ** (-gamma / 2), draws)

    def apply(params: Tree, x: Array) -> Array:
        outputs = params[max(params)]["kernel"].shape[-1]
        return module(outputs).apply({"params": params}, x)

    return Model(draw, init, apply, linear=True)


def _normals(key: Key, module: nn.Module, x: Array) -> Tree:
    """Standard normals in the shape of the kernels, a key a layer, as published."""
    shapes = jax.eval_shape(module.init, key, x)["params"]
    keys = jax.random.split(key, len(shapes))
    return {
        name: {"kernel": jax.random.normal(keys[i], shapes[name]["kernel"].shape)}
        for i, name in enumerate(sorted(shapes))
    }


def _kind(i: int, depth: int) -> str:
    return "input" if i == 0 else "output" if i == depth - 1 else "mid"


def _activation(name: str, slope: Any, gained: bool) -> Callable[[Array], Array]:
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


def _no_draw(key: Key, shape: tuple[int, ...], dtype: Any) -> Array:
    return jnp.zeros(shape, dtype)  # only the shape is used; `draw` and `init` make the values
