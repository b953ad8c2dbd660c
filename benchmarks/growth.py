"""How many sparse networks does a population train a second, against PyTorch one after the other?

    python benchmarks/growth.py                 # needs PyTorch: pip install torch==2.13.0
    python benchmarks/growth.py --only small

    large    [784, 256, 10] at 2 % of its edges, 3,000 points in batches of 64, populations of 64
             and 512, without growth and with (edges at extrema every five epochs, weakest pruned)
    small    [64, 32, 10] at 10 %, digits in batches of 64, the same
    A network is 20 epochs. PyTorch holds the mask as the published code does (a product with every
    weight in the forward pass), in eager mode, Adam, both cores.

All sides run in turn in one process, round by round, after compilation; quoted are medians, and the
ratios round by round.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), shared with other work, 23 November 2026):

    large: 2 rounds
        torch               0.507 networks/s
        64 static           1.473 networks/s   x 2.92 (2.70 to 3.14)
        64 grown            1.178 networks/s   x 2.32 (2.15 to 2.48)
        growth costs 27 % (9 to 46 %) in 64

    small: 3 rounds of 64 and, in another run, 2 of 512
        torch               4.349 networks/s
        64 static          65.237 networks/s   x 14.69 (13.01 to 15.52)
        64 grown           52.401 networks/s   x 12.19 (10.45 to 12.64)
        growth costs 24 % (16 to 27 %) in 64
        512 static         66.021 networks/s   x 12.80 (10.82 to 14.77)
        512 grown          52.218 networks/s   x 10.09 (8.83 to 11.36)
        growth costs 26 % (23 to 30 %) in 512

Both large sides are bound by the same dense products; a mask saves none of them.
"""

import argparse
import statistics
import time

import numpy as np

EPOCHS, TIMED = 20, {"large": 2, "small": 10}  # of a network; of a round, which tell the rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=TIMED, default=list(TIMED))
    parser.add_argument("--populations", nargs="+", type=int, default=[64, 512])
    asked = parser.parse_args()
    for size in asked.only:
        sides = {"torch": torch_side(size)}
        for population in asked.populations:
            for grows in (False, True):
                name = f"{population} {'grown' if grows else 'static'}"
                sides[name] = population_side(size, population, grows)
        rates = {name: [] for name in sides}
        for _ in range(asked.rounds):
            for name, side in sides.items():
                rates[name].append(side())
        print(f"{size}: {asked.rounds} rounds")
        for name, found in rates.items():
            against = [a / b for a, b in zip(found, rates["torch"], strict=True)]
            print(
                f"    {name:<14} {statistics.median(found):10.3f} networks/s   "
                f"x {statistics.median(against):.2f} ({min(against):.2f} to {max(against):.2f})"
            )
        for population in asked.populations:
            pairs = zip(rates[f"{population} static"], rates[f"{population} grown"], strict=True)
            cost = [a / b - 1 for a, b in pairs]
            print(
                f"    growth costs {100 * statistics.median(cost):.0f} % "
                f"({100 * min(cost):.0f} to {100 * max(cost):.0f} %) in {population}"
            )


def settings(size: str, grows: bool) -> dict:
    from fractaljax import Part

    large = size == "large"
    held = {"batch": 64, "sampling": "passes", "validation": 300, "test": 300}
    found = {
        "model": Part("masked_mlp", widths=(256 if large else 32,), density=0.02 if large else 0.1),
        "problem": Part("synthetic_classes", points=3600, **held)
        if large
        else Part("digits", points=1197, **held),
        "optimizer": Part("adam", lr=0.002),
        "stopping": Part("patience", patience=1000, interval=1, schedule=()),
        "fold": (),
        "data_seed": 1,
    }
    if grows:
        found |= {
            "when": Part("every", epochs=5, most=4),
            "where": Part("extrema", high_by="quantile", high=0.9),
            "growth": (Part("embedded", saturated=0.2), Part("prune")),
        }
    return found


def population_side(size: str, population: int, grows: bool):
    """Networks a second of a population; looks and growth are in the time, compilation is not."""
    import fractaljax as fj
    from fractaljax.engine import cohort

    fj.prepare("float32")
    spec = fj.Spec(**settings(size, grows), steps=10**6)
    length = cohort.epoch_length(spec)
    epochs = max(TIMED[size], 5) if grows else TIMED[size]  # growth comes every fifth epoch
    epochs = 5 if size == "large" else epochs
    spec = spec.updated({"steps": (epochs + 1) * length})
    points = np.arange(population, dtype=float)[:, None]

    def run() -> float:
        marks = []

        def look(progress) -> None:
            marks.append((progress.epoch, time.perf_counter()))

        cohort.train_cohort(spec, ("seed",), points, on_look=look)
        (first, begun), (last, ended) = marks[0], marks[-1]
        return population * (last - first) / EPOCHS / (ended - begun)

    return run


def torch_side(size: str):
    """The same training in eager PyTorch, one network after the other."""
    import torch

    import fractaljax as fj
    from fractaljax.engine.streams import shared_draws

    fj.prepare("float32")
    spec = fj.Spec(**settings(size, False), steps=10**6)
    data = shared_draws(spec).data
    x = torch.tensor(np.asarray(data.x))
    y = torch.tensor(np.asarray(data.y).argmax(axis=1))
    width = dict(spec.model.args)["widths"][0]
    density = dict(spec.model.args)["density"]
    shapes = [(width, x.shape[1]), (10, width)]
    masks = [(torch.rand(shape) < density).float() for shape in shapes]
    weights = [torch.nn.Parameter(torch.randn(s) * m) for s, m in zip(shapes, masks, strict=True)]
    biases = [torch.nn.Parameter(torch.zeros(n)) for n in (width, 10)]
    optimizer = torch.optim.Adam([*weights, *biases], lr=0.002)

    def run() -> float:
        began = time.perf_counter()
        for _ in range(TIMED[size]):
            order = torch.randperm(len(x))
            for start in range(0, len(x), 64):
                some = order[start : start + 64]
                hidden = torch.tanh(
                    torch.nn.functional.linear(x[some], weights[0] * masks[0], biases[0])
                )
                out = torch.nn.functional.linear(hidden, weights[1] * masks[1], biases[1])
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(out, y[some]).backward()
                optimizer.step()
        return TIMED[size] / EPOCHS / (time.perf_counter() - began)

    run()
    return run


if __name__ == "__main__":
    main()
