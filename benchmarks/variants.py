"""What `push.py` tries, group by group, and what was expected of it."""

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
    "kernel": [
        Variant("native kernel, chunk 16", "1.4", {"kernel": "native", "chunk": 16}),
        Variant("native kernel, chunk 32", "1.4", {"kernel": "native", "chunk": 32}),
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
        Variant("members that ended stay", "0.58", {"compact": False}),
    ],
}
BASES = {  # group -> what its variants are held against, where that is not `ENGINE`
    "residual": Variant("the engine as it is, chunk 1", "", {"network": "residual"}),
    "deep_linear": Variant("the engine as it is, chunk 4", "", {"network": "deep_linear"}),
    "early exit": Variant("whole window, early exit", "", {"calm": False}),
    "compaction": Variant("members that ended leave", "", {"compact": True}),
}
