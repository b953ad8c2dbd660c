"""Settings that the paper's notebook makes of each other (arXiv:2402.06184).

`draws: legacy` asks for its experiment. There one number is the width of every layer and of the
inputs, and the number of points follows it; here each is a setting of its own. Who changes one
alone trains something that was never published, and is told so.
"""

import functools
import logging
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fractaljax.engine.streams import count_parameters
from fractaljax.spec import Spec

log = logging.getLogger("fractaljax")
PARTS = {"model": "mlp", "problem": "random_regression"}  # what the notebook trains, and on what


class Loose(NamedTuple):
    """A setting that does not follow the others as in the notebook."""

    path: str
    of: str  # the setting that it follows in the notebook, and its value
    rule: str  # how
    follow: str  # what to set instead


@functools.lru_cache(maxsize=256)  # once a process
def warn(spec: Spec, names: tuple[str, ...]) -> None:
    """Logs a line for every setting that leaves the published experiment without a word.

    Args:
        spec: what is trained.
        names: canonical paths of the axes.
    """
    for path, of, rule, follow in loose(spec, names):
        value = "an axis" if path in names else spec.paths()[path]
        log.warning(
            "%s=%s does not follow %s: in the published experiment, which draws=legacy is for, %s; "
            "set %s", path, list(value) if type(value) is tuple else value, of, rule, follow,
        )  # fmt: skip


def loose(spec: Spec, names: Iterable[str] = ()) -> list[Loose]:
    """The settings that do not follow others as in the notebook; none without legacy draws."""
    if spec.draws != "legacy" or any(
        getattr(spec, role).name != name for role, name in PARTS.items()
    ):
        return []
    return [*_sizes(spec), *_rates(spec, set(names))]


def _sizes(spec: Spec) -> Iterator[Loose]:
    """Inputs, units and points."""
    widths = set(spec.model["widths"] or (spec.model["width"],))
    if len(widths) > 1:
        yield Loose(
            "model.widths",
            "problem.inputs",
            "inputs and all hidden layers have one width",
            "model.width and model.depth instead",
        )
        return
    (width,) = widths
    units = "model.widths" if spec.model["widths"] else "model.width"
    if spec.problem["inputs"] != width:
        yield Loose(
            "problem.inputs",
            f"{units}={width}",
            "inputs are as many as units",
            f"problem.inputs={width}",
        )
    ratio, fixed = _points(spec.problem["points"])
    if fixed == 1:  # the notebook's other choice, which follows nothing
        return
    targets = spec.problem["targets"]
    matching = count_parameters(spec, spec.problem["inputs"], targets)
    found = fixed or int(matching * ratio / targets)
    if spec.model["activation"] == "linear" and found != int(width * ratio):
        yield Loose(
            "problem.points",
            f"{units}={width}",
            "a linear network has as many points as units",
            f"problem.points={int(width * ratio)}",
        )
    elif spec.model["activation"] != "linear" and fixed not in (0, int(matching / targets)):
        yield Loose(
            "problem.points",
            f"the {matching} weights of the network",
            "target values are as many as weights",
            "problem.points=matching",
        )


def _points(points: int | str) -> tuple[float, int]:
    """`(ratio to the notebook's number, 0)`, or `(1.0, number)`."""
    text = str(points)
    if text == "single":
        return 1.0, 1
    if text == "matching":
        return 1.0, 0
    return (float(text[:-1]), 0) if text.endswith("x") else (1.0, int(text))


def _rates(spec: Spec, names: set[str]) -> Iterator[Loose]:
    """Learning rates of layers."""
    values = spec.paths()
    depth = len(spec.model["widths"]) + 1 if spec.model["widths"] else spec.model["depth"]
    if depth > 2 and values.get("optimizer.grouping") not in (None, "alternating"):
        yield Loose(
            "optimizer.grouping",
            f"model.depth={depth}",
            "layers take lr_in and lr_out in turn",
            "optimizer.grouping=alternating",
        )
    if spec.rule is not None and spec.rule.name == "drift":
        for path in ("optimizer.lr_in", "optimizer.lr_out"):
            if values.get(path) is not None or path in names:
                yield Loose(
                    path,
                    "rule=drift",
                    "all layers have one rate where an offset drifts",
                    "optimizer.lr instead",
                )
