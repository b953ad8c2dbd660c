"""Outcomes of one or more levels -> the dimension of the boundary, per level and pooled."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fractaljax.analysis import boxcount as boxes
from fractaljax.analysis import edges as boundary
from fractaljax.analysis import fits
from fractaljax.analysis import published as paper
from fractaljax.analysis import uncertainty as pairs

UNRESOLVED_DIMENSION = 0.1  # so near to what noise of this size reads ...
UNRESOLVED_CORRELATION = 0.15  # ... and neighbours no more alike than this: pixels are too coarse
SURE = 2.0  # standard errors of that correlation: few pixels of noise may look alike
NOISES, LARGE = 8, 2**16  # images of noise to compare with; of more pixels than `LARGE`, one
FEW_EDGES = 16  # pixels; with fewer there is no line to fit
LEAST_SIDE = 6  # smallest boxes of the published estimator along a window; fewer read anything
ENOUGH_LEVELS = 5  # to be drawn themselves, instead of blocks of them
SEED = 0  # of the bootstrap

UNRESOLVED, NO_BOUNDARY, TOO_FEW = "unresolved", "no boundary", "too few pixels"


class Estimate(NamedTuple):
    """A dimension. The published estimator has neither an interval nor an R squared: NaN."""

    dimension: float
    low: float = float("nan")  # 95 % interval
    high: float = float("nan")
    r_squared: float = float("nan")


class Curve(NamedTuple):
    """What a level's estimate is read off, in pixels and boxes, or in widths and shares."""

    x: np.ndarray  # [N]: along a box, or between two points
    y: np.ndarray  # [N]: boxes, or the share of pairs
    used: np.ndarray  # bool [N]: the scaling window
    at: np.ndarray  # [K]: where the local dimensions belong on the axis of x
    local: np.ndarray  # [K]: the dimension that the slope there would give


class Level(NamedTuple):
    """One level."""

    number: int
    estimate: Estimate | None  # None where there is nothing to fit, and `note` says why
    note: str  # empty, `unresolved`, `no boundary`, ...
    edges: int  # pixels of the edge image; pairs with different outcomes at the largest distance
    correlation: float  # of neighbours near the boundary; NaN where it is not looked at
    trained: float  # share of the pixels; of the pairs, those apart in the dtype
    curve: Curve


class Dimension(NamedTuple):
    """The result of one method; `null` is the same method on a smooth boundary."""

    method: str
    axes: int
    levels: tuple[Level, ...]
    pooled: Estimate | None
    pooled_levels: int  # how many levels it is made of
    null: "Dimension | None" = None


def published(levels: Iterable[boundary.Outcomes]) -> Dimension:
    """The paper's estimator; pooled: the median of all slopes of all levels."""
    found, slopes, axes = [], [], 2
    for number, outcomes in enumerate(levels):
        image, axes = boundary.edges(outcomes), outcomes.converged.ndim
        has_room = min(image.shape) > paper.SMALLEST
        level = paper.slopes(image) if has_room else paper.NO_SLOPES
        value = paper.median([level])
        estimate = Estimate(value) if np.isfinite(value) else None
        used = np.isfinite(level.slopes)
        curve = Curve(level.sizes, level.counts, used, level.sizes, level.slopes)
        told = _level(number, outcomes, image, estimate, curve)
        if not told.note and min(image.shape) < LEAST_SIDE * paper.SMALLEST:
            told = told._replace(note=TOO_FEW)
        found.append(told)
        slopes.append(level)
    value = paper.median(slopes)
    pooled = Estimate(value) if np.isfinite(value) else None
    count = sum(level.estimate is not None for level in found)
    return Dimension("published", axes, tuple(found), pooled, count)


def boxcount(levels: Iterable[boundary.Outcomes]) -> Dimension:
    """Box counting; pooled: a common slope over all levels that are resolved."""
    found, resolved, axes = [], [], 2
    for number, outcomes in enumerate(levels):
        image, axes = boundary.edges(outcomes), outcomes.converged.ndim
        counts, used = _count(image)
        estimate = None
        if used.any():
            estimate = _estimate(fits.fit([boxes.points(counts, used, _rng(number))], _rng()), axes)
        level = _level(number, outcomes, image, estimate, _counted(counts, used))
        if estimate is not None and not level.note:
            resolved.append((number, counts, used))
        found.append(level)
    whole = len(resolved) >= ENOUGH_LEVELS
    lines = [boxes.points(counts, used, _rng(k), whole) for k, counts, used in resolved]
    pooled = _estimate(fits.fit(lines, _rng()), axes) if lines else None
    return Dimension("boxcount", axes, tuple(found), pooled, len(lines))


