"""Trees of settings: one spelling a setting, merging by block. Plain dictionaries only."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from fractaljax.config.text import check_mapping
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.spec import ALIASES, FIELDS, MANY_ROLES, PART_ROLES, Part, Spec

SETTINGS = (*PART_ROLES, *MANY_ROLES, *FIELDS, "axes", "window")
DEFAULTS = {f.name: f.default.name for f in dataclasses.fields(Spec) if isinstance(f.default, Part)}


SPELLINGS = {  # as configs of deep linear networks write it -> here
    "training.lr": "optimizer.lr",
    "training.batch_size": "problem.batch",
    "training.batch_seed": "batch_seed",
    "training.optimizer": "optimizer.name",
    "model.model_seed": "model_seed",
    "model.in_dim": "problem.in_dim",
    "model.out_dim": "problem.out_dim",
    "data.data_seed": "data_seed",
    "max_steps": "steps",
    "num_evaluations": "evaluations",
    "metrics": "metric",
    "callbacks": "callback",
}
BLOCKS = {"training": "optimizer", "data": "problem"}  # all other words of these blocks


def spelled(path: str) -> str:
    """A path in this package's words; one that needs no translation as it is."""
    if path in SPELLINGS:
        return SPELLINGS[path]
    block, dot, rest = path.partition(".")
    if not dot:
        return path
    if block in ("metrics", "callbacks"):
        return f"{SPELLINGS[block]}.{rest}"
    rest = rest.removeprefix("params.").removeprefix("optimizer_params.")
    return f"{BLOCKS[block]}.{rest}" if block in BLOCKS else path


def respelled(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block in this package's words: `data: {noise_std: 0.1}` is a problem `teacher`."""
    tree: dict[str, Any] = {}
    for key, value in block.items():
        if key in BLOCKS or (key == "model" and isinstance(value, Mapping)):
            check_mapping(key, value)
            if key == "data":
                tree.setdefault("problem", {}).setdefault("name", "teacher")
            for path, one in _leaves(key, value):
                _put(tree, spelled(path), one)
        else:
            _put(tree, spelled(key) if isinstance(key, str) else key, value)
    return tree


def canonical(block: Mapping[str, Any]) -> dict[str, Any]:
    """One spelling a setting: parts as `{name: ..., argument: ...}`, folds as `{name: {...}}`,
    aliases left at the top for `to_spec`, which knows the rule they depend on."""
    tree: dict[str, Any] = {}
    for key, value in respelled(block).items():
        if key in PART_ROLES and value is not None:
            tree[key] = dict(value) if isinstance(value, Mapping) else {"name": value}
        elif key in MANY_ROLES:
            tree[key] = canonical_parts(key, value)
        elif key in SETTINGS or key in ALIASES:
            tree[key] = copy.deepcopy(value)
        else:
            raise unknown("setting", key, [*SETTINGS, *ALIASES, *BLOCKS])
        if key in ("axes", "window"):
            check_mapping(key, tree[key])
    return tree


def layered(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`merged`, where an alias in the one stands for its path in the other."""
    tree = copy.deepcopy(dict(base))
    for alias, paths in ALIASES.items():
        places = [path.split(".") for path in paths]
        if alias in tree and any(key in (patch.get(role) or {}) for role, key in places):
            del tree[alias]
        if alias in patch:
            role, key = next((p for p in places if tree.get(p[0])), places[-1])
            tree.get(role, {}).pop(key, None)
    return merged(tree, patch)


def merged(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`patch` over `base`, block by block. Another part name drops the old part's arguments, a
    whole list of folds the old list; a single `fold.name.argument` only changes that argument."""
    tree = copy.deepcopy(dict(base))
    for key, value in patch.items():
        old = tree.get(key)
        if not (isinstance(value, Mapping) and isinstance(old, Mapping)):
            tree[key] = copy.deepcopy(value)
        elif key in PART_ROLES and _renamed(key, old, value):
            tree[key] = dict(value)
        elif key in MANY_ROLES and not (set(value) <= set(old) and any(value.values())):
            tree[key] = copy.deepcopy(dict(value))
        else:
            tree[key] = merged(old, value)
    return tree


def nested(path: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def placed(tree: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The tree with one value in the place of the list of a facet, all else as it was."""
    tree = copy.deepcopy(dict(tree))
    *blocks, last = path.split(".")
    block = tree
    for key in blocks:
        block = block[key]
    block[last] = value
    return tree


def canonical_parts(role: str, value: Any) -> dict[str, Any]:
    """Parts that stand side by side as `{name: arguments}`, from one name, a list of names and of
    `{name: ..., argument: ...}`, `{name: ..., params: {...}}` or `{the name: {...}}`, or null."""
    if isinstance(value, Mapping) and "name" not in value:
        for name, args in value.items():
            check_mapping(f"{role}.{name}", args or {})
        return {name: dict(args or {}) for name, args in value.items()}
    parts: dict[str, Any] = {}
    for entry in [] if value is None else value if isinstance(value, list) else [value]:
        name, args = _named(role, entry)
        if name in parts:
            raise FractaljaxError(f"{role}: '{name}' is named twice; each name once")
        parts[name] = args
    return parts


def _named(role: str, entry: Any) -> tuple[str, dict[str, Any]]:
    """Name and arguments of one entry of a list."""
    if not isinstance(entry, Mapping):
        return str(entry), {}
    args = dict(entry)
    if "name" in args:
        name, params = str(args.pop("name")), args.pop("params", None) or {}
        check_mapping(f"{role}.{name}.params", params)
        return name, {**args, **params}
    name, args = next(iter(args.items()), (None, 0))
    if len(entry) != 1 or not (args is None or isinstance(args, Mapping)):
        raise FractaljaxError(f"{role}: {entry} has no name")
    return str(name), dict(args or {})


def _leaves(prefix: str, block: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    """The settings of a block by path; the seed's `params` and `optimizer_params` are blocks."""
    found = []
    for key, value in block.items():
        if key in ("params", "optimizer_params") and isinstance(value, Mapping):
            found += _leaves(f"{prefix}.{key}", value)
        else:
            found.append((f"{prefix}.{key}", value))
    return found


def _put(tree: dict[str, Any], path: Any, value: Any) -> None:
    """Sets one path of a tree; a block joins what is there."""
    if not isinstance(path, str) or "." not in path:
        blocks = isinstance(value, Mapping) and isinstance(tree.get(path), Mapping)
        tree[path] = {**tree[path], **value} if blocks else value
        return
    role, _, argument = path.partition(".")
    block = tree.setdefault(role, {})
    if isinstance(block, Mapping):
        tree[role] = {**block, argument: value}


def _renamed(role: str, old: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    name = old.get("name", DEFAULTS.get(role))
    return patch.get("name", name) != name
