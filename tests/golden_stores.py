"""Small stores of every kind: written once by each version, opened by every later one.

    python tests/golden_stores.py tests/data/stores/2026-11-24

writes one of every kind that the fractaljax on the path knows, a few kilobytes each, and beside
them `expected.json`, what that version itself read from them. A folder that is there is never
written again. The settings below are in words that the first version knew: add, never change.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import fractaljax as fj

TRAINING = {
    "model": {"name": "mlp", "width": 4, "activation": "tanh"},
    "problem": {"name": "random_regression", "inputs": 4, "points": 8},
    "optimizer": {"name": "sgd"},
    "fold": {"measure": {}, "status": {}, "history": {"every": 4}},
    "steps": 8,
    "dtype": "float64",
}
RATES = {"min": 0.01, "max": 100.0, "scale": "log"}
SCAN = TRAINING | {
    "axes": {"LR0": RATES, "LR1": RATES},
    "window": {"x": "LR0", "y": "LR1", "resolution": [4, 3]},
}
LINE = TRAINING | {
    "axes": {"MOMENTUM": {"min": 0.0, "max": 0.9, "scale": "linear"}},
    "window": {"x": "MOMENTUM", "y": None, "resolution": 5},
}
SWEEP = {
    "model": {"name": "deep_linear", "num_hidden": 1, "hidden_dim": 3, "gamma": 1.0},
    "problem": {
        "name": "teacher",
        "matrix": "diagonal",
        "in_dim": 2,
        "out_dim": 2,
        "train_samples": 8,
        "test_samples": 4,
        "batch": 4,
    },
    "optimizer": {"name": "sgd", "lr": 0.01},
    "metric": ["test_loss"],
    "steps": 6,
    "evaluations": 3,
    "data_seed": 0,
    "model_seed": 0,
    "batch_seed": 0,
    "dtype": "float32",
}
PAIR = {k: v for k, v in SWEEP.items() if k != "metric"} | {
    "metrics": ["test_loss"],
    "comparison": ["param_distance"],
    "training_b": {"batch_seed": 1},
}
LEARNING = {
    "problem": {
        "name": "synthetic_classes",
        "points": 40,
        "inputs": 4,
        "validation": 10,
        "test": 10,
        "batch": 10,
        "sampling": "passes",
    },
    "epochs": 3,
}
STUDY = LEARNING | {
    "model": {"name": "mlp", "bias": True},
    "optimizer": "adamw",
    "stopping": "patience",
    "architectures": [[3], [4, 3]],
    "space": {"lr": {"min": 1e-3, "max": 0.1, "scale": "log"}},
    "search": {"trials": 2},
    "retrain": {"seeds": [1, 2]},
    "transfer": {"seeds": [1, 2]},
}
GROWTH = LEARNING | {
    "question": "Does it grow?",
    "model": {"name": "masked_mlp", "widths": [4, 3], "start": [4, 0], "density": 0.5},
    "optimizer": {"name": "adam", "lr": 0.02},
    "stopping": {"name": "patience", "interval": 1, "patience": 1000, "schedule": []},
    "data_seed": 1,
    "seeds": 2,
    "snapshots": True,
    "arms": {
        "static": {},
        "random": {"when": {"name": "every", "epochs": 1}, "growth": {"random": {"edges": 2}}},
    },
    "claims": {"helps": "random > static"},
}


@contextlib.contextmanager
def configured(tree: dict[str, Any]) -> Iterator[Path]:
    """A config file of these settings; its name is always the same, as stores may keep it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "golden.yaml"
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        yield path


def scan(folder: Path) -> None:
    """A window in six tiles; the same call goes on with one that is not complete."""
    with configured(SCAN) as path:
        fj.scan(*fj.load(path), store=folder, chunk=4, devices=1, tile=2)


def line(folder: Path) -> None:
    """A window along one axis."""
    with configured(LINE) as path:
        fj.scan(*fj.load(path), store=folder, chunk=4, devices=1)


def zoom(folder: Path) -> None:
    """Two levels towards a point."""
    with configured(SCAN) as path:
        spec, window = fj.load(path)
        fj.zoom(spec, window, store=folder, center=("0.1", "0.2"), levels=2, chunk=4, devices=1)


