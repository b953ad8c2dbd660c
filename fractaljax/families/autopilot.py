"""Where to zoom: the richest edge, level after level, from a seed."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fractaljax import config
from fractaljax.analysis.edges import Outcomes, edges, neighbours
from fractaljax.axis import Lattice
from fractaljax.config.files import named_files
from fractaljax.errors import FractaljaxError
from fractaljax.families import fractal, outcomes
from fractaljax.families.zoom import around
from fractaljax.spec import Spec
from fractaljax.store import origins
from fractaljax.window import Window

SIDE = 32  # samples along a probe
BEST = 0.1  # the share of candidates, richest first, among which the seed chooses
TRIES = 2  # of the best, then of all candidates, before the way turns back
PROBES = 8  # for each level, before the way goes through dust, or ends
DUST = 0.2  # correlation of neighbours below which a probe is noise from pixel to pixel


class Step(NamedTuple):
    """One level of the way."""

    center: tuple[Decimal, ...]  # of the probe of this level, axis coordinates
    edge: float  # share of the probe's 2 x 2 blocks that hold both outcomes
    alike: float  # correlation of neighbours near the edge: 1 for a line, 0 for dust


def find(
    spec: Spec,
    window: Window,
    *,
    levels: int = 12,
    factor: float = 2.0,
    seed: int = 0,
    store: str | Path | None = None,
    devices: int | None = None,
    on_step: Callable[[int, Step], Any] | None = None,
) -> list[Step]:
    """The way in from a window: each level looks for both outcomes with a coarse probe and goes
    on around one of the pixels whose neighbourhood holds the richest edge.

    A pixel that is gone to differs from a neighbour of its own, so the next probe, which holds
    both, has an edge again. Where a probe shows no edge all the same, or only dust that no
    resolution resolves, the way turns back and takes the next; where too many of them end in dust,
    it goes through dust.

    Args:
        spec, window: what is trained, and the widest level; two axes.
        levels: how many levels the zoom has; the last centre is the one to zoom to.
        factor: of the zoom.
        seed: chooses among the richest pixels; the same seed takes the same way.
        store: folder for the probes, so that an interrupted search goes on; None: in memory.
        devices: see `fractaljax.scan`.
        on_step: called with the number of a level and its Step.

    Raises:
        FractaljaxError: the window has one axis, or no edge anywhere, or a file of the settings
            changed on the way.
    """
    if window.y is None:
        raise FractaljaxError("--auto needs a window of two axes; give --center X")
    if levels < 1:
        raise FractaljaxError(f"levels={levels}: at least 1")
    if seed < 0:
        raise FractaljaxError(f"seed={seed}: at least 0")
    if not 1 < factor <= SIDE / 2:  # the next probe must hold a pixel and its neighbours
        raise FractaljaxError(
            f"factor={factor}: a way is found with factors above 1, up to {SIDE // 2}"
        )
    small = window.resized(SIDE)
    begun = {key: one for key, one in named_files([spec]).items() if one is not None}

    def probe(level: int, center: tuple[Decimal, ...]) -> tuple[Window, Outcomes]:
        there = around(small, center, factor**-level)
        place = store and Path(store) / config.digest(spec, there)
        origins.check("this way", named_files([spec]), begun)  # every probe reads again
        return there, outcomes.of(fractal.scan(spec, there, store=place, devices=devices))

    reached = 0
    for least in (DUST, None):
        rng = np.random.default_rng(seed)
        middle = tuple(axis.center for axis in window.axes)
        way: list[Step] = []
        ahead: list[Iterator[tuple[Decimal, ...]]] = [iter([middle])]  # still open, a level each
        taken = dead = deepest = 0
        while ahead and len(way) < levels and taken < PROBES * levels:
            center = next(ahead[-1], None)
            if center is not None:
                taken += 1
                there, found = probe(len(way), center)
                rich = richness(found, factor)
                alike = neighbours(found).correlation
                if rich.any() and (not way or least is None or alike >= least):
                    way.append(Step(center, float(edges(found).mean()), alike))
                    ahead.append(iter(_chosen(there, rich, rng)))
                    if len(way) > deepest:
                        deepest, dead = len(way), 0
                    if on_step:
                        on_step(len(way) - 1, way[-1])
                    continue
                dead += 1  # dust fills whole neighbourhoods: each time back by one level more
            back = 1 if center is None else min(dead - 1, len(ahead) - 2)
            del ahead[len(ahead) - max(back, 0) :]
            del way[max(len(ahead) - 1, 0) :]
        if len(way) == levels:
            return way
        reached = max(reached, deepest)
    if reached:
        raise FractaljaxError(
            f"no way of {levels} levels was found: after level {reached - 1} no probe has an edge; "
            "take fewer levels, a smaller --factor or another --seed"
        )
    raise FractaljaxError(
        "no edge between converged and diverged networks in this window: all "
        f"{SIDE} x {SIDE} probes agree; take a wider one"
    )


def as_tree(way: list[Step], seed: int) -> dict[str, Any]:
    """The way as plain values, to be kept beside the zoom."""
    steps = [s._asdict() | {"center": [str(c) for c in s.center]} for s in way]
    return {"by": "auto", "seed": seed, "way": steps}


def richness(found: Outcomes, factor: float) -> np.ndarray:
    """How rich the edge around each pixel is, `[ny, nx]`; 0 where a pixel has no neighbour of the
    other outcome, or lies at the border.

    Rich is much edge that still hangs together: within the next window, the share of 2 x 2 blocks
    that hold both outcomes, times the correlation of neighbours. A smooth line has little edge, and
    in dust neighbours are as good as independent.
    """
    outcome = found.converged
    ny, nx = outcome.shape
    half = max(1, round(nx / factor / 2))
    mixed = _Sums(np.pad(edges(found), ((0, 1), (0, 1))))
    beside = _Sums(np.pad(outcome[:, 1:] != outcome[:, :-1], ((0, 0), (0, 1))))
    above = _Sums(np.pad(outcome[1:] != outcome[:-1], ((0, 1), (0, 0))))
    good = _Sums(outcome)
    rich = np.zeros(outcome.shape)
    for row in range(1, ny - 1):
        for column in range(1, nx - 1):
            near = outcome[row - 1 : row + 2, column - 1 : column + 2]
            if near.all() or not near.any():
                continue
            box = (
                max(row - half, 0),
                min(row + half, ny),
                max(column - half, 0),
                min(column + half, nx),
            )
            p = good.mean(box)
            unlike = (beside.mean(box) + above.mean(box)) / 2
            alike = 1 - unlike / max(2 * p * (1 - p), 1e-9)
            rich[row, column] = max(mixed.mean(box) * alike, 1e-9)
    return rich


class _Sums:
    """Means over boxes of an image, each in constant time."""

    def __init__(self, image: np.ndarray):
        self._sums = np.pad(image.astype(float), ((1, 0), (1, 0))).cumsum(0).cumsum(1)

    def mean(self, box: tuple[int, int, int, int]) -> float:
        """Over rows `top` to `bottom` and columns `left` to `right`, the ends not included."""
        top, bottom, left, right = box
        s = self._sums
        total = s[bottom, right] - s[top, right] - s[bottom, left] + s[top, left]
        return float(total) / ((bottom - top) * (right - left))


def _chosen(probe: Window, rich: np.ndarray, rng: np.random.Generator) -> list[tuple[Decimal, ...]]:
    """Places of some of the richest pixels, then of any others, in the order they are tried."""
    order = np.argsort(-rich, axis=None, kind="stable")[: np.count_nonzero(rich)]
    best = order[: max(TRIES, round(BEST * len(order)))]
    others = order[len(best) :]
    tried = [*rng.permutation(best)[:TRIES], *rng.permutation(others)[:TRIES]]
    x, y = (a for a in probe.axes if isinstance(a, Lattice))
    return [(x.coordinate(int(i) % x.n), y.coordinate(int(i) // x.n)) for i in tried]
