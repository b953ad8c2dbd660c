"""Run and Sweep: what was recorded of many trainings of one setting, by their swept values."""

import copy
import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fractaljax.errors import FractaljaxError, unknown

BLOCK = 1024  # runs whose curves are in memory at once while a sweep is gone through
SHOWN = 8  # values that a message lists


def values_at(config: Mapping[str, Any], path: str) -> list[Any]:
    """What a setting says at a path: of a pair where no side is named, both sides' values."""
    found = []
    for block in _roots(config, path):
        for key in path.split("."):
            if not (isinstance(block, Mapping) and key in block):
                break
            block = block[key]
        else:
            found.append(block)
    return found


def laid_over(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a setting with other values at some paths."""
    tree = copy.deepcopy(dict(config))
    for path, value in values.items():
        *blocks, last = path.split(".")
        for block in _roots(tree, path):
            for key in blocks:
                block = block.setdefault(key, {})
            block[last] = value
    return tree


def _roots(tree: Any, path: str) -> list[Any]:
    """The blocks a path begins in: the whole tree, or the sides of a pair that have such a path."""
    head = path.split(".")[0]
    sides = [b for b in tree.values() if isinstance(b, Mapping) and head in b]
    return [tree] if head in tree or not sides else sides


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """One training.

    Args:
        base: the setting of its sweep, nested.
        overrides: swept path -> the value it has in this run.
        history: reading -> `[K, ...]`, its value at every evaluation; a number for what is read
            once a training. None where this run did not record what others did.
        step: int `[K]`, the steps of the evaluations, each before the step's update.
    """

    base: Mapping[str, Any]
    overrides: Mapping[str, Any]
    history: Mapping[str, Any]
    step: np.ndarray

    @property
    def config(self) -> dict[str, Any]:
        """Its full setting, `overrides` laid over `base`."""
        return laid_over(self.base, self.overrides)

    def __getitem__(self, name: str) -> np.ndarray:
        """A reading by name."""
        if name not in self.history:
            raise unknown("reading", name, self.history)
        return self.history[name]


class Sweep:
    """Runs of one base setting.

    Args:
        config: the base setting, nested.
        columns: swept path -> `[R]`, its value in every run.
        readings: name -> the readings of `R` runs. Anything serves that numpy's indexing by an
            array of integers `[r]` turns into an array `[r, ...]`, of objects where the shapes
            of the runs differ, None where a run has none: a stored sweep reads from disk
            what is asked for.
        step: in the same form, the steps of the evaluations, int `[r, K]`.
        provenance: how they were trained, an entry a way.
        rows: which of them are meant, in this order; all by default.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        columns: Mapping[str, np.ndarray],
        readings: Mapping[str, Any],
        step: Any,
        *,
        provenance: Sequence[Any] = (),
        rows: np.ndarray | None = None,
    ):
        self.config, self.provenance = config, provenance
        self._columns, self._readings, self._step = columns, readings, step
        self._rows = np.arange(len(step)) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        paths = ", ".join(f"{p} ({len(distinct(self.values(p)))})" for p in self.swept)
        return f"<Sweep of {len(self)} runs over {paths or 'nothing'}: {', '.join(self.history)}>"

    def __getitem__(self, index: int | slice) -> Any:
        """The run at a place, or the Sweep of a slice."""
        if isinstance(index, slice):
            return self._of(self._rows[index])
        row = range(len(self))[index]
        return next(iter(self._of(self._rows[row : row + 1])))

    def __iter__(self) -> Iterator[Run]:
        for start in range(0, len(self), BLOCK):
            rows = self._rows[start : start + BLOCK]
            step = self._step[rows]
            readings = {name: values[rows] for name, values in self._readings.items()}
            columns = {path: _plain(values[rows]) for path, values in self._columns.items()}
            for i in range(len(rows)):
                own = {path: values[i] for path, values in columns.items()}
                history = {name: values[i] for name, values in readings.items()}
                yield Run(self.config, own, history, step[i])

    @property
    def swept(self) -> tuple[str, ...]:
        """The paths that were swept."""
        return tuple(self._columns)

    def values(self, path: str) -> np.ndarray:
        """The value of a path in every run, `[R]`; of objects where they are of several kinds."""
        if path in self._columns:
            return self._columns[path][self._rows]
        fixed = values_at(self.config, path)
        if not fixed or isinstance(fixed[0], Mapping):
            raise unknown("swept path", path, self.swept)
        column = np.empty(len(self), object)
        column[:] = [fixed[0]] * len(self)
        return column

    @functools.cached_property
    def history(self) -> Mapping[str, np.ndarray]:
        """Reading -> `[R, K, ...]`, or `[R]` of what is read once; in memory once it was asked for.

        Raises:
            FractaljaxError: on access, where the runs differ in shape; says what to select.
        """
        return _History(self)

    @property
    def steps(self) -> np.ndarray:
        """The steps of the evaluations, int `[K]`.

        Raises:
            FractaljaxError: the runs were evaluated at different steps; says what to select.
        """
        if not len(self):
            return np.empty(0, np.int32)
        first = self._step[self._rows[:1]][0]
        same = np.zeros(len(self), bool)
        for start in range(0, len(self), BLOCK):
            block = self._step[self._rows[start : start + BLOCK]]
            if block.dtype == object:
                same[start : start + BLOCK] = [np.array_equal(one, first) for one in block]
            elif block.shape[1:] == first.shape:
                same[start : start + BLOCK] = (block == first).all(1)
        if not same.all():
            raise self._uneven("the runs were evaluated at different steps", same)
        return first

    def select(self, match: Mapping[str, Any] | None = None, /, **more: Any) -> "Sweep":
        """The runs that have these values.

        Args:
            match, more: path -> value, or a list of values; the last word of a path will do where
                no other swept path ends in it.

        Raises:
            FractaljaxError: no path of that name, or no run with these values.
        """
        chosen = np.ones(len(self), bool)
        wanted = {self._path(name): value for name, value in {**(match or {}), **more}.items()}
        for path, value in wanted.items():
            column = self.values(path)
            matched = matches(column, value)
            if not matched.any():
                shown = listed(distinct(column))
                raise FractaljaxError(f"no run has {path}={value}; there are {shown}")
            chosen &= matched
        if not chosen.any():
            asked = ", ".join(f"{path}={value}" for path, value in wanted.items())
            raise FractaljaxError(f"no run has {asked} at once")
        return self._of(self._rows[chosen])

    def to_pandas(self) -> Any:
        """A `pandas.DataFrame`, a row a run: swept values, arrays of readings, steps; needs the
        extra `notebook`."""
        import pandas

        names = {**self._readings, "step": self._step}
        columns = {path: self.values(path) for path in self.swept}
        readings = {name: list(values[self._rows]) for name, values in names.items()}
        return pandas.DataFrame({**columns, **readings})

    def to_xarray(self) -> Any:
        """An `xarray.Dataset`; needs the extra `notebook`.

        Its dimensions are the swept paths where every combination of their values is there once,
        otherwise `run`; then `step`, then `<reading>_0`, ... for the axes of matrices.

        Raises:
            FractaljaxError: the runs were evaluated at different steps.
        """
        import xarray

        steps, grid = self.steps, self._grid()
        if grid is None:
            dims, shape, order = ["run"], (len(self),), np.arange(len(self))
            coords = {path: ("run", self.values(path)) for path in self.swept}
        else:
            coords, order = grid
            dims, shape = list(coords), tuple(len(values) for values in coords.values())
        data = {}
        for name, values in self.history.items():
            curve = values.ndim > 1 and values.shape[1] == len(steps)
            extra = [f"{name}_{i}" for i in range(values.ndim - 1 - curve)]
            cells = values[order].reshape(*shape, *values.shape[1:])
            data[name] = ([*dims, *["step"] * curve, *extra], cells)
        return xarray.Dataset(data, coords={**coords, "step": steps})

    def _of(self, rows: np.ndarray) -> "Sweep":
        """The Sweep of other rows."""
        shared = (self.config, self._columns, self._readings, self._step)
        return Sweep(*shared, provenance=self.provenance, rows=rows)

    def _path(self, name: str) -> str:
        """The swept path that a name means, or the name as it is."""
        ending = [path for path in self.swept if path.rpartition(".")[2] == name]
        return ending[0] if len(ending) == 1 and name not in self.swept else name

    def _read(self, name: str) -> np.ndarray:
        """A reading of all runs in one array."""
        values = self._readings[name][self._rows]
        if values.dtype != object or not len(self):
            return values
        shapes = np.array([str(np.shape(v)) if v is not None else "" for v in values])
        if shapes[0] and (shapes == shapes[0]).all():
            return np.stack(list(values))
        what = "has different shapes" if shapes.all() else "is not there in some runs"
        raise self._uneven(f"{name} {what}", shapes == shapes[0])

    def _uneven(self, what: str, same: np.ndarray) -> FractaljaxError:
        """An error about runs of which only some are like the first, and what tells them apart."""
        for path in self.swept:
            values = [str(v) for v in self.values(path)]
            alike = {v for v, s in zip(values, same, strict=True) if s}
            if alike.isdisjoint(v for v, s in zip(values, same, strict=True) if not s):
                return FractaljaxError(
                    f"{what}: select one value of {path} ({listed(distinct(self.values(path)))})"
                )
        return FractaljaxError(f"{what}: select some by {' or '.join(self.swept) or 'index'}")

    def _grid(self) -> tuple[dict[str, np.ndarray], np.ndarray] | None:
        """The distinct values of every path, and the runs in the order of their product; None
        where they are not a product."""
        axes, place = {}, np.zeros(len(self), np.int64)
        for path in self.swept:
            column = self.values(path)
            axes[path] = distinct(column)
            at = {_key(value): i for i, value in enumerate(_plain(axes[path]))}
            own = np.array([at[_key(value)] for value in _plain(column)], np.int64)
            place = place * len(at) + own
        order = np.argsort(place)
        cells = math.prod(len(values) for values in axes.values())
        if not axes or cells != len(self) or not (place[order] == np.arange(len(self))).all():
            return None
        return axes, order


