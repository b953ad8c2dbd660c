"""How fast is a scan against the obvious ways to write it?

    python benchmarks/throughput.py    # 64 x 64 networks, 500 steps, both dtypes
    python benchmarks/throughput.py --resolution 16 --steps 100    # a minute, to see it work

The overview of `tanh` (configs/paper/tanh.yaml), trained in three ways:

    scan      fractaljax.scan, as it comes
    notebook  a Python loop over jitted, vmapped steps, at most 50,000 networks at once; the losses
              are kept in a list, stacked and reduced in the end (as the paper's notebook works)
    vmap      one jitted vmap of the whole training, the loop over steps inside

The last two use JAX as it comes, one CPU device with all cores behind it. Every way lives in a
process of its own and they are timed in turn, one at a time, without compilation; quoted are
medians over rounds and the ratios round by round. All three must agree on the sign of the measure.
GFLOP/s follow from a formula (`flops`), and the peak from a large matrix product timed in the same
rounds. The rates count every step that was asked for, so leaving early looks like speed; the last
lines of a table say what share of the steps the scan took, and its rate on those alone.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), 22 November 2026):

    float64, 4096 networks x 500 steps, median of 1
                     s  network-steps/s  GFLOP/s  of peak   time against scan
    scan         10.34          198,012    62.05    52.2%   x 1.00 (1.00 to 1.00)
    notebook    124.16           16,495     5.17     4.4%   x 12.00 (12.00 to 12.00)
    vmap         62.43           32,806    10.28     8.7%   x 6.04 (6.04 to 6.04)
    peak 118.8 GFLOP/s; the scan (chunk 8) took 66% of these steps:
    on them alone 41.15 GFLOP/s, 34.6% of peak

    float32, 4096 networks x 500 steps, median of 2
                     s  network-steps/s  GFLOP/s  of peak   time against scan
    scan          5.94          344,900   108.07    44.2%   x 1.00 (1.00 to 1.00)
    notebook     73.07           28,029     8.78     3.6%   x 12.35 (12.13 to 12.58)
    vmap         30.37           67,436    21.13     8.6%   x 5.37 (4.18 to 6.56)
    peak 244.6 GFLOP/s; the scan (chunk 16) took 60% of these steps:
    on them alone 64.55 GFLOP/s, 26.4% of peak

One round in float64, two in float32; an earlier float64 run of two rounds on a busy machine, where
the scan had chunk 2, gave 9.8 x and 5.2 x. Where the rest of the time goes: roofline.py.
"""

import argparse
import dataclasses
import functools
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import fractaljax as fj
from fractaljax import config
from fractaljax.engine import plan, program
from fractaljax.engine.streams import shared_draws

CONFIG = Path(__file__).parent.parent / "configs" / "paper" / "tanh.yaml"
BATCH = 50_000  # networks of one call in the notebook's way
CAP = 1e6  # what a loss that is not finite counts as
ORDER, PRODUCTS = 2048, 8  # of the matrix products that give the peak
AGREEMENT = 0.99  # share of equal signs; near the boundary the last bit decides

Run = Callable[[], np.ndarray]


def scan(spec: fj.Spec, window: fj.Window) -> Run:
    fj.prepare(spec.dtype)
    return lambda: fj.scan(spec, window, kernel=program.XLA)["measure"].ravel()


def notebook(spec: fj.Spec, window: fj.Window) -> Run:
    params, step = _plain(spec)
    many = jax.jit(jax.vmap(step))
    measure = jax.jit(jax.vmap(_measure, in_axes=1))

    def run() -> np.ndarray:
        found = []
        for rates in _batches(spec, window):
            tiled = jax.tree.map(functools.partial(jnp.tile, reps=(len(rates), 1, 1)), params)
            losses = []
            for _ in range(spec.steps):
                tiled, loss = many(tiled, rates)
                losses.append(loss)
            found.append(np.asarray(measure(jnp.stack(losses))))
        return np.concatenate(found)

    return run


