"""How close to the limits of this device does a training come, and where does its time go?

    python benchmarks/roofline.py                                    # all, a few minutes
    python benchmarks/roofline.py --network paper --dtype float32

One core trains one tile of the real program (no operation is shared by cores), first alone, then
under JAX's profiler. Every operation is filed by what the compiled program says it computes, and
its work is counted there. Watching adds to every run of an operation what the shortest one (a
counter that goes up by one) seems to take; that is taken off, and what is then still more than
the time alone, in proportion.

    products of all networks at once   one matrix product a chunk, as data are shared
    products a network                 small and batched
    tanh                               and the scaling of its argument
    draws and batches                  random numbers, points that are picked
    elementwise                        error, derivative of tanh, loss, update, measure, copies
    between operations                 what the time alone is more: loops and calls of XLA; nothing
                                       is left for it where operations, watched, add up to more

The *roof* is the time the same work would take at the ceilings measured on this core
(`ceilings.py`): products as fast as a large square product, tanh as fast as XLA takes it of an
array in the second-level cache, elementwise work as fast as that cache. `own shapes` is the roof
with every product at the rate that its own shape reaches when it is alone in a loop.

Trainings (`trainings.py`): paper is the paper's network, residual a residual net of depth 5 and
width 128, deep_linear of width 100 on batches of 50, mnist an architecture of the transfer study.
No network fails and none ends early.

RESULT (one core of two of an AMD EPYC (Zen 4, virtual), shared with other work, most of it stopped
meanwhile, 26 November 2026; of several runs, each of which measures its ceilings anew; the ceilings
of the one with residual and mnist in float32 were 105.5 GFLOP/s, 2.92 G/s, 187.9 and 43.4 GB/s):

    float32, one core: square products 111.9 GFLOP/s, tanh 2.87 G/s, elementwise 151.7 GB/s in the
    second-level cache, 38.3 GB/s beyond all caches

    paper, float32, chunk 8: 132,250 network-steps/s, 7.56 us each; 39.1 GFLOP/s (35% of square
    products), 0.576 G tanh/s
        by formula 295,936 FLOP and 4,352 tanh a network-step, in the program 295,936 and 4,352
                                         share  us taken   us at the roof
        products of all networks at once   55%      4.18      2.49       66.7 GFLOP/s, alone 77.5
        products a network                  7%      0.51      0.16       34.2 GFLOP/s, alone 20.8
        tanh                               16%      1.19      1.52       3.64 G/s
        elementwise                        22%      1.68      0.54       49.0 GB/s, 82.3 kB
        roof 212,466 network-steps/s: x 1.61; own shapes 154,066: x 1.16

    deep_linear, float32, chunk 4: 21,303 network-steps/s, 46.94 us each; 13.3 GFLOP/s (12% of
    square products)
        by formula 625,000 FLOP a network-step, in the program 635,756
        products of all networks at once    4%      1.89      0.09       5.3 GFLOP/s, alone 3.5
        products a network                 69%     32.16      5.59       19.5 GFLOP/s, alone 19.1
        elementwise                         9%      4.12      2.93       107.8 GB/s, 444.0 kB
        draws and batches                  19%      8.77      8.77
        roof 57,541 network-steps/s: x 2.70; own shapes 21,103: x 0.99

    residual, float32, chunk 1: 949 network-steps/s, 1,053.36 us each; 73.8 GFLOP/s (70% of square
    products), 0.124 G tanh/s
        by formula and in the program 77,725,696 FLOP and 131,072 tanh a network-step
        products of all networks at once   82%    867.91    736.94       89.6 GFLOP/s, alone 96.4
        tanh                                4%     43.09     44.94       3.04 G/s
        elementwise                        14%    142.36     16.07       21.2 GB/s, 3,020.1 kB
        roof 1,253 network-steps/s: x 1.32; own shapes 1,153: x 1.21

    mnist, float32, chunk 2: 25 network-steps/s, 39,609 us each; 89.8 GFLOP/s (85% of square
    products); by formula and in the program 3,558,498,462 FLOP a network-step
        products of all networks at once   82%    32,497    31,700       102.9 GFLOP/s, alone 104.4
        products a network                  7%     2,835     2,039       75.9 GFLOP/s, alone 96.0
        elementwise                         3%     1,348       115       16.1 GB/s, 21,694.5 kB
        draws and batches                   6%     2,559     2,559
        between operations                  1%       370
        roof 27 network-steps/s: x 1.09; own shapes 27: x 1.07

    float64, one core: square products 49.3 GFLOP/s, tanh 1.14 G/s, elementwise 153.4 GB/s in the
    second-level cache, 24.8 GB/s beyond all caches

    paper, float64, chunk 8: 72,580 network-steps/s, 13.78 us each; 21.5 GFLOP/s (44%), 0.316 G
    tanh/s
        products of all networks at once   47%      6.45      5.65       43.2 GFLOP/s, alone 51.2
        products a network                  5%      0.68      0.35       25.7 GFLOP/s, alone 17.2
        tanh                               29%      3.94      3.82       1.10 G/s
        elementwise                        20%      2.71      1.07       60.7 GB/s, 164.5 kB
        roof 91,733 network-steps/s: x 1.26; own shapes 88,113: x 1.21

    residual, float64, chunk 1: 484 network-steps/s; 37.6 GFLOP/s (76%); products 82%, tanh 6%,
    elementwise 12%; roof 578: x 1.19; own shapes 555: x 1.15

    deep_linear, float64, chunk 4: 21,707 network-steps/s; 13.6 GFLOP/s (28%); products 58%,
    elementwise 19%, draws 24%; roof 33,862: x 1.56; own shapes 21,029: x 0.97

    mnist, float64, chunk 2: 12 network-steps/s; 41.4 GFLOP/s (90% of square products, 46.1 GFLOP/s
    in that run); products 90%, elementwise 3%, draws 6%; roof 12: x 1.03; own shapes 12: x 1.05

(A rate a little above its ceiling: watching cost that operation less than its share.) Large
products are near the limit. What is left is elsewhere: in the paper's network products of 16 units
and the passes over hidden units between them (a network in each lane of a vector, as in the native
kernel, needs neither); in deep_linear products of 100 x 100 matrices with five points, which XLA
takes at a fifth of the ceiling, and batches drawn by every network for itself.
"""

