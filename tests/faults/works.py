"""Small real commands of every verb that trains, what of them is finished, and what they found."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import small

import fractaljax as fj
from fractaljax.store import disk, open_zoom, parquet, rows, sweep_folder

SCAN = """
model: {width: 4}
problem: {inputs: 4, points: 8}
steps: 1000
dtype: float64
window: {resolution: 12}
"""
SWEEP = """
model: {name: deep_linear, num_hidden: 2, hidden_dim: 4}
data: {in_dim: 3, out_dim: 3, train_samples: 20, test_samples: 10, scale: 2.0}
training: {lr: 1.0e-2, batch_size: 5}
metrics: [test_loss, weight_norm]
max_steps: 400
num_evaluations: 8
dtype: float32
"""
GROW = small.GROW + "claims: {helps: grown > static}"
CONFIGS = {"scan": SCAN, "zoom": SCAN, "sweep": SWEEP, "search": small.SEARCH, "grow": GROW}
OPTIONS = {
    "scan": ["--devices", "1", "--chunk", "2", "--tile", "2"],
    "zoom": [
        *("--center", "1", "2", "--levels", "4", "--resolution", "8"),
        *("--devices", "1", "--chunk", "2", "--tile", "4"),
    ],
    "sweep": [
        *("model.num_hidden=1,2", "model.hidden_dim=3,4", "batch_seed=0..6"),
        *("--devices", "1", "--chunk", "2"),
    ],
    "search": small.options("search"),
    "transfer": small.options("search"),
    "grow": small.options("grow"),
}
PICTURES = (".png", ".gif")
Pieces = dict[str, Any]  # what is finished -> what changes when it is made again


class Work(NamedTuple):
    """A command, and how its folder is read."""

    verb: str
    source: Path  # config, or the folder of a search
    finished: Callable[[Path], Pieces]
    found: Callable[[Path], dict[str, bytes]]

    def words(self, out: Path) -> list[str]:
        """The command that writes into a folder."""
        return [self.verb, str(self.source), *OPTIONS[self.verb], "--out", str(out)]


def work(verb: str, source: Path) -> Work:
    """The small command of a verb.

    Args:
        source: a folder where its config may be written; for `transfer` that of a search.
    """
    if verb in CONFIGS:
        source = source / f"{verb}.yaml"
        disk.replace(source, CONFIGS[verb])  # other processes of tests may be reading it
    return Work(verb, source, *READ[verb])


def tiles(out: Path) -> Pieces:
    """The files of every tile that is marked done, in all fields below a folder."""
    stamps = {}
    for mark in out.glob("**/field/done/c/*/*"):
        field, place = mark.parents[3], f"{mark.parent.name}/{mark.name}"
        if mark.name.isdigit():
            for file in field.glob(f"*/c/{place}"):
                stamps[str(file.relative_to(out))] = _stamp(file)
    return stamps


def runs(out: Path) -> Pieces:
    """When each run of a sweep was written last."""
    found: dict[str, float] = {}
    for one in parquet.indices(sweep_folder.sources(out)):
        keys = rows.keys(one.runs, sweep_folder.read_config(out))
        for key, written in zip(keys, one.runs[rows.WRITTEN].to_pylist(), strict=True):
            found[str(key)] = max(written, found.get(str(key), 0.0))
    return found


def members(last: str) -> Callable[[Path], Pieces]:
    """The files of every folder that holds this one, which is written last."""

    def finished(out: Path) -> Pieces:
        done = [file.parent for file in out.glob(f"*/**/{last}")]
        files = [file for folder in done for file in folder.rglob("*") if _kept(file)]
        return {str(file.relative_to(out)): _stamp(file) for file in files}

    return finished


def targets(out: Path) -> Pieces:
    """The tables of finished targets."""
    return {file.name: _stamp(file) for file in (out / "targets").glob("*.csv")}


def field(out: Path) -> dict[str, bytes]:
    """The arrays of a scan."""
    made = fj.open(out)
    assert made.done.all(), f"{np.count_nonzero(~made.done)} pixels are not trained"
    assert (out / "image.png").exists() and (out / "figure.png").exists()
    return {name: np.asarray(array).tobytes() for name, array in made.arrays.items()}


def levels(out: Path) -> dict[str, bytes]:
    """The arrays of all levels of a zoom."""
    zoom = open_zoom(out)
    assert len(zoom) == zoom.plan["levels"] and (out / "sheet.png").exists()
    return {
        f"{i} {name}": np.asarray(array).tobytes()
        for i, level in enumerate(zoom.levels)
        for name, array in level.arrays.items()
    }


def table(out: Path) -> dict[str, bytes]:
    """The readings of every run of a sweep, by its swept values."""
    sweep = fj.load_sweep(out)
    assert len({str(run.overrides) for run in sweep}) == len(sweep)
    return {"setting": repr(sweep.config).encode()} | {
        f"{run.overrides} {name}": np.asarray(values).tobytes()
        for run in sweep
        for name, values in run.history.items()
    }


def folder(out: Path) -> dict[str, bytes]:
    """All files but pictures and what tells of the machine."""
    return {str(f.relative_to(out)): f.read_bytes() for f in out.rglob("*") if _kept(f)}


def _kept(file: Path) -> bool:
    """Whether a file holds what was found: no picture, lock, sum, nor member in training."""
    named = file.name not in ("claims", "machine.yaml", "running.npz")
    return file.is_file() and named and file.suffix not in PICTURES and file.name[0] != "."


def _stamp(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_ino, found.st_mtime_ns


READ = {
    "scan": (tiles, field),
    "zoom": (tiles, levels),
    "sweep": (runs, table),
    "search": (members("summary.yaml"), folder),
    "transfer": (targets, folder),
    "grow": (members("members.csv"), folder),
}
