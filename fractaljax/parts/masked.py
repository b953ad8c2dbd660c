"""A network of a fixed capacity in which masks say what exists."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.parts.activations import ACTIVATIONS
from fractaljax.registry import register
from fractaljax.types import Array, Key, Model, Tree

NEVER = 2**31 - 1  # rank of an edge that is not there, whatever the density
INITIALS = ("normal", "uniform")


class MaskedMlp(nn.Module):
    """Every layer sees all units before it; see `masked_mlp`. Features first: `[I, N] -> [O, N]`.

    Weights that do not exist are zero, so that the forward pass needs no mask.
    """

    num_hidden: int
    reach: int
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
        """Outputs `[O, N]`; every hidden layer before and after its activation."""
        seen, before = [x], []
        for i in range(self.num_hidden + 1):
            nodes = seen[max(0, i + 1 - self.reach) :] if self.reach else seen
            layer = Masked(i < self.num_hidden, self.activation, name=f"layer_{i:03d}")
            z, passed = layer(nodes[0] if len(nodes) == 1 else jnp.concatenate(nodes))
            before.append(z)
            seen.append(passed)
        return seen[-1], tuple(before[:-1]), tuple(seen[1:-1])


class Masked(nn.Module):
    """One layer; a unit may pass on a share of its argument instead of its activation."""

    hidden: bool
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        def param(name: str) -> Array:
            return self.get_variable("params", name)

        z = param("kernel").T @ x
        z = z + param("bias")[:, None]
        if not self.hidden:
            return z, z
        value = self.activation(z)
        return z, value + param("bypass")[:, None] * (z - value)


@register("model", "masked_mlp")
def masked_mlp(
    widths: tuple[int, ...] = (256,),
    start: tuple[int, ...] = (),
    density: float = 0.02,
    reach: int = 0,
    activation: str = "tanh",
    initial: str = "normal",
    compensate: bool = True,
    init_scale: float = 1.0,
) -> Model:
    """Sparse network that may grow within a fixed capacity; masks say what exists.

    Every layer of weights sees the units of all layers before it, so that an edge between
    neighbours, a skip and a highway are one thing; a layer without units is bypassed.

    Args:
        widths: capacity: the most units of each hidden layer.
        start: units that exist at first, a layer each (default: all). Edges lie between layers
            that have units and have none with units between them.
        density: share of those edges that exist, `max(1, floor(density * in * out))` of each pair
            of layers, at random; biases are dense.
        reach: how many layers an edge may span; 1: neighbours alone; 0: any.
        activation: tanh, sigmoid, relu, ...
        initial: `normal`, of deviation `sqrt(2) sqrt(2 / (in + out))` for activations that
            saturate and `sqrt(2 / in)` for others; `uniform` within `1 / sqrt(in)`. Biases are
            uniform within `1 / sqrt(in)`. `in` and `out` count the units that exist at first.
        compensate: divides the deviation of the edges by `sqrt(density)`, so that what a unit
            receives is as large as in a dense network.
        init_scale: factor on the deviation of the initial edges.

    Raises:
        FractaljaxError: widths or start are no numbers of units, density is not above 0 to 1.
    """
    start = start or widths
    if not widths or not all(w >= 1 for w in widths):
        raise FractaljaxError(f"widths={list(widths)}: takes whole numbers from 1")
    if len(start) != len(widths) or not all(
        0 <= s <= w for s, w in zip(start, widths, strict=True)
    ):
        raise FractaljaxError(
            f"start={list(start)}: takes as many as widths, each of them 0 to its"
        )
    if isinstance(density, float) and not 0 < density <= 1:
        raise FractaljaxError(f"density={density}: allowed are above 0 to 1")
    if reach < 0 or (reach and any(s == 0 for s in start)):
        raise FractaljaxError(f"reach={reach}: 0, or at least 1 and no empty layer in start")
    if activation not in ACTIVATIONS:
        raise unknown("activation", activation, ACTIVATIONS)
    if initial not in INITIALS:
        raise unknown("initial", initial, INITIALS)
    function, place = ACTIVATIONS[activation]

    module = MaskedMlp(len(widths), reach, function)

    def sizes(inputs: int, outputs: int) -> tuple[list[int], list[int]]:
        """Units of every node of the capacity, and of those that exist at first."""
        return [inputs, *widths, outputs], [inputs, *start, outputs]

    def draw(key: Key, x: Array, outputs: int) -> Tree:
        room, there = sizes(x.shape[-1], outputs)
        draws = {}
        for i in range(len(widths) + 1):
            own = jax.random.split(jax.random.fold_in(key, i), 3)
            first = max(0, i + 1 - reach) if reach else 0
            shape = (sum(room[first : i + 1]), room[i + 1])
            before = _before(there, i + 1)
            ranks = jax.random.permutation(own[1], there[before] * there[i + 1])
            row = sum(room[first:before])
            block = ranks.reshape(there[before], there[i + 1]).astype(jnp.int32)
            rank = jnp.full(shape, NEVER, jnp.int32)
            draws[f"layer_{i:03d}"] = {
                "kernel": jax.random.normal(own[0], shape),
                "rank": rank.at[row : row + block.shape[0], : block.shape[1]].set(block),
                "bias": jax.random.uniform(own[2], shape[1:], minval=-1.0),
            }
        return draws

    def counted(i: int, draws: Tree) -> tuple[int, int]:
        """Units that exist at first on either side of a layer."""
        inputs, outputs = draws[min(draws)]["kernel"].shape[0], draws[max(draws)]["bias"].shape[0]
        _, there = sizes(inputs, outputs)
        return there[_before(there, i + 1)], there[i + 1]

    def masks(draws: Tree) -> Tree:
        found = {}
        for i, (name, layer) in enumerate(sorted(draws.items())):
            fan_in, fan_out = counted(i, draws)
            count = jnp.maximum(1, jnp.floor(density * (fan_in * fan_out))) if fan_out else 0
            exists = jnp.arange(layer["bias"].shape[0]) < fan_out
            found[name] = {"kernel": layer["rank"] < count, "bias": exists}
            if i < len(widths):
                found[name]["bypass"] = jnp.zeros_like(exists)
        return found

    def init(draws: Tree) -> Tree:
        params, there = {}, masks(draws)
        for i, (name, layer) in enumerate(sorted(draws.items())):
            fan_in, fan_out = counted(i, draws)
            bound = 1 / math.sqrt(max(fan_in, 1))
            kernel = layer["kernel"]
            if initial == "uniform":
                kernel, std = jax.lax.erf(kernel / math.sqrt(2)), bound
            elif place == "argument":
                std = math.sqrt(2) * math.sqrt(2 / max(fan_in + fan_out, 1))
            else:
                std = math.sqrt(2) * bound
            kernel = kernel * (std * init_scale) * (density**-0.5 if compensate else 1.0)
            params[name] = {
                "kernel": jnp.where(there[name]["kernel"], kernel, 0),
                "bias": jnp.where(there[name]["bias"], layer["bias"] * bound, 0),
            }
            if i < len(widths):
                params[name]["bypass"] = jnp.zeros_like(params[name]["bias"])
        return params

    def run(params: Tree, x: Array) -> tuple[Array, tuple[Array, ...], tuple[Array, ...]]:
        return module.apply({"params": params}, x.T)  # pyright: ignore[reportReturnType]

    def layers(params: Tree, x: Array) -> dict[str, Array]:
        out, before, _ = run(params, x)
        return dict(zip(sorted(params), (*before, out), strict=True))

    return Model(
        draw,
        init,
        lambda params, x: run(params, x)[0].T,
        layers=layers,
        masks=masks,
        units=lambda params, x: run(params, x)[1:],
    )


def _before(there: list[int], node: int) -> int:
    """The node before one that has units."""
    return next(i for i in range(node - 1, -1, -1) if there[i] or i == 0)