import argparse
import subprocess
import sys
import time
from typing import NamedTuple

import ceilings
import operations
import trainings
from operations import BATCHED, DRAWS, ELEMENTWISE, PRODUCTS, TANH, Spent

from fractaljax.engine import plan, program

BETWEEN = "between operations"
ROUNDS = 3  # the best of these is the time alone
OFTEN = 20  # runs of an operation whose mean says what watching adds


class Part(NamedTuple):
    """All operations of a kind, a network-step."""

    kind: str
    seconds: float
    ideal: float  # at the ceilings; what has none is taken as it is
    shaped: float  # the same, products at the rate of their own shapes
    work: str


def examine(name: str, dtype: str, top: ceilings.Ceilings) -> None:
    """Prints the table of one training."""
    training = trainings.TRAININGS[name](dtype)
    spec, steps = training.spec, training.network_steps
    mesh = plan.mesh()
    tile = program.compile_tile(spec, training.names, len(training.points), training.chunk, mesh)
    tile.run(training.points)
    alone = min(seconds(lambda: tile.run(training.points)) for _ in range(ROUNDS))
    spent = operations.profiled(tile.compiled.as_text(), lambda: tile.run(training.points))
    found = parts(spent, steps, alone, top, dtype)
    flop, tanh = trainings.products(spec), trainings.tanhs(spec)
    counted = [sum(s.runs * getattr(s.operation, w) for s in spent) for w in ("flop", "tanh")]
    rate = steps / alone
    print(f"\n{name}, {dtype}, chunk {training.chunk}: {rate:,.0f} network-steps/s", end="")
    print(f", {1e6 / rate:,.2f} us each; {rate * flop / 1e9:,.1f} GFLOP/s", end="")
    print(f" ({rate * flop / top.flop:.0%} of square products), {rate * tanh / 1e9:,.3f} G tanh/s")
    print(f"    by formula {flop:,.0f} FLOP and {tanh:,.0f} tanh a network-step,", end="")
    print(f" in the program {counted[0] / steps:,.0f} and {counted[1] / steps:,.0f}")
    print(f"    {'':33}share  us taken   us at the roof")
    for part in found:
        print(f"    {part.kind:33}{part.seconds * rate:5.0%}{part.seconds * 1e6:10,.2f}", end="")
        print(f"{part.ideal * 1e6:10,.2f}       {part.work}".rstrip())
    ideal, shaped = sum(p.ideal for p in found), sum(p.shaped for p in found)
    print(f"    roof {1 / ideal:,.0f} network-steps/s: x {1 / rate / ideal:.2f}", end="")
    print(f"; own shapes {1 / shaped:,.0f}: x {1 / rate / shaped:.2f}")


