"""What does a picture cost once the field is there?

    python benchmarks/colouring.py

A child process holds a field of 4096 x 4096 measures in float64 as a scan would leave it (both
signs, heavy tails, some NaN), then colours it and writes the PNG file. Peak memory is told beside
the field itself, because the picture is made a strip at a time and never lies in memory whole.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), 22 November 2026):

    4096 x 4096: 3.2 s to colour and write, 38.1 MiB of PNG
    peak 652 MiB, 317 before the picture; the field is 144
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fractaljax as fj
from fractaljax.view.image import save_image

SIDE = 4096
MB = 2**20


def synthetic() -> fj.Field:
    """Waves whose sign changes on curves, times log-normal noise; one value in a thousand NaN."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 20, SIDE)
    values = np.empty((SIDE, SIDE))
    for row, phase in zip(values, t, strict=True):  # row by row: the peak must be the picture's
        row[:] = np.sin(phase + np.sin(t)) * np.exp(rng.normal(3, 2, SIDE))
        row[rng.random(SIDE) < 1e-3] = np.nan
    axes = fj.Axis("optimizer.lr_in", 1e-3, 1e6, SIDE), fj.Axis("optimizer.lr_out", 1e-3, 1e6, SIDE)
    window = fj.Window(*axes)
    return fj.Field(fj.Spec(), window, {"measure": values}, np.ones(window.shape, bool), {})


def peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def child() -> None:
    field = synthetic()
    held, before = (field["measure"].nbytes + field.done.nbytes) / MB, peak()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        clock = time.perf_counter()
        save_image(field, path)
        wall, written = time.perf_counter() - clock, path.stat().st_size / MB
    print(f"{SIDE} x {SIDE}: {wall:.1f} s to colour and write, {written:.1f} MiB of PNG")
    print(f"peak {peak():.0f} MiB, {before:.0f} before the picture; the field is {held:.0f}")


def main() -> None:
    subprocess.run([sys.executable, __file__, "child"], check=True)


if __name__ == "__main__":
    child() if sys.argv[1:] else main()
