"""A search for seeds: architectures x densities x seeds, and what is good enough.

extends: [digits.yaml]                # laid below this file
epochs: 20
seeds: 16
architectures: [[], [8], [16], [32, 16]]   # hidden units of each layer; [] is no hidden layer
densities: [0.02, 0.05, 0.1]
margin: 0.1                           # above chance, that a network learns
best: 3                               # networks kept of every ranking
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.config.arms import Experiment, parse_arms, read_tree
from fractaljax.config.text import parse_override
from fractaljax.errors import FractaljaxError

KEYS = {"architectures": [[16]], "densities": [0.02], "margin": 0.1, "best": 3}


class Finder(NamedTuple):
    """A search, checked."""

    name: str
    experiment: Experiment  # an arm an architecture, over densities and seeds
    architectures: dict[str, tuple[int, ...]]  # name of the arm -> hidden units
    margin: float
    best: int


def read_finder(path: str | Path, overrides: Iterable[str] = ()) -> Finder:
    """The search of a YAML file and those it extends.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    path = Path(path)
    tree, given = read_tree(path, KEYS), dict(KEYS)
    rest = []
    for text in overrides:
        key = text.partition("=")[0]
        if key in KEYS:
            tree[key] = parse_override(text)[1]
        else:
            rest.append(text)
    given |= {key: tree.pop(key) for key in KEYS if key in tree}
    nets = _architectures(given["architectures"])
    for key in ("arms", "claims", "over"):
        if tree.get(key):
            raise FractaljaxError(f"{key} is not read: architectures and densities say it all")
    tree["over"] = {"model.density": _densities(given["densities"])}
    tree["arms"] = {name: _arm(net) for name, net in nets.items()}
    experiment = parse_arms(tree, path.stem, rest)
    margin, best = given["margin"], given["best"]
    if isinstance(margin, bool) or not isinstance(margin, float | int) or not 0 <= margin < 1:
        raise FractaljaxError(f"margin={margin!r}: takes a number, 0 to below 1")
    if type(best) is not int or best < 1:
        raise FractaljaxError(f"best={best!r}: takes a whole number from 1")
    return Finder(experiment.name, experiment, nets, float(margin), best)


def _architectures(value: Any) -> dict[str, tuple[int, ...]]:
    wrong = FractaljaxError(
        f"architectures={value!r}: takes lists of hidden units, as in [[], [16], [32, 16]]"
    )
    if not isinstance(value, list) or not value:
        raise wrong
    found = {}
    for net in value:
        if not isinstance(net, list) or not all(type(n) is int and n >= 1 for n in net):
            raise wrong
        found["x".join(map(str, net)) or "none"] = tuple(net)
    return found


def _densities(value: Any) -> list[Any]:
    try:
        if not isinstance(value, list) or not value or bool in map(type, value):
            raise TypeError
        if not all(math.isfinite(float(density)) for density in value):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise FractaljaxError(
            f"densities={value!r}: takes a list of numbers, as in [0.02, 0.1]"
        ) from None
    return value


def _arm(net: tuple[int, ...]) -> dict[str, Any]:
    """No hidden layer is a capacity of one unit that nobody uses."""
    return {"model": {"widths": list(net) or [1], "start": list(net) or [0]}}
