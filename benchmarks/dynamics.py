"""How many trainings of a deep linear network a second, against one process a training?

    python benchmarks/dynamics.py                      # needs PyTorch: pip install torch==2.13.0
    python benchmarks/dynamics.py --rounds 1 --steps 1000

`configs/dynamics/gph.yaml` over batch seeds: 10,000 steps of SGD, 250 evaluations of the test
loss, float32, hidden width 100 with batches of 50 points, and width 10 with batches of 5.

    sweep    the program of `fractaljax sweep`, hundreds of seeds side by side, both cores
    torch    a plain PyTorch loop of the same training, a process a core, a thread each

The two run in turn, each in processes of its own, without compilation and imports; quoted are
medians over rounds and the ratios round by round. Both train the same kind of run (own weights,
data and batches from their own generators); the mean final loss of each is printed beside it, and
must agree within a factor of two. The sweep trains on the second moments of a batch, which for a
linear network have the same gradient as its points (`fractaljax/parts/teacher.py`): a part of its
speed, which any framework could have; `--points` takes the points instead.

    python benchmarks/dynamics.py --stream 100000

trains so many runs of the small net, with few steps, through the whole sweep into a table, and
prints the peak memory beside that of a tenth of them.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), shared with other work, 23 November 2026):

    width 100, batch 50, 10,000 steps, median of 2
                runs/s  network-steps/s  mean final loss
       sweep     3.898           38,977        2.817e-10
       torch     0.398            3,978          2.1e-10
    sweep is x 9.9 (9.0 to 10.8)

    width 10, batch 5, 10,000 steps, median of 2
                runs/s  network-steps/s  mean final loss
       sweep    31.511          315,114        2.487e-10
       torch     0.604            6,038        2.136e-10
    sweep is x 52.5 (49.4 to 55.6), 512 seeds in one call

Runs of the small net through a whole sweep, 100 steps each, table and all, each in a process of its
own: 2,000 runs peak 615 MiB, 20,000 runs 676 MiB, 100,000 runs 557 MiB (2,150 runs/s on the quiet
machine, the others beside a test run): memory does not grow with the runs.
"""