def uncertainty(levels: Iterable[tuple[int, pairs.Pairs]], axes: int) -> Dimension:
    """The uncertainty exponent; pooled: a common exponent over all levels that are resolved.

    Args:
        levels: number and pairs of each.
        axes: of the window, `d`.
    """
    found, lines = [], []
    for number, level in levels:
        used, estimate, note = pairs.window(level), None, ""
        if used.sum() >= pairs.LEAST_DISTANCES:
            points = pairs.points(level, used, _rng(number))
            estimate = _estimate(fits.fit([points], _rng()), axes, exponent=True)
            lines.append(points)
        elif pairs.saturated(level):
            note = UNRESOLVED
        else:
            note = _too_little(level)
        first = int(level.differing[0]) if len(level.distances) else 0
        curve = _shared(level, used, axes)
        known = float(level.known.mean()) if level.known.size else 0.0
        found.append(Level(number, estimate, note, first, float("nan"), known, curve))
    pooled = _estimate(fits.fit(lines, _rng()), axes, exponent=True) if lines else None
    return Dimension("uncertainty", axes, tuple(found), pooled, len(lines))


def _too_little(level: pairs.Pairs) -> str:
    """Why there are too few distances for a line."""
    if not len(level.distances) or level.differing[-1] >= pairs.ENOUGH_PAIRS:
        return "too near to the precision floor"  # smaller distances are rounded away
    return "too few pairs differ" if level.differing.any() else NO_BOUNDARY


def _count(image: np.ndarray) -> tuple[boxes.Counts, np.ndarray]:
    """Counts of an edge image, and the sizes to fit; none where there is too little to see."""
    counts = boxes.count(image) if image.size else boxes.NO_COUNTS
    enough = FEW_EDGES if image.ndim == 2 else 1
    if len(counts.sizes) < boxes.LEAST_SIZES or np.count_nonzero(image) < enough:
        return counts, np.zeros(len(counts.sizes), bool)
    return counts, boxes.window(counts)


def _level(
    number: int,
    outcomes: boundary.Outcomes,
    image: np.ndarray,
    estimate: Estimate | None,
    curve: Curve,
) -> Level:
    """A level of an edge image, with what is to be said of it."""
    edges = int(np.count_nonzero(image))
    correlation, count = boundary.neighbours(outcomes)
    alike = UNRESOLVED_CORRELATION + SURE / max(count, 1) ** 0.5
    note = ""
    if not edges:
        note, estimate = NO_BOUNDARY, None
    elif len(curve.x) < boxes.LEAST_SIZES:
        note = TOO_FEW
    elif estimate is None:
        note = "too few edge pixels"
    elif not correlation > alike and _reads_as_noise(outcomes, image):
        note = UNRESOLVED
    trained = float(outcomes.trained.mean()) if outcomes.trained.size else 0.0
    return Level(number, estimate, note, edges, correlation, trained, curve)


def _reads_as_noise(outcomes: boundary.Outcomes, image: np.ndarray) -> bool:
    """Whether box counting sees what it sees of independent outcomes, as often converged as these,
    in a window of this size: fewer dimensions than the window has, the smaller it is."""
    slope, rng = _slope(image), np.random.default_rng(SEED)
    if slope is None:
        return False
    share = outcomes.converged[outcomes.trained].mean()
    for _ in range(NOISES if image.size <= LARGE else 1):
        noise = rng.random(outcomes.converged.shape) < share
        read = _slope(boundary.edges(outcomes._replace(converged=noise)))
        if read is not None and slope > read - UNRESOLVED_DIMENSION:
            return True
    return False


def _slope(image: np.ndarray) -> float | None:
    """What box counting reads, without an interval; None where there is too little to see."""
    counts, used = _count(image)
    if not used.any():
        return None
    return -float(np.polyfit(np.log(counts.sizes[used]), np.log(counts.least[used]), 1)[0])


def _estimate(line: fits.Line, axes: int, exponent: bool = False) -> Estimate:
    """The slope as a dimension, or `axes` less the slope; no interval leaves 0 to `axes`."""
    value, low, high = line.slope, line.low, line.high
    if exponent:
        value, low, high = axes - value, axes - high, axes - low
    return Estimate(value, max(low, min(value, 0.0)), min(high, max(value, axes)), line.r_squared)


def _counted(counts: boxes.Counts, used: np.ndarray) -> Curve:
    least = counts.least
    at, slopes = _between(counts.sizes, least)
    return Curve(counts.sizes, least, used, at, -slopes)


def _shared(level: pairs.Pairs, used: np.ndarray, axes: int) -> Curve:
    share = level.differing / np.maximum(level.asked, 1)
    at, slopes = _between(level.distances, share)
    return Curve(level.distances, share, used, at, axes - slopes)


def _between(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes between neighbours on log axes, and where they lie; none where y is 0."""
    some = y > 0
    x, y = x[some], y[some]
    return np.sqrt(x[1:] * x[:-1]), np.diff(np.log(y)) / np.diff(np.log(x))


def _rng(*number: int) -> np.random.Generator:
    """A stream of its own for each level, and one for the draw of levels."""
    return np.random.default_rng([SEED, *number])
