"""How long does a user wait before and around the training itself?

    python benchmarks/startup.py

Wall time of whole processes, from the shell's point of view: `fractaljax --help`, and a scan of
the overview of `tanh` at 64 x 64 networks and 100 steps, with nothing in the cache folder and with
the compiled program already there. A cold run has a new, empty cache folder; on Linux matplotlib
keeps its list of fonts below it too, and makes it again.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), 22 November 2026):

    --help         0.05 s   (0.05 to 0.07, 5 runs)
    scan, cold     6.71 s   (6.52 to 10.98, 5 runs)
    scan, warm     6.62 s   (6.26 to 10.52, 5 runs)
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
COMMAND = [sys.executable, "-m", "fractaljax.cli"]
SCAN = ["scan", str(CONFIG), "steps=100", "window.resolution=64", "--only", "overview"]
RUNS = 5


def seconds(arguments: list[str], cache: str) -> float:
    """Wall time of one process that uses this cache folder."""
    clock = time.perf_counter()
    subprocess.run(
        [*COMMAND, *arguments],
        env=os.environ | {"XDG_CACHE_HOME": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - clock


def main() -> None:
    waits: dict[str, list[float]] = {"--help": [], "scan, cold": [], "scan, warm": []}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            scan = [*SCAN, "--out", f"{folder}/result", "--overwrite"]
            waits["--help"].append(seconds(["--help"], folder))
            waits["scan, cold"].append(seconds(scan, folder))
            waits["scan, warm"].append(seconds(scan, folder))
    for name, found in waits.items():
        middle = statistics.median(found)
        print(f"{name:12}{middle:7.2f} s   ({min(found):.2f} to {max(found):.2f}, {RUNS} runs)")


if __name__ == "__main__":
    main()
