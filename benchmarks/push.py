"""What was tried to make a training step faster, and what did each give?

    python benchmarks/push.py                                  # all, ten minutes
    python benchmarks/push.py --group chunk flags --dtype float32

The paper's network in the calm part of its window (`trainings.py`), both cores; the groups
`residual` and `deep_linear` are about these; of the network in the shape of MNIST nothing was
tried, as `roofline.py` leaves nothing to be won there. Every variant is
the real program in a process of its own, with a constant changed, a part replaced or flags of XLA
set there and nowhere else; the engine has no switch for any of it. Variants of a group and the
engine as it is run in turn, round by round; quoted are the best rate, the median of the ratios
round by round and the middle half of them. `predicted` was written down before, from the shares in
`roofline.py`.

RESULT

"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

FLAG = "--xla_cpu_"


class Variant(NamedTuple):
    """One change to the engine."""

    label: str
    predicted: str  # of the rate, against the engine as it is
    setting: dict  # what `push_worker.py` reads
    flags: str = ""  # of XLA
    environment: tuple[tuple[str, str], ...] = ()


def flag(name: str, predicted: str) -> Variant:
    return Variant(FLAG + name, predicted, {}, FLAG + name)


def option(name: str, value: object, predicted: str) -> Variant:
    """A setting of XLA that has no flag, but a name among the options of one compilation."""
    return Variant(f"xla_cpu_{name}={value}", predicted, {"options": {f"xla_cpu_{name}": value}})


ENGINE = Variant("the engine as it is", "", {})
GROUPS: dict[str, list[Variant]] = {
    "chunk": [
        Variant(f"chunk {chunk}", predicted, {"chunk": chunk})
        for chunk, predicted in ((1, "0.5"), (2, "0.7"), (4, "0.9"), (16, "1.0"), (64, "0.8"))
    ],
    "loop": [
        Variant("settled? every step", "0.95", {"stride": 1}),
        Variant("settled? every 50 steps", "1.01", {"stride": 50}),
        Variant("two steps unrolled", "1.02", {"unroll": 2}),
        Variant("five steps unrolled", "1.03", {"unroll": 5}),
    ],
    "order": [
        Variant("output layer features first", "1.1", {"by_points": "nowhere"}),
        Variant("all layers points first", "0.8", {"by_points": "everywhere"}),
        Variant("gradients by hand", "1.05", {"run": "by_hand"}),
        Variant("data of its own a network", "0.5", {"own": True}),
    ],
    "devices": [
        Variant("1 device, 2 threads", "0.6", {"devices": 1}),
        Variant("1 device, 1 thread", "0.5", {"devices": 1, "cores": 1}),
        Variant("4 devices on 2 cores", "0.95", {"devices": 4}),
        Variant("intra-op threads 1", "1.0", {}, environment=(("NPROC", "1"),)),
        flag("multi_thread_eigen=false", "1.0"),
    ],
    "flags": [
        flag("small_while_loop_byte_threshold=0", "1.0"),
        option("small_while_loop_byte_threshold", 0, "1.0"),
        option("small_while_loop_byte_threshold", 100_000_000, "1.1"),
        flag("prefer_vector_width=512", "1.1"),
        flag("prefer_vector_width=128", "0.8"),
        flag("max_isa=AVX2", "0.8"),
        flag("enable_fast_math=true", "1.1"),
        flag("enable_fast_min_max=true", "1.0"),
        option("use_multi_output_fusion", True, "1.05"),
        flag("opt_preset=CPU_OPT_PRESET_FAST_RUNTIME", "1.0"),
    ],
    "libraries": [
        flag("use_thunk_runtime=false", "1.05"),
        flag("use_onednn=true", "1.0"),
        flag("use_xnnpack=true", "1.0"),
        flag("experimental_ynn_fusion_type=", "0.9"),
        flag("use_fusion_emitters=false", "1.0"),
        flag("scheduler_type=CPU_SCHEDULER_TYPE_CONCURRENCY_OPTIMIZED", "1.0"),
        flag("enable_custom_matmul_tiling=true", "1.0"),
        flag("disable_loop_unrolling=true", "0.9"),
        flag("small_dot_threshold=64", "1.0"),
    ],
    "residual": [
        Variant("chunk 2", "1.0", {"network": "residual", "chunk": 2}),
        Variant("chunk 4", "0.95", {"network": "residual", "chunk": 4}),
        Variant(
            "output layer features first", "1.0", {"network": "residual", "by_points": "nowhere"}
        ),
        Variant(
            "all layers points first", "0.9", {"network": "residual", "by_points": "everywhere"}
        ),
    ],
    "deep_linear": [
        Variant("chunk 1", "0.7", {"network": "deep_linear", "chunk": 1}),
        Variant("chunk 2", "0.9", {"network": "deep_linear", "chunk": 2}),
        Variant("chunk 8", "1.0", {"network": "deep_linear", "chunk": 8}),
        Variant("chunk 16", "0.9", {"network": "deep_linear", "chunk": 16}),
        Variant("points first", "1.0", {"network": "deep_linear", "by_points": "everywhere"}),
    ],
    "early exit": [
        Variant("whole window, no early exit", "0.66", {"exit": False, "calm": False}),
    ],
    "compaction": [
        Variant("members that ended stay", "0.6", {"compact": False}),
    ],
}
BASES = {  # group -> what its variants are held against, where that is not `ENGINE`
    "residual": Variant("the engine as it is, chunk 1", "", {"network": "residual"}),
    "deep_linear": Variant("the engine as it is, chunk 4", "", {"network": "deep_linear"}),
    "early exit": Variant("whole window, early exit", "", {"calm": False}),
    "compaction": Variant("members that ended leave", "", {"compact": True}),
}


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
