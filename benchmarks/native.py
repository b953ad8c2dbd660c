"""How far is the engine from a loop written by hand, and what does the native kernel give?

    python benchmarks/native.py                     # both dtypes, some minutes
    python benchmarks/native.py --dtype float32 --rounds 3 --side 24

The overview of `tanh` (configs/paper/tanh.yaml) and a calm part of it in which no network fails,
trained by

    xla       the engine's JAX path, in the best chunk as measured here
    native    the same engine with the native kernel (engine/native)
    avx2      loop.cc: whole trainings in one call, sizes known, no early exit, 32-byte vectors
    widest    loop.cc with the widest vectors of this processor

Each in a process of its own, two threads for the loops, timed in turn; quoted are network-steps a
second (steps that early exit leaves out count as taken), medians over rounds, and the ratio to
`xla` round by round. The losses of the loops must be those of the engine.

RESULT (two cores of an AMD EPYC (Zen 4, virtual, AVX-512), 26 November 2026; `--window calm`, in
float64 with `--side 16`; the overview has not been run):

    float32, calm: 1024 networks x 500 steps, median of 5
        xla        216,773 network-steps/s   x 1.00 (1.00 to 1.00)
        native     302,449 network-steps/s   x 1.45 (1.24 to 1.51)
        avx2       216,388 network-steps/s   x 0.97 (0.90 to 1.18)
        widest     256,891 network-steps/s   x 1.18 (0.94 to 1.50)

    float64, calm: 256 networks x 500 steps, median of 5
        xla        113,267 network-steps/s   x 1.00 (1.00 to 1.00)
        native     156,965 network-steps/s   x 1.36 (1.25 to 1.44)
        avx2        98,736 network-steps/s   x 0.85 (0.78 to 0.92)
        widest     133,940 network-steps/s   x 1.22 (1.00 to 1.41)

So JAX alone is level with the AVX2 loop, and the kernel is beyond both.
"""

import argparse
import ctypes
import dataclasses
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from throughput import answer, experiment, seconds

import fractaljax as fj
from fractaljax.engine import plan, program
from fractaljax.engine.native import build
from fractaljax.engine.streams import shared_draws

LOOP = Path(__file__).with_name("loop.cc")
MARCH = {"avx2": "haswell", "widest": "native"}
ENGINE = ("xla", "native")
WINDOWS = {"calm": (-3.0, -1.0), "overview": (-3.0, 6.0)}
THREADS = 2
STEPS_SHOWN = 10  # early steps, on which all sides must agree


def points_of(window: fj.Window) -> np.ndarray:
    return window.points(window.tiles(0)[0])


def engine(spec: fj.Spec, window: fj.Window, kernel: str) -> Callable[[], np.ndarray]:
    """A scan in one call, with this kernel in its best chunk."""
    fj.prepare(spec.dtype)
    paths, mesh = tuple(axis.path for axis in window.axes), plan.mesh()
    chunk = plan.choose(spec, window, paths, mesh, 0, kernel).chunk
    tile = program.compile_tile(spec, paths, window.size, chunk, mesh, kernel)
    points = points_of(window)
    return lambda: tile.run(points)["measure"]


def early(spec: fj.Spec, window: fj.Window, kernel: str) -> np.ndarray:
    """Losses of the first steps, `[P, STEPS_SHOWN]`, as the engine has them."""
    history = fj.Part("history", every=1)
    short = dataclasses.replace(spec, fold=(history,), steps=STEPS_SHOWN)
    return fj.scan(short, window, kernel=kernel)["history"].reshape(-1, STEPS_SHOWN)


