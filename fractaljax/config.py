"""Settings as text: YAML, overrides, named experiments, facets; and back to text again."""

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.settings import (
    DEFAULTS,
    canonical,
    check_mapping,
    facet_name,
    facets,
    from_yaml,
    layered,
    nested,
    parse_override,
    placed,
)
from fractaljax.spec import ALIASES, FIELDS, PART_ROLES, Part, Spec
from fractaljax.window import Axis, Window

TOP = ("plugins", "defaults", "experiments")
RANGES = {  # where an axis runs when nobody says: (min, max, scale), wide enough to show an edge
    "LR0": (1e-3, 1e6, "log"),
    "LR1": (1e-3, 1e6, "log"),
    "LR_MID": (1e-3, 1e6, "log"),
    "LR": (1e-3, 1e6, "log"),
    "MOMENTUM": (0.0, 0.99, "linear"),
    "WEIGHT_DECAY": (1e-5, 1.0, "log"),
    "BETA1": (0.0, 0.999, "linear"),
    "BETA2": (0.9, 0.9999, "linear"),
    "EPS": (1e-12, 1.0, "log"),
    "INIT_OFFSET": (1e-2, 1e1, "log"),
    "INIT_SCALE": (1e-2, 1e2, "log"),
    "GAMMA": (0.0, 3.0, "linear"),
}


class Experiment(NamedTuple):
    """One Spec over one Window, under a name that is unique in its file."""

    name: str
    spec: Spec
    window: Window


def read(path: str | Path) -> dict[str, Any]:
    """The raw settings of a YAML file, its top-level and experiment keys checked."""
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file, false for names that are too long
        near = [*path.parent.glob("*.yaml")] if os.path.isdir(path.parent) else []
        raise (
            unknown("config file", str(path), near) if near else FractaljaxError(f"no file {path}")
        )
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FractaljaxError(f"{path} cannot be read as text: {error}") from None
    return parse(text, str(path), path.stem)


def parse(text: str, where: str, name: str) -> dict[str, Any]:
    """Raw settings from YAML text; settings without `experiments` are one, called `name`."""
    try:
        raw = from_yaml(text)
    except FractaljaxError as error:
        raise FractaljaxError(f"{where}: {error}") from None
    raw = {} if raw is None else raw
    check_mapping(where, raw)
    if not any(key in TOP for key in raw):
        raw = {"experiments": {name: raw}}
    for key in raw:
        if key not in TOP:
            raise unknown(f"key in {where}", key, TOP)
    experiments = raw.get("experiments") or {name: {}}
    check_mapping(f"{where}: experiments", experiments)
    for block_name, block in {"defaults": raw.get("defaults"), **experiments}.items():
        check_mapping(f"{where}: {block_name}", block or {})
    for key in map(str, experiments):  # each names a folder
        if key in ("", "..") or Path(key).name != key or "\0" in key:
            raise FractaljaxError(f"{where}: experiment '{key}' cannot be the name of a folder")
    return {
        "plugins": _modules(raw.get("plugins")),
        "defaults": raw.get("defaults") or {},
        "experiments": {str(k): v or {} for k, v in experiments.items()},
    }


