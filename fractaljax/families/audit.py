"""How much of a picture rounding decides: outcomes in the other precision, and one ulp away."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from fractaljax.analysis import edges
from fractaljax.engine import order
from fractaljax.errors import FractaljaxError
from fractaljax.families import outcomes
from fractaljax.families.fractal import prepare
from fractaljax.families.points import Trainer
from fractaljax.field import Field
from fractaljax.store import origins
from fractaljax.window import Window

OTHER = {"float32": "float64", "float64": "float32"}


class Row(NamedTuple):
    """One level. Shares are of the sampled pixels; their errors are binomial, one sigma."""

    level: int
    pixels: int
    other: float  # whose outcome differs in the other precision
    other_error: float
    distinct: float  # share of points that are different points in float32
    ulp: float  # whose outcome differs when the x value is the next larger number of the dtype
    ulp_error: float


def audit(
    levels: Sequence[Field],
    *,
    pixels: int = 1024,
    seed: int = 0,
    devices: int | None = None,
    on_level: Callable[[int, int], Any] | None = None,
) -> list[Row]:
    """Trains a sample of the pixels of every level again, in the other precision and one ulp away.

    JAX is left in the precision of the levels.

    Args:
        levels: Fields of one Spec.
        pixels: sample of each level; all of its pixels when it has no more.
        seed: of the sample.
        devices: how many (default: all).
        on_level: called with the number of passes that are done, and of all.

    Raises:
        FractaljaxError: no reading tells whether a network converged, or a number is impossible.
    """
    if pixels < 1:
        raise FractaljaxError(f"pixels={pixels}: at least 1")
    if seed < 0:
        raise FractaljaxError(f"seed={seed}: at least 0")
    for field in levels:
        origins.check_field(field)
    spec = levels[0].spec
    reading = outcomes.reading(levels[0])
    samples = [
        _sample(field, pixels, np.random.default_rng([seed, k])) for k, field in enumerate(levels)
    ]
    changed: dict[str, list[np.ndarray]] = {"ulp": [], "other": []}
    try:
        _train_again(levels, reading, samples, changed, devices, on_level)
    finally:
        prepare(spec.dtype)
    return [
        Row(
            k,
            len(points),
            *_share(changed["other"][k]),
            _distinct(points, levels[k].window),
            *_share(changed["ulp"][k]),
        )
        for k, (points, _) in enumerate(samples)
    ]


def _train_again(
    levels: Sequence[Field],
    reading: str,
    samples: list[tuple[np.ndarray, np.ndarray]],
    changed: dict[str, list[np.ndarray]],
    devices: int | None,
    on_level: Callable[[int, int], Any] | None,
) -> None:
    """Fills `changed`: which outcomes of each sample differ, one way and the other."""
    spec, paths = levels[0].spec, [axis.path for axis in levels[0].window.axes]
    for name, dtype in (("ulp", spec.dtype), ("other", OTHER[spec.dtype])):
        prepare(dtype)
        made = levels[0].provenance if dtype == spec.dtype else {}
        trainer = Trainer(
            spec.updated({"dtype": dtype}),
            paths,
            chunk=made.get("chunk"),
            kernel=order.begun_with(made) if made else None,
            devices=devices,
        )
        for points, outcome in samples:
            moved = _next(points, levels[0].window, dtype) if name == "ulp" else points
            values = trainer(moved)[reading]
            changed[name].append(edges.converged(values, reading) != outcome)
            if on_level:
                on_level(sum(map(len, changed.values())), 2 * len(samples))


def _sample(field: Field, pixels: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Points `[P, A]` and outcomes `[P]` of some pixels that are trained."""
    done = np.flatnonzero(np.asarray(field.done))
    if not done.size:
        raise FractaljaxError("a level holds no trained pixel")
    chosen = np.sort(rng.choice(done, min(pixels, done.size), replace=False))
    rows, columns = np.divmod(chosen, field.window.x.n)
    axes = [field.x[columns]] + ([] if field.window.y is None else [field.y[rows]])
    return np.stack(axes, axis=-1), outcomes.of(field).converged.reshape(-1)[chosen]


def _next(points: np.ndarray, window: Window, dtype: str) -> np.ndarray:
    """The points with the next larger x value of a precision; on a `log1m` axis with the next
    smaller number for one minus the value, where float64 has one."""
    moved, x = points.copy(), points[:, 0]
    if window.x.scale == "log1m":
        below = np.nextafter((1 - x).astype(dtype), np.array(0, dtype)).astype(np.float64)
        moved[:, 0] = np.maximum(1 - below, np.nextafter(x, 1))
    else:
        moved[:, 0] = np.nextafter(x.astype(dtype), np.array(np.inf, dtype))
    return moved


def _distinct(points: np.ndarray, window: Window) -> float:
    """The share of points that are still told apart in float32."""
    near_one = np.array([axis.scale == "log1m" for axis in window.axes])
    measures = np.where(near_one, 1 - points, points).astype("float32")
    return len(np.unique(measures, axis=0)) / len(points)


def _share(changed: np.ndarray) -> tuple[float, float]:
    n, k = len(changed), int(changed.sum())
    p = (k + 1) / (n + 2)  # none of n seen does not mean that there is none
    return k / n, float(np.sqrt(p * (1 - p) / n))
