"""Where things are in a masked network, and the edits of which all growth is made.

A *node* is the inputs (0), a hidden layer (1 to L) or the outputs (L + 1). Units are counted over
all nodes in that order, `U` of them. Layer `j` of weights ends in node `j + 1`; the rows of its
kernel are the units of the nodes `first[j]` to `j`. No shape here depends on values.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.slots import map_slots
from fractaljax.types import KINDS, Anatomy, Array, Key, Network, Tree

KIND = {name: i for i, name in enumerate(KINDS)}
Blocks = dict[str, Array]  # layer -> as its kernel, [S, n]


class Layout(NamedTuple):
    """Sizes, all static."""

    names: tuple[str, ...]  # of the layers of weights, the last one that of the outputs
    sizes: tuple[int, ...]  # units of every node
    starts: tuple[int, ...]  # the first unit of every node, and behind the last `U`
    first: tuple[int, ...]  # of every layer: the first node that it sees

    def node(self, j: int) -> slice:
        """The units of a node."""
        return slice(self.starts[j], self.starts[j + 1])

    def seen(self, layer: int) -> slice:
        """The units that the rows of a layer stand for."""
        return slice(self.starts[self.first[layer]], self.starts[layer + 1])

    def rows(self, layer: int, node: int) -> slice | None:
        """The rows of a layer that stand for a node; None where it does not see it."""
        if not self.first[layer] <= node <= layer:
            return None
        offset = self.starts[self.first[layer]]
        return slice(self.starts[node] - offset, self.starts[node + 1] - offset)


def layout(params: Tree) -> Layout:
    """The layout that weights of these shapes have."""
    names = tuple(sorted(params))
    shapes = [params[name]["kernel"].shape for name in names]
    sizes = (shapes[0][0], *(n for _, n in shapes))
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    first = tuple(starts.index(starts[j + 1] - rows) for j, (rows, _) in enumerate(shapes))
    return Layout(names, sizes, tuple(starts), first)


def alive(anatomy: Anatomy) -> Array:
    """Which units exist, `[U]`; inputs and outputs do."""
    lay = layout(anatomy.masks)
    there = [anatomy.masks[name]["bias"] for name in lay.names]
    return jnp.concatenate([jnp.ones(lay.sizes[0], bool), *there])


def levels(anatomy: Anatomy) -> Array:
    """Which nodes are levels, `[L + 2]`: all that have a unit that is no part of a patch."""
    lay = layout(anatomy.masks)
    yes = jnp.ones((), bool)
    found = [
        jnp.any(anatomy.masks[name]["bias"] & (anatomy.kind[name]["bias"] != KIND["patch"]))
        for name in lay.names[:-1]
    ]
    return jnp.stack([yes, *found, yes])


def follows(anatomy: Anatomy) -> Array:
    """`[L + 2, L + 2]` bool: the second node is the first level behind the first node."""
    level = levels(anatomy)
    count = level.shape[0]
    passed = jnp.cumsum(level)  # levels up to a node
    before = passed - level
    i, j = jnp.arange(count)[:, None], jnp.arange(count)[None]
    return (i < j) & level[None] & (before[None] == passed[:, None])


def node_of(lay: Layout) -> Array:
    """The node of every unit, `[U]`."""
    return jnp.repeat(
        jnp.arange(len(lay.sizes)), jnp.array(lay.sizes), total_repeat_length=lay.starts[-1]
    )


def possible(anatomy: Anatomy, skips: bool = True) -> Blocks:
    """Which edges could be: between units that exist; without skips, of neighbouring levels."""
    lay, there, next_to, nodes = (
        layout(anatomy.masks), alive(anatomy), follows(anatomy), node_of(layout(anatomy.masks)),
    )  # fmt: skip
    found = {}
    for j, name in enumerate(lay.names):
        ok = there[lay.seen(j)][:, None] & there[lay.node(j + 1)][None]
        if not skips:
            ok &= next_to[nodes[lay.seen(j)], j + 1][:, None]
        found[name] = ok
    return found


def edges(anatomy: Anatomy) -> Blocks:
    """Which edges exist."""
    return {name: own["kernel"] for name, own in anatomy.masks.items()}


def count(blocks: Mapping[str, Array]) -> Array:
    """How many are marked."""
    return sum(
        (jnp.sum(block, dtype=jnp.int32) for block in blocks.values()), jnp.zeros((), jnp.int32)
    )


def fan_in(anatomy: Anatomy, name: str) -> Array:
    """Edges into every unit of a layer, `[n]`."""
    return jnp.sum(anatomy.masks[name]["kernel"], axis=0, dtype=jnp.int32)


def best(scores: Sequence[Array], allowed: Sequence[Array], number: Array) -> list[Array]:
    """Marks exactly so many of the allowed entries of some arrays, those of the largest scores;
    all of them where there are fewer. Entries of equal scores are taken in their order."""
    flat = jnp.concatenate([s.ravel() for s in scores])
    may = jnp.concatenate([a.ravel() for a in allowed])
    order = jnp.argsort(jnp.where(may, -flat, jnp.inf), stable=True)
    number = jnp.minimum(jnp.asarray(number, jnp.int32), jnp.sum(may, dtype=jnp.int32))
    taken = jnp.zeros(flat.shape, bool).at[order].set(jnp.arange(flat.shape[0]) < number) & may
    found, start = [], 0
    for s in scores:
        found.append(taken[start : start + s.size].reshape(s.shape))
        start += s.size
    return found


def best_blocks(scores: Blocks, allowed: Blocks, number: Array) -> Blocks:
    """`best` over all layers at once."""
    names = sorted(scores)
    return dict(
        zip(
            names,
            best([scores[n] for n in names], [allowed[n] for n in names], number),
            strict=True,
        )
    )


def order(marked: Array, level: Array) -> Array:
    """Rank of every marked unit by its level, the largest first, `[n]`; the others come after."""
    places = jnp.argsort(jnp.where(marked, -level, jnp.inf), stable=True)
    return (
        jnp.zeros(marked.shape, jnp.int32)
        .at[places]
        .set(jnp.arange(marked.shape[0], dtype=jnp.int32))
    )


def uniform(key: Key, blocks: Mapping[str, Array]) -> Blocks:
    """A number between 0 and 1 for every entry."""
    return _shared_out(jax.random.uniform, key, {n: blocks[n].shape for n in sorted(blocks)})


def normal(key: Key, params: Tree) -> Blocks:
    """Standard normals in the shape of the kernels."""
    dtype = params[min(params)]["kernel"].dtype
    found = _shared_out(
        jax.random.normal, key, {n: params[n]["kernel"].shape for n in sorted(params)}
    )
    return {name: block.astype(dtype) for name, block in found.items()}


def weights(net: Network, key: Key, deviation: float) -> Blocks:
    """Normal weights of this deviation for every place of the kernels."""
    draws = normal(jax.random.fold_in(key, 1), net.params)
    return {name: draw * jnp.asarray(deviation, draw.dtype) for name, draw in draws.items()}


def _shared_out(draw: Callable, key: Key, shapes: Mapping[str, tuple[int, int]]) -> Blocks:
    """One draw for all layers: the generator is compiled once for each."""
    sizes = [rows * columns for rows, columns in shapes.values()]
    flat, found, start = draw(key, (sum(sizes),)), {}, 0
    for (name, shape), size in zip(shapes.items(), sizes, strict=True):
        found[name] = flat[start : start + size].reshape(shape)
        start += size
    return found


def with_edges(
    net: Network, new: Mapping[str, Array], weights: Mapping[str, Array], kind: str, t: Array
) -> Network:
    """New edges, with these weights; those that exist stay as they are."""
    for name, block in new.items():
        fresh = block & ~net.anatomy.masks[name]["kernel"]
        net = _made(net, name, "kernel", fresh, weights[name], kind, t)
    return net


def with_units(
    net: Network, name: str, new: Array, kind: str, t: Array, bypass: float = 0.0
) -> Network:
    """New hidden units of a layer, with a bias of zero, and a bypass if one is wanted."""
    fresh = new & ~net.anatomy.masks[name]["bias"]
    net = _made(net, name, "bias", fresh, jnp.zeros_like(net.params[name]["bias"]), kind, t)
    if bypass:
        whole = jnp.full_like(net.params[name]["bypass"], bypass)
        net = _made(net, name, "bypass", fresh, whole, kind, t)
    return net


def without_edges(net: Network, gone: Mapping[str, Array]) -> Network:
    """Edges that no longer exist: their weights and all that the optimiser knew of them is zero."""
    masks, params = net.anatomy.masks, net.params
    for name, block in gone.items():
        kept = masks[name]["kernel"] & ~block
        masks = masks | {name: masks[name] | {"kernel": kept}}
        kernel = jnp.where(kept, params[name]["kernel"], 0)
        params = params | {name: params[name] | {"kernel": kernel}}

    def slot(array: Array, where: tuple[str, str]) -> Array:
        layer, leaf = where
        return jnp.where(gone[layer], 0, array) if leaf == "kernel" and layer in gone else array

    opt = map_slots(slot, net.opt, net.params)
    return Network(params, opt, net.anatomy._replace(masks=masks))


def changed(net: Network, name: str, leaf: str, values: Array) -> Network:
    """Other values for the weights of a leaf."""
    return net._replace(params=net.params | {name: net.params[name] | {leaf: values}})


def _made(
    net: Network, name: str, leaf: str, fresh: Array, values: Array, kind: str, t: Array
) -> Network:
    a = net.anatomy

    def put(tree: Tree, value: Array) -> Tree:
        old = tree[name][leaf]
        return tree | {
            name: tree[name] | {leaf: jnp.where(fresh, jnp.asarray(value, old.dtype), old)}
        }

    anatomy = a._replace(
        masks=put(a.masks, jnp.ones((), bool)),
        born=put(a.born, t),
        kind=put(a.kind, jnp.asarray(KIND[kind])),
    )
    return net._replace(params=put(net.params, values), anatomy=anatomy)