def sweep(folder: Path) -> None:
    """Four runs in one table."""
    words = ["model.gamma=0.75,1.0", "batch_seed=0..2"]
    with configured(SWEEP) as path:
        fj.sweep(path, words, out=folder, chunk=2, devices=1)


def pair(folder: Path) -> None:
    """Two runs of two networks in lockstep."""
    with configured(PAIR) as path:
        fj.sweep(path, ["model.gamma=0.75,1.0"], out=folder, chunk=2, devices=1)


def study(folder: Path) -> None:
    """A search and what was transferred, side by side."""
    with configured(STUDY) as path:
        fj.search(path, out=folder / "search", devices=1)
    fj.transfer(folder / "search", out=folder / "transfer", devices=1)


def growth(folder: Path) -> None:
    """An experiment of two arms with snapshots."""
    with configured(GROWTH) as path:
        fj.grow(path, out=folder, devices=1)


def read_field(folder: Path) -> dict[str, Any]:
    """All that a field says."""
    field = fj.open(folder)
    return {name: np.asarray(field[name]) for name in ("measure", "status", "history")} | {
        "x": field.x,
        "done": field.done,
    }


def read_zoom(folder: Path) -> dict[str, Any]:
    """Every level of a zoom."""
    found = fj.open(folder)
    levels = enumerate(found.levels)
    return {"factor": found.factor} | {f"measure_{i}": np.asarray(f["measure"]) for i, f in levels}


def read_sweep(folder: Path) -> dict[str, Any]:
    """Swept values and curves of a table, in the order of the values."""
    found = fj.load_sweep(folder)
    swept = {path: found.values(path) for path in found.swept}
    order = np.lexsort([*swept.values()])
    curves = {name: found.history[name][order] for name in found.history}
    return {path: v[order] for path, v in swept.items()} | curves | {"steps": found.steps}


def read_study(folder: Path) -> dict[str, Any]:
    """A network, the tables, and what was transferred: the second call trains nothing."""
    network = fj.load_model(folder / "search" / "4x3" / "retrain" / "seed_2")
    moved = fj.transfer(folder / "search", out=folder / "transfer", devices=1)
    return {
        "outputs": network(np.linspace(-1, 1, 8).reshape(2, 4)),
        "values": list(network.about["hyperparameters"].values()),
        "mean_regret": moved.regret.mean_regret,
    }


def read_growth(folder: Path) -> dict[str, Any]:
    """A network, a snapshot, and what was found: the same call trains nothing."""
    with configured(GROWTH) as path:
        told = fj.grow(path, out=folder, devices=1)
    network = fj.load_model(folder / "arms" / "random" / "best")
    snapshot = fj.load_snapshot(min((folder / "arms/random/snapshots/seed_0").glob("*.yaml")))
    masks = snapshot.state.anatomy.masks.values()
    edges = sum(int(leaf.sum()) for layer in masks for leaf in layer.values())
    return {
        "outputs": network(np.linspace(-1, 1, 8).reshape(2, 4)),
        "scores": [told.values[arm] for arm in sorted(told.values)],
        "epoch": snapshot.epoch,
        "edges": edges,
    }


KINDS: dict[str, tuple[Callable[[Path], None], Callable[[Path], dict[str, Any]]]] = {
    "scan": (scan, read_field),
    "line": (line, read_field),
    "zoom": (zoom, read_zoom),
    "sweep": (sweep, read_sweep),
    "pair": (pair, read_sweep),
    "study": (study, read_study),
    "growth": (growth, read_growth),
}
NEEDS = {"pair": "sweep", "study": "search", "growth": "grow", "line": "scan"}


def main(target: Path) -> None:
    """Writes every kind that this version has, and what it reads from them."""
    if target.exists():
        sys.exit(f"{target} is there; what a version wrote is not written again")
    expected = {}
    for kind, (write, read) in KINDS.items():
        if NEEDS.get(kind, kind) in dir(fj) or hasattr(fj, NEEDS.get(kind, kind)):
            write(target / kind)
            expected[kind] = {k: np.asarray(v).tolist() for k, v in read(target / kind).items()}
    for picture in [*target.rglob("*.png"), *target.rglob("claims")]:
        picture.unlink()
    for folder in target.rglob("matplotlib*"):
        shutil.rmtree(folder)
    (target / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
