"""The architectures of a study: what differs from the training that they share."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fractaljax.config.layers import WIDTHS
from fractaljax.config.text import check_mapping
from fractaljax.config.to_spec import to_training
from fractaljax.config.to_tree import training_tree
from fractaljax.config.trees import merged, nested
from fractaljax.errors import FractaljaxError, at
from fractaljax.spec import Spec

ROLES = ("model", "optimizer", "schedule")  # data and stopping are the same for all
TAKEN = ("", ".", "..", "targets")


def parse_architectures(given: Any, base: Spec) -> dict[str, Spec]:
    """Name -> its training, in the order of the file.

    Args:
        given: `[[64, 32], ...]`, lists of widths of hidden layers; `{name: [64, 32], ...}`;
            `{name: {model.widths: [64, 32], model.bias: false}, ...}`; or `{mlp_layer_widths:
            [[64, 32], ...]}`.
        base: what they share.

    Raises:
        FractaljaxError: with the name of the architecture, and what it takes.
    """
    specs: dict[str, Spec] = {}
    for name, change in _named(given):
        if name in specs:
            raise FractaljaxError(f"architectures.{name}: is given twice")
        if name in TAKEN or Path(name).name != name or "\0" in name:
            raise FractaljaxError(f"architectures.{name}: cannot be the name of a folder")
        with at(f"architectures.{name}"):
            specs[name] = _changed(base, change)
        for other, spec in specs.items():
            if other != name and spec == specs[name]:
                raise FractaljaxError(f"architectures.{name}: is the same as {other}")
    if not specs:
        raise FractaljaxError("architectures: at least one is needed, as in [[64, 32]]")
    return specs


def difference(base: Spec, spec: Spec) -> dict[str, Any]:
    """What `parse_architectures` makes `spec` of again."""
    old, new = training_tree(base), training_tree(spec)
    found: dict[str, Any] = {}
    for role in ROLES:
        if old[role]["name"] != new[role]["name"]:
            found[role] = new[role]
        else:
            differing = {k: v for k, v in new[role].items() if v != old[role][k]}
            found |= {f"{role}.{argument}": value for argument, value in differing.items()}
    return found


def _changed(base: Spec, change: Mapping[str, Any]) -> Spec:
    tree = training_tree(base)
    for path, value in change.items():
        role, _, argument = str(path).partition(".")
        if role not in ROLES:
            raise FractaljaxError(
                f"{path}: an architecture may differ in {', '.join(ROLES)}; all else is shared"
            )
        if not argument and not isinstance(value, Mapping):
            value = {"name": value}
        tree = merged(tree, nested(str(path).split("."), value))
    return to_training(tree)


def _named(given: Any) -> Iterable[tuple[str, dict[str, Any]]]:
    """Names, and the settings that differ."""
    if isinstance(given, list):
        given = {WIDTHS: given}
    check_mapping("architectures", given or {})
    for name, value in (given or {}).items():
        where = f"architectures.{name}" if name != WIDTHS else "architectures"
        if str(name).endswith(WIDTHS):
            for widths in value if isinstance(value, list) else [value]:
                yield "x".join(map(str, _widths(where, widths))), {"model.widths": widths}
        elif isinstance(value, Mapping):
            yield str(name), dict(value)
        else:
            yield str(name), {"model.widths": _widths(where, value)}


def _widths(where: str, widths: Any) -> list[int]:
    if not (isinstance(widths, list) and widths and all(type(w) is int for w in widths)):
        raise FractaljaxError(f"{where}: {widths!r}: takes widths of hidden layers, as in [64, 32]")
    return widths
