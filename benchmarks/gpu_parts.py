"""The parts of `gpu.py`, each of which has a process, a precision and a backend to itself."""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

PARTS = ("device", "correctness", "throughput", "roofline", "scan")
PUBLISHED = Path(__file__).parent.parent / "tests" / "data" / "tanh_overview.npz"
COMPARED, EARLY = 64, 10  # side of the scan that is compared with the CPU's; steps
CHUNKS = {"cuda": (2**8, 2**10, 2**12, 2**14, 2**16, 2**18), "cpu": (4, 16)}
SAMPLE_STEPS = 100
CLOSE = 1e-6


def run(asked: argparse.Namespace) -> dict:
    """The figures of `asked.part`."""
    import trainings  # only here: the process that hands out the parts does without JAX

    return FUNCTIONS[asked.part](asked, trainings)


def device(asked: argparse.Namespace, trainings) -> dict:
    del trainings
    import importlib.metadata as metadata

    import jax

    try:
        first, *others = jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter where no plugin is installed
        why = (str(error).splitlines() or ["JAX knows none"])[0]
        raise SystemExit(f"no device of platform {asked.platform}: {why}") from None
    stats = first.memory_stats() or {}
    return {
        "kind": first.device_kind,
        "devices": 1 + len(others),
        "memory_bytes": stats.get("bytes_limit"),
        "driver": _driver() if asked.platform == "cuda" else None,
        "jax": jax.__version__,
        "jaxlib": metadata.version("jaxlib"),
    }


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return said.splitlines()[0]


def correctness(asked: argparse.Namespace, trainings) -> dict:
    """Shares of networks that agree with the CPU's, and with the published arrays."""
    import jax
    import numpy as np

    _on_cpu(asked)
    reference = np.load(_reference(asked))
    found = {}
    for precision in ("default", "highest") if asked.dtype == "float32" else ("default",):
        with jax.default_matmul_precision(precision):
            ours = _measures(asked, trainings)
        word = "" if precision == "default" else "exact products: "
        for name, values in ours.items():
            expected = reference[name]
            found[f"{word}{name}, signs"] = float(np.mean(np.sign(values) == np.sign(expected)))
            near = np.abs(values - expected) <= CLOSE * np.abs(expected)
            found[f"{word}{name}, values within {CLOSE}"] = float(np.mean(near))
    return found


def _measures(asked: argparse.Namespace, trainings) -> dict:
    """Of the overview on this backend, `[P]`, after a few steps, after all, and as published."""
    import numpy as np

    from fractaljax.engine import plan

    side = min(COMPARED, asked.resolution)
    sizes = {"cpu, first steps": (EARLY, side), "cpu, all steps": (asked.steps, side)}
    if asked.steps == 500:  # the published arrays have no other
        sizes["published"] = (500, len(np.load(PUBLISHED)["values"]))
    found = {}
    for name, (steps, side) in sizes.items():
        training = trainings.paper(asked.dtype, steps, side, calm=False)
        found[name] = _trained(training, min(asked.chunk or side**2, side**2), plan.mesh())
    return found


def _trained(training, chunk: int, mesh):
    from fractaljax.engine import program

    spec, names, points, _ = training
    return program.compile_tile(spec, names, len(points), chunk, mesh).run(points)["measure"]


def _reference(asked: argparse.Namespace) -> Path:
    return asked.out / f"reference-{asked.dtype}-{asked.resolution}-{asked.steps}.npz"


def _on_cpu(asked: argparse.Namespace) -> None:
    """The same scans on the CPU, in a process of its own, kept in the folder."""
    if _reference(asked).exists():
        return
    here = Path(__file__).with_name("gpu.py")
    command = [sys.executable, str(here), "--part=reference", f"--dtype={asked.dtype}"]
    command += [f"--{name}={getattr(asked, name)}" for name in ("resolution", "steps", "out")]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)


def reference(asked: argparse.Namespace, trainings) -> dict:
    """The scans that the device is compared with; the published arrays in the place of ours."""
    import numpy as np

    own = SimpleNamespace(**{**vars(asked), "chunk": 8})
    found = _measures(own, trainings)  # pyright: ignore[reportArgumentType]
    if "published" in found:
        found["published"] = np.load(PUBLISHED)["values"].ravel()
    fresh = _reference(asked).with_suffix(".new.npz")
    np.savez(fresh, **found)
    fresh.replace(_reference(asked))
    return {"networks": sum(len(v) for v in found.values())}


