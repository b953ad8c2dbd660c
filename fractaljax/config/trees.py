"""Trees of settings: one spelling a setting, merging by block. Plain dictionaries only."""

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

from fractaljax.config.text import check_mapping
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.spec import ALIASES, FIELDS, PART_ROLES, Part, Spec

SETTINGS = (*PART_ROLES, "fold", *FIELDS, "axes", "window")
DEFAULTS = {f.name: f.default.name for f in dataclasses.fields(Spec) if isinstance(f.default, Part)}


def canonical(block: Mapping[str, Any]) -> dict[str, Any]:
    """One spelling a setting: parts as `{name: ..., argument: ...}`, folds as `{name: {...}}`,
    aliases left at the top for `to_spec`, which knows the rule they depend on."""
    tree: dict[str, Any] = {}
    for key, value in block.items():
        if key in PART_ROLES and value is not None:
            tree[key] = dict(value) if isinstance(value, Mapping) else {"name": value}
        elif key == "fold":
            tree[key] = _canonical_folds(value)
        elif key in SETTINGS or key in ALIASES:
            tree[key] = copy.deepcopy(value)
        else:
            raise unknown("setting", key, [*SETTINGS, *ALIASES])
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
        elif key == "fold" and not (set(value) <= set(old) and any(value.values())):
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


def _canonical_folds(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping) and "name" not in value:
        folds = {}
        for name, args in value.items():
            check_mapping(f"fold.{name}", args or {})
            folds[name] = dict(args or {})
        return folds
    folds = {}
    for entry in value if isinstance(value, list) else [value]:
        entry = dict(entry) if isinstance(entry, Mapping) else {"name": entry}
        if "name" not in entry:
            raise FractaljaxError(f"fold: {entry} has no name")
        if (name := str(entry.pop("name"))) in folds:
            raise FractaljaxError(f"fold: '{name}' is named twice; each is recorded once")
        folds[name] = entry
    return folds


def _renamed(role: str, old: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    name = old.get("name", DEFAULTS.get(role))
    return patch.get("name", name) != name
