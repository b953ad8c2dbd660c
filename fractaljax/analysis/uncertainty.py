"""The uncertainty exponent: how often two points at a distance have different outcomes.

Grebogi, McDonald, Ott and Yorke, Physics Letters A 99 (1983) 415: the share of pairs at distance
`e` whose outcomes differ goes as `e ** alpha`, and the dimension of the boundary is `d - alpha`
with `d` axes. No grid is involved, and one window gives many decades.

Scaling window: distances at which fewer than 8 pairs differ do not count, nor do those that see
no structure any more, where the share is above 0.9 of what independent outcomes would give,
`2 p (1 - p)` with `p` the converged share. Of the rest the largest distances go, one by one, while
the binomial errors do not explain the residuals of the line (mean square above 3) and more than
4 are left.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from fractaljax.analysis import fits

LARGEST = 0.1  # of the width of the window
A_DECADE = 2  # distances
ENOUGH_PAIRS = 8
SATURATED = 0.9
MISFIT = 3.0
LEAST_DISTANCES, USUAL_DISTANCES = 3, 4

# Base points [M, A] and steps from there [M, A] (none: the base points themselves), both in widths
# of the window -> bool [M] each: converged; known, that is trained, and apart from the base point.
Judge = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, np.ndarray]]


class Pairs(NamedTuple):
    """Outcomes of M base points and of their partners at each of N distances."""

    distances: np.ndarray  # [N], in widths of the window, falling
    differ: np.ndarray  # bool [N, M]
    known: np.ndarray  # bool [N, M]: both points trained, and apart in the dtype
    converged: float  # share of the base points

    @property
    def differing(self) -> np.ndarray:
        """Pairs with different outcomes: int `[N]`."""
        return (self.differ & self.known).sum(1)

    @property
    def asked(self) -> np.ndarray:
        """Pairs that count: int `[N]`."""
        return self.known.sum(1)


def measure(
    judge: Judge, count: int, axes: int, smallest: float, rng: np.random.Generator
) -> Pairs:
    """Asks for `count` points all over the window, then for partners at smaller and smaller
    distances, until fewer than 8 pairs differ.

    Args:
        judge: tells the outcomes.
        count: base points.
        axes: of the window.
        smallest: distance to stop at, in widths of the window.
        rng: of the points.
    """
    base = rng.random((count, axes)) - 0.5
    first, there = judge(base, None)
    reached, differ, known = distances(smallest), [], []
    for distance in reached:
        second, apart = judge(base, _steps(base, distance, rng))
        differ.append(first != second)
        known.append(there & apart)
        if np.count_nonzero(differ[-1] & known[-1]) < ENOUGH_PAIRS:
            break
    shape = (len(differ), count)
    share = float(first[there].mean()) if there.any() else float("nan")
    return Pairs(
        reached[: len(differ)],
        np.array(differ, bool).reshape(shape),
        np.array(known, bool).reshape(shape),
        share,
    )


def distances(smallest: float) -> np.ndarray:
    """From a tenth of the window down to `smallest`, two a decade: `[N]`."""
    steps = int(np.floor(A_DECADE * np.log10(LARGEST / smallest) + 1e-9))
    return LARGEST * 10.0 ** (-np.arange(max(steps + 1, 0)) / A_DECADE)


def window(pairs: Pairs) -> np.ndarray:
    """Which distances the line is fitted to, by the rule above: bool `[N]`."""
    asked = np.maximum(pairs.asked, 1)
    share = pairs.differing / asked
    free = 2 * pairs.converged * (1 - pairs.converged)
    used = (pairs.differing >= ENOUGH_PAIRS) & (share <= SATURATED * free)
    while used.sum() > USUAL_DISTANCES:
        found = _binomial(pairs, used)
        slope = _slope(found)
        misfit = found.weight @ fits.residuals(found, slope) ** 2 / (used.sum() - 2)
        if misfit <= MISFIT:
            break
        used[np.argmax(used)] = False
    return used


def saturated(pairs: Pairs) -> bool:
    """Whether outcomes are as good as independent even at the smallest distance that counts."""
    enough = np.flatnonzero(pairs.differing >= ENOUGH_PAIRS)
    if not enough.size:
        return False
    last = enough[-1]
    free = 2 * pairs.converged * (1 - pairs.converged)
    return bool(pairs.differing[last] > SATURATED * free * pairs.asked[last])


def points(pairs: Pairs, used: np.ndarray, rng: np.random.Generator) -> fits.Points:
    """Log share over log distance with binomial errors; resampled by base points, which the
    distances have in common."""
    found = _binomial(pairs, used)
    known = pairs.known[used]
    # base points with the same history are drawn together
    seen = np.packbits(np.concatenate([known, known & pairs.differ[used]]), axis=0).T
    _, which, count = np.unique(seen, axis=0, return_index=True, return_counts=True)
    taken = rng.multinomial(count.sum(), count / count.sum(), fits.REPEATS)
    asked = taken @ known[:, which].T
    differing = taken @ (known & pairs.differ[used])[:, which].T
    # a distance at which no pair that was drawn differs counts half a pair
    again = np.log(np.maximum(differing, 0.5) / np.maximum(asked, 1))
    return found._replace(resampled=again)


def _binomial(pairs: Pairs, used: np.ndarray) -> fits.Points:
    differing, asked = pairs.differing[used], pairs.asked[used]
    share = differing / asked
    weight = asked * share / np.maximum(1 - share, 1 / asked)  # 1 / variance of the log
    return fits.Points(
        np.log(pairs.distances[used]), np.log(share), weight, np.zeros((0, len(share)))
    )


def _slope(found: fits.Points) -> float:
    return float(np.polyfit(found.x, found.y, 1, w=np.sqrt(found.weight))[0])


def _steps(base: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """Steps of this length in random directions that do not leave the window: `[M, A]`."""
    if base.shape[1] == 1:
        steps = rng.choice((-1.0, 1.0), base.shape)
    else:
        angle = rng.uniform(0, 2 * np.pi, len(base))
        steps = np.stack([np.cos(angle), np.sin(angle)], -1)
    steps = distance * steps
    return np.where(np.abs(base + steps) > 0.5, -steps, steps)