def experiments(
    raw: Mapping[str, Any],
    overrides: Iterable[str] = (),
    *,
    only: str | None = None,
    axes: tuple[str, ...] | None = None,
) -> list[Experiment]:
    """Every experiment of a file with overrides applied and facets expanded.

    Args:
        raw: what `read` returned.
        overrides: `path=value` texts; win over the file.
        only: the name of one experiment, or of one of its facets.
        axes: names of the axes instead of the experiment's own, x first.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    load_plugins(raw["plugins"])
    patches = [parse_override(text) for text in overrides]
    found, known = [], []
    for name, block in raw["experiments"].items():
        tree = layered(canonical(raw["defaults"]), canonical(block))
        for path, value in patches:
            tree = layered(tree, canonical(nested(path, value)))
        if axes:
            tree["window"] = {**tree.get("window", {}), "x": axes[0], "y": (*axes, None)[1]}
        variants = facets(tree)
        known += [name, *(facet_name(name, v) for v in variants if v)]
        for variant in variants:
            full = facet_name(name, variant)
            if only not in (None, name, full):
                continue
            flat = tree
            for path, value in variant.items():
                flat = placed(flat, path, value)
            found.append(_experiment(full, flat))
    if not found:
        raise unknown("experiment", only, known)
    return found


def load_plugins(modules: Iterable[str]) -> None:
    """Imports modules that register parts of their own; the working directory is searched too."""
    for module in _modules(modules):
        if "" not in sys.path and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever the user's own module raises
            raise FractaljaxError(f"plugins: cannot import '{module}': {error!r}") from error


def _modules(value: Any) -> list[str]:
    """Names of modules: none, one, or a list of them."""
    names = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(names, list | tuple) or not all(
        isinstance(n, str) and all(part.isidentifier() for part in n.split(".")) for n in names
    ):
        raise FractaljaxError(f"plugins: takes names of modules, not {value!r}")
    return [*names]


def dump(spec: Spec, window: Window) -> str:
    """The full settings as YAML; `parse` and `experiments` give the same Spec and Window again."""
    return yaml.safe_dump(as_tree(spec, window), sort_keys=False)


def as_tree(spec: Spec, window: Window) -> dict[str, Any]:
    """The full settings as plain nested dictionaries, in the form of a config file."""
    tree: dict[str, Any] = {}
    for role in PART_ROLES:
        part = getattr(spec, role)
        tree[role] = None if part is None else {"name": part.name, **_plain(part)}
    tree["fold"] = {part.name: _plain(part) for part in spec.fold}
    tree |= {name: getattr(spec, name) for name in FIELDS}
    axes = {a.path: {"min": a.min, "max": a.max, "scale": a.scale} for a in window.axes}
    y = window.y.path if window.y else None
    resolution = window.x.n if window.y is None else [window.x.n, window.y.n]
    return tree | {"axes": axes, "window": {"x": window.x.path, "y": y, "resolution": resolution}}


def digest(spec: Spec, window: Window) -> str:
    """Ten hex digits that tell one Spec and Window from another."""
    text = json.dumps(as_tree(spec, window), sort_keys=True)
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
    return {k: list(v) if isinstance(v, tuple) else v for k, v in part.args}


def _experiment(name: str, tree: dict[str, Any]) -> Experiment:
    """The Spec and Window of one merged tree."""
    tree = dict(tree)
    tree, aliased = (
        {k: v for k, v in tree.items() if k not in ALIASES},
        {k: v for k, v in tree.items() if k in ALIASES},
    )
    spec = _spec(tree)
    for alias in aliased:
        prefix, _, argument = spec.resolve(alias).rpartition(".")
        if argument in (tree.get(prefix) or {}):
            raise FractaljaxError(
                f"{alias} and {prefix}.{argument} are one setting; give one of them"
            )
    if aliased:
        spec = spec.updated(aliased)
    window = tree.get("window", {})
    for key in window:
        if key not in ("x", "y", "resolution"):
            raise unknown("setting", f"window.{key}", ["window.x", "window.y", "window.resolution"])
    ranges = {}
    for key, block in tree.get("axes", {}).items():
        check_mapping(f"axes.{key}", block)
        if (path := spec.traced(str(key))) in ranges:
            raise FractaljaxError(
                f"axes: {', '.join(tree['axes'])}: {path} is given twice, under two names"
            )
        ranges[path] = _range(key, block)
    resolution = _resolution(window.get("resolution", 256))
    x = _axis(spec, window.get("x", "LR0"), ranges, resolution[0])
    names = window.get("y", "LR1")
    y = None if names is None else _axis(spec, names, ranges, resolution[1])
    return Experiment(name, spec, Window(x, y))


def _spec(tree: Mapping[str, Any]) -> Spec:
    given: dict[str, Any] = {key: tree[key] for key in FIELDS if key in tree}
    for role in PART_ROLES:
        if role in tree:
            given[role] = None if tree[role] is None else _part(role, dict(tree[role]))
            if given[role] is None and role != "rule":
                raise FractaljaxError(f"{role}: a name is needed; only rule may be null")
    if "fold" in tree:
        folds = {name: _arguments(f"fold.{name}", args) for name, args in tree["fold"].items()}
        given["fold"] = tuple(Part(name, **args) for name, args in folds.items())
    return Spec(**given)


def _part(role: str, block: dict[str, Any]) -> Part | None:
    name = block.pop("name", DEFAULTS.get(role))
    if name is None and block:
        raise FractaljaxError(f"{role}: a name is needed beside {', '.join(block)}")
    return None if name is None else Part(str(name), **_arguments(role, block))


def _arguments(where: str, block: Mapping[Any, Any]) -> Mapping[str, Any]:
    for key in block:
        if not (isinstance(key, str) and key.isidentifier()) or key in ("self", "name"):
            raise FractaljaxError(f"{where}.{key}: not the name of an argument")
    return block


def _range(key: str, block: Mapping[str, Any]) -> dict[str, Any]:
    for name in block:
        if name not in ("min", "max", "scale"):
            raise unknown(
                "setting",
                f"axes.{key}.{name}",
                [f"axes.{key}.{n}" for n in ("min", "max", "scale")],
            )
    return {
        k: str(v) if k == "scale" else as_number(f"axes.{key}.{k}", v) for k, v in block.items()
    }


def _axis(spec: Spec, name: Any, ranges: Mapping[str, dict[str, Any]], n: int) -> Axis:
    """The axis of a name; its range from the config, else a default where one is sensible."""
    path = spec.traced(str(name))
    low, high, scale = RANGES.get(label(spec, path), (None, None, "linear"))
    given = {"min": low, "max": high, "scale": scale} | ranges.get(path, {})
    if given["min"] is None or given["max"] is None:
        raise FractaljaxError(
            f"axis {name}: no range; give axes.{name}: {{min: ..., max: ..., scale: ...}}"
        )
    return Axis(path, given["min"], given["max"], n, given["scale"])


def as_number(where: str, value: Any) -> float:
    """A float from what YAML gives: a number, or text such as `1e-3`."""
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise FractaljaxError(f"{where}={value!r}: takes a number") from None


def _resolution(value: Any) -> tuple[int, int]:
    """Columns and rows from `N`, `WxH` or `[W, H]`."""
    sides = value if isinstance(value, list) else str(value).lower().split("x")
    try:
        sides = [int(str(s)) for s in sides]  # not 4.7, nor True
    except (TypeError, ValueError):
        sides = []
    if len(sides) not in (1, 2) or min(sides, default=0) < 1:
        raise FractaljaxError(
            f"window.resolution={value!r}: takes N, WxH or [W, H] with sides of at least 1"
        )
    return sides[0], sides[-1]