class _History(Mapping):
    """The readings of a Sweep, read when they are asked for, once."""

    def __init__(self, sweep: Sweep):
        self._sweep = sweep
        self._found: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._found:
            if name not in self._sweep._readings:
                raise unknown("reading", name, self)
            self._found[name] = self._sweep._read(name)
        return self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._sweep._readings

    def __iter__(self) -> Iterator[str]:
        return iter(self._sweep._readings)

    def __len__(self) -> int:
        return len(self._sweep._readings)


def matches(column: np.ndarray, wanted: Any) -> np.ndarray:
    """Which values of a column, bool `[R]`, are the wanted one, or one of a list of them.

    A value may be a list itself; of such, a list is one value and a list of lists several.
    """
    choices = (
        [*wanted] if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]
    )
    choices = [_key(value) for value in _plain(choices)]
    if column.dtype == object:
        whole = {_key(_plain(wanted))} if isinstance(wanted, list | tuple) else set()
        allowed = whole | set(choices)
        return np.array([_key(value) in allowed for value in column], bool)
    kind = (bool,) if column.dtype == bool else (int, float)
    return np.isin(column, np.array([v for v in choices if type(v) in kind], np.float64))


def listed(values: np.ndarray) -> str:
    """Values in a message: the first few of them."""
    shown = ", ".join("null" if v is None else str(v) for v in _plain(values[:SHOWN]))
    return f"{shown}, ..." if len(values) > SHOWN else shown


def distinct(column: np.ndarray) -> np.ndarray:
    """The values of a column once each: sorted numbers, others as they first come."""
    if column.dtype != object:
        return np.unique(column)
    first = {_key(value): i for i, value in reversed([*enumerate(column)])}
    return column[sorted(first.values())]


def _plain(values: Any) -> Any:
    """Python values of an array; lists of lists for tuples."""
    values = values.tolist() if isinstance(values, np.ndarray | np.generic) else values
    return [_plain(v) for v in values] if isinstance(values, list | tuple | range) else values


def _key(value: Any) -> Any:
    """The value in a form that can be hashed, with true and 1 apart."""
    if isinstance(value, list | tuple):
        return tuple(_key(v) for v in value)
    return (value, "bool") if isinstance(value, bool) else value
