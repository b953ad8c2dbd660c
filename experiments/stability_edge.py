"""The edge of stability of deep linear networks, as fractal scans: rate x batch, rate x gamma.

    python experiments/stability_edge.py                      # a quarter of an hour on two cores
    python experiments/stability_edge.py --resolution 256x128 --steps 20000

Written are both pictures, and a table into experiments/README.md: up to which learning rate
training did not diverge for batches of 1, 5, 50 and 500 points, beside what others measured, and
the same against gamma. Finished tiles are kept in outputs/.
"""

import argparse
from pathlib import Path

import numpy as np
import tables

import fractaljax as fj
from fractaljax.analysis.stability import edges
from fractaljax.view.figure import save_figure

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "dynamics" / "stability_edge.yaml"
DIVERGED = 3  # codes of `status` from here on
MEASURED = {  # batch -> stable up to about, diverges between (where they say)
    1: ("0.001", "7.7e-4 and 1.3e-3"),
    5: ("0.003", "2.2e-3 and 3.6e-3"),
    50: ("0.0041", ""),
    500: ("0.0055", "3.6e-3 and 6.0e-3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resolution", default="48x32", help="pixels (default: 48x32)")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "stability_edge")
    asked = parser.parse_args()
    batch, gamma = (scanned(asked, name) for name in ("batch", "gamma"))
    head = "| batch | stable up to | diverges from | measured elsewhere | diverges between |"
    rows = [head, "|---" * 5 + "|"]
    for size, (stable, between) in MEASURED.items():
        low, high = at(batch, size)
        rows.append(f"| {size} | {low:.2g} | {high:.2g} | {stable} | {between} |")
    rows += ["", "| gamma, full batch | stable up to | diverges from |", "|---" * 3 + "|"]
    for value in (0.5, 0.75, 1.0, 1.5, 2.0):
        low, high = at(gamma, value)
        rows.append(f"| {value} | {low:.2g} | {high:.2g} |")
    size = f"{asked.resolution} pixels, {asked.steps} steps:"
    tables.write("stability_edge", "\n".join([size, "", *rows]))


def scanned(asked: argparse.Namespace, name: str) -> fj.Field:
    """One scan of the config, kept, with its picture."""
    changes = [f"window.resolution={asked.resolution}", f"steps={asked.steps}"]
    spec, window = fj.load(CONFIG, changes, only=name)
    place = asked.out / f"{name}_{asked.resolution}_{asked.steps}"
    field = fj.scan(spec, window, store=place)
    save_figure(field, asked.out / f"{name}.png")
    print(f"{name}: {asked.out / name}.png", flush=True)
    return field


def at(field: fj.Field, value: float) -> tuple[float, float]:
    """The edge in the row that is nearest to a value of the other axis."""
    low, high = edges(field.x, field["status"] >= DIVERGED)
    row = np.abs(np.log(field.y / value)).argmin()
    return low[row], high[row]


if __name__ == "__main__":
    main()
