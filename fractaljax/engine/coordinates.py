"""Which coordinates a scan gets that is begun now; a result keeps them from there on.

They are exact (`samples`), unless numbers are to come out as published: with `draws: legacy` an
`Axis` has those of the installed JAX's `jnp.logspace` or `jnp.linspace` in float64 on the CPU, as
the notebook has. These differ in the last bits between versions of JAX, and at a fractal edge the
last bit of a rate decides, so their rule names the version. A `Lattice`, a `log1m` axis, a seed and
a single sample are exact: the notebook has none.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fractaljax.axis import EXACT, Axis, Lattice
from fractaljax.spec import Spec, is_seed
from fractaljax.window import Window


def begun(spec: Spec, window: Window) -> Window:
    """The window with the coordinates of a scan that is begun now; axes that have those of a
    result keep them."""
    if spec.draws != "legacy":
        return window
    return Window(*(_published(axis) for axis in window.axes))


def _published(axis: Axis | Lattice) -> Axis | Lattice:
    if isinstance(axis, Lattice) or axis.scale == "log1m" or axis.n == 1 or axis.rule != EXACT:
        return axis
    if is_seed(axis.path):  # `linspace` misses whole numbers
        return axis
    name, ends = "linspace", (axis.min, axis.max)
    if axis.scale == "log":  # the C library's log10, as in the reference arrays; numpy has another
        name, ends = "logspace", (math.log10(axis.min), math.log10(axis.max))
    with jax.enable_x64(True), jax.default_device(_cpu()):
        values = getattr(jnp, name)(*ends, axis.n, dtype=jnp.float64)
        return axis.keeping(np.asarray(values), f"jax.numpy.{name} of jax {jax.__version__}")


def _cpu() -> Any:
    """The device of the published arrays; None where this process may not use it."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None
