"""How long does a user wait before and around the training itself?

    python benchmarks/startup.py [--beside PYTHON] [--runs 5]

Whole processes, as the shell sees them: wall time, and CPU time with that of their children. Each
verb that trains does little, so that what is measured is import, tracing, compilation and files.
A cold run has a new, empty cache folder; the warm run after it has what the cold one left there. On
Linux matplotlib keeps its list of fonts below it too, and makes it again.

With `--beside` every process is followed by the same one of another build, in turn: PYTHON is the
interpreter of an environment where that build is installed.

RESULT (two cores of an Intel Xeon (virtual), 29 November 2026, nothing else running; the other
build is e8eddec, which kept only programs that took half a second to compile; `--runs 2 --beside`,
the middle of both runs, which are printed with their extremes):

                   wall s   CPU s   e8eddec: wall s   CPU s   ratio of CPU
    --help           0.08    0.08              0.10    0.10           0.77
    scan, cold       4.34    5.27              4.55    5.46           0.96
    scan, warm       2.67    2.97              4.36    5.26           0.56
    sweep, cold      5.87    7.76              6.64    8.76           0.89
    sweep, warm      2.52    2.78              4.76    5.73           0.49
    search, cold    27.66   40.07             31.53   44.43           0.90
    search, warm     8.11    8.43             14.58   16.70           0.50
    grow, cold      59.59   87.42             65.64   95.33           0.92
    grow, warm      17.86   18.82             27.12   30.74           0.61
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

CONFIGS = Path(__file__).parent.parent / "configs"
COMMANDS = {
    "scan": ["paper/tanh.yaml", "steps=100", "window.resolution=16", "--only", "overview"],
    "sweep": ["dynamics/gph.yaml", "batch_seed=0..16", "training.batch_size=5", "max_steps=250"],
    "search": [
        *("transfer/digits.yaml", "architectures=[[8],[6,6]]", "epochs=8"),
        *("search.trials=3", "retrain.seeds=[1,2]"),
    ],
    "grow": ["growth/patched_density.yaml", "seeds=2", "epochs=6"],
}


class Waited(NamedTuple):
    """What a process took."""

    wall: float  # s
    cpu: float  # s, with its children


def waited(python: str, words: list[str], cache: str) -> Waited:
    """One process that uses this cache folder."""
    clock = time.perf_counter()
    process = subprocess.Popen(
        [python, "-P", "-m", "fractaljax.cli", *words],
        env=os.environ | {"XDG_CACHE_HOME": cache},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{python} -P -m fractaljax.cli {' '.join(words)}: ended with {status}")
    return Waited(time.perf_counter() - clock, used.ru_utime + used.ru_stime)


def measured(builds: list[str], runs: int) -> dict[tuple[str, str], list[Waited]]:
    """`(row, interpreter)` -> one entry a run, of all interpreters in turn."""
    found: dict[tuple[str, str], list[Waited]] = {}
    for _ in range(runs):
        for build in builds:
            with tempfile.TemporaryDirectory() as cache:
                found.setdefault(("--help", build), []).append(waited(build, ["--help"], cache))
        for verb, (config, *options) in COMMANDS.items():
            with tempfile.TemporaryDirectory() as folder:
                for state in ("cold", "warm"):
                    for number, build in enumerate(builds):
                        out = f"{folder}/{state}-{number}"
                        words = [verb, str(CONFIGS / config), *options, "--out", out]
                        took = waited(build, words, f"{folder}/cache-{number}")
                        found.setdefault((f"{verb}, {state}", build), []).append(took)
    return found


def table(found: dict[tuple[str, str], list[Waited]], builds: list[str]) -> str:
    """A line a row: seconds, and with two builds the ratio of the first to the second."""
    lines = []
    for row in dict.fromkeys(row for row, _ in found):
        walls, cpus = ([[took[i] for took in found[row, b]] for b in builds] for i in (0, 1))
        line = f"{row:14}{_middle(walls[0])} s wall {_middle(cpus[0])} s CPU"
        if len(builds) > 1:
            ratios = [_ratio(*walls), _ratio(*cpus)]
            line += f"   beside {_middle(walls[1])} wall {_middle(cpus[1])} CPU"
            line += f"   ratio {ratios[0]:.2f} wall {ratios[1]:.2f} CPU"
        lines.append(line)
    return "\n".join(lines)


def _middle(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):6.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _ratio(ours: list[float], others: list[float]) -> float:
    """The middle of the ratios of runs that stood side by side."""
    return statistics.median(a / b for a, b in zip(ours, others, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--beside", metavar="PYTHON", help="of an environment of another build")
    parser.add_argument("--runs", type=int, default=5)
    asked = parser.parse_args()
    builds = [sys.executable, *([asked.beside] if asked.beside else [])]
    print(table(measured(builds, asked.runs), builds))


if __name__ == "__main__":
    main()