def parts(
    spent: list[Spent], steps: int, alone: float, top: ceilings.Ceilings, dtype: str
) -> list[Part]:
    """Every kind a network-step, without what watching adds to each run of an operation."""
    added = min(s.seconds / s.runs for s in spent if s.runs >= OFTEN)
    less = [s._replace(seconds=max(s.seconds - s.runs * added, 0.0)) for s in spent]
    scale = min(1.0, alone / sum(s.seconds for s in less)) / steps
    found = []
    for kind in (PRODUCTS, BATCHED, TANH, ELEMENTWISE, DRAWS):
        some = [s for s in less if s.operation.kind == kind]
        if some:
            took = scale * sum(s.seconds for s in some)
            found.append(_part(kind, some, took, steps, top, dtype))
    rest = max(0.0, alone / steps - sum(part.seconds for part in found))
    return [*found, Part(BETWEEN, rest, 0.0, 0.0, "")]


def _part(
    kind: str, some: list[Spent], took: float, steps: int, top: ceilings.Ceilings, dtype: str
) -> Part:
    flop, tanh, moved = (
        sum(s.runs * getattr(s.operation, work) for s in some) / steps
        for work in ("flop", "tanh", "bytes")
    )
    if kind in (PRODUCTS, BATCHED):
        own = [(s, ceilings.product(dtype, *s.operation.dot)) for s in some]
        shaped = sum(s.runs * s.operation.flop / rate for s, rate in own) / steps
        work = f"{flop / took / 1e9:,.1f} GFLOP/s, alone in these shapes"
        return Part(kind, took, flop / top.flop, shaped, f"{work} {flop / shaped / 1e9:,.1f}")
    if kind == TANH:
        return Part(kind, took, tanh / top.tanh, tanh / top.tanh, f"{tanh / took / 1e9:,.2f} G/s")
    if kind == ELEMENTWISE:
        work = f"{moved / took / 1e9:,.1f} GB/s, {moved / 1e3:,.1f} kB"
        return Part(kind, took, moved / top.near, moved / top.near, work)
    return Part(kind, took, took, took, "")


def seconds(run) -> float:
    clock = time.perf_counter()
    run()
    return time.perf_counter() - clock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    names = list(trainings.TRAININGS)
    parser.add_argument("--network", nargs="+", choices=names, default=names)
    parser.add_argument("--dtype", choices=("float32", "float64"), help="default: both")
    asked = parser.parse_args()
    if not asked.dtype:
        for dtype in ("float32", "float64"):  # the precision of JAX is one a process
            command = [sys.executable, __file__, f"--dtype={dtype}", "--network", *asked.network]
            subprocess.run(command, check=True)
        return
    ceilings.pin(1)
    plan.prepare(asked.dtype, devices=1)
    top = ceilings.ceilings(asked.dtype)
    print(f"\n{asked.dtype}, one core: {ceilings.told(top)}")
    for name in asked.network:
        examine(name, asked.dtype, top)


if __name__ == "__main__":
    main()
