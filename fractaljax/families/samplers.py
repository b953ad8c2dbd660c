"""Where the trials of a search come from: asked for, trained, told.

`random` and `qmc` are lists that the seed alone decides, the same for every architecture. `tpe`
and `cmaes` learn from what they are told (`learning`, which needs Optuna).
"""

import importlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from scipy.stats import qmc

from fractaljax.config.space import Dimension, draw_trials
from fractaljax.config.study import LEARNING, SAMPLERS
from fractaljax.errors import FractaljaxError, unknown


class Sampler(Protocol):
    """Trials by number, `(number, name -> value)`, so that a search that was stopped goes on.

    Whoever opens a search again tells what it knows, in the order of the numbers; then all goes on
    as if it had never stopped.
    """

    def ask(self, count: int) -> list[tuple[int, dict[str, float]]]:
        """At most `count` trials that were not told to this object, lowest numbers first."""
        ...

    def tell(self, number: int, loss: float) -> None:
        """The validation loss of a trial; NaN and infinity: it failed. Twice does no harm."""
        ...


class Listed:
    """Trials that are known before the search."""

    def __init__(self, trials: Sequence[dict[str, float]]):
        self._trials = trials
        self._told: set[int] = set()

    def ask(self, count: int) -> list[tuple[int, dict[str, float]]]:
        left = [n for n in range(len(self._trials)) if n not in self._told]
        return [(n, dict(self._trials[n])) for n in left[:count]]

    def tell(self, number: int, loss: float) -> None:
        self._told.add(number)


def sampler(
    name: str, space: Sequence[Dimension], trials: int, seed: int, folder: Path | None
) -> Sampler:
    """The sampler of a name.

    Args:
        space: what is drawn.
        trials: how many there are in all.
        seed: of the draws; two architectures start alike, whatever the sampler.
        folder: where a sampler that learns keeps its journal; None: nowhere. One process at a
            time.

    Raises:
        FractaljaxError: an unknown name, an extra that is not installed, a space that the sampler
            cannot search, a damaged journal.
    """
    if name not in SAMPLERS:
        raise unknown("sampler", name, SAMPLERS)
    if name in LEARNING:
        _check_installed(name)
        from fractaljax.families.learning import Learning

        return Learning(name, space, trials, seed, folder)
    draw = draw_trials if name == "random" else spread_trials
    return Listed(draw(space, trials, seed))


def spread_trials(space: Sequence[Dimension], count: int, seed: int) -> list[dict[str, float]]:
    """`count` trials that fill the space evenly: a scrambled Sobol sequence (Owen 1998)."""
    sequence = qmc.Sobol(
        len(space),
        seed=seed,  # pyright: ignore[reportCallIssue] (`rng` from SciPy 1.15 on)
    )
    points = sequence.random_base2((count - 1).bit_length())[:count]
    return [{d.name: _at(d, u) for d, u in zip(space, point, strict=True)} for point in points]


def _at(dimension: Dimension, u: float) -> float:
    """The value at `u` in [0, 1) of the way."""
    if dimension.choices:
        return dimension.choices[int(u * len(dimension.choices))]
    if dimension.scale == "uniform":
        return float(dimension.low + u * (dimension.high - dimension.low))
    low, high = math.log(dimension.low), math.log(dimension.high)
    return min(max(math.exp(low + u * (high - low)), dimension.low), dimension.high)


def _check_installed(name: str) -> None:
    for module in ("optuna", "cmaes") if name == "cmaes" else ("optuna",):
        try:
            importlib.import_module(module)
        except ImportError:
            raise FractaljaxError(
                f"sampler {name} needs {module}: pip install 'fractaljax[search]'"
            ) from None
