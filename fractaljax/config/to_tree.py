"""From a Spec and a Window to text and trees, to be read again, compared and named."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fractaljax.config.plain_yaml import to_yaml
from fractaljax.errors import FractaljaxError
from fractaljax.spec import ALIASES, FIELDS, MANY_ROLES, PART_ROLES, Part, Spec
from fractaljax.window import Axis, Lattice, Window

OF_GROWTH = ("when", "where", "growth", "rates")  # left out where there is none: stores know it so


def dump(spec: Spec, window: Window) -> str:
    """The full settings as YAML; `parse` and `experiments` give the same Spec and Window again."""
    return to_yaml(as_tree(spec, window))


def as_tree(spec: Spec, window: Window) -> dict[str, Any]:
    """The full settings as plain nested dictionaries, in the form of a config file."""
    tree = training_tree(spec)
    axes = {a.path: _range(a) for a in window.axes}
    y = window.y.path if window.y else None
    resolution = window.x.n if window.y is None else [window.x.n, window.y.n]
    return tree | {"axes": axes, "window": {"x": window.x.path, "y": y, "resolution": resolution}}


def training_tree(spec: Spec) -> dict[str, Any]:
    """`as_tree` of what is trained, without a window."""
    tree: dict[str, Any] = {}
    for role in PART_ROLES:
        part = getattr(spec, role)
        if part is not None or role not in OF_GROWTH:
            tree[role] = None if part is None else {"name": part.name, **_plain(part)}
    for role in MANY_ROLES:
        if getattr(spec, role) or role not in OF_GROWTH:
            tree[role] = parts_tree(getattr(spec, role))
    return tree | {name: getattr(spec, name) for name in FIELDS}


def parts_tree(parts: Iterable[Part]) -> dict[str, Any]:
    """Parts that stand side by side."""
    return {part.name: _plain(part) for part in parts}


def _range(axis: Axis | Lattice) -> dict[str, Any]:
    """Where an axis runs: all that it says but its path and the number of its samples."""
    return {k: v for k, v in dataclasses.asdict(axis).items() if k not in ("path", "n")}


def digest(spec: Spec, window: Window) -> str:
    """Ten hex digits that tell one Spec and Window from another."""
    text = json.dumps(as_tree(spec, window), sort_keys=False)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """`path: old -> new` for every leaf in which two trees of settings differ."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{prefix}{key}.")
        elif a != b:
            found.append(f"{prefix}{key}: {a} -> {b}")
    return found


def label(spec: Spec, path: str) -> str:
    """The short name of a path as the literature writes it, or the path itself."""
    for alias in ALIASES:
        try:
            if spec.resolve(alias) == path:
                return alias
        except FractaljaxError:
            continue
    return path


def _plain(part: Part) -> dict[str, Any]:
    return {k: _listed(v) for k, v in part.args}


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value
