"""Does full-batch gradient descent run below the mean of SGD? Deep linear networks, offline data.

    python experiments/gph.py                                          # minutes on two cores
    python experiments/gph.py --widths 100 50 10 --batches 50 10 5 2 1 --seeds 10000    # the study

For every width, gamma, noise and size of the batches: the test loss of gradient descent against
mean and 95 % interval of SGD over batch seeds, from one starting point on one data set. A figure
a width, and a table into experiments/README.md: the share of the evaluations at which gradient
descent lies below the mean, and below and above the whole interval; the ratio of the losses at the
end; the signal-to-noise ratio of the gradient, |g|^2 / Tr(S), half way. Evaluations below 1e-9 of
the first loss do not count: there float32 rounds the updates away. Finished runs are kept in
outputs/.
"""

import argparse
from pathlib import Path

import numpy as np
import tables

import fractaljax as fj
from fractaljax.analysis.descent import Below, below, signal_to_noise
from fractaljax.view.figure import blank, write
from fractaljax.view.files import replacing

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "dynamics" / "gph.yaml"
STEPS = {1.5: 27000, 1.0: 9000, 0.75: 6000}  # that each gamma needs
FLOOR = 1e-9  # of the first loss: below, float32 rounds the updates away, and that is all one sees
HEAD = (
    "| width | gamma | noise | batch | GD below the mean | below the interval | above the interval "
    "| SGD / GD at the end | signal to noise half way |\n" + "|---" * 9 + "|"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[10, 50])
    parser.add_argument("--batches", type=int, nargs="+", default=[50, 5])
    parser.add_argument("--noises", type=float, nargs="+", default=[0.0, 0.2])
    parser.add_argument("--seeds", type=int, default=100, help="batch seeds, 2 or more")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs" / "gph")
    asked = parser.parse_args()
    if asked.seeds < 2:
        parser.error(f"--seeds {asked.seeds}: at least 2")
    rows = []
    for width in asked.widths:
        sizes = ",".join(map(str, asked.batches))
        sgd = trained(asked, width, "sgd", f"problem.batch={sizes}", f"batch_seed=0..{asked.seeds}")
        gd = trained(asked, width, "gd")
        found = {
            (gamma, noise, batch): compared(gd, sgd, gamma, noise, batch)
            for gamma in STEPS
            for noise in asked.noises
            for batch in asked.batches
        }
        rows += [line(width, *key, *value) for key, value in found.items()]
        print("\n".join(rows[-len(found) :]), flush=True)
        draw(width, asked, gd, sgd)
    tables.write("gph", "\n".join([f"{asked.seeds} batch seeds a row:", "", HEAD, *rows]))


def trained(asked: argparse.Namespace, width: int, name: str, *more: str) -> fj.Sweep:
    """The runs of one width over gamma, noise and what else is asked for."""
    words = [
        f"model.hidden_dim={width}",
        "metric=[test_loss,gradient_stats]",
        f"model.gamma={','.join(map(str, STEPS))}",
        f"steps={','.join(map(str, STEPS.values()))}",
        f"problem.noise_std={','.join(map(str, asked.noises))}",
        *more,
    ]
    return fj.sweep(
        CONFIG,
        words,
        zips=["model.gamma,steps"],
        out=asked.out / f"{name}_{width}",
        on_part=lambda p: print(f"width {width}, {name}: {p.done} of {p.total} runs", flush=True),
    )


def compared(
    gd: fj.Sweep, sgd: fj.Sweep, gamma: float, noise: float, batch: int
) -> tuple[Below, float]:
    """Gradient descent against SGD at one setting, and the signal-to-noise ratio half way."""
    where = {"model.gamma": gamma, "problem.noise_std": noise}
    one, many = gd.select(where)[0], sgd.select({**where, "problem.batch": batch})
    ratio = signal_to_noise(one["grad_norm_squared"], one["trace_gradient_covariance"])
    loss, losses = one["test_loss"], many.history["test_loss"]
    counted = (loss > FLOOR * loss[0]) & (losses.mean(axis=0) > FLOOR * loss[0])
    found = below(np.where(counted, loss, np.nan), losses)
    return found, float(ratio[counted.sum() // 2])


def line(width: int, gamma: float, noise: float, batch: int, found: Below, snr: float) -> str:
    """One row of the table."""
    shares = " | ".join(f"{100 * s:.0f} %" for s in (found.share, found.certain, found.above))
    end = found.ratio[np.isfinite(found.ratio)][-1]
    return f"| {width} | {gamma} | {noise} | {batch} | {shares} | {end:.3f} | {snr:.2g} |"


def draw(width: int, asked: argparse.Namespace, gd: fj.Sweep, sgd: fj.Sweep) -> None:
    """Losses of one width: a column a gamma, a row a noise and a size of the batches."""
    rows = [(noise, batch) for noise in asked.noises for batch in asked.batches]
    figure = blank(3.6 * len(STEPS), 2.6 * len(rows) + 0.5)
    figure.set_layout_engine("constrained")
    figure.suptitle(f"width {width}: test loss of gradient descent and of SGD, mean and 95 %")
    panels = figure.subplots(len(rows), len(STEPS), squeeze=False)
    for row, (noise, batch) in zip(panels, rows, strict=True):
        for axes, gamma in zip(row, STEPS, strict=True):
            where = {"model.gamma": gamma, "problem.noise_std": noise}
            many = sgd.select({**where, "problem.batch": batch})
            both = {"SGD": many, "gradient descent": gd.select(where)}
            fj.plot(both, average="SGD", ax=axes)
            axes.set_title(f"gamma {gamma}, noise {noise}, batch {batch}", size=8, loc="left")
    with replacing(asked.out / f"width_{width}.png") as stream:
        write(stream, figure, {}, "png")


if __name__ == "__main__":
    main()
