"""Focused sweeps: configs that ask one thing about growing networks, made from one experiment."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fractaljax.config.arms import parse_arms, read_tree
from fractaljax.errors import unknown

NETS = {"128": [128], "64": [64], "32": [32], "64x32": [64, 32], "32x16": [32, 16]}
FOCI: dict[str, dict[str, list[Any]]] = {  # settings, all combinations
    "growth": {
        "optimizer.lr": [0.001, 0.002, 0.004],
        "model.density": [0.005, 0.02, 0.05],
        "epochs": [25, 50],
    },
    "architecture": {"net": list(NETS), "model.density": [0.005, 0.02, 0.05]},
    "performance": {"optimizer.lr": [0.001, 0.002, 0.005, 0.01], "problem.batch": [32, 64, 128]},
}
PRIORITY = {"performance": 2}  # the others have 1


def focused(what: str, base: str | Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    """`(name, experiment, priority)` of every combination of a focus.

    Args:
        what: growth, architecture or performance.
        base: an experiment; its arms and claims are those of every one.

    Raises:
        FractaljaxError: the focus is unknown, or the experiment is not understood.
    """
    if what not in FOCI:
        raise unknown("focus", what, FOCI)
    tree, settings = read_tree(Path(base)), FOCI[what]
    for combination in itertools.product(*settings.values()):
        words = dict(zip(settings, combination, strict=True))
        name = "_".join([what, *(f"{path.split('.')[-1]}-{v}" for path, v in words.items())])
        if "net" in words:
            net = NETS[words.pop("net")]
            words |= {"model.widths": net, "model.start": net}
        overrides = [f"{path}={value}" for path, value in words.items()]
        experiment = parse_arms({**tree, "name": name}, name, overrides)
        yield name, experiment.tree, PRIORITY.get(what, 1)
