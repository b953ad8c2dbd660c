"""The dimension of the boundary between trainable and not: three methods and a null model.

    from fractaljax.families import dimension
    levels = fractaljax.store.open_levels("outputs/tanh-zoom")  # or any sequence of Fields
    found = dimension.boxcount(levels)
    found.pooled.dimension, found.null.pooled.dimension

`published` and `boxcount` read the pixels that are there; `uncertainty` trains pairs of points.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from fractaljax.analysis import dimension as analysis
from fractaljax.analysis import edges, null
from fractaljax.analysis import uncertainty as pairs
from fractaljax.analysis.dimension import Dimension
from fractaljax.axis import Axis, Lattice
from fractaljax.engine import order
from fractaljax.errors import FractaljaxError
from fractaljax.families import outcomes
from fractaljax.families.points import Trainer
from fractaljax.field import Field
from fractaljax.store import origins

log = logging.getLogger("fractaljax")
SPREAD = 4  # levels that `uncertainty` trains in, unless told otherwise
NULL_PAIRS = 2**18  # cheap; the null's own error is then below 0.01
MAX_PAIRS = 2**24  # hours of the fastest device already
FLOOR = 32  # spacings of the dtype: the smallest distance between two points of a pair


def published(levels: Sequence[Field]) -> Dimension:
    """The paper's estimator, to the number: `fractaljax.analysis.published` says how it works.

    Args:
        levels: Fields around one centre, the widest first, or a single one; they need the
            reading `measure` or `status`.
    """
    found = analysis.published(_outcomes(levels))
    return found._replace(null=analysis.published(_smooth(levels)))


def boxcount(levels: Sequence[Field]) -> Dimension:
    """Box counting with an interval: `fractaljax.analysis.boxcount` says how it works.

    Args:
        levels: as for `published`.
    """
    found = analysis.boxcount(_outcomes(levels))
    return found._replace(null=analysis.boxcount(_smooth(levels)))


def uncertainty(
    levels: Sequence[Field],
    *,
    count: int = 1024,
    seed: int = 0,
    only: Sequence[int] | None = None,
    devices: int | None = None,
) -> Dimension:
    """The uncertainty exponent: `fractaljax.analysis.uncertainty` says how it works.

    Trains `count` random points of a window, and a partner for each at every distance, from a
    tenth of the window down, until fewer than 8 partners differ or the floor of the dtype is
    reached. JAX must be in the precision of the levels.

    Args:
        levels: as for `published`; their pixels are not used.
        count: pairs at each distance.
        seed: of the points.
        only: numbers of the levels to train in (default: four, from the widest to the deepest).
        devices: how many (default: all).
    """
    if not 2 <= count <= MAX_PAIRS:
        raise FractaljaxError(f"pairs={count}: at least 2, at most {MAX_PAIRS}")
    if seed < 0:
        raise FractaljaxError(f"seed={seed}: at least 0")
    scales, axes = _scales(levels), len(levels[0].window.axes)
    chosen = _chosen(len(levels), only)
    for field in levels:
        origins.check_field(field)
    trainer = _trainer(levels, devices)
    found, smooth = [], []
    for number in chosen:
        judge, floor = _trained(levels[number], trainer), _floor(levels[number])
        clock = time.perf_counter()
        made = pairs.measure(judge, count, axes, floor, np.random.default_rng([seed, number]))
        networks, wall = count * (1 + len(made.distances)), time.perf_counter() - clock
        log.info("level %d: %s networks, %.0f s", number, f"{networks:,}", wall)
        found.append((number, made))
        judge, rng = _judged_by_null(scales[number]), np.random.default_rng([seed, number])
        smooth.append((number, pairs.measure(judge, NULL_PAIRS, axes, floor, rng)))
    result = analysis.uncertainty(found, axes)
    return result._replace(null=analysis.uncertainty(smooth, axes))


def _outcomes(levels: Sequence[Field]) -> Iterator[edges.Outcomes]:
    _check(levels)
    for field in levels:
        found = outcomes.of(field)
        yield edges.Outcomes(*(np.reshape(whole, _shape(field)) for whole in found))


def _smooth(levels: Sequence[Field]) -> Iterator[edges.Outcomes]:
    """The null model on the same grids."""
    for field, scale in zip(levels, _scales(levels), strict=True):
        shape, axes = _shape(field), field.window.axes
        along = tuple(s for s, axis in zip(scale, axes, strict=True) if axis.n > 1) or scale
        yield edges.Outcomes(null.pixels(shape, along), np.ones(shape, bool))


def _shape(field: Field) -> tuple[int, ...]:
    """Samples along each axis; a window that is one sample wide is a line."""
    return tuple(n for n in field.window.shape if n > 1) or field.window.shape


def _check(levels: Sequence[Field]) -> None:
    if not levels:
        raise FractaljaxError("no level to look at")
    paths = [axis.path for axis in levels[0].window.axes]
    for number, field in enumerate(levels):
        outcomes.reading(field)
        if [axis.path for axis in field.window.axes] != paths:
            raise FractaljaxError(f"level {number} has other axes than level 0")


def _scales(levels: Sequence[Field]) -> list[tuple[float, ...]]:
    """Widths of each level over those of the widest, an axis each."""
    _check(levels)
    spans = np.array([[axis.span for axis in field.window.axes] for field in levels])
    return [tuple(row) for row in (spans / spans.max(0)).tolist()]


def _chosen(count: int, only: Sequence[int] | None) -> list[int]:
    """Numbers of the levels to train in."""
    if only is None:
        spread = np.linspace(0, count - 1, min(SPREAD, count))
        return sorted({int(k) for k in np.rint(spread)})
    for number in only:
        if not 0 <= number < count:
            raise FractaljaxError(f"level={number}: there are levels 0 to {count - 1}")
    return sorted(set(only))


def _trainer(levels: Sequence[Field], devices: int | None) -> Trainer:
    spec, axes = levels[0].spec, levels[0].window.axes
    if any(field.spec != spec for field in levels):
        raise FractaljaxError("the levels differ in their settings; one zoom has one Spec")
    if any(axis.path == "seed" for axis in axes):
        raise FractaljaxError("axis seed: takes whole numbers only, so no two points are near")
    return Trainer(
        spec,
        [axis.path for axis in axes],
        chunk=levels[0].provenance.get("chunk"),
        kernel=order.begun_with(levels[0].provenance),
        devices=devices,
    )


def _trained(field: Field, trainer: Trainer) -> pairs.Judge:
    """Outcomes of the points of a level, by training."""
    axes, dtype, name = field.window.axes, field.spec.dtype, outcomes.reading(field)

    def judge(base: np.ndarray, steps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        columns = zip(axes, base.T, strict=True)
        points = np.stack([_values(axis, at, dtype) for axis, at in columns], -1)
        apart = np.ones(len(points), bool)
        if steps is not None:
            columns = zip(axes, points.T, steps.T, strict=True)
            moved = np.stack([_moved(*column, dtype) for column in columns], -1)
            apart, points = (moved != points).any(1), moved
        found = edges.outcomes(trainer(points)[name], apart, name)
        return found.converged, found.trained

    return judge


def _judged_by_null(scale: tuple[float, ...]) -> pairs.Judge:
    """Outcomes of the null model at a level."""

    def judge(base: np.ndarray, steps: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        at = base if steps is None else base + steps
        return null.converged(at, scale), np.ones(len(base), bool)

    return judge


def _values(axis: Axis | Lattice, at: np.ndarray, dtype: str) -> np.ndarray:
    """Places from the middle of an axis, in its widths, as numbers of the dtype: float64."""
    return _moved(axis, np.full(len(at), axis.min), at + 0.5, dtype)


def _moved(axis: Axis | Lattice, values: np.ndarray, steps: np.ndarray, dtype: str) -> np.ndarray:
    """Values some widths of the axis further on, as numbers of the dtype: float64.

    The step is made from the value, so that it survives where coordinates would round it away.
    """
    steps = steps * axis.span
    if axis.scale == "linear":
        return (values + steps).astype(dtype).astype(np.float64)
    near_one = axis.scale == "log1m"  # where one minus the value is a number of the dtype
    measures = 1 - values if near_one else values
    moved = measures * np.expm1(axis.direction * steps * math.log(10))
    measures = (measures + moved).astype(dtype).astype(np.float64)
    return 1 - measures if near_one else measures


def _floor(field: Field) -> float:
    """The smallest distance, in widths of the window, that the dtype can tell to some 3 %."""
    return max(FLOOR * a.spacing(field.spec.dtype) / a.span for a in field.window.axes)
