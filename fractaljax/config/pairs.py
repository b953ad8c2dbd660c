"""Pairs as settings: two sides that share what neither says for itself.

    shared: {model: {gamma: 1.5}, training: {lr: 1e-4}}     under both sides
    model_a: {}                                             of side a alone
    training_b: {batch_size: 5}                             of side b alone
    metrics: [weight_norm]                                  of both; metrics_b: [] of neither
    comparison: [param_distance]

`a` and `b` hold whole sides in the same words. Everything else in the block is of both sides.
"""

from collections.abc import Mapping
from typing import Any

from fractaljax.config.text import check_mapping
from fractaljax.config.to_spec import to_parts, to_training
from fractaljax.config.to_tree import parts_tree, training_tree
from fractaljax.config.trees import canonical, canonical_parts, layered, nested, spelled
from fractaljax.errors import FractaljaxError
from fractaljax.pair import SIDES, Pair

OF_THE_PAIR = ("shared", "comparison", *SIDES)  # keys that only pairs have, beside model_a, ...


def is_pair(block: Mapping[str, Any]) -> bool:
    """Whether a block of settings is about two networks."""
    return any(key in OF_THE_PAIR or _side_of(str(key)) for key in block)


def to_pair(
    block: Mapping[str, Any], patches: list[tuple[str, Any]]
) -> tuple[Pair, dict[str, dict[str, Any]]]:
    """The Pair of a block and of what is laid over it, and what each side says for itself.

    Args:
        patches: (path, value); `shared.model.gamma` stays under what a side says for itself,
            `model.gamma` wins over it.
    """
    over: list[tuple[str, Any]] = []
    for path, value in patches:
        head = path.split(".")[0]
        if head in OF_THE_PAIR or _side_of(head):
            block = laid(block, nested(path.split("."), value))
        else:
            over.append((path, value))
    comparison = canonical_parts("comparison", block.get("comparison"))
    sides, own = {}, {}
    for side in SIDES:
        own[side] = _own(block, side)
        tree = layered(_under(block), own[side])
        for path, value in over:
            patch = canonical(nested(path.split("."), value))
            own[side], tree = layered(own[side], patch), layered(tree, patch)
        if window := next((key for key in ("window", "axes") if key in tree), None):
            raise FractaljaxError(f"{window} is not read: a pair has none")
        sides[side] = tree
    evaluations = {side: tree.get("evaluations", 250) for side, tree in sides.items()}
    if evaluations["a"] != evaluations["b"]:
        raise FractaljaxError("evaluations: a pair has one number of them")
    for tree in sides.values():
        tree["evaluations"] = evaluations["a"] if tree.get("metric") else 0
        tree.setdefault("fold", {})
    specs = {side: to_training(tree) for side, tree in sides.items()}
    parts = to_parts("comparison", comparison)
    return Pair(**specs, comparison=parts, evaluations=evaluations["a"]), own


def pair_path(own: Mapping[str, Mapping[str, Any]], path: str) -> str:
    """A path as settings write it, as the Pair has it.

    Args:
        own: what each side says for itself, as `to_pair` returns it.
    """
    head, _, rest = path.partition(".")
    if head in SIDES:
        return f"{head}.{spelled(rest)}"
    if side := _side_of(head):
        return f"{side}.{spelled(path.replace(head, head[:-2], 1))}"
    if head != "shared":
        return spelled(path)
    path = spelled(rest)
    free = [side for side in SIDES if not _says(own[side], path)]
    if not free:
        raise FractaljaxError(f"shared.{rest} is not read: both sides say it for themselves")
    return path if len(free) == 2 else f"{free[0]}.{path}"


def laid(base: Any, patch: Any) -> Any:
    """`patch` over `base`, in the words they are written in."""
    if not (isinstance(base, Mapping) and isinstance(patch, Mapping)):
        return patch
    return {**base, **{k: laid(base.get(k), v) for k, v in patch.items()}}


def pair_tree(pair: Pair) -> dict[str, Any]:
    """The full settings of a Pair, to be read again."""
    sides = {name: training_tree(spec) for name, spec in pair.sides.items()}
    for tree in sides.values():
        del tree["evaluations"]
    return {
        **sides,
        "comparison": parts_tree(pair.comparison),
        "evaluations": pair.evaluations,
    }


def _under(block: Mapping[str, Any]) -> dict[str, Any]:
    """What both sides start from."""
    plain = {k: v for k, v in block.items() if k not in OF_THE_PAIR and not _side_of(str(k))}
    shared = block.get("shared") or {}
    check_mapping("shared", shared)
    return layered(canonical(plain), canonical(shared))


def _own(block: Mapping[str, Any], side: str) -> dict[str, Any]:
    """What a side says for itself."""
    own = block.get(side) or {}
    check_mapping(side, own)
    tree = canonical(own)
    for key, value in block.items():
        if _side_of(str(key)) == side and value is not None:
            tree = layered(tree, canonical({key[:-2]: value}))
    return tree


def _side_of(key: str) -> str | None:
    """`a` for `model_a`."""
    stem, _, side = key.rpartition("_")
    return side if stem and side in SIDES else None


def _says(tree: Mapping[str, Any], path: str) -> bool:
    for key in path.split("."):
        if not isinstance(tree, Mapping) or key not in tree:
            return False
        tree = tree[key]
    return True
