"""How to run on this machine: precision, devices, kernel, chunk, tile, compilation cache.

On CPU the devices are the cores and a chunk fits the cache of one core; on a GPU or TPU there is
one chunk as large as its memory allows. What was measured once is kept as *wisdom* in the user's
cache folder.
"""

import contextlib
import dataclasses
import functools
import hashlib
import logging
import math
import os
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from fractaljax.engine import compiled, order, program, wisdom
from fractaljax.engine.native import build, lanes
from fractaljax.engine.order import KERNELS, NATIVE, PUBLISHED, XLA
from fractaljax.engine.program import PIXELS
from fractaljax.engine.streams import shared_draws
from fractaljax.errors import FractaljaxError, unknown
from fractaljax.pair import Course, trainings
from fractaljax.spec import Spec, is_seed
from fractaljax.window import Tile, Window

log = logging.getLogger("fractaljax")
CPU_CHUNKS = tuple(2**k for k in range(13))  # thousands pay for a network of one weight
CACHE_OF_A_CORE = 2**20  # bytes that one chunk may work on: half of a usual second-level cache
MEMORY_SHARE = 0.8  # of what is free on an accelerator
WORTH_MEASURING = 2e7  # network-steps, some minutes on two cores: below, measuring costs more
SAMPLE_STEPS, SAMPLE_PIXELS, SAMPLE_ROWS = 50, 512, 8  # of one measurement
SAMPLE_ROUNDS = 4
CPU_TILE, ACCELERATOR_TILE, MAX_TILES = 64, 512, 16_384
COHORT_CHUNKS, ACCELERATOR_COHORT = (2, 8), 8  # of members that end one by one
MAX_CHUNK = 2**24  # more networks than any device holds


class Numeric(NamedTuple):
    """What the user pinned; None is free."""

    chunk: int | None
    tile: int | None
    backend: str
    kernel: str | None = None


class Choice(NamedTuple):
    """How networks are trained side by side on a device."""

    kernel: str  # of KERNELS
    chunk: int  # networks


def prepare(dtype: str, devices: int | None = None) -> None:
    """Sets JAX up for a precision and this machine; for entry points, before any computation.

    Args:
        dtype: `float32` or `float64`; flips JAX's global switch.
        devices: virtual CPU devices (default: one a core this process may use).
    """
    jax.config.update("jax_enable_x64", dtype == "float64")
    # the backend may already run with the devices it has; `mesh` checks the number
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", devices or cores())
    compiled.keep()


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def mesh(devices: int | None = None) -> Mesh:
    """The first `devices` devices (default: all) as a one-dimensional mesh."""
    found = jax.devices()
    if devices is not None and not 1 <= devices <= len(found):
        raise FractaljaxError(
            f"devices={devices}: this process has {len(found)} ({found[0].platform}); "
            f"allowed are 1 to {len(found)}"
        )
    return Mesh(np.array(found[:devices]), (PIXELS,))


def check_sizes(chunk: int | None, tile: int | None = None) -> None:
    """Raises for a chunk or a tile that no scan can have."""
    for name, value, least in (("chunk", chunk, 1), ("tile", tile, 0)):
        if value is not None and not least <= value <= MAX_CHUNK:
            raise FractaljaxError(f"{name}={value}: allowed are {least} to {MAX_CHUNK}")


def settle(
    spec: Spec, window: Window, names: tuple[str, ...], mesh: Mesh, asked: Numeric
) -> dict[str, Any]:
    """The numeric setting of a scan: what was pinned, and the rest chosen for this machine."""
    check_sizes(asked.chunk, asked.tile)
    tile = tile_side(window, asked.backend) if asked.tile is None else asked.tile
    check_kernel(spec, names, asked)
    if asked.chunk is not None:
        choice = Choice(asked.kernel or order.automatic(spec), asked.chunk)
    else:
        choice = choose(spec, window, names, mesh, tile, asked.kernel)
    return {"tile": tile, "backend": asked.backend, **choice._asdict()}


def check_kernel(spec: Course, names: tuple[str, ...], asked: Numeric) -> None:
    """Raises unless the kernel that is asked for takes this training on this machine."""
    if asked.kernel is not None and asked.kernel not in KERNELS:
        raise unknown("kernel", asked.kernel, KERNELS)
    why = None
    if asked.kernel == NATIVE:
        why = no_native(spec, names, asked.backend)
    elif asked.kernel == PUBLISHED:
        why = order.why_not(spec)
    if why:
        raise FractaljaxError(f"kernel={asked.kernel} does not take this training: {why}")


def no_native(spec: Course, names: tuple[str, ...], backend: str) -> str | None:
    """Why the native kernel cannot be used; None where it can."""
    if backend != "cpu":
        return f"it runs on a CPU, not on {backend}"
    return build.missing() or lanes.fits(spec, names)


