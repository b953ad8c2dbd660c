"""Do two devices of one host train twice as much as one?

    python benchmarks/scaling.py                     # all cases, some minutes
    python benchmarks/scaling.py --case tanh32 --rounds 5

A device here is a core, used by one thread: XLA is told to use no threads inside an operation
(`--xla_cpu_multi_thread_eigen=false`). A scan of the same window, at one chunk, in three ways:

    one    one process with one device, held on core 0
    two    one process with two devices, held on cores 0 and 1: `fractaljax.scan` as it comes
    apart  two processes as in `one`, on cores 0 and 1 at once, each with the whole window: what
           this machine gives to two cores that share nothing but memory; no program can do better

They live in processes of their own and are timed in turn, without compilation. `two` counts as
one / two, `apart` as 2 one / apart; quoted are medians of the ratios round by round, and the CPU
time that one window took: where wall time times devices is more, a device stood idle or another
program had its core; where the CPU time itself grows, the cores hold each other up. The readings
of all must be the same bits.

RESULT (two cores of an AMD EPYC (Zen 4, virtual), 26 November 2026, three rounds each):

    tanh32, chunk 16, 2,048,000 network-steps, median of 3
                   s  network-steps/s  CPU time   times one device
    one         9.74          210,232     9.73s   x 1.00 (1.00 to 1.00)
    two         4.97          411,954     9.76s   x 1.90 (1.50 to 1.99)
    apart      10.27          398,721     9.92s   x 1.92 (1.89 to 1.99)

    tanh64, chunk 8, 512,000 network-steps, median of 3
                   s  network-steps/s  CPU time   times one device
    one         5.25           97,499     5.23s   x 1.00 (1.00 to 1.00)
    two         2.88          177,813     5.61s   x 1.83 (1.54 to 1.94)
    apart       5.39          189,852     5.21s   x 2.01 (1.69 to 2.07)

    deep100, chunk 2, 204,800 network-steps, median of 3
                   s  network-steps/s  CPU time   times one device
    one         5.99           34,217     5.97s   x 1.00 (1.00 to 1.00)
    two         3.09           66,376     5.97s   x 1.89 (1.88 to 2.17)
    apart       6.02           68,067     5.75s   x 1.99 (1.99 to 2.07)

What held up the rounds of 1.50 and 1.54 is not known. An earlier run of tanh32, two rounds on a
busier machine, gave 1.27 and 1.74 for `two`, 1.66 and 1.94 for `apart`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fractaljax as fj
from fractaljax.engine import plan

CONFIGS = Path(__file__).parent.parent / "configs"
DEEP = ["metric=[test_loss]", "steps=200", "evaluations=10", "model.hidden_dim=100"]
CASES = {  # name -> config, overrides, experiment, resolution
    "tanh32": ("paper/tanh.yaml", ["dtype=float32"], "overview", 64),
    "tanh64": ("paper/tanh.yaml", ["dtype=float64"], "overview", 32),
    "deep100": ("dynamics/gph.yaml", DEEP, None, 32),
}
SIDES = {"one": [(0,)], "two": [(0, 1)], "apart": [(0,), (1,)]}  # cores of each process
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false"


def work(case: str, cores: list[int], place: Path) -> None:
    """This process scans once for every line it reads, and says how long it took."""
    os.sched_setaffinity(0, cores)  # before JAX starts a thread
    config, overrides, only, resolution = CASES[case]
    spec, window = fj.load(CONFIGS / config, overrides, only=only)
    window, chunk = window.resized(resolution), plan.estimated_chunk(spec)

    def scan() -> fj.Field:
        return fj.scan(spec, window, chunk=chunk)

    field = scan()
    assert field.provenance["devices"] == len(cores)
    np.savez(place, chunk=chunk, steps=window.size * spec.steps, **field.arrays)
    print("ready", flush=True)
    for _ in sys.stdin:
        clock, spent = time.perf_counter(), time.process_time()
        scan()
        print(time.perf_counter() - clock, time.process_time() - spent, flush=True)


def start(case: str, cores: tuple[int, ...], place: Path) -> subprocess.Popen:
    """A process that gets ready, says so, and from then on trains only when it is told to."""
    command = [sys.executable, __file__, f"--case={case}", f"--place={place}"]
    command += [f"--cores={','.join(map(str, cores))}"]
    flags = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1, env=environment)


def answer(process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(process.args)} ended with {process.wait()}")
    return line


def seconds(processes: list[subprocess.Popen]) -> tuple[float, float]:
    """The longest of processes that begin at once, and the CPU time of all."""
    for process in processes:
        process.stdin.write("go\n")
    took = [[float(word) for word in answer(process).split()] for process in processes]
    return max(wall for wall, _ in took), sum(spent for _, spent in took)


def compare(case: str, rounds: int) -> None:
    """Times all sides in turn and prints the table of a case."""
    with tempfile.TemporaryDirectory() as folder:
        sides = {
            side: [start(case, own, Path(folder, f"{side}{i}.npz")) for i, own in enumerate(cores)]
            for side, cores in SIDES.items()
        }
        for process in (p for own in sides.values() for p in own):
            answer(process)
        found = [dict(np.load(place)) for place in sorted(Path(folder).iterdir())]
    for other in found[1:]:
        if not all(np.array_equal(other[k], v, equal_nan=True) for k, v in found[0].items()):
            raise SystemExit(f"{case}: the sides do not read the same bits")
    times = [{side: seconds(own) for side, own in sides.items()} for _ in range(rounds)]
    for process in (p for own in sides.values() for p in own):
        process.communicate()  # closes its input, and it ends
    report(case, times, int(found[0]["chunk"]), int(found[0]["steps"]))


def report(case: str, times: list[dict[str, tuple[float, float]]], chunk: int, steps: int) -> None:
    print(f"\n{case}, chunk {chunk}, {steps:,} network-steps, median of {len(times)}")
    print(f"{'':8}{'s':>8}{'network-steps/s':>17}{'CPU time':>10}   times one device")
    for side, own in SIDES.items():
        windows = len(own)
        ratios = [windows * t["one"][0] / t[side][0] for t in times]
        wall, spent = np.median([t[side] for t in times], axis=0)
        span = f"x {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        rate = windows * steps / wall
        print(f"{side:8}{wall:8.2f}{rate:17,.0f}{spent / windows:9.2f}s   {span}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", choices=CASES, help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.cores:
        return work(a.case, [int(core) for core in a.cores.split(",")], a.place)
    if plan.cores() < 2:
        raise SystemExit("this process may use one core; two are needed")
    for case in [a.case] if a.case else CASES:
        compare(case, a.rounds)


if __name__ == "__main__":
    main()
