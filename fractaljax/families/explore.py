"""What the explorer trains: points of one map, slice by slice, in one numeric setting."""

import dataclasses
import datetime
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from fractaljax.engine import order, plan, scan, streams
from fractaljax.errors import FractaljaxError
from fractaljax.families.points import Trainer
from fractaljax.spec import Part, Spec
from fractaljax.window import Window

FOLDS = ("measure", "status")  # what every map records
UNSHOWN = ("history",)  # an array a network: a click trains it, a map does not keep it
CAPACITY = 1024  # points of one call of the program on CPU; a whole tile on an accelerator
SLICE_S = 0.4  # seconds that one slice should take
CURVE_VALUES = 500  # losses of one training curve, at most
CURVE_CAPACITY = 1
MAX_WORK = 3e11  # multiplications of one training: some seconds on one core
MAX_NUMBERS = 2**26  # weights, data and activations of one network
MAX_LAYERS = 64  # compiling takes some tenths of a second for each
RATE_MEMORY = 0.7  # share of the old rate in a new one
GROWTH = 1.25  # of a slice, at most, from one to the next


def explored(spec: Spec) -> Spec:
    """The Spec of a map: it records measure and status, and nothing that is not one number."""
    folds = [fold for fold in spec.fold if fold.name not in UNSHOWN]
    known = {fold.name for fold in folds}
    folds += [Part(name) for name in FOLDS if name not in known]
    return dataclasses.replace(spec, fold=tuple(folds))


def check(spec: Spec, window: Window) -> None:
    """Raises unless the Spec can be trained over a window, in the precision of this process."""
    now = "float64" if jax.config.values["jax_enable_x64"] else "float32"
    if spec.dtype != now:
        raise FractaljaxError(
            f"dtype: this process computes in {now}; start another explorer with --dtype "
            f"{spec.dtype}"
        )
    scan.check(spec, window)


def check_size(spec: Spec) -> None:
    """Refuses networks that would keep one machine busy for long, before anything is drawn.

    Raises:
        FractaljaxError: says what is too large.
    """
    depth, batch = (spec.paths().get(p) or 0 for p in ("model.depth", "problem.batch"))
    _refuse_above(MAX_LAYERS, depth, "layers")  # of thousands, the shapes alone take seconds
    with streams.generator(spec):
        data, weights = jax.eval_shape(lambda: _drawn(spec))  # only shapes are needed
    layers = [leaf for leaf in jax.tree.leaves(weights) if leaf.ndim > 1]
    size, values = (
        sum(leaf.size for leaf in layers),
        sum(leaf.size for leaf in jax.tree.leaves(data)),
    )
    points = max(data.x.shape[0], batch)  # a batch may hold a point many times
    numbers = size + values * points // data.x.shape[0]
    numbers += points * sum(leaf.shape[-1] for leaf in layers)
    work = 3.0 * points * size * spec.steps
    _refuse_above(MAX_LAYERS, len(layers), "layers")
    _refuse_above(MAX_NUMBERS, numbers, "numbers (weights, data, activations)")
    _refuse_above(MAX_WORK, work, "multiplications a training")


def _drawn(spec: Spec) -> tuple[Any, Any]:
    """Data and initial weights."""
    key = jax.random.key(0)
    data, _ = streams.draw_data(spec, key, streams.source_of(spec))
    return data, streams.draw_weights(spec, key, data)


def _refuse_above(most: float, found: float, what: str) -> None:
    if found > most:
        raise FractaljaxError(
            f"too large to explore: {found:.3g} {what}, at most {most:.3g}; "
            "take fewer steps or points, or a smaller network (fractaljax scan has no limit)"
        )


class Training:
    """Networks of one map, all through one program; `compile` it before anything else.

    Args:
        spec: of the map; see `explored`.
        window: one tile of it.
        numeric: chunk and backend the map was begun with, or None where it is new.
    """

    def __init__(self, spec: Spec, window: Window, numeric: Mapping[str, Any] | None):
        self.spec, self.window = spec, window
        self.paths = tuple(axis.path for axis in window.axes)
        self.numeric = dict(numeric or {})
        self.trained = 0  # points, of this session
        self.rate = 0.0  # points a second, lately
        self.last = 0.0  # when the last slice ended, as `time.monotonic` tells
        self._slow = 0.0  # the same, as slices are cut by
        self._points = self._curve = None

    def compile(self) -> None:
        """Makes the program for `numeric`, or chooses that; seconds.

        Raises:
            FractaljaxError: the map was begun on another backend.
        """
        if self._points is not None and self._points.chunk == self.numeric["chunk"]:
            return
        backend = jax.default_backend()
        if self.numeric.get("backend", backend) != backend:
            raise FractaljaxError(
                f"this map was begun on {self.numeric['backend']} and keeps it; here is {backend}"
            )
        chunk, kernel, capacity = self.numeric.get("chunk"), self.numeric.get("kernel"), CAPACITY
        if backend != "cpu":
            capacity = self.window.size
            chunk = (
                chunk
                or plan.choose(
                    self.spec, self.window, self.paths, plan.mesh(), self.window.x.n
                ).chunk
            )
        points = Trainer(self.spec, self.paths, chunk=chunk, kernel=kernel, capacity=capacity)
        self.numeric = {"chunk": points.chunk, "kernel": points.kernel, "backend": backend}
        self.readings = points.readings
        self.record = scan.run_record(plan.mesh(), _now(), 0.0, 0)
        self._round = points.chunk * plan.mesh().size
        self._most = capacity
        self._points = points

    def compile_curve(self) -> None:
        """Makes the program of `curve`; seconds."""
        if self._curve is None:
            fold = Part("history", every=math.ceil(self.spec.steps / CURVE_VALUES))
            spec = dataclasses.replace(self.spec, fold=(fold,))
            self._curve = Trainer(
                spec,
                self.paths,
                chunk=self.numeric["chunk"],
                kernel=self._jax_kernel(),
                capacity=CURVE_CAPACITY,
            )

    def _jax_kernel(self) -> str | None:
        """That of the map, whose order of sums a curve takes; the native one keeps no history."""
        kernel = order.begun_with(self.numeric)
        return None if kernel == order.NATIVE else kernel

    def slices(self, points: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
        """Trains points `[P, 2]` (native units) in their order, and gives the readings of some of
        them at a time, each after less than a second."""
        assert self._points is not None, "compile comes first"
        while len(points):
            now, points = np.split(points, [self._slice()])
            clock = time.perf_counter()
            found = self._points(now)
            self._count(len(now), time.perf_counter() - clock)
            yield found

    def curve(self, point: np.ndarray) -> tuple[int, np.ndarray]:
        """Steps between two losses, and the losses `[K]` of one training; from the first one that
        is not finite on they are infinite."""
        self.compile_curve()
        assert self._curve is not None
        losses = self._curve(point[None])["history"][0]
        return self._curve.spec.fold[0]["every"], losses

    def _slice(self) -> int:
        """Points of the next slice: whole rounds of all devices."""
        rounds = max(1, int(self._slow * SLICE_S / self._round))
        return min(rounds * self._round, self._most)

    def _count(self, points: int, seconds: float) -> None:
        self.trained += points
        self.last = time.monotonic()
        if points >= self._round:  # less is no measure of the rate
            now = points / max(seconds, 1e-9)
            self.rate = RATE_MEMORY * self.rate + (1 - RATE_MEMORY) * now if self.rate else now
            # where networks diverge they are quick: the next slice may lie where they are not
            self._slow = min(now, self._slow * GROWTH) if self._slow else now


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
