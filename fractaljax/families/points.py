"""Single points: networks that do not lie on the grid of a window."""

from collections.abc import Sequence

import numpy as np

from fractaljax.config.files import named_files
from fractaljax.engine import order, plan, program
from fractaljax.engine.train import check_precision
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec


class Trainer:
    """Trains one network a point, all through one compiled program.

    A point reads what it reads in a scan, bit for bit at equal chunk, dtype and backend.

    Args:
        spec: what to train; JAX must be in its precision.
        paths: paths or aliases that a point gives values for, in this order.
        chunk: networks side by side on a device (default: measured on this machine, or estimated).
        kernel: as in `fractaljax.scan`.
        devices: how many (default: all).
        capacity: points of one call of the program; more points are several calls.

    Raises:
        FractaljaxError: a path that cannot be traced, a precision that JAX is not in.

    Example:
        >>> fj.prepare("float32")
        >>> trainer = fj.Trainer(fj.Spec(steps=20), ["LR0", "LR1"], capacity=2)
        >>> trainer(np.array([[1.0, 1.0], [1e6, 1e6]]))["measure"] < 0
        array([ True, False])
    """

    def __init__(
        self,
        spec: Spec,
        paths: Sequence[str],
        *,
        chunk: int | None = None,
        kernel: str | None = None,
        devices: int | None = None,
        capacity: int = 1024,
    ):
        check_precision(spec)
        if capacity < 1:
            raise FractaljaxError(f"capacity={capacity}: at least 1 point")
        if chunk is not None and chunk < 1:
            raise FractaljaxError(f"chunk={chunk}: at least 1 network")
        named_files([spec])  # what was read of other contents is forgotten
        self.spec = spec
        self.paths = tuple(spec.traced(path) for path in paths)
        mesh = plan.mesh(devices)
        pinned = plan.Numeric(chunk, None, mesh.devices.flat[0].platform, kernel)
        plan.check_kernel(spec, self.paths, pinned)
        known = None if chunk else plan.remembered(spec, self.paths, mesh, kernel)
        guess = plan.Choice(kernel or order.automatic(spec), chunk or plan.estimated_chunk(spec))
        self.kernel, self.chunk = known or guess
        self.readings = program.readings(spec, self.paths)  # name -> shape and dtype of a reading
        self._program = program.compile_tile(
            spec, self.paths, capacity, self.chunk, mesh, self.kernel
        )

    def __call__(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """Readings by name, `[P, ...]`, for points `[P, A]` in native units."""
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != len(self.paths):
            raise FractaljaxError(
                f"points of shape {points.shape}: expected [P, {len(self.paths)}], "
                f"a column each for {', '.join(self.paths)}"
            )
        size = self._program.capacity
        parts = [self._program.run(points[i : i + size]) for i in range(0, len(points), size)]
        if not parts:
            return {name: r.empty((0,)) for name, r in self.readings.items()}
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
