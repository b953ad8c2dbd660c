"""The study of MNIST again, beside what its authors committed.

    python experiments/mnist_transfer.py --data-dir ~/tensorflow_datasets
    python experiments/mnist_transfer.py --manual-dir ~/mnist      # the four files, as downloaded

Thirty trials of eight architectures with 206,614 parameters each, up to 1,000 epochs: on two cores
a matter of two days, on a GPU of an hour or two; it goes on where it was stopped. The best trials
are the same draws, the weights and batches are not: what must agree is the size of the losses.
"""

import argparse
from pathlib import Path

import numpy as np

from fractaljax.config.study import read_study
from fractaljax.families import report, search, transfer

ROOT = Path(__file__).parents[1]
PUBLISHED = {  # architecture -> best trial, best validation loss, mean test loss of five seeds
    "252x32x16": (2, 0.09137, 0.08476),
    "248x32x92": (14, 0.08016, 0.08018),
    "244x48x56": (14, 0.08058, 0.07759),
    "216x120x84": (4, 0.07308, 0.07752),
    "188x192x112": (4, 0.07554, 0.07691),
    "160x264x140": (15, 0.07806, 0.08008),
    "160x204x224": (9, 0.07310, 0.07950),
    "120x204x408": (1, 0.07976, 0.08428),
}
WORST = ("252x32x16", "120x204x408", 1.542)  # target, source, relative regret


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", default="", help="folder of prepared sets")
    parser.add_argument("--manual-dir", default="", help="folder with the four files of MNIST")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "mnist_transfer")
    parser.add_argument("overrides", nargs="*", metavar="path=value")
    asked = parser.parse_args()
    where = [f"problem.data_dir={asked.data_dir}", f"problem.manual_dir={asked.manual_dir}"]
    study = read_study(ROOT / "configs/transfer/mnist.yaml", [*where, *asked.overrides])
    search.search(study, asked.out / "search", on_look=tell)
    found = report.search_report(asked.out / "search")
    print(f"\n{'':>14} {'trial':>12} {'validation loss':>18} {'test loss':>18}")
    for arch, losses in found.losses.items():
        best = int(np.nanargmin(found.trials[arch]))
        ours = (best, found.trials[arch][best], losses.mean())
        pairs = zip(ours, PUBLISHED.get(arch, (float("nan"),) * 3), strict=True)
        cells = [f"{a:.5g} ({b:.5g})" for a, b in pairs]
        print(f"{arch:>14} {cells[0]:>12} {cells[1]:>18} {cells[2]:>18}")
    print("(in brackets: as published)")
    known = transfer.read_search(study, asked.out / "search")
    transfer.transfer(known, asked.out / "search", asked.out / "transfer", on_look=tell)
    regret = report.transfer_report(asked.out / "transfer")
    target, source, ratio = WORST
    if target in regret.targets and source in regret.sources:
        row, column = regret.targets.index(target), regret.sources.index(source)
        ours = regret.regret.mean_relative_regret[row, column]
        print(f"relative regret of {target} with {source}'s: {ours:.3f} ({ratio})")


def tell(progress: search.Progress) -> None:
    look = progress.cohort
    rate = look.trained / max(look.seconds, 1e-9)
    print(
        f"\r{progress.phase} {progress.architecture}: epoch {look.epoch}, {look.alive} alive, "
        f"{rate:.2f} epochs/s   ",
        end="",
        flush=True,
    )


if __name__ == "__main__":
    main()
