"""What would an atlas of 1,000,000 x 1,000,000 pixels take on 100 and on 1,000 GPUs?

    python benchmarks/atlas.py              # the tables, from benchmarks/atlas.json, seconds
    python benchmarks/atlas.py --measure 'MACHINE'    # measures that file again, two minutes

On paper: nobody trained 10^12 networks for it. A discrete-event simulation of workers that ask one
scheduler for tiles, train them, and put them into one store (farm.py); a worker may fail in the
middle (exponential), be slow, or wait for either queue. Measured here are how uneven tiles are
(seconds of each tile of a real scan of the paper's tanh overview), what a pixel takes on disk, and
what a task costs Dask's scheduler. `ASSUMED` holds all that is not. docs/scaling.md has the
tables and reads them.

RESULT (measured on two cores of an AMD EPYC (Zen 4, virtual), 26 November 2026; no GPU at hand):

    2,980 GPU-hours in float32 and 2.1 TB, if a GPU trains 4096 x 4096 x 500 steps in 180 s
    100 GPUs: 30.4 h; 1,000 GPUs: 3.2 h with tiles of 4096, of which the last tiles cost 0.24 h
    spot machines lose 130 tiles on the way, 0.2 % of the work; all come again
    Dask hands out 311 tasks/s: enough for 1,000 GPUs with tiles of 1024, not of 512
"""

import argparse
import json
import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from farm import Farm, Outcome, Plan

HERE = Path(__file__).parent
MEASURED = HERE / "atlas.json"
PIXELS = 1_000_000  # of one side
GPUS = (100, 1000)
SIDES = (512, 1024, 2048, 4096, 8192)
CONFIG = HERE.parent / "configs" / "paper" / "tanh.yaml"
TILE = 16  # pixels of one side, of the tiles whose seconds are measured
SCANS = (("float32", "overview", 192), ("float64", "overview", 96), ("float64", "tile", 64))
HOUR = 3600.0
SEEDS = 10  # runs of the simulation that are averaged


class Assumed(NamedTuple):
    """What was not measured, in one place."""

    frame_s: float = 180.0  # of 4096 x 4096 x 500 steps in float32 on one GPU: the project's aim
    double: float = 2.0  # the same in float64, in float32 seconds
    reserved_mtbf_s: float = 50_000 * HOUR  # between two failures of one GPU and its host
    spot_mtbf_s: float = 24 * HOUR  # between two preemptions of one spot instance
    restart_s: float = 600.0  # until a lost worker is replaced and has compiled
    detect_s: float = 60.0  # until the scheduler knows
    slow_share: float = 0.02  # of the workers
    slow: float = 2.0  # times the seconds
    objects: int = 2  # of a tile: one reading and its mark
    puts_per_s: float = 3500.0  # of one prefix of an object store
    gpu_hour: float = 3.0  # dollars
    thousand_puts: float = 0.005
    gigabyte_month: float = 0.023


ASSUMED = Assumed()


def measure() -> dict:
    """Seconds of every tile of a real scan, bytes a pixel on disk, seconds of a task of Dask."""
    found: dict = {"bytes": {}, "task_s": task_seconds()}
    for dtype, only, side in SCANS:
        seconds, size = scanned(dtype, only, side)
        found["bytes"][f"{only}, {dtype}"] = round(size, 3)
        found.setdefault("seconds", [round(s, 4) for s in seconds])  # of the first scan
    return found


def scanned(dtype: str, only: str, side: int) -> tuple[list[float], float]:
    """Seconds of the tiles of a scan, and bytes that a pixel of it takes in a store."""
    import fractaljax as fj

    spec, window = fj.load(CONFIG, [f"dtype={dtype}"], only=only)
    window, ends = window.resized(side), [0.0]
    own = {"chunk": 16, "tile": TILE}
    fj.scan(spec, window.resized(TILE), **own)  # compiled before the clock starts
    field = fj.scan(spec, window, **own, on_tile=lambda p: ends.append(p.seconds))

    def known(tile):
        return np.ones(tile.shape, bool), {"measure": field["measure"][tile.rows, tile.columns]}

    with tempfile.TemporaryDirectory() as folder:  # kept as one tile, as a large one would be
        fj.scan(spec, window, store=folder, chunk=16, tile=0, known=known)
        files = [f for f in Path(folder, "field", "measure").rglob("*") if f.is_file()]
        size = sum(f.stat().st_size for f in files if f.name != "zarr.json")
    return np.diff(ends).tolist(), size / window.size


def task_seconds(tasks: int = 1000) -> float:
    """Of a task that does nothing, with two worker processes on loopback."""
    from distributed import Client, LocalCluster, as_completed

    options = {"host": "127.0.0.1", "dashboard_address": None, "threads_per_worker": 1}
    with LocalCluster(n_workers=2, **options) as cluster, Client(cluster) as client:
        client.gather(client.map(abs, range(-50, 0), pure=False))
        clock = time.perf_counter()
        for _ in as_completed(client.map(abs, range(tasks), pure=False)):
            pass
        return (time.perf_counter() - clock) / tasks