def vmap(spec: fj.Spec, window: fj.Window) -> Run:
    params, step = _plain(spec)

    def train(rates):
        _, losses = jax.lax.scan(lambda p, _: step(p, rates), params, length=spec.steps)
        return _measure(losses)

    many = jax.jit(jax.vmap(train))
    return lambda: np.concatenate([many(rates) for rates in _batches(spec, window)])


def _plain(spec: fj.Spec):
    """The network of the config, written out: initial weights, and one step of one network."""
    draws = shared_draws(spec)
    weights = [draws.weights[name]["kernel"] for name in sorted(draws.weights)]
    x, y = draws.data.x, draws.data.y

    def loss(params):
        first, last = params
        hidden = jnp.tanh(math.sqrt(2) * (x @ first) / math.sqrt(first.shape[0]))
        return jnp.mean((hidden @ last / last.shape[0] - y) ** 2)

    def step(params, rates):
        value, grads = jax.value_and_grad(loss)(params)
        return [p - r * g for p, r, g in zip(params, rates, grads, strict=True)], value

    return weights, step


def _measure(losses):
    """The paper's convergence measure of one network from its losses, `[T]`."""
    losses = jnp.where(jnp.isfinite(losses), losses, CAP)
    v = jnp.minimum(losses / losses[0], CAP)
    return jnp.where(jnp.mean(v[-20:]) < 1, -jnp.sum(v), jnp.sum(1 / v))


def _batches(spec: fj.Spec, window: fj.Window) -> list[np.ndarray]:
    points = window.points(window.tiles(0)[0]).astype(spec.dtype)
    return [points[i : i + BATCH] for i in range(0, len(points), BATCH)]


def peak(spec: fj.Spec, window: fj.Window) -> Run:
    a = jax.random.normal(jax.random.key(0), (ORDER, ORDER), spec.dtype)
    many = jax.jit(lambda a: jax.lax.fori_loop(0, PRODUCTS, lambda _, b: a @ b / ORDER, a))
    return lambda: np.asarray(many(a))


SIDES = {"scan": scan, "notebook": notebook, "vmap": vmap, "peak": peak}


def work(side: str, spec: fj.Spec, window: fj.Window, folder: Path) -> None:
    """One side in this process: compiles, keeps its result, then a timed run for every line."""
    run = SIDES[side](spec, window)
    np.save(folder / side, run())
    if side == "scan":
        np.save(folder / "taken", taken(spec, window))
    print("ready", flush=True)
    for _ in sys.stdin:
        clock = time.perf_counter()
        run()
        print(time.perf_counter() - clock, flush=True)


def taken(spec: fj.Spec, window: fj.Window) -> np.ndarray:
    """Chunk, and network-steps that a scan takes: a chunk goes on until its last network fails."""
    fold = fj.Part("status", rule="loss", loss_limit=math.inf)
    paths, check = tuple(axis.path for axis in window.axes), program.STEPS_A_CHECK
    side = plan.tile_side(window, "cpu")
    chunk = plan.choose(spec, window, paths, plan.mesh(), side, program.XLA).chunk
    failed = fj.scan(dataclasses.replace(spec, fold=fold), window, chunk=chunk, kernel=program.XLA)
    failed = failed["diverged_at"]
    needed = np.where(failed < 0, spec.steps, failed + 1)
    total = 0
    for tile in window.tiles(side):
        flat = needed[tile.rows, tile.columns].ravel()
        chunks = np.pad(flat, (0, -len(flat) % chunk), mode="edge").reshape(-1, chunk)
        looked_at = -(-chunks.max(axis=1) // check) * check
        total += chunk * int(np.minimum(looked_at, spec.steps).sum())
    return np.array([chunk, total])


def flops(spec: fj.Spec) -> int:
    """Floating-point operations of one step of one network, tanh itself not counted.

    Two products forward, `[N, I] @ [I, W]` and `[N, W] @ [W, 1]`, and two of the same size
    backward, one a weight matrix; nothing flows back to the inputs. Between them, for every
    hidden unit and point: its share of the error (1), `1 - h * h` (2) and their product (1).
    313,344 at the paper's I = W = 16, N = 272; it comes with N * W = 4,352 tanh.
    """
    inputs, width = spec.problem["inputs"], spec.model["width"]
    points = inputs * width + width  # as many as weights
    return 4 * points * width * (inputs + 1) + 4 * points * width


def worker(side: str, options: list[str]) -> subprocess.Popen:
    """A side in a process of its own, which is ready and computes only when it is told to."""
    command = [sys.executable, __file__, "--side", side, *options]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)
    answer(process)
    return process