def throughput(asked: argparse.Namespace, trainings) -> dict:
    """Network-steps a second for each number of networks side by side, until memory runs out."""
    import jax

    from fractaljax.engine import plan, program

    steps = min(SAMPLE_STEPS, asked.steps)
    rates, peaks = {}, {}
    for chunk in CHUNKS[asked.platform]:
        spec, names, points, _ = trainings.paper(asked.dtype, steps, round(chunk**0.5))
        try:
            tile = program.compile_tile(spec, names, chunk, chunk, plan.mesh(1))
            tile.run(points)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if rates and program.out_of_memory(error):
                break
            raise
        clock = time.perf_counter()
        tile.run(points)
        rates[str(chunk)] = chunk * steps / (time.perf_counter() - clock)
        peaks[str(chunk)] = _peak()
    return {"network_steps_per_s": rates, "peak_bytes": peaks}


def roofline(asked: argparse.Namespace, trainings) -> dict:
    """Operations and bytes of a network-step against what this device can do."""
    import ceilings

    from fractaljax.engine import plan, program

    training = trainings.paper(asked.dtype, min(SAMPLE_STEPS, asked.steps), 16)
    chunk = asked.chunk or CHUNKS[asked.platform][-1]
    if chunk > len(training.points):
        training = trainings.paper(asked.dtype, training.spec.steps, round(chunk**0.5))
    tile = program.compile_tile(training.spec, training.names, chunk, chunk, plan.mesh(1))
    points = training.points[:chunk]
    tile.run(points)
    clock = time.perf_counter()
    tile.run(points)
    took = (time.perf_counter() - clock) / (chunk * training.spec.steps)
    cost = trainings.one_step(training, chunk).cost_analysis() or {}
    top = ceilings.ceilings(asked.dtype)
    flop, moved = cost.get("flops", 0.0) / chunk, cost.get("bytes accessed", 0.0) / chunk
    times = {"products": flop / top.flop, "memory": moved / top.far}
    return {
        "chunk": chunk,
        "ceilings": {**top._asdict()},
        "network_step": {
            "flop by XLA": flop,
            "flop by formula, products": trainings.products(training.spec),
            "bytes by XLA": moved,
            "us": took * 1e6,
            **{f"us at the ceiling of {name}": s * 1e6 for name, s in times.items()},
        },
        "verdict": verdict(times["products"], times["memory"], took),
    }


def verdict(products: float, memory: float, took: float) -> str:
    """What bounds a step, from the seconds it takes and would take at the two ceilings."""
    shares = f"memory traffic alone would take {memory / took:.0%} of the time, products"
    shares += f" {products / took:.0%}"
    if memory >= products and memory >= took / 2:
        return (
            f"bound by memory traffic: {shares}; a fused kernel that keeps weights and activations"
            f" on chip could be up to x {took / max(products, took / 100):.0f} as fast; none is"
            " included, as no GPU was at hand to measure it on"
        )
    if products >= took / 2:
        return f"bound by products: {shares}; a fused kernel would gain little"
    return f"bound by neither: {shares}; launches and small shapes are the rest"


def scan(asked: argparse.Namespace, trainings) -> dict:
    """The whole overview in one jitted call."""
    import numpy as np

    import fractaljax as fj
    from fractaljax.engine import plan, program

    words = [f"dtype={asked.dtype}", f"steps={asked.steps}"]
    config = trainings.CONFIGS / "paper" / "tanh.yaml"
    spec, window = fj.load(config, words, only="overview")
    window, mesh = window.resized(asked.resolution), plan.mesh(1)
    names = tuple(spec.traced(axis.path) for axis in window.axes)
    chunk = asked.chunk or plan.choose(spec, window, names, mesh, 0).chunk
    clock = time.perf_counter()
    program.compile_tile(spec, names, window.size, chunk, mesh)
    compiled = time.perf_counter() - clock
    clock = time.perf_counter()
    field = fj.scan(spec, window, chunk=chunk, tile=0, devices=1)
    took = time.perf_counter() - clock
    rate = window.size * spec.steps / took
    return {
        "networks": window.size,
        "steps": spec.steps,
        "chunk": field.provenance["chunk"],
        "compile_s": compiled,
        "s": took,
        "network_steps_per_s": rate,  # as asked for: networks that failed leave early
        "gflop_per_s": rate * trainings.products(spec) / 1e9,
        "peak_bytes": _peak(),
        "converged": float(np.mean(field["measure"] < 0)),
    }


def _peak() -> int | None:
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


FUNCTIONS = {
    "device": device,
    "correctness": correctness,
    "throughput": throughput,
    "roofline": roofline,
    "scan": scan,
    "reference": reference,
}