def plans(gpus: int, side: int, measured: dict) -> dict[str, Plan]:
    """The ways of working that are compared, by name."""
    seconds = np.array(measured["seconds"])
    calm = Plan(
        workers=gpus,
        tiles=math.ceil(PIXELS / side) ** 2,
        seconds=tile_seconds(side),
        uneven=(seconds / seconds.mean()).tolist(),
        service_s=measured["task_s"],
        put_s=ASSUMED.objects / ASSUMED.puts_per_s,
        restart_s=ASSUMED.restart_s,
        detect_s=ASSUMED.detect_s,
        slow_share=ASSUMED.slow_share,
        slow=ASSUMED.slow,
    )
    reserved = calm._replace(mtbf_s=ASSUMED.reserved_mtbf_s)
    spot = calm._replace(mtbf_s=ASSUMED.spot_mtbf_s)
    return {
        "nothing fails": calm,
        "reserved, lost tiles stay lost": reserved._replace(again=False),
        "reserved, handed out again": reserved,
        "reserved, and copies at the end": reserved._replace(copies=True),
        "spot, lost tiles stay lost": spot._replace(again=False),
        "spot, handed out again": spot,
        "spot, and copies at the end": spot._replace(copies=True),
    }


def tile_seconds(side: int) -> float:
    """Of a tile on one GPU in float32, on average."""
    return ASSUMED.frame_s * side**2 / 4096**2


def print_measured(measured: dict) -> None:
    seconds = np.array(measured["seconds"])
    spread = np.quantile(seconds / seconds.mean(), [0, 0.1, 0.5, 0.9, 1])
    print(f"measured on {measured['machine']}, {measured['date']}:")
    print(f"  {len(seconds)} tiles of {TILE} x {TILE}, {seconds.mean():.3f} s each on average;")
    print(
        "  least, 10 %, median, 90 %, most over the mean: " + " ".join(f"{q:.2f}" for q in spread)
    )
    for name, size in measured["bytes"].items():
        raw = np.dtype(name.split(", ")[1]).itemsize
        print(f"  {name}: {size:.2f} bytes a pixel on disk, of {raw}")
    print(f"  a task of Dask: {1e3 * measured['task_s']:.2f} ms")


def print_budget(measured: dict) -> None:
    """Work, storage and cost, whatever the number of GPUs."""
    hours = PIXELS**2 / 4096**2 * ASSUMED.frame_s / HOUR
    print(f"\n{'':10}{'GPU-hours':>10}{'dollars':>9}{'TB':>7}{'dollars a month':>17}")
    for dtype, times in (("float32", 1.0), ("float64", ASSUMED.double)):
        size = measured["bytes"][f"overview, {dtype}"] * PIXELS**2
        rent, month = hours * times * ASSUMED.gpu_hour, size / 1e9 * ASSUMED.gigabyte_month
        print(f"{dtype:10}{hours * times:10,.0f}{rent:9,.0f}{size / 1e12:7.2f}{month:17,.0f}")


def print_sides(measured: dict) -> None:
    """What the side of a tile asks of scheduler and store."""
    print(f"\n{'side':>6}{'tiles':>12}{'s a tile':>10}{'MB a tile':>11}{'puts, $':>9}", end="")
    print("".join(f"{f'tiles/s, {g:,}':>15}{'puts/s':>8}" for g in GPUS))
    for side in SIDES:
        tiles, seconds = math.ceil(PIXELS / side) ** 2, tile_seconds(side)
        size = measured["bytes"]["overview, float32"] * side**2 / 1e6
        cost = tiles * ASSUMED.objects / 1000 * ASSUMED.thousand_puts
        row = f"{side:6}{tiles:12,}{seconds:10.1f}{size:11.2f}{cost:9.2f}"
        rates = [g / seconds for g in GPUS]
        print(row + "".join(f"{r:15.1f}{ASSUMED.objects * r:8.1f}" for r in rates))
    tasks, puts = 1 / measured["task_s"], ASSUMED.puts_per_s
    print(f"{'at most':>48}" + "".join(f"{tasks:15,.0f}{puts:8,.0f}" for _ in GPUS))


def print_runs(measured: dict, side: int) -> None:
    for gpus in GPUS:
        print(f"\n{gpus:,} GPUs, tiles of {side} x {side}, simulated, mean of {SEEDS} runs")
        print(
            f"{'':34}{'hours':>7}{'missing':>9}{'lost':>8}{'wasted':>8}{'tail, s':>9}{'dollars':>9}"
        )
        for name, plan in plans(gpus, side, measured).items():
            found = Outcome(*np.mean([Farm(plan, seed).run() for seed in range(SEEDS)], axis=0))
            hours, rented = found.makespan / HOUR, gpus * found.makespan
            wasted, cost = found.wasted / rented, rented / HOUR * ASSUMED.gpu_hour
            print(
                f"{name:34}{hours:7.2f}{plan.tiles - found.done:9.1f}{found.lost:8.1f}"
                f"{wasted:8.2%}{found.tail:9,.0f}{cost:9,.0f}",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--measure", metavar="MACHINE", help="measure first; what is this machine?")
    parser.add_argument("--side", type=int, default=4096, help="of the tiles that are simulated")
    a = parser.parse_args()
    if a.measure:
        about = {"machine": a.measure, "date": time.strftime("%Y-%m-%d")}
        MEASURED.write_text(json.dumps(about | measure()) + "\n")
    measured = json.loads(MEASURED.read_text())
    print_measured(measured)
    print_budget(measured)
    print_sides(measured)
    print_runs(measured, a.side)


if __name__ == "__main__":
    main()
