"""How fast does a zoom become a video, and does its memory depend on the length?

    python benchmarks/video.py

A child process a case makes a 1080p video (x264) from keyframes of 2048 x 2048 measures, 45 frames
a level as published. A level is computed when its rows are asked for, a function of the place as
cheap as reading it from disk, so what is told as the peak holds no level but those the video needs.
Frames that stand still, a second at either end, are made once and are not counted. CPU time, of
this process and of ffmpeg, is told a frame: it means something on a busy machine too. The last
columns are the peaks of memory.

RESULT (two cores of an Intel Xeon with AVX-512, 22 November 2026):

    levels             frames   frames/s        MiB     own ms  ffmpeg ms    own MiB ffmpeg MiB
         2  plain          46        4.5       11.0        139        283        178        583
         2  labels         46        4.4       11.5        153        274        180        576
         6  plain         226        6.9       21.4        102        168        228        562

Memory does not grow with the length. Most of the time is the encoder's; the keyframes here are full
of fine noise, which costs it most.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

import fractaljax as fj
from fractaljax.axis import Lattice
from fractaljax.levels import Zoom
from fractaljax.view.video import save_video

SIDE = 2048
CASES = ((2, False), (2, True), (6, False))  # levels, labels
FPS, SECONDS = 30, 1.5
MB = 2**20


class Rows:
    """Waves in the logarithm of the distance from the middle, with a rough border between signs."""

    shape = (SIDE, SIDE)
    dtype = np.dtype(float)

    def __init__(self, width: float):
        self._at = ((np.arange(SIDE) - SIDE // 2) * width / SIDE).astype(np.float32)

    def __getitem__(self, rows: slice) -> np.ndarray:
        x, y = self._at[None, :], self._at[rows, None]
        turns = np.log2(x * x + y * y + np.float32(1e-20))
        rough = np.sin(40 * turns + 3 * np.sin(900 * (x + y)))
        return (np.sin(4 * turns + np.arctan2(y, x)) + rough / 2).astype(float)


def synthetic(levels: int) -> Zoom:
    fields = []
    for k in range(levels):
        axes = [
            Lattice.around(path, Decimal("0.5"), 2.0**-k, SIDE, "log")
            for path in ("optimizer.lr_in", "optimizer.lr_out")
        ]
        window, arrays = fj.Window(*axes), {"measure": Rows(2.0**-k)}
        fields.append(fj.Field(fj.Spec(), window, arrays, np.ones(window.shape, bool), {}))
    return Zoom(tuple(fields), 2.0, Path(), {})


def peak(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(who).ru_maxrss * unit / MB


def child(levels: int, labels: bool) -> None:
    """One video in this process; prints its figures."""
    zoom: Any = synthetic(levels)
    before = peak(resource.RUSAGE_SELF)
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        path = Path(folder) / "video.mp4"
        save_video(zoom, path, fps=FPS, seconds_per_level=SECONDS, labels=labels)
        wall, size = time.perf_counter() - clock, path.stat().st_size / MB
    frames = round((levels - 1) * FPS * SECONDS) + 1
    cpu = [1000 * busy(who) / frames for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    memory = [peak(resource.RUSAGE_SELF) - before, peak(resource.RUSAGE_CHILDREN)]
    print(json.dumps([frames, frames / wall, size, *cpu, *memory]))


def busy(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def main() -> None:
    if len(sys.argv) > 1:
        return child(int(sys.argv[1]), sys.argv[2] == "labels")
    heads = ("frames", "frames/s", "MiB", "own ms", "ffmpeg ms", "own MiB", "ffmpeg MiB")
    print(f"{'levels':>6}{'':8}" + "".join(f"{head:>11}" for head in heads))
    for levels, labels in CASES:
        name = "labels" if labels else "plain"
        command = [sys.executable, __file__, str(levels), name]
        out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        frames, rate, size, *rest = json.loads(out)
        figures = f"{frames:>11}{rate:>11.1f}{size:>11.1f}" + "".join(f"{r:>11.0f}" for r in rest)
        print(f"{levels:>6}  {name:<6}{figures}", flush=True)


if __name__ == "__main__":
    main()
