"""The values of a point, on their way from the host into a program.

They travel in the Spec's dtype. float32 holds whole numbers up to 2^24 only, and a seed has up to
32 bits: it travels as two numbers of 16.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fractaljax.spec import is_seed

HALF = 2**16
Hparams = Mapping[str, Any]  # canonical path -> scalar, concrete or traced


def packed(points: np.ndarray, names: Sequence[str], dtype: str) -> np.ndarray:
    """Points `[P, A]` float64 as they travel: `[P, A + S]`, the upper halves of the seeds last."""
    seeds = [i for i, name in enumerate(names) if is_seed(name)]
    upper, lower = np.divmod(points[:, seeds], HALF)
    found = np.concatenate([points, upper], axis=1)
    found[:, seeds] = lower
    return found.astype(dtype)


def unpacked(names: Sequence[str], values: jax.Array) -> dict[str, jax.Array]:
    """The values of one network, `[A + S]`, or of several, `[A + S, N]`, by their paths; seeds are
    uint32."""
    found = dict(zip(names, values[: len(names)], strict=True))
    for name, upper in zip(filter(is_seed, names), values[len(names) :], strict=True):
        lower = found[name].astype(jnp.uint32)
        found[name] = lower + HALF * upper.astype(jnp.uint32)
    return found
