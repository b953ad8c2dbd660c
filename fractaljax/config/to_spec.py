"""From the tree of one experiment to its Spec and its Window."""

from collections.abc import Mapping
from typing import Any

from fractaljax.config.text import check_mapping
from fractaljax.config.to_tree import label
from fractaljax.config.trees import DEFAULTS
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.spec import ALIASES, FIELDS, MANY_ROLES, OPTIONAL_ROLES, PART_ROLES, Part, Spec
from fractaljax.window import MAX_SIDE, Axis, Lattice, Window

WINDOW = ("x", "y", "resolution")
RANGE = ("min", "max", "scale")
LATTICE = ("origin", "width", "start", "scale", "residue")  # of an axis around one value
RATE = (1e-3, 1e6, "log")
RANGES = {  # where an axis runs when nobody says: (min, max, scale), wide enough to show an edge
    "LR0": RATE,
    "LR1": RATE,
    "LR_MID": RATE,
    "LR": RATE,
    "MOMENTUM": (0.0, 0.99, "linear"),
    "WEIGHT_DECAY": (1e-5, 1.0, "log"),
    "BETA1": (0.0, 0.999, "linear"),
    "BETA2": (0.9, 0.9999, "linear"),
    "EPS": (1e-12, 1.0, "log"),
    "INIT_OFFSET": (1e-2, 1e1, "log"),
    "INIT_SCALE": (1e-2, 1e2, "log"),
    "GAMMA": (0.0, 3.0, "linear"),
}


def to_spec(tree: Mapping[str, Any]) -> tuple[Spec, Window]:
    """The Spec and Window of one canonical tree without facets."""
    spec = to_training(tree)
    if not (spec.fold or spec.metric or spec.stopping):
        raise FractaljaxError(
            "fold: at least one is needed where there is neither metric nor stopping"
        )
    return spec, _window(spec, tree.get("window", {}), tree.get("axes", {}))


def to_training(tree: Mapping[str, Any]) -> Spec:
    """The Spec of one canonical tree without facets."""
    spec = _spec({k: v for k, v in tree.items() if k not in ALIASES})
    aliased = {k: v for k, v in tree.items() if k in ALIASES}
    for alias in aliased:
        prefix, _, argument = spec.resolve(alias).rpartition(".")
        if argument in (tree.get(prefix) or {}):
            raise FractaljaxError(
                f"{alias} and {prefix}.{argument} are one setting; give one of them"
            )
    return spec.updated(aliased) if aliased else spec


def _spec(tree: Mapping[str, Any]) -> Spec:
    given: dict[str, Any] = {key: tree[key] for key in FIELDS if key in tree}
    for role in PART_ROLES:
        if role in tree:
            given[role] = None if tree[role] is None else _part(role, dict(tree[role]))
            if given[role] is None and role not in OPTIONAL_ROLES:
                allowed = " and ".join(OPTIONAL_ROLES)
                raise FractaljaxError(f"{role}: a name is needed; only {allowed} may be null")
    for role in MANY_ROLES:
        if role in tree:
            given[role] = to_parts(role, tree[role])
    if (tree.get("metric") or tree.get("stopping")) and "fold" not in tree:
        given["fold"] = ()  # other readings are asked for: one of every step would cost time
    return Spec(**given)


def to_parts(role: str, tree: Mapping[str, Any]) -> tuple[Part, ...]:
    """Parts that stand side by side, from a canonical `{name: arguments}`."""
    args = {name: _arguments(f"{role}.{name}", block) for name, block in tree.items()}
    return tuple(Part(name, **block) for name, block in args.items())


def _part(role: str, block: dict[str, Any]) -> Part | None:
    name = block.pop("name", DEFAULTS.get(role))
    if name is None and block:
        raise FractaljaxError(f"{role}: a name is needed beside {', '.join(map(str, block))}")
    return None if name is None else Part(str(name), **_arguments(role, block))


def _arguments(where: str, block: Mapping[Any, Any]) -> Mapping[str, Any]:
    for key in block:
        if not (isinstance(key, str) and key.isidentifier()) or key in ("self", "name"):
            raise FractaljaxError(f"{where}.{key}: not the name of an argument")
    return block


def _window(spec: Spec, window: Mapping[str, Any], axes: Mapping[Any, Any]) -> Window:
    _check_keys("window", window, WINDOW)
    ranges = {}
    for key, block in axes.items():
        check_mapping(f"axes.{key}", block)
        if (path := spec.traced(str(key))) in ranges:
            raise FractaljaxError(
                f"axes: {', '.join(axes)}: {path} is given twice, under two names"
            )
        ranges[path] = _range(f"axes.{key}", block)
    columns, rows = _resolution(window.get("resolution", 256))
    with at("window.x"):
        x = _axis(spec, window.get("x", "LR0"), ranges, columns)
    name = window.get("y", "LR1")
    with at("window.y"):
        return Window(x, None if name is None else _axis(spec, name, ranges, rows))


def _range(where: str, block: Mapping[str, Any]) -> dict[str, Any]:
    _check_keys(where, block, LATTICE if "origin" in block else RANGE)
    return {k: str(v) if k == "scale" else _number(f"{where}.{k}", v) for k, v in block.items()}


def _axis(spec: Spec, name: Any, ranges: Mapping[str, dict[str, Any]], n: int) -> Axis | Lattice:
    """The axis of a name; its range from the config, else a default where one is sensible."""
    path = spec.traced(str(name))
    if "origin" in ranges.get(path, {}):
        if "width" not in ranges[path]:
            raise FractaljaxError(f"axes.{name}: an origin needs a width")
        return Lattice(path, n=n, **ranges[path])
    default = RANGES.get(label(spec, path), (None, None, "linear"))
    given = dict(zip(RANGE, default, strict=True)) | ranges.get(path, {})
    if given["min"] is None or given["max"] is None:
        raise FractaljaxError(
            f"axis {name}: no range; give axes.{name}: {{min: ..., max: ..., scale: ...}}"
        )
    return Axis(path, given["min"], given["max"], n, given["scale"])


def _check_keys(where: str, block: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in block:
        if key not in known:
            raise unknown("setting", f"{where}.{key}", [f"{where}.{k}" for k in known])


def _number(where: str, value: Any) -> float:
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
    if max(sides) > MAX_SIDE:
        raise FractaljaxError(f"window.resolution={value!r}: allowed are 1 to {MAX_SIDE}")
    return sides[0], sides[-1]