def agree(begun: dict[str, Any], asked: Numeric) -> dict[str, Any]:
    """The numeric setting a store was begun with; raises when something else was pinned."""
    begun = {**begun, "kernel": order.begun_with(begun)}
    for name, value in asked._asdict().items():
        # a chunk that had to shrink is as good as the one that was asked for in the first place
        if value is not None and value not in (begun[name], begun.get(f"first_{name}")):
            raise FractaljaxError(
                f"the store was begun with {name}={begun[name]}, and keeps it; "
                f"{name}={value} needs another --out, or --overwrite"
            )
    return begun


def tile_side(window: Window, backend: str) -> int:
    """Pixels along one side of a tile: some seconds of work, and not too many files."""
    side = CPU_TILE if backend == "cpu" else ACCELERATOR_TILE
    while window.count_tiles(side) > MAX_TILES:
        side *= 2
    return side


def choose(
    spec: Spec,
    window: Window,
    names: tuple[str, ...],
    mesh: Mesh,
    tile: int,
    kernel: str | None = None,
) -> Choice:
    """Kernel and chunk: known, measured when that pays, or estimated; the kernel may be pinned."""
    known = remembered(spec, names, mesh, kernel)
    if known:
        return known
    if window.size * spec.steps >= WORTH_MEASURING or mesh.devices.flat[0].platform != "cpu":
        pixels = math.prod(window.tile_shape(tile))
        choices = candidates(spec, names, mesh, pixels, kernel)
        rates = measure(spec, names, functools.partial(sample, window), mesh, choices, kernel)
        return max(rates, key=lambda choice: rates[choice])
    if kernel == NATIVE:
        return Choice(NATIVE, build.lanes(spec.dtype))
    return Choice(kernel or order.automatic(spec), estimated_chunk(spec))


def remembered(
    spec: Course, names: tuple[str, ...], mesh: Mesh, kernel: str | None = None
) -> Choice | None:
    """The best choice as it was measured on this machine, if it was."""
    known = wisdom.recall(_wisdom_key(spec, names, mesh, kernel))
    if not known or known.get("kernel") not in KERNELS:
        return None
    choice = Choice(known["kernel"], int(known["chunk"]))
    if choice.kernel == NATIVE:
        try:
            build.lanes(spec.dtype)
        except FractaljaxError:
            return None
    return choice


def estimated_chunk(spec: Course) -> int:
    """Networks whose activations and weights fit the cache of a core, as a power of two."""
    values = sum(map(_values, trainings(spec)))
    network = 3 * values * np.dtype(spec.dtype).itemsize  # forward, backward and products
    fitting = [c for c in CPU_CHUNKS if c * network <= CACHE_OF_A_CORE]
    return fitting[-1] if fitting else 1


def cohort_chunk(spec: Spec, mesh: Mesh) -> int:
    """Members side by side on a device: enough that they share the draws of a batch and fill an
    accelerator, few enough that the last ones do not keep empty lanes busy for long. It does not
    depend on how many there are: a member alone is to read what it reads among thirty."""
    if mesh.devices.flat[0].platform != "cpu":
        return ACCELERATOR_COHORT
    least, most = COHORT_CHUNKS
    return min(max(estimated_chunk(spec), least), most)


def _values(spec: Spec) -> int:
    """Activations and weights of one network."""
    draws = shared_draws(dataclasses.replace(spec, redraw=False))
    weights = jax.tree.leaves(draws.weights)
    widths = sum(leaf.shape[-1] for leaf in weights if leaf.ndim > 1)
    points = draws.whole.x.shape[0]
    if not spec.fold:  # nobody reads the loss on all points
        points = min(points, spec.paths().get("problem.batch") or points)
    return points * widths + sum(leaf.size for leaf in weights)


def multiplications(spec: Course) -> float:
    """Of one step of one network, roughly: forward, backward and the gradients of the weights."""
    total = 0.0
    for side in trainings(spec):
        draws = shared_draws(dataclasses.replace(side, redraw=False))
        points = draws.whole.x.shape[0]
        batch = side.paths().get("problem.batch") or points
        weights = sum(leaf.size for leaf in jax.tree.leaves(draws.weights))
        total += 3.0 * min(points, batch) * weights
    return total


