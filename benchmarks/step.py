"""Where does the time of a training step go?

    python benchmarks/step.py                  # the overview of `tanh`, both dtypes, half a minute

One core runs one tile of the real program under JAX's profiler, and every operation is filed by
what the compiled program says it computes:

    products forward and backward    the two large ones, one matrix product a chunk
    products of the output layer     small and batched, one a network
    tanh                             and the scaling of its argument
    elementwise                      error, derivative of tanh, loss, update, measure

The part of the window is one where no network fails, so every step is taken. Watching costs
something: the last line compares a run that is watched with one that is not.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), 22 November 2026):

    float32, chunk 16, one core: 8.12 us a network-step
        tanh                              21%    1.69 us
        products of the output layer      10%    0.80 us
        products forward and backward     39%    3.13 us
        elementwise                       31%    2.51 us
    watched 8.47 us, not watched 6.90 us

    float64, chunk 8, one core: 16.94 us a network-step
        tanh                              32%    5.44 us
        products of the output layer       6%    1.02 us
        products forward and backward     35%    5.89 us
        elementwise                       27%    4.60 us
    watched 17.77 us, not watched 14.81 us
"""

import argparse
import collections
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax

import fractaljax as fj
from fractaljax.engine import plan, program

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
STEPS, SIDE = 200, 16
KINDS = {  # mark in the compiled program -> kind; the first mark that is found counts
    "tanh(": "tanh",
    "lhs_batch_dims": "products of the output layer",
    " dot(": "products forward and backward",
    "": "elementwise",
}


def profile(dtype: str) -> None:
    """Prints the table of a dtype."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # no operation is shared by cores
    fj.prepare(dtype)
    spec, window = fj.load(CONFIG, [f"dtype={dtype}", f"steps={STEPS}"], only="overview")
    calm = fj.Window(*(axis.between(-3, -1) for axis in window.axes)).resized(SIDE)
    paths, mesh = tuple(axis.path for axis in calm.axes), plan.mesh()
    side = plan.tile_side(window, "cpu")
    chunk = plan.choose(spec, window, paths, mesh, side, program.XLA).chunk
    tile = program.compile_tile(spec, paths, calm.size, chunk, mesh)
    points = calm.points(calm.tiles(0)[0])
    tile.run(points)
    alone = seconds(lambda: tile.run(points))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            watched = seconds(lambda: tile.run(points))
        (trace,) = Path(folder).rglob("*.xplane.pb")
        spent = durations(trace, kinds(tile.compiled.as_text()))
    total, steps = sum(spent.values()), calm.size * STEPS
    print(f"\n{dtype}, chunk {chunk}, one core: {total / steps * 1e6:.2f} us a network-step")
    for kind in KINDS.values():
        print(f"    {kind:32}{spent[kind] / total:5.0%}{spent[kind] / steps * 1e6:8.2f} us")
    print(f"watched {watched / steps * 1e6:.2f} us, not watched {alone / steps * 1e6:.2f} us")


def kinds(compiled: str) -> dict[str, str]:
    """Name of every operation of the compiled program that is no loop -> its kind."""
    bodies: dict[str, str] = {}  # computation -> its text
    for found in re.finditer(r"^%?(\S+) \(.*?^}", compiled, re.MULTILINE | re.DOTALL):
        bodies[found[1]] = found[0]
    filed = {}
    for line in compiled.splitlines():
        found = re.match(r"\s+(?:ROOT )?%(\S+) = .*? (\w[\w-]*)\(", line)
        if not found or found[2] in ("while", "call"):
            continue
        called = re.search(r"calls=%([\w.-]+)", line)
        text = line + (bodies[called[1]] if called else "")
        filed[found[1]] = next(kind for mark, kind in KINDS.items() if mark in text)
    return filed


def durations(trace: Path, kind_of: dict[str, str]) -> dict[str, float]:
    """Seconds a kind, from the profiler's file."""
    spent: dict[str, float] = collections.defaultdict(float)
    for plane in jax.profiler.ProfileData.from_file(str(trace)).planes:
        for line in plane.lines:
            for event in line.events:
                if event.name in kind_of:
                    spent[kind_of[event.name]] += event.duration_ns / 1e9
    return spent


def seconds(run) -> float:
    clock = time.perf_counter()
    run()
    return time.perf_counter() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    dtype = parser.parse_args().dtype
    if dtype:
        return profile(dtype)
    for dtype in ("float32", "float64"):  # the precision of JAX is one a process
        subprocess.run([sys.executable, __file__, "--dtype", dtype], check=True)


if __name__ == "__main__":
    main()
