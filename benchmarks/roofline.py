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
    between operations                 what the time alone is more: loops and calls of XLA

The *roof* is the time the same work would take at the ceilings measured on this core
(`ceilings.py`): products as fast as a large square product, tanh as fast as XLA takes it of an
array in the second-level cache, elementwise work as fast as that cache. `own shapes` is the roof
with every product at the rate that its own shape reaches when it is alone in a loop.

Trainings (`trainings.py`): paper is the paper's network, residual a residual net of depth 5 and
width 128, deep_linear of width 100 on batches of 50, mnist an architecture of the transfer study.
No network fails and none ends early.

RESULT

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
