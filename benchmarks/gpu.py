"""What does a machine with a CUDA device make of the engine?

    python benchmarks/gpu.py                       # needs CUDA: pip install 'fractaljax[cuda]'
    python benchmarks/gpu.py --minutes 20          # leaves out what would not end in time
    python benchmarks/gpu.py --platform cpu --resolution 16 --steps 20    # to see it work

The overview of `tanh`, in float32 and float64, part by part, each in a process of its own:

    device       what it is, its memory, driver and versions
    correctness  against the arrays of the paper's reference code and a scan on the CPU: signs,
                 values, and values after a few steps; in float32 with products as they come (on
                 recent devices rounded to TensorFloat-32) and with exact ones
    throughput   against the number of networks side by side, where no network fails
    roofline     operations and bytes of a step, by XLA's own count, against measured ceilings
    scan         the whole window in one jitted call: 4096 x 4096 networks, 500 steps

Figures go to `figures.json` and `figures.md` in the folder `--out`, part by part; a run that was
stopped goes on with the parts that are missing.

RESULT: it has not run on a GPU yet. Its parts run on the CPU in tests/benchmarks/test_gpu.py. It
brings no kernel of its own: whether one pays follows from the part `roofline`.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

import gpu_parts

MARGIN = 1.3  # a part may take longer than foreseen
START_S = 60.0  # imports and compilation of a part
DTYPES = ("float32", "float64")


def main() -> None:
    asked = arguments()
    if asked.part:
        print(json.dumps(gpu_parts.run(asked)))
        return
    asked.out.mkdir(parents=True, exist_ok=True)
    figures = kept(asked)
    began = time.monotonic()
    dtypes = [asked.dtype] if asked.dtype else DTYPES
    whole = [(part, dtype) for part in gpu_parts.PARTS[1:] for dtype in dtypes]
    for part, dtype in [("device", dtypes[0]), *whole]:
        name = f"{part} {dtype}" if part != "device" else part
        if name in figures:
            print(f"{name}: kept from an earlier run")
            continue
        left = asked.minutes * 60 - (time.monotonic() - began)
        needed = foreseen(part, dtype, asked, figures)
        if needed > left:
            print(f"{name}: left out, {needed:,.0f} s are foreseen and {left:,.0f} s are left")
            continue
        found = child(part, dtype, asked, figures, left)
        if isinstance(found, str):
            print(f"{name}: {found}", file=sys.stderr)
            if part == "device":
                raise SystemExit(2)
            continue
        figures[name] = found
        write(asked, figures)
        print(f"{name}: {json.dumps(found)}", flush=True)
    print(f"\n{table(figures)}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--platform", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--resolution", type=int, default=4096, help="of the scan in one call")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=60.0, help="time that all may take")
    parser.add_argument("--out", type=Path, default=Path("outputs/gpu"))
    parser.add_argument("--part", choices=(*gpu_parts.PARTS, "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--dtype", choices=DTYPES, help="default: both")
    parser.add_argument("--chunk", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    for name in ("resolution", "steps", "minutes"):
        if not getattr(asked, name) > 0:
            parser.error(f"--{name} must be above 0")
    return asked


def child(
    part: str, dtype: str, asked: argparse.Namespace, figures: dict, left: float
) -> dict | str:
    """What a part found, in a process of its own; or why it did not."""
    command = [sys.executable, __file__, f"--part={part}", f"--dtype={dtype}"]
    command += [f"--{n}={getattr(asked, n)}" for n in ("platform", "resolution", "steps", "out")]
    if (chunk := best_chunk(figures, dtype)) and part != "throughput":
        command.append(f"--chunk={chunk}")
    environment = {**os.environ, "JAX_PLATFORMS": asked.platform}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=left, check=False
        )
    except subprocess.TimeoutExpired:
        return "stopped, the time is up"
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["it said nothing"]
        return f"failed: {lines[-1]}"
    return json.loads(done.stdout.splitlines()[-1])


def best_chunk(figures: dict, dtype: str) -> int | None:
    """The number of networks side by side that was the fastest."""
    rates = figures.get(f"throughput {dtype}", {}).get("network_steps_per_s", {})
    return int(max(rates, key=lambda chunk: rates[chunk])) if rates else None


def foreseen(part: str, dtype: str, asked: argparse.Namespace, figures: dict) -> float:
    """Seconds."""
    rates = figures.get(f"throughput {dtype}", {}).get("network_steps_per_s", {})
    if part == "scan" and rates:
        steps = asked.resolution**2 * asked.steps
        return START_S + MARGIN * steps / max(rates.values())
    return START_S


def kept(asked: argparse.Namespace) -> dict:
    """Figures of an earlier run with the same settings."""
    path = asked.out / "figures.json"
    if not path.exists():
        return {}
    try:
        whole = json.loads(path.read_text())
        begun, figures = whole["settings"], whole["figures"]
    except (ValueError, KeyError, TypeError):
        refuse(f"{path} cannot be read; delete it or give another --out")
    if begun != settings(asked):
        refuse(f"{path} was begun with {begun}; give another --out")
    return figures


def refuse(why: str) -> NoReturn:
    print(why, file=sys.stderr)
    raise SystemExit(2)


def settings(asked: argparse.Namespace) -> dict:
    return {"platform": asked.platform, "resolution": asked.resolution, "steps": asked.steps}


def write(asked: argparse.Namespace, figures: dict) -> None:
    """Both files, each whole or not at all."""
    whole = json.dumps({"settings": settings(asked), "figures": figures}, indent=1)
    for name, text in (("figures.json", whole), ("figures.md", table(figures))):
        fresh = asked.out / f"{name}.new"
        fresh.write_text(text)
        fresh.replace(asked.out / name)


def table(figures: dict) -> str:
    """What there is, as Markdown."""
    rows = ["| part | figure | value |", "|---|---|---|"]
    for part, found in figures.items():
        for name, value in found.items():
            if isinstance(value, dict):
                value = ", ".join(f"{k}: {_short(v)}" for k, v in value.items())
            rows.append(f"| {part} | {name} | {_short(value)} |")
    return "\n".join(rows) + "\n"


def _short(value) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.4g}" if isinstance(value, float) and abs(value) < 1e4 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