def seconds(process: subprocess.Popen) -> float:
    process.stdin.write("go\n")
    return float(answer(process))


def answer(process: subprocess.Popen) -> str:
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"{' '.join(process.args)} ended with {process.wait()}")
    return line


def compare(dtype: str, resolution: int, steps: int, rounds: int) -> None:
    """Times all sides in turn and prints the table of a dtype."""
    options = [f"--dtype={dtype}", f"--resolution={resolution}", f"--steps={steps}"]
    with tempfile.TemporaryDirectory() as folder:
        workers = {side: worker(side, [*options, f"--folder={folder}"]) for side in SIDES}
        signs = {s: np.load(Path(folder, f"{s}.npy")) < 0 for s in ("scan", "notebook", "vmap")}
        chunk, done = np.load(Path(folder, "taken.npy"))
    if min(np.mean(s == signs["scan"]) for s in signs.values()) < AGREEMENT:
        raise SystemExit(f"{dtype}: the sides do not train the same networks")
    times = [{side: seconds(w) for side, w in workers.items()} for _ in range(rounds)]
    for process in workers.values():
        process.communicate()  # closes its input, and it ends
    spec, window = experiment(dtype, resolution, steps)
    report(spec, window, times, chunk, done / (window.size * steps))


def report(spec: fj.Spec, window: fj.Window, times: list[dict], chunk: int, share: float) -> None:
    median = {side: float(np.median([t[side] for t in times])) for side in SIDES}
    top = PRODUCTS * 2 * ORDER**3 / median["peak"] / 1e9
    asked = window.size * spec.steps
    print(f"\n{spec.dtype}, {window.size} networks x {spec.steps} steps, median of {len(times)}")
    print(f"{'':10}{'s':>8}{'network-steps/s':>17}{'GFLOP/s':>9}{'of peak':>9}   time against scan")
    for side in ("scan", "notebook", "vmap"):
        rate = asked / median[side]
        speed = rate * flops(spec) / 1e9
        ratios = [t[side] / t["scan"] for t in times]
        row = f"{side:10}{median[side]:8.2f}{rate:17,.0f}{speed:9.2f}{speed / top:9.1%}"
        print(f"{row}   x {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    alone = share * asked / median["scan"] * flops(spec) / 1e9
    print(f"peak {top:.1f} GFLOP/s; the scan (chunk {chunk}) took {share:.0%} of these steps:")
    print(f"on them alone {alone:.2f} GFLOP/s, {alone / top:.1%} of peak")


def experiment(dtype: str, resolution: int, steps: int) -> tuple[fj.Spec, fj.Window]:
    jax.config.update("jax_enable_x64", dtype == "float64")
    overrides = [f"dtype={dtype}", f"steps={steps}"]
    found = config.experiments(config.read(CONFIG), overrides, only="overview")[0]
    return found.spec, found.window.resized(resolution)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.side:
        return work(a.side, *experiment(a.dtype, a.resolution, a.steps), a.folder)
    for dtype in [a.dtype] if a.dtype else ["float32", "float64"]:
        compare(dtype, a.resolution, a.steps, a.rounds)


if __name__ == "__main__":
    main()
