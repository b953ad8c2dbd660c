"""What can this device do at most?

    python benchmarks/ceilings.py                    # one core, both dtypes
    python benchmarks/ceilings.py --cores 2

Measured with XLA itself, one operation in a loop, the best of several runs: a large square matrix
product, tanh of an array that fits the second-level cache, elementwise work on such an array and
on one that fits no cache. `product` measures a product of any shape. A time that nothing else
than these bounds is a *roof*: `roofline.py` and `gpu.py` hold trainings against it.

RESULT: see `roofline.py`, which prints the ceilings that it uses.
"""

import argparse
import functools
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

LONG_S, ROUNDS = 0.05, 3  # of a measurement
REPEATED = 4  # products in the loop, whose own cost counts that much less (others would be fused)


class Sizes(NamedTuple):
    """What is measured on."""

    order: int  # of the square matrices
    near: int  # bytes that fit the second-level cache
    far: int  # bytes that fit no cache


SIZES = {"cpu": Sizes(1024, 2**19, 2**27), "gpu": Sizes(8192, 2**28, 2**31)}


class Ceilings(NamedTuple):
    """Rates a second."""

    flop: float  # of a large matrix product
    tanh: float
    near: float  # bytes read and written in the second-level cache (on a GPU: in memory)
    far: float  # bytes read and written beyond all caches


def ceilings(dtype: str) -> Ceilings:
    """Of the device that JAX computes on by default."""
    sizes = SIZES["cpu" if jax.default_backend() == "cpu" else "gpu"]
    item = jnp.dtype(dtype).itemsize
    near = jnp.ones(sizes.near // item, dtype)
    moved = {
        size: 2 * size / seconds(lambda x: x * 0.999 + 0.001, jnp.ones(size // item, dtype))
        for size in (sizes.near, sizes.far)
    }
    return Ceilings(
        product(dtype, (sizes.order, sizes.order), (sizes.order, sizes.order)),
        len(near) / seconds(jnp.tanh, near),
        moved[sizes.near],
        moved[sizes.far],
    )


@functools.lru_cache
def product(
    dtype: str,
    left: tuple[int, ...],
    right: tuple[int, ...],
    contracted: tuple = ((1,), (0,)),
    batched: tuple = ((), ()),
) -> float:
    """Floating-point operations a second of one product, as `dot_general` has it."""
    keys = jax.random.split(jax.random.key(0))
    a, b = (jax.random.normal(k, s, dtype) for k, s in zip(keys, (left, right), strict=True))

    def again(a: jax.Array) -> jax.Array:
        out = jax.lax.dot_general(a, b, (contracted, batched))
        first = jnp.clip(out[(0,) * out.ndim], -1, 1)
        return a.at[(0,) * a.ndim].set(first)  # one number: each product depends on the last

    shape = jax.eval_shape(lambda: jax.lax.dot_general(a, b, (contracted, batched))).shape
    depth = math.prod(left[axis] for axis in contracted[0])
    return 2 * math.prod(shape) * depth / seconds(again, a, REPEATED)


def seconds(body: Callable[[jax.Array], jax.Array], start: jax.Array, repeated: int = 1) -> float:
    """Of one call of `body`, from what twice as many of them take longer."""

    def several(_: int, x: jax.Array) -> jax.Array:
        for _ in range(repeated):
            x = body(x)
        return x

    many = jax.jit(lambda n, x: jax.lax.fori_loop(0, n, several, x))

    def timed(count: int) -> float:
        clock = time.perf_counter()
        many(count, start).block_until_ready()
        return time.perf_counter() - clock

    timed(1)
    count = 1
    while timed(2 * count) - timed(count) < LONG_S:
        count *= 2
    short, long = (min(timed(n) for _ in range(ROUNDS)) for n in (count, 2 * count))
    return (long - short) / (count * repeated)


def told(found: Ceilings) -> str:
    """In one line."""
    return (
        f"square products {found.flop / 1e9:,.1f} GFLOP/s, tanh {found.tanh / 1e9:,.2f} G/s, "
        f"elementwise {found.near / 1e9:,.1f} GB/s in the second-level cache, "
        f"{found.far / 1e9:,.1f} GB/s beyond all caches"
    )


def pin(cores: int) -> None:
    """Leaves this process some cores, before a backend starts its threads."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    asked = parser.parse_args()
    if not asked.dtype:
        for dtype in ("float32", "float64"):  # the precision of JAX is one a process
            command = [sys.executable, __file__, f"--cores={asked.cores}", f"--dtype={dtype}"]
            subprocess.run(command, check=True)
        return
    pin(asked.cores)
    jax.config.update("jax_enable_x64", asked.dtype == "float64")
    print(f"{asked.dtype}, {asked.cores} cores: {told(ceilings(asked.dtype))}")


if __name__ == "__main__":
    main()
