"""Does the best learning rate depend on the width? The two pictures that people know from mup.

    python experiments/mup.py                            # some minutes on two cores

Loss against rate, a curve a width, as fractal scans of configs/transfer/mup.yaml, in the standard
parametrisation and in mup's (arXiv:2203.03466, figure 1); and the coordinate check (appendix D.1):
how large what every layer makes is, against the width, for the first steps of training. Finished
tiles are kept in outputs/; the table goes into experiments/README.md.
"""

import argparse
from pathlib import Path

import numpy as np
import tables

import fractaljax as fj
from fractaljax import config
from fractaljax.analysis.optimum import optimum, slope
from fractaljax.view.widths import coordinate_check, rate_by_width

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "transfer" / "mup.yaml"
PICTURES = ROOT / "experiments" / "pictures"
STEPS, RATE = 5, {"standard": 0.01, "mup": 0.1}  # of the coordinate check


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--resolution", type=int, default=32, help="rates a width (default: 32)")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "mup")
    asked = parser.parse_args()
    head = "| parametrisation | best rate, narrowest | widest | exponent of the width |"
    rows = [head, "|---" * 4 + "|"]
    for name in RATE:
        widths, rates, losses = by_width(asked, name)
        best = optimum(rates, losses)
        exponent = slope(widths, best)
        rows.append(f"| {name} | {best[0]:.2g} | {best[-1]:.2g} | {exponent:+.2f} |")
        title = f"{name}: loss after 100 steps against the learning rate"
        path = PICTURES / f"mup_rates_{name}.png"
        rate_by_width(rates, losses, widths, path, optima=best, title=title)
        sizes, layers = coordinates(asked, name, widths)
        path = PICTURES / f"mup_coordinates_{name}.png"
        coordinate_check(widths, sizes, layers, path, title=f"{name}: coordinate check")
        print(rows[-1], flush=True)
    tables.write("mup", "\n".join(rows))


def by_width(asked: argparse.Namespace, name: str) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Widths `[W]`, rates `[R]` and losses `[W, R]` of one parametrisation."""
    changes = [f"window.resolution={asked.resolution}"]
    found = config.experiments(config.read(CONFIG), changes, only=name)
    fj.prepare(found[0].spec.dtype)
    losses = []
    for one in found:
        field = fj.scan(one.spec, one.window, store=asked.out / f"{one.name}_{asked.resolution}")
        losses.append(np.ravel(field["final_loss"]))
    widths = [one.spec.model["width"] for one in found]
    return widths, found[0].window.x.points(), np.array(losses)


def coordinates(
    asked: argparse.Namespace, name: str, widths: list[int]
) -> tuple[np.ndarray, list[str]]:
    """Sizes `[W, steps, layers]` and names of the layers."""
    each = ",".join(map(str, widths))
    words = [f"model.width={each}", "metric=coordinates", f"steps={STEPS}", f"evaluations={STEPS}"]
    words += ["fold=[]", f"optimizer.lr={RATE[name]}"]
    runs = fj.sweep(CONFIG, words, out=asked.out / f"coordinates_{name}", only=name)
    sizes = np.array([runs.select({"model.width": w})[0]["coordinates"] for w in widths])
    return sizes, [f"layer {i + 1}" for i in range(sizes.shape[-1])]


if __name__ == "__main__":
    main()
