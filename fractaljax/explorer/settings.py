"""What the page may change, and how it is told: settings as a flat list of paths.

Settings from a page may come from anybody's link: they never name files, folders or code.
"""

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from fractaljax import config, registry
from fractaljax.errors import FractaljaxError
from fractaljax.explorer.refusals import Refused
from fractaljax.families import explore
from fractaljax.parts.activations import ACTIVATIONS
from fractaljax.parts.models import PARAMETRISATIONS
from fractaljax.parts.optimizers import GROUPINGS
from fractaljax.spec import ALIASES, OPTIONAL_ROLES, PART_ROLES, Part, Spec
from fractaljax.window import Window

MOST_SETTINGS, LONGEST = 100, 200  # settings of one request, letters of one name or value
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_PLACES = re.compile(r"(dir|directory|file|folder|path|plugins?)$")
_WORDS = {  # text arguments with a fixed choice
    "model.activation": list(ACTIVATIONS),
    "model.parametrisation": list(PARAMETRISATIONS),
    "optimizer.grouping": list(GROUPINGS),
}


def changed(spec: Spec, window: Window, settings: Any) -> tuple[Spec, Window]:
    """Other settings over those of a map.

    Args:
        spec, window: of the map that is changed.
        settings: `{path: value}`, as on the command line.

    Raises:
        FractaljaxError: for whatever is not understood, not allowed, or too large.
    """
    overrides = [_override(spec, path, value) for path, value in _checked(settings).items()]
    raw = config.parse(config.dump(spec, window), "settings", "map")
    found = config.experiments(raw, overrides)
    if len(found) > 1:
        raise FractaljaxError("settings: a list makes several maps; give one value each")
    _, new, where = found[0]
    for role in PART_ROLES:
        part = getattr(new, role)
        if part != getattr(spec, role) and part is not None and _reads_folders(role, part):
            raise Refused(f"{role}: {part.name} reads folders; start the explorer with it instead")
    if where.y is None:
        raise FractaljaxError("window.y: a map needs two axes")
    new = explore.explored(new)
    explore.check(new, where)
    explore.check_size(new)
    return new, where


def flat(spec: Spec, window: Window) -> dict[str, Any]:
    """Every setting by its path: parts by role, axes as `axes.LR0.min`, `window.x`."""
    found: dict[str, Any] = {}
    for role in PART_ROLES:
        part = getattr(spec, role)
        found[role] = part and part.name
        if part is not None:
            found |= {f"{role}.{k}": list(v) if isinstance(v, tuple) else v for k, v in part.args}
    tree = config.as_tree(spec, window)
    found |= {k: v for k, v in tree.items() if not isinstance(v, Mapping) and k not in found}
    for path, block in tree["axes"].items():
        found |= {f"axes.{config.label(spec, path)}.{k}": v for k, v in block.items()}
    names = {w: config.label(spec, a.path) for w, a in zip("xy", window.axes, strict=True)}
    return found | {f"window.{which}": name for which, name in names.items()}


def choices(spec: Spec, window: Window) -> dict[str, list[Any]]:
    """What the settings with a fixed choice may be; `axes` for both ends of the window."""
    found: dict[str, list[Any]] = {}
    for role in PART_ROLES:
        now = getattr(spec, role)
        found[role] = [None] if role in OPTIONAL_ROLES else []
        for name in registry.names(role):
            if (now and name == now.name) or not _reads_folders(role, Part(name)):
                found[role].append(name)
    known = spec.paths()
    found |= {path: words for path, words in _WORDS.items() if path in known}
    found |= {path: [False, True] for path, value in known.items() if isinstance(value, bool)}
    labels = [config.label(spec, a.path) for a in window.axes]
    return found | {"axes": list(dict.fromkeys([*filter(_is_axis(spec), ALIASES), *labels]))}


def described(settings: Mapping[str, Any]) -> str:
    """A few words on what was changed, for the title of a map."""
    words = [
        str(v) if "." not in k and isinstance(v, str) else f"{k.rpartition('.')[2]} {v}"
        for k, v in settings.items()
    ]
    return ", ".join(words)[:LONGEST]


def _checked(settings: Any) -> dict[str, Any]:
    if not isinstance(settings, Mapping) or len(settings) > MOST_SETTINGS:
        raise Refused(f"settings: takes up to {MOST_SETTINGS} of path: value")
    for path, value in settings.items():
        if not _NAME.fullmatch(path) or len(path) > LONGEST:
            raise Refused(f"settings: '{path[:LONGEST]}' is not a path")
        if any(_PLACES.search(word) for word in path.lower().split(".")):
            raise Refused(f"settings: {path}: a page cannot name files, folders or modules")
        values = value if isinstance(value, list) else [value]
        if len(values) > MOST_SETTINGS or any(
            not isinstance(v, str | int | float | bool | None) or len(str(v)) > LONGEST
            for v in values
        ):
            raise Refused(f"settings: {path}: takes a number, a word, true, false or null")
    return dict(settings)


def _override(spec: Spec, path: str, value: Any) -> str:
    """The text of one override, with axes under their full paths: the others have those."""
    where, _, end = path.rpartition(".")
    if where.startswith("axes."):
        with contextlib.suppress(FractaljaxError):  # a path that only the new settings have
            path = f"axes.{spec.resolve(where.removeprefix('axes.'))}.{end}"
    return f"{path}={json.dumps(value)}"  # JSON is YAML


def _reads_folders(role: str, part: Part) -> bool:
    return any(_PLACES.search(argument) for argument in registry.arguments(role, part.name))


def _is_axis(spec: Spec) -> Any:
    def may(alias: str) -> bool:
        try:
            spec.traced(alias)
        except FractaljaxError:
            return False
        return True

    return may
