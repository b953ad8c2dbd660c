"""Field: named arrays over a window, with everything needed to make them again."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fractaljax.errors import unknown
from fractaljax.spec import Spec
from fractaljax.window import Window


@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """The result of a scan.

    Args:
        spec, window: what was trained, and where, with the coordinates that the result keeps.
        arrays: reading name -> array `[ny, nx, ...]` (`[nx, ...]` with one axis). Anything with
            numpy's slicing serves: a stored field reads rows from disk when they are asked for.
        done: bool, like `window.shape`: pixels that are trained. The others hold the fill value.
        provenance: dtype, rule of the coordinates, chunk, devices, backend, versions, git
            revision, wall time (s), pixels/s, ...

    Example:
        >>> fj.prepare("float32")
        >>> field = fj.scan(fj.Spec(steps=20), fj.Window(fj.Axis("optimizer.lr", 0.1, 1e6, n=4)))
        >>> field.shown, field["measure"] < 0
        ('measure', array([ True,  True, False, False]))
        >>> field.x.shape, field.provenance["dtype"]
        ((4,), 'float32')
    """

    spec: Spec
    window: Window
    arrays: Mapping[str, Any]
    done: np.ndarray
    provenance: Mapping[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        """The whole array of a reading; row 0 and column 0 are the lowest values."""
        if name not in self.arrays:
            raise unknown("reading", name, self.arrays)
        return np.asarray(self.arrays[name])

    @property
    def x(self) -> np.ndarray:
        """Values of the x axis in native units, float64 `[nx]`."""
        return self.window.x.points()

    @property
    def y(self) -> np.ndarray:
        """Values of the y axis in native units, float64 `[ny]`."""
        if self.window.y is None:
            raise unknown("axis", "y", ["x"])
        return self.window.y.points()

    @property
    def shown(self) -> str:
        """What a picture shows unless told otherwise, the first reading that was recorded."""
        return next(iter(self.arrays))

    def to_xarray(self) -> Any:
        """An `xarray.Dataset` with native coordinates; needs the extra `notebook`."""
        import xarray

        dims = [axis.path for axis in reversed(self.window.axes)]
        data = {}
        for name in self.arrays:
            values = self[name]
            extra = [f"{name}_{i}" for i in range(values.ndim - len(dims))]
            data[name] = (dims + extra, values)
        coords = {axis.path: axis.points() for axis in self.window.axes}
        return xarray.Dataset(data, coords=coords, attrs={"fractaljax": str(dict(self.provenance))})

    def plot(self, ax: Any = None, **look: Any) -> Any:
        """Draws the field into matplotlib axes and returns them.

        Args:
            ax: matplotlib axes (default: of a new pyplot figure).
            look: `reading`, `cmap`, `stretch`, ...: see `fractaljax.view.figure.draw_field`.
        """
        from fractaljax.view.figure import draw_field

        if ax is None:
            import matplotlib.pyplot as plt

            wide = self.window.y is None or self.window.x.n > 2 * self.window.y.n
            _, ax = plt.subplots(figsize=(7, 3.5) if wide else (5.5, 5), layout="constrained")
        draw_field(ax, self, **look)
        return ax

    def _repr_png_(self) -> bytes:
        """The picture, where a notebook shows the value of a cell."""
        from fractaljax.view.image import png_bytes

        return png_bytes(self)
