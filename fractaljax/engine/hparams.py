"""The values of a point, on their way from the host into a program.

They travel in the Spec's dtype. float32 holds 24 bits of a number: there a float64 travels as a sum
of three, and arrives as a `Scalar`. Below 1e-23 the last of them are less than float32's normal
numbers, and up to 29 of the 53 bits are lost. A seed has up to 32 bits: it travels as two numbers
of 16.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fractaljax.scalar import Scalar
from fractaljax.spec import is_seed

HALF = 2**16
Hparams = Mapping[str, Any]  # canonical path -> scalar, concrete or traced


def packed(points: np.ndarray, names: Sequence[str], dtype: str) -> np.ndarray:
    """Points `[P, A]` float64 as they travel, `[P, V]`: in the dtype, then what that lacks of them:
    the upper halves of seeds, and in float32 two more parts of every other value."""
    seeds = np.array([is_seed(name) for name in names], bool)
    upper, lower = np.divmod(points[:, seeds], HALF)
    first = points.copy()
    first[:, seeds] = lower
    with np.errstate(over="ignore"):  # a scan has refused what the dtype does not hold
        columns = [first.astype(dtype), upper.astype(dtype)]
    if dtype == "float32":
        columns += _parts(points[:, ~seeds])[1:]
    return np.concatenate(columns, axis=1)


def unpacked(names: Sequence[str], values: jax.Array) -> dict[str, Any]:
    """The values of one network, `[V]`, or of several, `[V, N]`, by their paths; seeds are uint32,
    what travels in float32 is a `Scalar`."""
    found: dict[str, Any] = dict(zip(names, values[: len(names)], strict=True))
    seeds = [name for name in names if is_seed(name)]
    floats = [name for name in names if not is_seed(name)]
    more = iter(values[len(names) :])
    for name, upper in zip(seeds, more, strict=False):
        found[name] = found[name].astype(jnp.uint32) + HALF * upper.astype(jnp.uint32)
    if values.dtype == jnp.float32:
        rest = list(more)
        for name, middle, last in zip(
            floats, rest[: len(floats)], rest[len(floats) :], strict=True
        ):
            found[name] = _summed(found[name], middle, last)
    return found


def _parts(values: np.ndarray) -> list[np.ndarray]:
    """Three float32 arrays whose sum is a float64 one, the largest first. Beyond the range of
    float32 the first says all there is to say."""
    parts = []
    for _ in range(3):
        with np.errstate(over="ignore", invalid="ignore"):
            parts.append(values.astype(np.float32))
            values = np.where(np.isfinite(parts[-1]), values - parts[-1], 0)
    return parts


def _summed(first: jax.Array, middle: jax.Array, last: jax.Array) -> Scalar:
    """The float64 of three parts; every sum on the way to it is exact."""
    with jax.enable_x64(True):
        one, two, three = (part.astype(jnp.float64) for part in (first, middle, last))
        return Scalar(one + (two + three), first)