import argparse
import itertools
import json
import multiprocessing
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parent.parent / "configs" / "dynamics" / "gph.yaml"
SIZES = {"width 100, batch 50": (100, 50), "width 10, batch 5": (10, 5)}
EVALUATIONS, RATE, POINTS = 250, 1e-4, 500
RUNS = {"width 100, batch 50": 32, "width 10, batch 5": 512}  # of the sweep, a round
PROCESSES = 2
AGREEMENT = 2.0  # between mean final losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--points", action="store_true", help="no moments in the sweep")
    parser.add_argument("--stream", type=int, metavar="RUNS", help="memory of a long sweep")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)  # of a child
    parser.add_argument("--size", choices=SIZES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        print(json.dumps(SIDES[asked.side](asked)))
    elif asked.stream:
        for runs in (asked.stream // 10, asked.stream):
            peak, seconds = alone(asked, "--side", "memory", "--stream", str(runs))
            print(f"{runs:>9,} runs: peak {peak:,.0f} MiB, {runs / seconds:,.0f} runs/s")
    else:
        for size in SIZES:
            compare(asked, size)


def compare(asked: argparse.Namespace, size: str) -> None:
    """Both sides of one size, in turn."""
    found = {"sweep": [], "torch": []}
    for _ in range(asked.rounds):
        for side, rounds in found.items():
            rounds.append(alone(asked, "--side", side, "--size", size))
    print(f"\n{size}, {asked.steps:,} steps, median of {asked.rounds}")
    print(f"{'':>8} {'runs/s':>9} {'network-steps/s':>16} {'mean final loss':>16}")
    for side, rounds in found.items():
        rate = statistics.median(rate for rate, _ in rounds)
        loss = statistics.median(loss for _, loss in rounds)
        print(f"{side:>8} {rate:>9.3f} {rate * asked.steps:>16,.0f} {loss:>16.4g}")
    pairs = zip(found["sweep"], found["torch"], strict=True)
    ratios = sorted(ours[0] / theirs[0] for ours, theirs in pairs)
    print(f"sweep is x {statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})")
    losses = [statistics.median(loss for _, loss in rounds) for rounds in found.values()]
    if not 1 / AGREEMENT < losses[0] / losses[1] < AGREEMENT:
        raise SystemExit(f"the two do not train the same thing: {losses}")


def alone(asked: argparse.Namespace, *words: str) -> list[float]:
    """What one side found, in a process of its own."""
    more = ["--steps", str(asked.steps), *(["--points"] if asked.points else [])]
    done = subprocess.run(
        [sys.executable, __file__, *words, *more], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def sweep(asked: argparse.Namespace) -> tuple[float, float]:
    """Runs a second and mean final loss of the compiled program."""
    import numpy as np

    from fractaljax import config
    from fractaljax.engine import plan, program, streams

    width, batch = SIZES[asked.size]
    words = {
        "model.hidden_dim": width,
        "problem.batch": batch,
        "steps": asked.steps,
        "evaluations": EVALUATIONS,
    }
    spec = config.setting(config.read(CONFIG), words.items()).course
    plan.prepare(spec.dtype)
    if asked.points:
        streams.moments = lambda spec, data: ()
    names, mesh, runs = ("batch_seed",), plan.mesh(), RUNS[asked.size]

    def points(count: int) -> np.ndarray:
        return np.arange(count, dtype=np.float64)[:, None]

    choices = plan.candidates(spec, names, mesh, runs, program.XLA)
    rates = plan.measure(spec, names, points, mesh, choices, program.XLA)
    chunk = max(rates, key=lambda choice: rates[choice]).chunk
    tile = program.compile_tile(spec, names, runs, chunk, mesh)
    clock = time.perf_counter()
    losses = tile.run(points(runs))["test_loss"]
    return runs / (time.perf_counter() - clock), float(np.mean(losses[:, -1]))


def torch(asked: argparse.Namespace) -> tuple[float, float]:
    """Runs a second and mean final loss of a loop a process."""
    context = multiprocessing.get_context("spawn")
    barrier, queue = context.Barrier(PROCESSES + 1), context.Queue()
    workers = [
        context.Process(target=torch_loop, args=(asked.size, asked.steps, seed, barrier, queue))
        for seed in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    barrier.wait()  # all have imported and warmed up
    clock = time.perf_counter()
    losses = [queue.get() for _ in workers]
    return PROCESSES / (time.perf_counter() - clock), statistics.mean(losses)


def torch_loop(size: str, steps: int, seed: int, barrier, queue) -> None:
    """One training, as a user of PyTorch writes it."""
    import torch

    torch.set_num_threads(1)
    width, batch = SIZES[size]
    sizes = [5, width, width, width, 5]
    draws = torch.Generator().manual_seed(0)
    teacher = 10 * torch.diag(torch.arange(1.0, 6.0))
    x, test = torch.randn(POINTS, 5, generator=draws), torch.randn(POINTS, 5, generator=draws)
    start = [torch.randn(o, i, generator=draws) / width**0.5 for i, o in itertools.pairwise(sizes)]

    def train(count: int) -> float:
        order = torch.Generator().manual_seed(seed)
        layers = [torch.nn.Linear(w.shape[1], w.shape[0], bias=False) for w in start]
        with torch.no_grad():
            for layer, weights in zip(layers, start, strict=True):
                layer.weight.copy_(weights)
        network = torch.nn.Sequential(*layers)
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        loss_of, losses, rows = torch.nn.MSELoss(), [], iter(())
        for step in range(count):
            chosen = next(rows, None)
            if chosen is None:
                rows = iter(torch.randperm(POINTS, generator=order).split(batch))
                chosen = next(rows)
            if step % max(1, steps // EVALUATIONS) == 0:
                with torch.no_grad():
                    losses.append(loss_of(network(test), test @ teacher).item())
            optimizer.zero_grad()
            loss_of(network(x[chosen]), x[chosen] @ teacher).backward()
            optimizer.step()
        return losses[-1]

    train(100)
    barrier.wait()
    queue.put(train(steps))


def memory(asked: argparse.Namespace) -> tuple[float, float]:
    """Peak MiB and seconds of a whole sweep of the small net, 100 steps, 10 evaluations."""
    import fractaljax as fj

    words = ["model.hidden_dim=10", "problem.batch=5", "steps=100", "evaluations=10"]
    with tempfile.TemporaryDirectory() as folder:
        clock = time.perf_counter()
        fj.sweep(CONFIG, [*words, f"batch_seed=0..{asked.stream}"], out=folder)
        seconds = time.perf_counter() - clock
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10, seconds


SIDES = {"sweep": sweep, "torch": torch, "memory": memory}

if __name__ == "__main__":
    main()
