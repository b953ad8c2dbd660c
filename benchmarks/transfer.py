"""How many epochs of members a second does a search train, against PyTorch one after the other?

    python benchmarks/transfer.py                      # needs PyTorch: pip install torch==2.13.0
    python benchmarks/transfer.py --only digits compaction padding

A member is one trial: AdamW, dropout, leaky ReLU, its own seven hyperparameters, a look at the
validation data every five epochs. A search trains thirty of them, for each of eight architectures.

    mnist        50,000 points of 784 numbers, batches of 4096, the eight published architectures
                 (206,614 parameters each); random numbers in the shape of MNIST
    digits       scikit-learn's digits, batches of 128, the architectures of
                 configs/transfer/digits.yaml
    compaction   a search on digits whose members end as those of the published search did (32 % of
                 them run for 1,000 epochs and take 71 % of the epochs; of the others half end by
                 epoch 85), with members that ended leaving the batch and without
    padding      the eight architectures of digits in one batch, padded to the largest width of each
                 layer, against eight batches; the masks are left out, so padding looks better here
                 than it could be

`torch` is a plain loop over members in eager PyTorch, data in memory, both cores. Sides run in
turn, round by round, in one process each; quoted are medians and the ratios round by round,
without compilation, which is told apart.

RESULT (two cores of an Intel Xeon (AVX-512, virtual), shared with other work, 23 November 2026):

    mnist: 30 members x 8 architectures, 2 rounds
        search:mnist                 2.73 member-epochs/s, compiled in 57.0 s before
        torch:mnist                  1.19 member-epochs/s
        x 2.29 (2.12 to 2.46)

    digits: 30 members x 8 architectures, 3 rounds
        search:digits            1,605.79 member-epochs/s, compiled in 46.7 s before
        torch:digits               100.62 member-epochs/s
        x 15.96 (14.73 to 19.47)

    compaction: 30 members, 13,495 epochs, 74% of them in 33% of the members, 3 rounds
        compacted:yes            1,304.30 member-epochs/s, compiled in 6.4 s before
        compacted:no               810.41 member-epochs/s, compiled in 3.0 s before
        x 1.71 (1.52 to 1.72)

    padding: 30 members x 8 architectures of digits, 3 rounds
        search:digits            1,467.68 member-epochs/s, compiled in 16.3 s before
        padded:digits              891.53 member-epochs/s, compiled in 7.6 s before
        x 1.59 (1.55 to 1.65)

So each architecture has a batch of its own: one padded program saves nine seconds of compilation
and loses a third of the speed.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

MEMBERS, POINTS, INPUTS, HELD = 30, 50_000, 784, 10_000
DIGITS = Path(__file__).parent.parent / "configs" / "transfer" / "digits.yaml"
MNIST = Path(__file__).parent.parent / "configs" / "transfer" / "mnist.yaml"
EPOCHS = {"mnist": 1, "digits": 20}  # of a round, every member
TORCH_MEMBERS = {"mnist": 1, "digits": 2}  # one after the other, so a few tell the rate
LONG, MEDIAN, MEAN, LEAST, LAST = 77 / 240, 85, 191, 30, 1000  # of the published stop epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=QUESTIONS, default=list(QUESTIONS))
    parser.add_argument("--side", help=argparse.SUPPRESS)  # of a child
    asked = parser.parse_args()
    if asked.side:
        side, _, size = asked.side.partition(":")
        SIDES[side](size)
        return
    for name in asked.only:
        QUESTIONS[name](asked.rounds, name)


class Child:
    """One side in a process of its own: warm first, then a rate for every line it is sent."""

    def __init__(self, side: str):
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--side", side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._read()

    def round(self) -> dict:
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a side ended early")
        return json.loads(line)


def told(found: dict) -> None:
    print(json.dumps(found), flush=True)


def in_turn(rounds: int, sides: list[str], unit: str) -> None:
    """Both sides round by round; the ratio is of the first to the second."""
    children = {side: Child(side) for side in sides}
    found = {side: [] for side in sides}
    for _ in range(rounds):
        for side, child in children.items():
            found[side].append(child.round()["rate"])
    for side, child in children.items():
        ready = child.ready.get("compile_s")
        more = f", compiled in {ready:.1f} s before" if ready else ""
        print(f"    {side:<22} {statistics.median(found[side]):>10,.2f} {unit}{more}")
        child.close()
    ratios = sorted(a / b for a, b in zip(*found.values(), strict=True))
    print(f"    x {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")


def speed(rounds: int, size: str) -> None:
    print(f"\n{size}: {MEMBERS} members x 8 architectures, {rounds} rounds")
    in_turn(rounds, [f"search:{size}", f"torch:{size}"], "member-epochs/s")


def compaction(rounds: int, name: str) -> None:
    stops = stop_epochs()
    share = stops[stops == LAST].sum() / stops.sum()
    print(f"\n{name}: {MEMBERS} members, {stops.sum():,} epochs, {share:.0%} of them in", end="")
    print(f" {np.mean(stops == LAST):.0%} of the members, {rounds} rounds")
    in_turn(rounds, ["compacted:yes", "compacted:no"], "member-epochs/s")


def padding(rounds: int, name: str) -> None:
    print(f"\n{name}: {MEMBERS} members x 8 architectures of digits, {rounds} rounds")
    in_turn(rounds, ["search:digits", "padded:digits"], "member-epochs/s")


def stop_epochs() -> np.ndarray:
    """Thirty epochs, distributed as published: a share at the last, the others log-normal."""
    long = round(LONG * MEMBERS)
    spread = np.sqrt(2 * np.log(MEAN / MEDIAN))
    places = (np.arange(MEMBERS - long) + 0.5) / (MEMBERS - long)
    others = MEDIAN * np.exp(
        spread * np.array([statistics.NormalDist().inv_cdf(p) for p in places])
    )
    rounded = 5 * np.round(np.clip(others, LEAST, LAST - 5) / 5)
    mixed = np.concatenate([rounded, np.full(long, LAST)]).astype(int)
    return np.random.default_rng(0).permutation(mixed)


# ---- our side


def registered() -> None:
    """A problem of random numbers in the shape of MNIST, and an end that is an axis."""
    import jax.numpy as jnp

    import fractaljax as fj
    from fractaljax.parts import sampling

    @fj.register("problem", "mnist_shaped")
    def mnist_shaped(batch: int = 4096) -> fj.Problem:
        """Random points of 784 numbers, ten classes."""

        def load(key, source, count) -> fj.Data:
            x, y = source
            held = fj.Data(x[POINTS:], y[POINTS:])
            return fj.Data(x[:POINTS], y[:POINTS], held, held)

        taken = sampling.batches(batch, "passes")
        return fj.Problem(shaped, load, sampling.LOSSES["cross_entropy"], **taken)

    @fj.register("stopping", "at_epoch")
    def at_epoch(epoch: float = 1.0, interval: int = 5) -> fj.Stopping:
        """An end at an epoch that is told, with looks at the validation data on the way."""
        return fj.Stopping(
            lambda now, last: (now % interval == 0) | (now == last),
            lambda zero: zero,
            lambda seen, loss: (seen + interval, loss < jnp.inf),
            lambda seen: seen >= epoch,
        )


def shaped() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.random((POINTS + HELD, INPUTS))
    return x, np.eye(10)[rng.integers(0, 10, POINTS + HELD)]


def family(size: str) -> tuple:
    """`(specs of the eight architectures, names, points)` of a search."""
    import fractaljax as fj
    from fractaljax.config.space import draw_trials
    from fractaljax.config.study import read_study

    registered()
    study = read_study(MNIST if size == "mnist" else DIGITS)
    trials = draw_trials(study.space, MEMBERS, 1)
    points = np.array([[trial[d.name] for d in study.space] for trial in trials])
    never = fj.Part("at_epoch", epoch=1e9)
    specs = [s.updated({}) for s in study.specs.values()]
    specs = [_with(spec, stopping=never) for spec in specs]
    if size == "mnist":
        specs = [_with(spec, problem=fj.Part("mnist_shaped")) for spec in specs]
    fj.prepare(specs[0].dtype)
    return specs, [d.path for d in study.space], points


def _with(spec, **parts):
    import dataclasses

    return dataclasses.replace(spec, **parts)


def rounds_of(run) -> None:
    """Runs once for every line that comes in."""
    for _ in sys.stdin:
        clock = time.perf_counter()
        epochs = run()
        told({"rate": epochs / (time.perf_counter() - clock)})


def search(size: str) -> None:
    from fractaljax.engine import cohort

    specs, names, points = family(size)
    cohort._compiled = cohort.functools.lru_cache(maxsize=8)(cohort._compiled.__wrapped__)
    specs = [s.updated({"steps": EPOCHS[size] * cohort.epoch_length(s)}) for s in specs]
    chunk = cohort.plan.cohort_chunk(specs[0], cohort.plan.mesh())

    def run(some=points) -> int:
        for spec in specs:
            cohort.train_cohort(spec, names, some, chunk=chunk)
        return len(specs) * len(some) * EPOCHS[size]

    clock = time.perf_counter()
    run(points[:1])
    told({"compile_s": time.perf_counter() - clock})
    rounds_of(run)


def padded(size: str) -> None:
    """All members of all architectures, every one with the largest widths."""
    from fractaljax.engine import cohort

    specs, names, points = family(size)
    widths = np.array([dict(spec.model.args)["widths"] for spec in specs]).max(axis=0)
    spec = specs[0].updated({"model.widths": tuple(int(w) for w in widths)})
    spec = spec.updated({"steps": EPOCHS[size] * cohort.epoch_length(spec)})
    every = np.concatenate([points] * len(specs))
    chunk = cohort.plan.cohort_chunk(spec, cohort.plan.mesh())

    def run(some=every) -> int:
        cohort.train_cohort(spec, names, some, chunk=chunk)
        return len(some) * EPOCHS[size]

    clock = time.perf_counter()
    run(points[:1])
    told({"compile_s": time.perf_counter() - clock})
    rounds_of(run)


def compacted(yes: str) -> None:
    from fractaljax.engine import cohort

    specs, names, points = family("digits")
    spec = specs[0].updated({"steps": LAST * cohort.epoch_length(specs[0])})
    stops = stop_epochs()
    names, points = [*names, "stopping.epoch"], np.column_stack([points, stops])
    clock = time.perf_counter()
    cohort.train_cohort(spec, names, np.concatenate([points[:1, :-1], [[5]]], axis=1), chunk=4)
    told({"compile_s": time.perf_counter() - clock})

    def run() -> int:
        cohort.train_cohort(spec, names, points, chunk=4, compact=yes == "yes")
        return int(stops.sum())

    rounds_of(run)


# ---- the other side


def torch_loop(size: str) -> None:
    import torch
    from torch import nn

    from fractaljax.config.space import draw_trials
    from fractaljax.config.study import read_study

    study = read_study(MNIST if size == "mnist" else DIGITS)
    trials = draw_trials(study.space, MEMBERS, 1)
    if size == "mnist":
        x, y = shaped()
        train = POINTS
    else:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        x, y, train = pixels / 16, np.eye(10)[labels], 1197
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y.argmax(1))
    batch = 4096 if size == "mnist" else 128
    held = slice(train, train + (HELD if size == "mnist" else 240))

    def member(widths: tuple, h: dict) -> None:
        layers, inputs = [], x.shape[1]
        for width in widths:
            slope, rate = h["leaky_relu_alpha"], h["dropout"]
            layers += [nn.Linear(inputs, width), nn.LeakyReLU(slope), nn.Dropout(rate)]
            inputs = width
        net = nn.Sequential(*layers, nn.Linear(inputs, 10))
        betas = (h["beta1"], h["beta2"])
        step = torch.optim.AdamW(
            net.parameters(), h["lr"], betas, h["eps"], weight_decay=h["weight_decay"]
        )
        loss = nn.CrossEntropyLoss()
        for epoch in range(1, EPOCHS[size] + 1):
            for rows in torch.randperm(train).split(batch):
                step.zero_grad()
                loss(net(x[rows]), y[rows]).backward()
                step.step()
            if epoch % 5 == 0 or epoch == EPOCHS[size]:
                net.eval()
                with torch.no_grad():
                    loss(net(x[held]), y[held])
                net.train()

    architectures = [dict(spec.model.args)["widths"] for spec in study.specs.values()]

    def run() -> int:
        for widths in architectures:
            for h in trials[: TORCH_MEMBERS[size]]:
                member(widths, h)
        return len(architectures) * TORCH_MEMBERS[size] * EPOCHS[size]

    run()
    told({})
    rounds_of(run)


SIDES = {"search": search, "torch": torch_loop, "compacted": compacted, "padded": padded}
QUESTIONS = {"mnist": speed, "digits": speed, "compaction": compaction, "padding": padding}

if __name__ == "__main__":
    main()
