"""The space of a search: which values are drawn, from where, and in which order."""

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from fractaljax.config.text import check_mapping
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.spec import Spec

KEYS = ("path", "min", "max", "scale", "choices")
SCALES = {"log": "log", "log_uniform": "log", "loguniform": "log", "uniform": "uniform"}
SCALES |= {"linear": "uniform"}


class Dimension(NamedTuple):
    """One value of a trial: a range, or choices."""

    name: str
    path: str
    low: float = math.nan
    high: float = math.nan
    scale: str = "uniform"  # or log
    choices: tuple[float, ...] = ()


def parse_space(block: Mapping[str, Any], spec: Spec) -> tuple[Dimension, ...]:
    """The dimensions of a block `name: {path: ..., min: ..., max: ..., scale: ...}`, in its order.

    `path` may be left out where the name is a path or an alias.

    Raises:
        FractaljaxError: with the path of the key, what it takes and the nearest name.
    """
    check_mapping("space", block)
    if not block:
        raise FractaljaxError("space: at least one value must be searched")
    found = tuple(_dimension(str(name), entry, spec) for name, entry in block.items())
    paths = [dimension.path for dimension in found]
    for dimension in found:
        if paths.count(dimension.path) > 1:
            raise FractaljaxError(f"space.{dimension.name}: {dimension.path} is searched twice")
    return found


def draw_trials(space: Sequence[Dimension], count: int, seed: int) -> list[dict[str, float]]:
    """`count` trials, name -> value: Python's own generator, dimension after dimension."""
    generator = random.Random(seed)
    return [{d.name: _drawn(d, generator) for d in space} for _ in range(count)]


def _drawn(dimension: Dimension, generator: random.Random) -> float:
    if dimension.choices:
        return generator.choice(dimension.choices)
    if dimension.scale == "log":
        low, high = math.log(dimension.low), math.log(dimension.high)
        return math.exp(generator.uniform(low, high))
    return generator.uniform(dimension.low, dimension.high)


def _dimension(name: str, entry: Any, spec: Spec) -> Dimension:
    where = f"space.{name}"
    check_mapping(where, entry)
    for key in entry:
        if key not in KEYS:
            raise unknown("key", f"{where}.{key}", [f"{where}.{known}" for known in KEYS])
    with at(where):
        path = spec.traced(str(entry.get("path", name)))
    if path.split(".")[-1].endswith("seed"):
        raise FractaljaxError(f"{where}: {path} is a seed; those are in search and retrain")
    if "choices" in entry:
        if beside := [key for key in ("min", "max", "scale") if key in entry]:
            raise FractaljaxError(f"{where}.{beside[0]} is not read: choices are given")
        choices = _choices(f"{where}.choices", entry["choices"])
        _check_allowed(where, spec, path, choices)
        return Dimension(name, path, choices=choices)
    missing = [key for key in ("min", "max") if key not in entry]
    if missing:
        raise FractaljaxError(f"{where}: needs min and max, or choices")
    low, high = (_number(f"{where}.{key}", entry[key]) for key in ("min", "max"))
    scale = str(entry.get("scale", "uniform"))
    if scale not in SCALES:
        raise unknown(f"scale ({where}.scale)", scale, SCALES)
    if low >= high:
        raise FractaljaxError(f"{where}: min={low:g} must be below max={high:g}")
    if SCALES[scale] == "log" and low <= 0:
        raise FractaljaxError(f"{where}.min={low:g}: must be above 0 where scale is log")
    _check_allowed(where, spec, path, (low, high))
    return Dimension(name, path, low, high, SCALES[scale])


def _check_allowed(where: str, spec: Spec, path: str, values: Iterable[float]) -> None:
    """Refuses what the part would refuse, before anything is trained."""
    for value in values:
        with at(where):
            spec.updated({path: value})


def _choices(where: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list) or not value:
        raise FractaljaxError(f"{where}={value!r}: takes a list of numbers")
    found = tuple(_number(where, one) for one in value)
    if len(set(found)) < len(found):
        raise FractaljaxError(f"{where}: a number is given twice")
    return found


def _number(where: str, value: Any) -> float:
    """A finite float from what YAML gives: a number, or text such as `1e-3`."""
    try:
        if isinstance(value, bool) or not math.isfinite(number := float(value)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise FractaljaxError(f"{where}={value!r}: takes a finite number") from None
    return number
