"""What was tried to make a training step faster, and what did each give?

    python benchmarks/push.py                                  # all, ten minutes
    python benchmarks/push.py --group chunk flags --dtype float32

The paper's network in the calm part of its window (`trainings.py`), both cores; the groups
`residual` and `deep_linear` are about these. Nothing was tried on the network in the shape of
MNIST: `roofline.py` leaves nothing to be won there. Every variant (`variants.py`) is the real
program in a process of its own, with a constant changed, a part replaced or flags of XLA set there
and nowhere else; the engine has no switch for any of it. Variants of a group and the engine as it
is run in turn, round by round; quoted are the best rate, the median of the ratios round by round
and the middle half of them. `predicted` is a guess made before the first run; that of the output
layer, of the native kernel and of the early exit is an earlier measurement.

RESULT (two cores of an AMD EPYC (Zen 4, virtual), 26 November 2026): the table "What was tried" in
README.md. On the paper's network the native kernel pays, x 1.4 in float32, and the output layer
with features first would, x 1.2; no flag of XLA, no unrolling and no other chunk does. In
deep_linear all layers with points first are x 1.1 to 1.2 as fast.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from variants import BASES, ENGINE, GROUPS, Variant


class Worker:
    """A variant in a process of its own; it trains once for every line it is sent."""

    def __init__(self, variant: Variant, dtype: str):
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "push_worker.py")
        environment = {**os.environ, **dict(variant.environment)}
        if variant.flags:
            environment["XLA_FLAGS"] = f"{environment.get('XLA_FLAGS', '')} {variant.flags}"
        setting = {**variant.setting, "dtype": dtype}
        self._process = subprocess.Popen(
            [sys.executable, here, json.dumps(setting)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ready(self) -> str:
        """Waits until it has compiled; what it said instead, if it ended."""
        if self._process.stdout.readline() == "ready\n":
            return ""
        said = self._process.communicate()[1]
        if "Unknown flag" in said or "No such compile option" in said:
            return "not in this jaxlib"
        lines = [line for line in said.splitlines() if line.strip()]
        return f"fails: {lines[-1].strip()[:90]}" if lines else "fails"

    def rate(self) -> float:
        """Network-steps (of members: epochs) a second."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()  # closes its input, and it ends


def compare(group: str, dtype: str, rounds: int) -> None:
    """Times the variants of a group in turn and prints their rows."""
    base = BASES.get(group, ENGINE)
    variants = [base, *GROUPS[group]]
    begun = {variant.label: Worker(variant, dtype) for variant in variants}  # compile side by side
    said = {label: worker.ready() for label, worker in begun.items()}
    failed = {label: why for label, why in said.items() if why}
    workers = {label: worker for label, worker in begun.items() if label not in failed}
    found: dict[str, list[float]] = {label: [] for label in workers}
    for _ in range(rounds):
        for label, worker in workers.items():
            found[label].append(worker.rate())
    for worker in workers.values():
        worker.close()
    print(f"\n{group}, {dtype}, {rounds} rounds")
    for variant in variants:
        if variant.label in failed:
            print(f"    {variant.label:52} {failed[variant.label]}")
            continue
        rates = found[variant.label]
        row = f"    {variant.label:52}{max(rates):>10,.0f}"
        if variant is not base:
            ratios = [a / b for a, b in zip(rates, found[base.label], strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            row += f"   predicted {variant.predicted:>5}, x {middle:.2f} ({low:.2f} to {high:.2f})"
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--group", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--rounds", type=int, default=9, help="at least 2")
    asked = parser.parse_args()
    for group in asked.group:
        for dtype in asked.dtype:
            if group != "compaction" or dtype == "float32":  # the study is in float32 alone
                clock = time.perf_counter()
                compare(group, dtype, asked.rounds)
                print(f"    ({time.perf_counter() - clock:.0f} s)")


if __name__ == "__main__":
    main()