def loop(spec: fj.Spec, window: fj.Window, side: str, folder: Path) -> Callable[[], np.ndarray]:
    """loop.cc over all pixels, a half of them a thread."""
    library = folder / f"{side}.so"
    flags = ["-O3", "-std=c++17", f"-march={MARCH[side]}", "-w", "-shared", "-fPIC"]
    subprocess.run([*build.compiler(), *flags, str(LOOP), "-o", str(library)], check=True)
    train = ctypes.CDLL(str(library))[f"train_{spec.dtype}"]
    fj.prepare(spec.dtype)
    draws, dtype = shared_draws(spec), spec.dtype
    arrays = [draws.weights[name]["kernel"] for name in sorted(draws.weights)]
    w0, w1, x, y = (np.ascontiguousarray(a, dtype) for a in (*arrays, *draws.data[:2]))
    rates = np.ascontiguousarray(points_of(window), dtype)
    losses = np.zeros((len(rates), spec.steps), dtype)

    def some(part: slice) -> None:
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in (w0, w1, rates[part])]
        data = [a.ctypes.data_as(ctypes.c_void_p) for a in (x, y)]
        out = losses[part].ctypes.data_as(ctypes.c_void_p)
        train(*pointers, len(rates[part]), *data, len(x), spec.steps, out)

    def run() -> np.ndarray:
        half = len(rates) // THREADS
        parts = [slice(i * half, (i + 1) * half) for i in range(THREADS)]
        threads = [threading.Thread(target=some, args=(part,)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return losses[:, :STEPS_SHOWN]

    return run


def settings(dtype: str, name: str, side: int) -> tuple[fj.Spec, fj.Window]:
    spec, window = experiment(dtype, side, 500)
    return spec, fj.Window(*(axis.between(*WINDOWS[name]) for axis in window.axes))


def work(side: str, dtype: str, name: str, size: int, folder: Path) -> None:
    """One side in this process: its early losses, then a timed run for every line."""
    spec, window = settings(dtype, name, size)
    if side in ENGINE:
        run = engine(spec, window, side)
        run()
        np.save(folder / side, early(spec, window, side))
    else:
        run = loop(spec, window, side, folder)
        np.save(folder / side, run())
    print("ready", flush=True)
    for _ in sys.stdin:
        clock = time.perf_counter()
        run()
        print(time.perf_counter() - clock, flush=True)


def compare(dtype: str, name: str, size: int, rounds: int) -> None:
    """Times all sides in turn and prints the table of a dtype and window."""
    with tempfile.TemporaryDirectory() as folder:
        workers = {}
        for side in (*ENGINE, *MARCH):
            words = [f"--side={size}", f"--dtype={dtype}", f"--window={name}", f"--folder={folder}"]
            command = [sys.executable, __file__, f"--worker={side}", *words]
            pipe = subprocess.PIPE
            workers[side] = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
            answer(workers[side])
        found = {side: np.load(Path(folder, f"{side}.npy")) for side in workers}
    check(found, dtype)
    times = [{side: seconds(w) for side, w in workers.items()} for _ in range(rounds)]
    for process in workers.values():
        process.communicate()
    networks = size * size
    print(f"\n{dtype}, {name}: {networks} networks x 500 steps, median of {rounds}")
    for side in workers:
        rate = networks * 500 / np.median([t[side] for t in times])
        ratios = [t["xla"] / t[side] for t in times]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"    {side:8}{rate:10,.0f} network-steps/s   x {np.median(ratios):.2f} {spread}")


def check(found: dict[str, np.ndarray], dtype: str) -> None:
    """Ends unless all sides have the same losses where the first of them are finite and small."""
    reference = found["xla"]
    tame = np.isfinite(reference).all(axis=1) & (reference.max(axis=1) < 10)
    close = 1e-8 if dtype == "float64" else 2e-2
    for side, losses in found.items():
        if not np.allclose(losses[tame], reference[tame], rtol=close):
            raise SystemExit(f"{dtype}: {side} does not train the same networks")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    parser.add_argument("--window", choices=WINDOWS, help="default: both")
    parser.add_argument("--side", type=int, default=32, help="pixels along the window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        return work(a.worker, a.dtype, a.window, a.side, a.folder)
    for dtype in [a.dtype] if a.dtype else ["float32", "float64"]:
        for name in [a.window] if a.window else WINDOWS:
            compare(dtype, name, a.side, a.rounds)


if __name__ == "__main__":
    main()
