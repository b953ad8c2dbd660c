"""What an optimiser keeps for every weight, found in its state whatever the optimiser is."""

from collections.abc import Callable
from typing import Any

import jax

Tree = Any  # a pytree of arrays


def map_slots(function: Callable[[Any, tuple[str, str]], Any], opt: Tree, params: Tree) -> Tree:
    """Applies `function(array, (layer, name))` to every array of an optimiser's state that has one
    number a weight of `params[layer][name]`; the rest of the state stays as it is."""
    shapes = {
        (layer, name): leaf.shape for layer, own in params.items() for name, leaf in own.items()
    }

    def one(path: tuple, leaf: Any) -> Any:
        layer, name = ([None, None] + [getattr(key, "key", None) for key in path])[-2:]
        known = shapes.get((layer, name)) == leaf.shape
        return function(leaf, (str(layer), str(name))) if known else leaf

    return jax.tree_util.tree_map_with_path(one, opt)