def candidates(
    spec: Course,
    names: tuple[str, ...],
    mesh: Mesh,
    pixels: int,
    kernel: str | None = None,
) -> list[Choice]:
    """Choices worth a try: chunks around the estimate on CPU and the native kernel where it takes
    the training, the largest chunks that fit on an accelerator."""
    share = max(1, pixels // mesh.size)  # of one device
    device = mesh.devices.flat[0]
    through_jax = kernel if kernel in (XLA, PUBLISHED) else order.automatic(spec)
    if device.platform == "cpu":
        found = [] if kernel == NATIVE else _cpu_candidates(spec, share, through_jax)
        # published numbers come out in the order of sums of JAX programs alone
        automatic = kernel is None and not order.published(spec)
        if kernel == NATIVE or (automatic and not no_native(spec, names, "cpu")):
            try:
                found += [Choice(NATIVE, n * build.lanes(spec.dtype)) for n in (1, 2)]
            except FractaljaxError as error:
                if kernel == NATIVE:
                    raise
                log.info("%s; going on without it", error)
        return found
    stats = device.memory_stats() or {}
    free = stats.get("bytes_limit", 2**33) - stats.get("bytes_in_use", 0)
    largest = min(largest_chunk(lambda c: _temporary_bytes(spec, names, mesh, c), free), share)
    chunks = sorted({max(1, largest >> shift) for shift in (0, 2, 4)})
    return [Choice(through_jax, c) for c in chunks]


def _cpu_candidates(spec: Course, share: int, kernel: str) -> list[Choice]:
    estimate = estimated_chunk(spec)
    fitting = [c for c in CPU_CHUNKS if estimate / 4 <= c <= estimate * 4 and c <= share]
    return [Choice(kernel, c) for c in fitting or [1]]


def largest_chunk(temporary: Any, free: int) -> int:
    """The largest power of two whose program fits.

    Args:
        temporary: chunk -> bytes of scratch memory that the compiled program asks for.
        free: bytes free on one device.
    """
    small, large = temporary(64), temporary(256)
    network = max((large - small) / 192, 1)
    chunk = 2 ** max(0, int(math.log2(max(free * MEMORY_SHARE / network, 1))))
    while chunk > 1 and temporary(chunk) > free * MEMORY_SHARE:
        chunk //= 2
    return chunk


def measure(
    spec: Course,
    names: tuple[str, ...],
    sampled: Callable[[int], np.ndarray],
    mesh: Mesh,
    choices: list[Choice],
    kernel: str | None = None,
) -> dict[Choice, float]:
    """Network-steps a second for each choice; the best is kept as wisdom.

    Args:
        sampled: number of points -> as many of those that are to be trained, `[P, A]`.
        kernel: what was pinned, if anything was.
    """
    short = shortened(spec)
    ready: dict[Choice, tuple[program.Program, np.ndarray]] = {}
    for choice in choices:
        points = sampled(max(SAMPLE_PIXELS, choice.chunk * mesh.size))
        try:
            tile = program.compile_tile(
                short, names, len(points), choice.chunk, mesh, choice.kernel
            )
            tile.run(points)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if ready and program.out_of_memory(error):
                break  # larger chunks need more
            raise
        ready[choice] = tile, points
    rates = dict.fromkeys(ready, 0.0)
    for _ in range(SAMPLE_ROUNDS):  # in turn, the best of each: a busy moment hits them all alike
        for choice, (tile, points) in ready.items():
            clock = time.perf_counter()
            tile.run(points)
            rate = len(points) * short.steps / (time.perf_counter() - clock)
            rates[choice] = max(rates[choice], rate)
    best = max(rates, key=lambda choice: rates[choice])
    entry = {**best._asdict(), "rate": round(rates[best])}
    wisdom.remember(_wisdom_key(spec, names, mesh, kernel), entry)
    return rates


def shortened(spec: Course) -> Course:
    """The same training with few steps, evaluated as often in proportion."""
    if not spec.evaluations:
        return spec.updated({"steps": min(spec.steps, SAMPLE_STEPS)})
    count = max(1, min(SAMPLE_STEPS, spec.steps) // spec.every)
    return spec.updated({"steps": count * spec.every, "evaluations": count})


def sample(window: Window, pixels: int) -> np.ndarray:
    """Runs of neighbours from eight rows spread over the window, `[pixels, A]`."""
    ny, nx = window.grid
    run = -(-pixels // SAMPLE_ROWS)
    rows = np.linspace(0, ny - 1, SAMPLE_ROWS).round().astype(int)
    starts = np.linspace(0, max(nx - run, 0), SAMPLE_ROWS).round().astype(int)
    tiles = [
        Tile(int(r), int(r) + 1, int(c), min(int(c) + run, nx))
        for r, c in zip(rows, starts, strict=True)
    ]
    points = np.concatenate([window.points(t) for t in tiles])
    return np.resize(points, (pixels, points.shape[1]))  # a small window is gone through again


def _temporary_bytes(spec: Course, names: tuple[str, ...], mesh: Mesh, chunk: int) -> int:
    compiled = program.compile_tile(spec, names, chunk * mesh.size, chunk, mesh).compiled
    return compiled.memory_analysis().temp_size_in_bytes


def _wisdom_key(spec: Course, names: tuple[str, ...], mesh: Mesh, kernel: str | None) -> str:
    """What the best choice depends on: machine, axes, static settings and whether the native
    kernel takes it all; no plain float else, seed or number of steps."""
    device = mesh.devices.flat[0]
    static = {
        path: value
        for path, value in spec.paths().items()
        if not (isinstance(value, float) or is_seed(path) or path.split(".")[-1] == "steps")
    }
    parts = [(prefix, part.name) for prefix, part in spec.parts()]
    machine = (device.platform, device.device_kind, mesh.size, cores(), jax.__version__)
    native = no_native(spec, names, device.platform)
    if order.automatic(spec) == PUBLISHED:  # what was measured before there was one is of another
        kernel = kernel or PUBLISHED
    text = repr((parts, sorted(static.items()), names, machine, kernel, native))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
