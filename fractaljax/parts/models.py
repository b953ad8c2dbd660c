"""Networks. A Flax module behind the pure functions of the `Model` contract."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts.activations import gain_places, gained_activation
from fractaljax.registry import register
from fractaljax.types import Array, Key, Model, Shallow, Tree


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


def _torch(kind: str, fan_in: int, fan_out: int) -> tuple[float, float]:
    return 1 / math.sqrt(fan_in), 1.0  # the bound of a uniform distribution, not a deviation


# (kind of layer, fan in, fan out) -> (std of the initial weights, multiplier in the forward pass).
# mup in the abc form with learning rates that do not scale with width: Yang and Hu,
# arXiv:2011.14522 table 1 for gradient descent; arXiv:2203.03466 table 8 for Adam-like updates.
PARAMETRISATIONS = {
    "mean_field": _mean_field,
    "ntk": _ntk,
    "standard": _standard,
    "mup": _mup,
    "mup_adam": _mup_adam,
    "torch": _torch,
}
UPDATES = {"mup": "proportional", "mup_adam": "same"}  # of the optimisers that these are for
UNIFORM = ("torch",)  # these start uniform, and their biases too; others normal, biases at zero
WIDTH, DEPTH = 16, 2  # the paper's
MAX_DEPTH = 10_000  # more layers than anybody compiles
BIAS = 1  # tag of the stream of a layer's biases under the key of its kernel
GAINED = ("mean_field", "ntk")  # these multiply the activation by the published sqrt(2)
FEW_POINTS = 64  # below, XLA may sum a product of many networks in another order by its layout
PUBLISHED_ACTIVATIONS = ("tanh", "relu", "linear")  # of the paper's notebook


class Dense(nn.Module):
    """One layer, `multiplier * (kernel.T @ x) + bias`; features first: `[I, N] -> [O, N]`.

    Points lie along the last axis: the products of a whole chunk of networks then are one matrix
    product without a transposed copy, and elementwise work runs along contiguous points.

    With `by_points` the product is taken over a transposed copy instead, so that its gradient is
    summed point after point, in the published code's order. `_published` has that order for more
    layers and other widths. Against `[N, I] @ [I, O]` in all layers the paper's network
    is 1.1 times as fast in float64 and 1.4 in float32 (two cores); without `by_points` in the
    output layer it would be 1.4 and 1.9.
    """

    multiplier: float
    bias: bool
    by_points: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        # drawn by `Model.draw`; `self.param` would trace an initialiser at every call
        kernel = self.get_variable("params", "kernel")
        if self.by_points:  # the barrier keeps XLA from folding the transposition away
            z = (jax.lax.optimization_barrier(x.T) @ kernel).T * self.multiplier
        else:
            z = (kernel.T @ x) * self.multiplier
        if self.bias:
            z = z + self.get_variable("params", "bias")[:, None]
        return z


class Dropout(nn.Module):
    """Zeroes units with a probability that may be traced, and scales up the others.

    One key is drawn a call, and each unit's number is hashed with it (two rounds of the finaliser
    of murmur3): a fifth of the time of a whole step less than random bits of JAX's own generator.
    """

    rate: Any  # float or tracer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        first, second = jax.random.key_data(self.make_rng("dropout"))
        number = jax.lax.iota(jnp.uint32, x.size).reshape(x.shape)
        bits = _mixed(_mixed(number ^ first) ^ second)
        uniform = (bits >> 8).astype(jnp.float32) * 2.0**-24
        # a factor, not a quotient: XLA rewrites that in one way on one device and in another on two
        return jnp.where(uniform < self.rate, 0, x * (1 / (1 - self.rate))).astype(x.dtype)


def _mixed(bits: Array) -> Array:
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)


class Mlp(nn.Module):
    """Hidden layers of these widths and an output layer; see `mlp`."""

    widths: tuple[int, ...]
    outputs: int
    residual: bool
    bias: bool
    parametrisation: str
    activation: Callable[[Array], Array]
    dropout: Any  # float or tracer; None where units are kept

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = self._hidden(0, x.T)
        i, hidden = 1, len(self.widths)
        while i < hidden:
            if self.residual and i + 1 < hidden:
                x = (x + self._hidden(i + 1, self._hidden(i, x))) / math.sqrt(2)
                i += 2
            else:
                x = self._hidden(i, x)
                i += 1
        return self._layer(hidden, x).T

    def _hidden(self, i: int, x: Array) -> Array:
        x = self.activation(self._layer(i, x))
        return x if self.dropout is None else Dropout(self.dropout, name=f"dropout_{i:03d}")(x)

    def _layer(self, i: int, x: Array) -> Array:
        last = i == len(self.widths)
        features = self.outputs if last else self.widths[i]
        scale = PARAMETRISATIONS[self.parametrisation]
        _, multiplier = scale(_kind(i, len(self.widths) + 1), x.shape[0], features)
        return Dense(multiplier, self.bias, last, name=f"layer_{i:03d}")(x)


@register("model", "mlp")
def mlp(
    width: int = WIDTH,
    depth: int = DEPTH,
    widths: tuple[int, ...] = (),
    residual: bool = False,
    bias: bool = False,
    activation: str = "tanh",
    slope: float | None = None,
    dropout: float = 0.0,
    parametrisation: str = "mean_field",
    init_offset: float = 0.0,
    init_scale: float = 1.0,
) -> Model:
    """Fully connected network, the paper's by default (arXiv:2402.06184, section 2).

    Args:
        width: units of every hidden layer.
        depth: layers of weights, at least 2 (one hidden layer).
        widths: units of each hidden layer, in the place of `width` and `depth`.
        residual: pairs of hidden layers become blocks `(x + f(x)) / sqrt(2)`; a layer left over
            stays plain.
        bias: adds biases, which start at zero.
        activation: tanh, relu, linear, leaky_relu, gelu, silu, sin, sigmoid or erf.
        slope: of `leaky_relu` below zero (default 0.01).
        dropout: probability that a hidden unit is zeroed while training, after its activation.
        parametrisation: mean_field (the paper's), ntk, standard (Xavier normal), mup (gradient
            descent, no biases), mup_adam or torch (weights and biases uniform within
            `1 / sqrt(fan_in)`, PyTorch's default).
        init_offset: mean of the initial input-layer weights.
        init_scale: factor on the standard deviation of all initial weights.

    Raises:
        FractaljaxError: width below 1, depth below 2, an unknown name, a slope nobody reads.
    """
    widths = _widths(width, depth, widths, residual)
    if parametrisation not in PARAMETRISATIONS:
        raise unknown("parametrisation", parametrisation, PARAMETRISATIONS)
    if bias and parametrisation == "mup":
        raise FractaljaxError(
            "bias=True: mup for gradient descent is without biases; mup_adam has them"
        )
    act = gained_activation(activation, slope, gained=parametrisation in GAINED)
    if isinstance(dropout, float) and not 0 <= dropout < 1:
        raise FractaljaxError(f"dropout={dropout}: allowed are 0 to below 1")
    kept = isinstance(dropout, float) and dropout == 0  # for certain, not a tracer that may be
    uniform = parametrisation in UNIFORM

    def module(outputs: int, dropout: Any = None) -> Mlp:
        return Mlp(widths, outputs, residual, bias, parametrisation, act, dropout)

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        return _normals(key, [x.shape[-1], *widths, outputs], biases=bias and uniform)

    def init(draws: Tree) -> Tree:
        params = {}
        for i, (name, layer) in enumerate(sorted(draws.items())):
            fan_in, fan_out = layer["kernel"].shape
            std, _ = PARAMETRISATIONS[parametrisation](_kind(i, len(draws)), fan_in, fan_out)
            drawn = jax.tree.map(_uniform, layer) if uniform else layer
            kernel = drawn["kernel"] * (std * init_scale) + (init_offset if i == 0 else 0.0)
            params[name] = {"kernel": kernel}
            if bias:
                zeros = jnp.zeros(fan_out, kernel.dtype)
                params[name]["bias"] = drawn["bias"] * (std * init_scale) if uniform else zeros
        return params

    def apply(params: Tree, x: Array) -> Array:
        return module(_outputs(params)).apply({"params": params}, x)

    def noisy(params: Tree, x: Array, key: Key) -> Array:
        dropping = module(_outputs(params), dropout)
        return dropping.apply({"params": params}, x, rngs={"dropout": key})

    def layers(params: Tree, x: Array) -> dict[str, Array]:
        return _preactivations(module(_outputs(params)), params, x)

    def published(points: int) -> Callable[[Tree, Array], Array] | None:
        same = points >= FEW_POINTS and len(widths) == 1 and _exact_root(widths[0])
        return None if same else functools.partial(_published, act)

    plain = kept and not bias and slope is None
    shallow = (
        _shallow(widths[0], activation, parametrisation) if plain and len(widths) == 1 else None
    )
    known = plain and not residual and len(set(widths)) == 1
    known &= parametrisation == "mean_field" and activation in PUBLISHED_ACTIVATIONS
    return Model(
        draw, init, apply, noisy=None if kept else noisy, layers=layers, shallow=shallow,
        updates=UPDATES.get(parametrisation), published=published if known else None,
    )  # fmt: skip


def _published(activation: Callable[[Array], Array], params: Tree, x: Array) -> Array:
    """An `mlp` in the order of sums of the paper's notebook, `[N, I] -> [N, O]`.

    The notebook writes `x @ kernel` in every layer and divides the output twice by the root of the
    fan in. The first product may lie features first without another bit where there are many
    points; it is the quicker way. All that holds where the same JAX compiles both, and as many
    networks lie side by side: XLA sums in another order for other shapes.
    """
    first, *rest = (params[name]["kernel"] for name in sorted(params))
    scales = [1 / math.sqrt(kernel.shape[0]) for kernel in (first, *rest)]
    if x.shape[0] < FEW_POINTS:
        x = activation((x @ first) * scales[0])
    else:  # the barrier keeps XLA from folding the transposition into the products
        hidden = activation((first.T @ x.T) * scales[0])
        x = jax.lax.optimization_barrier(hidden.T)
    for kernel, scale in zip(rest[:-1], scales[1:-1], strict=True):
        x = activation((x @ kernel) * scale)
    return (x @ rest[-1]) * scales[-1] * scales[-1]


def _exact_root(fan_in: int) -> bool:
    """Whether scaling twice by the root of a fan in is scaling once by it: at powers of four."""
    mantissa, _ = math.frexp(math.sqrt(fan_in))
    return mantissa == 0.5


def _shallow(hidden: int, activation: str, parametrisation: str) -> Shallow:
    """The scales of a network of one hidden layer, the gain of its activation among them."""
    gains = gain_places(activation, gained=parametrisation in GAINED)

    def scales(inputs: int) -> tuple[float, float]:
        layer = PARAMETRISATIONS[parametrisation]
        _, first = layer("input", inputs, hidden)
        _, last = layer("output", hidden, 1)
        return first * gains[0], last * gains[1]

    return Shallow(hidden, activation, scales)


def _widths(width: int, depth: int, widths: tuple, residual: bool) -> tuple[int, ...]:
    """Units of every hidden layer."""
    if not widths:
        if width < 1 or depth < 2:
            raise FractaljaxError(f"width={width}, depth={depth}: at least 1 and 2 are needed")
        if depth > MAX_DEPTH:
            raise FractaljaxError(f"depth={depth}: at most {MAX_DEPTH}")
        return (width,) * (depth - 1)
    given = {"width": (width, WIDTH), "depth": (depth, DEPTH)}
    for name, (value, usual) in given.items():
        if value != usual:
            raise FractaljaxError(f"{name}={value} is not read: widths are given")
    if not all(type(w) is int and w >= 1 for w in widths):
        raise FractaljaxError(f"widths={list(widths)}: takes whole numbers from 1")
    if residual and len(set(widths)) > 1:
        raise FractaljaxError(f"residual: widths={list(widths)} must be equal to be added")
    return widths


class Linear(nn.Module):
    """One layer of weights and nothing else."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        return Dense(1.0, False, by_points=True, name="layer_000")(x.T).T


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
        return Linear().apply({"params": params}, x)

    def layers(params: Tree, x: Array) -> dict[str, Array]:
        return _preactivations(Linear(), params, x)

    return Model(draw, init, apply, linear=True, layers=layers)


class DeepLinear(nn.Module):
    """A product of matrices; see `deep_linear`."""

    num_hidden: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = x.T
        for i in range(self.num_hidden + 1):
            x = Dense(1.0, False, name=f"layer_{i:03d}")(x)
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

    module = DeepLinear(num_hidden)

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        return _normals(key, [x.shape[-1], *num_hidden * [hidden_dim], outputs])

    def init(draws: Tree) -> Tree:
        return jax.tree.map(lambda normal: normal * hidden_dim ** (-gamma / 2), draws)

    def apply(params: Tree, x: Array) -> Array:
        return module.apply({"params": params}, x)

    def layers(params: Tree, x: Array) -> dict[str, Array]:
        return _preactivations(module, params, x)

    return Model(draw, init, apply, linear=True, layers=layers)


def _normals(key: Key, units: Sequence[int], biases: bool = False) -> Tree:
    """Standard normals in the shape of the kernels from layer to layer of so many units, a key a
    kernel, as published; of the biases too where these start at random."""
    shapes = {f"layer_{i:03d}": pair for i, pair in enumerate(itertools.pairwise(units))}
    keys = jax.random.split(key, len(shapes))
    draws: dict[str, Any] = {}
    for layer_key, (name, shape) in zip(keys, sorted(shapes.items()), strict=True):
        draws[name] = {"kernel": jax.random.normal(layer_key, shape)}
        if biases:
            own = jax.random.fold_in(layer_key, BIAS)
            draws[name]["bias"] = jax.random.normal(own, shape[1:])
    return draws


def _uniform(normal: Array) -> Array:
    """Standard normals as numbers that are uniform between -1 and 1."""
    return jax.lax.erf(normal / math.sqrt(2))


def _outputs(params: Tree) -> int:
    return params[max(params)]["kernel"].shape[-1]


def _preactivations(module: nn.Module, params: Tree, x: Array) -> dict[str, Array]:
    """What every Dense of a module makes, features first, `[H, N]`."""

    def is_layer(submodule: nn.Module, method: str) -> bool:
        del method
        return isinstance(submodule, Dense)

    found = module.apply({"params": params}, x, capture_intermediates=is_layer)[1]
    return {name: made["__call__"][0] for name, made in found["intermediates"].items()}


def _kind(i: int, depth: int) -> str:
    return "input" if i == 0 else "output" if i == depth - 1 else "mid"
