"""Trees of raw settings: one spelling a setting, merging, overrides and facets. Plain dicts only."""

import copy
import math
from collections.abc import Mapping
from typing import Any

import yaml

from fractaljax import registry
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.spec import ALIASES, FIELDS, PART_ROLES, crossed

SETTINGS = (*PART_ROLES, "fold", *FIELDS, "axes", "window")
MAX_FACETS = 10_000
DEFAULTS = {
    "model": "mlp",
    "problem": "random_regression",
    "optimizer": "sgd",
    "schedule": "constant",
}


class Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice (PyYAML keeps the last one silently)."""

    def construct_mapping(self, node, deep=False):
        if not isinstance(node, yaml.MappingNode):  # `!!map [1, 2]`: refused below
            return super().construct_mapping(node, deep)
        keys = [str(self.construct_object(k, deep=True)) for k, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise FractaljaxError(f"key '{key}' is given twice in the block at line {line}")
        return super().construct_mapping(node, deep)


def from_yaml(text: str) -> Any:
    """What YAML text says; raises FractaljaxError for whatever PyYAML cannot make of it."""
    try:
        return yaml.load(text, Loader)
    except FractaljaxError:
        raise
    except (
        Exception
    ) as error:  # PyYAML lets through what its constructors raise: a date of month 13
        raise FractaljaxError(f"not valid YAML: {' '.join(str(error).split())}") from None


def check_mapping(where: str, value: Any) -> None:
    """Raises unless the value is a block of `key: value`."""
    if not isinstance(value, Mapping):
        raise FractaljaxError(f"{where}: must be a block of 'key: value', not {value!r}")


def parse_override(text: str) -> tuple[list[str], Any]:
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise FractaljaxError(f"override '{text}': must be path=value, as in model.depth=3")
    words = path.strip().split(".")
    if words[0] == "axes" and len(words) > 3:  # the name of an axis may itself be a path
        words = ["axes", ".".join(words[1:-1]), words[-1]]
    try:
        return words, from_yaml(value)
    except FractaljaxError as error:
        raise FractaljaxError(f"override '{text}': {error}") from None


def nested(path: list[str], value: Any) -> dict[str, Any]:
    for key in reversed(path):
        value = {key: value}
    return value


def canonical(block: Mapping[str, Any]) -> dict[str, Any]:
    """One spelling a setting: parts as `{name: ..., argument: ...}`, folds as `{name: {...}}`,
    aliases left at the top for `_experiment`, which knows the rule they depend on."""
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


def _renamed(role: str, old: Mapping[str, Any], patch: Mapping[str, Any]) -> bool:
    name = old.get("name", DEFAULTS.get(role))
    return patch.get("name", name) != name


def facets(tree: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lists where a single value belongs, crossed: one dictionary of paths a combination."""
    lists: dict[str, list] = {}
    for key in (*PART_ROLES, "fold", *FIELDS, *ALIASES):
        value = tree.get(key)
        if isinstance(value, list) and key in (*FIELDS, *ALIASES):
            lists[key] = value
        elif isinstance(value, Mapping):
            blocks = value.items() if key == "fold" else [("", value)]
            for name, block in blocks:
                prefix = f"fold.{name}" if key == "fold" else key
                lists |= {
                    f"{prefix}.{k}": v for k, v in block.items() if _is_facet(key, name, block, k)
                }
    if any(not v for v in lists.values()):
        raise FractaljaxError(f"{next(k for k, v in lists.items() if not v)}: the list is empty")
    if (count := math.prod(len(v) for v in lists.values())) > MAX_FACETS:
        raise FractaljaxError(f"{count} facets; at most {MAX_FACETS} in one config")
    return crossed(lists)


def placed(tree: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The tree with one value in the place of the list of a facet, all else as it was."""
    tree = copy.deepcopy(dict(tree))
    *blocks, last = path.split(".")
    block = tree
    for key in blocks:
        block = block[key]
    block[last] = value
    return tree


def facet_name(name: str, variant: Mapping[str, Any]) -> str:
    """The name of one facet of an experiment: `depth_sweep_depth=3_residual=true`."""
    parts = [name]
    for path, value in variant.items():
        prefix, _, argument = path.rpartition(".")
        text = yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
        short = prefix if argument == "name" else argument
        parts.append(f"{short}={''.join(c if c.isalnum() or c in '.-+' else '-' for c in text)}")
    return "_".join(parts)


def _is_facet(role: str, fold: str, block: Mapping[str, Any], key: str) -> bool:
    """Whether a list stands where a single value belongs (not where a tuple does)."""
    value = block[key]
    if not isinstance(value, list):
        return False
    if key == "name":
        return True
    names = block.get("name", fold) if role != "fold" else fold
    for name in names if isinstance(names, list) else [names or DEFAULTS.get(role)]:
        schema = registry.arguments(role, str(name))
        if key in schema and "tuple" in str(schema[key].annotation):
            return any(isinstance(v, list) for v in value)
    return True
