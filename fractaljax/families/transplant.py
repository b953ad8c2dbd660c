"""Networks of one capacity in another: copies by name, and starts from what decides a class.

Numpy alone; weights are trees `{layer: {kernel, bias, bypass}}` and masks alike (see
`parts.masked`).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from fractaljax.errors import FractaljaxError

Tree = Any


class _Layout(NamedTuple):
    names: list[str]
    sizes: list[int]  # units of every node: inputs, hidden layers, outputs
    first: list[int]  # of every layer: the first node that it sees

    def rows(self, layer: int, node: int) -> slice | None:
        if not self.first[layer] <= node <= layer:
            return None
        start = sum(self.sizes[self.first[layer] : node])
        return slice(start, start + self.sizes[node])


def transplant(
    params: Tree, masks: Tree, into: Tree, mapping: Mapping[str, str] | None = None
) -> tuple[Tree, Tree]:
    """Weights and masks of a network in the shapes of another one.

    Units keep their place within their layer; what the other network has more does not exist.

    Args:
        params, masks: of a network.
        into: a tree of the shapes that are wanted, such as weights.
        mapping: layer -> layer, for those of another name (default: the same names, and outputs to
            outputs).

    Raises:
        FractaljaxError: lists everything that did not match.
    """
    old, new = _layout(params), _layout(into)
    names = {name: name for name in old.names[:-1]} | {old.names[-1]: new.names[-1]}
    names |= dict(mapping or {})
    wrong = [
        f"{name}: the other network has no layer {names[name]}"
        for name in old.names
        if names[name] not in new.names
    ]
    wrong += [f"{name}: no such layer here" for name in mapping or {} if name not in old.names]
    places = [0, *(new.names.index(names[n]) + 1 for n in old.names if names[n] in new.names)]
    if not wrong and places != sorted(set(places)):
        wrong.append(f"{names}: layers change their order")
    if not wrong:
        for node, place in enumerate(places):
            here, there = old.sizes[node], new.sizes[place]
            ends = node in (0, len(old.sizes) - 1)
            if here > there or (ends and here != there):
                what = ["inputs", *old.names][node]
                wrong.append(f"{what}: {here} units into {there}")
    if wrong:
        raise FractaljaxError("networks do not match: " + "; ".join(wrong))
    weights = {
        n: {k: np.zeros(v.shape, v.dtype) for k, v in own.items()} for n, own in into.items()
    }
    exist = {n: {k: np.zeros(v.shape, bool) for k, v in own.items()} for n, own in into.items()}
    for j, name in enumerate(old.names):
        target, other = names[name], new.names.index(names[name])
        count = old.sizes[j + 1]
        for leaf in ("bias", "bypass"):
            if leaf in params[name]:
                weights[target][leaf][:count] = params[name][leaf]
                exist[target][leaf][:count] = masks[name][leaf]
        for node in range(old.first[j], j + 1):
            rows, place = old.rows(j, node), new.rows(other, places[node])
            block = np.asarray(masks[name]["kernel"])[rows]
            if place is None:
                if block.any():
                    wrong.append(f"{name}: {int(block.sum())} edges from node {node} have no place")
                continue
            some = slice(place.start, place.start + old.sizes[node])
            weights[target]["kernel"][some, :count] = np.asarray(params[name]["kernel"])[rows]
            exist[target]["kernel"][some, :count] = block
    if wrong:
        raise FractaljaxError("networks do not match: " + "; ".join(wrong))
    return weights, exist


def finer(params: Tree, masks: Tree, side: int, fine: int) -> tuple[Tree, Tree]:
    """A network on images of `side x side` pixels on those of `fine x fine`.

    Every edge from a pixel becomes edges from the pixels of its square, of its weight over their
    number: the function of an image whose squares are even is the same.
    """
    lay, times = _layout(params), fine // side
    if times * side != fine:
        raise FractaljaxError(f"{fine} x {fine} pixels are no squares of {side} x {side}")
    spread = _squares(side, fine)
    weights, exist = {}, {}
    for j, name in enumerate(lay.names):
        weights[name], exist[name] = dict(params[name]), dict(masks[name])
        rows = lay.rows(j, 0)
        if rows is None:
            continue
        kernel, mask = np.asarray(params[name]["kernel"]), np.asarray(masks[name]["kernel"])
        rest = kernel[rows.stop :], mask[rows.stop :]
        weights[name]["kernel"] = np.concatenate([kernel[rows][spread] / times**2, rest[0]])
        exist[name]["kernel"] = np.concatenate([mask[rows][spread], rest[1]])
    return weights, exist


def decisive(
    coarse: Tree,
    params: Tree,
    masks: Tree,
    spread: np.ndarray,
    *,
    top: int,
    second: int,
    strong: float,
    weak: float,
) -> tuple[Tree, Tree]:
    """A start from the decisive features of a coarser network: for every class the inputs of the
    largest weights.

    Unit `h` of the first hidden layer serves class `h mod O`, by its `top` inputs, and class
    `(h + 3) mod O`, by `second` of them; its edges to both outputs are 0.5 and 0.2. They are laid
    over the random edges of the network, of which the mask has some already.

    Args:
        coarse: weights of the coarser network.
        params, masks: of the network as it was drawn, with a hidden layer.
        spread: deviation of every input over the training data, `[I]`.
        top, second: inputs.
        strong, weak: factors on the weights of the coarser network, for the two.
    """
    effect = _effect(coarse)  # [I coarse, O]
    inputs, outputs = len(spread), effect.shape[1]
    side, fine = (round(np.sqrt(n)) for n in (len(effect), inputs))
    if side**2 != len(effect) or fine**2 != inputs:
        raise FractaljaxError("start: by decisive features of square images of one colour alone")
    times = fine // side
    effect = effect[_squares(side, fine)] / times**2  # [I, O]
    rank = np.argsort(-np.abs(effect) * spread[:, None], axis=0, kind="stable")
    names = sorted(params)
    hidden, last = names[0], names[-1]
    weights = {n: {k: np.array(v) for k, v in own.items()} for n, own in params.items()}
    exist = {n: {k: np.array(v) for k, v in own.items()} for n, own in masks.items()}
    lay = _layout(params)
    out = lay.rows(len(names) - 1, 1)
    if out is None:
        raise FractaljaxError(
            "start: the outputs do not see the first hidden layer: reach is short"
        )
    for unit in np.flatnonzero(exist[hidden]["bias"]):
        for shift, count, factor, onward in ((0, top, strong, 0.5), (3, second, weak, 0.2)):
            label = (unit + shift) % outputs
            chosen = rank[:count, label]
            weights[hidden]["kernel"][chosen, unit] = factor * effect[chosen, label]
            exist[hidden]["kernel"][chosen, unit] = True
            weights[last]["kernel"][out.start + unit, label] += onward
            exist[last]["kernel"][out.start + unit, label] = True
    return weights, exist


def _zeros(tree: Tree, dtype: Any) -> Tree:
    return {
        name: {k: np.zeros(v.shape, dtype or v.dtype) for k, v in own.items()}
        for name, own in tree.items()
    }


def _effect(params: Tree) -> np.ndarray:
    """The network as a linear map, `[I, O]`: the sum over all paths of the products of weights."""
    lay = _layout(params)
    nodes = [np.eye(lay.sizes[0])]
    for j, name in enumerate(lay.names):
        seen = np.concatenate(nodes[lay.first[j] :], axis=1)
        nodes.append(seen @ np.asarray(params[name]["kernel"], float))
    return nodes[-1]


def _squares(side: int, fine: int) -> np.ndarray:
    """The coarse pixel of every fine one, `[fine * fine]`."""
    coarse = np.arange(fine) // max(fine // side, 1)
    return (coarse[:, None] * side + coarse[None]).ravel()


def _layout(params: Tree) -> _Layout:
    names = sorted(params)
    shapes = [params[name]["kernel"].shape for name in names]
    sizes = [shapes[0][0], *(n for _, n in shapes)]
    ends = np.concatenate([[0], np.cumsum(sizes)])
    first = [
        int(np.flatnonzero(ends == ends[j + 1] - rows)[0]) for j, (rows, _) in enumerate(shapes)
    ]
    return _Layout(names, sizes, first)
