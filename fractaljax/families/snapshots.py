"""Networks as they were when they grew: all that training needs to go on from there.

FOLDER/snapshots/seed_S/epoch_E.npz      every array of the state, by its place and name
FOLDER/snapshots/seed_S/epoch_E.yaml     training, values, scaling; written last
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fractaljax import config, contents
from fractaljax.config.files import named_files
from fractaljax.config.layers import PLAIN
from fractaljax.config.to_spec import to_training
from fractaljax.config.trees import canonical
from fractaljax.engine import cohort, growth, plan, program, train
from fractaljax.engine.hparams import packed, unpacked
from fractaljax.errors import FractaljaxError
from fractaljax.families import members
from fractaljax.spec import Spec
from fractaljax.store import disk, origins
from fractaljax.store import study_folder as files
from fractaljax.types import State, Tree

FOLDER = "snapshots"


class Snapshot(NamedTuple):
    """One network in training."""

    spec: Spec
    values: dict[str, float]  # path -> value
    epoch: int
    state: State
    scaling: dict[str, float] | None  # of what was read: x is (raw - offset) / scale
    columns: tuple[str, ...]  # of `state.anatomy.ledger`
    files: tuple[Any, ...] = ()  # digests of what it was trained with, as `origins.as_list`


def keep(
    spec: Spec,
    names: Sequence[str],
    points: np.ndarray,
    folder: Path,
    member: int,
    epoch: int,
    state: State,
) -> None:
    """Writes the first member of a batch as it is after an event."""
    values = dict(zip(names, map(float, points[member]), strict=True))
    if member:
        return
    path = folder / FOLDER / f"seed_{int(values.get('seed', spec.seed))}" / f"epoch_{epoch:05d}"
    with disk.on_disk(path):
        path.parent.parent.mkdir(exist_ok=True)
    files.write_arrays(path.with_suffix(".npz"), _named(state))
    about = {
        "training": config.training_tree(spec),
        "values": values,
        "epoch": epoch,
        "scaling": members.scaling(spec),
        "ledger": list(growth.columns(spec)),
        "files": origins.as_list(named_files([spec])),
    }
    files.write_tree(path.with_suffix(".yaml"), about)


def load_snapshot(path: str | Path) -> Snapshot:
    """A network as it was after an event.

    Args:
        path: of the `.yaml` or the `.npz` of a snapshot.

    Raises:
        FractaljaxError: it is damaged, or not of this version.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, false for names that are too long
        raise FractaljaxError(f"{path}: no snapshot here")
    path = Path(path).with_suffix(".yaml")
    about = files.read_tree(path)
    if lacking := {"training", "values", "epoch", "scaling", "ledger"} - set(about):
        raise FractaljaxError(f"{path}: no snapshot here (it does not say {min(lacking)})")
    tree = {k: v for k, v in about["training"].items() if k not in PLAIN}
    spec = to_training(canonical(tree))
    plan.prepare(spec.dtype)
    arrays = files.read_arrays(path.with_suffix(".npz"))
    if arrays is None:
        raise FractaljaxError(f"{path.with_suffix('.npz')} is missing or damaged")
    names = tuple(about["values"])
    shapes = _shapes(spec, names)
    leaves = []
    for where, leaf in jax.tree_util.tree_leaves_with_path(shapes):
        found = arrays.get(jax.tree_util.keystr(where))
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            raise FractaljaxError(
                f"{path}: {jax.tree_util.keystr(where)} is "
                + ("missing" if found is None else f"{found.shape}, needed is {leaf.shape}")
            )
        leaves.append(found)
    state = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    scaling = about["scaling"]
    return Snapshot(
        spec,
        dict(about["values"]),
        int(about["epoch"]),
        state,
        scaling,
        tuple(about["ledger"]),
        tuple(about.get("files", ())),
    )


def resume(snapshot: Snapshot, *, chunk: int | None = None) -> cohort.Member:
    """Trains on from a snapshot to the end of its training, bit for bit as it went then where
    chunk and backend are the same.

    Raises:
        FractaljaxError: its data, or another file of its settings, are not what they were.
    """
    known = origins.from_list(snapshot.files)
    origins.check("this network", named_files([snapshot.spec]), known, "Grow it anew")
    names = list(snapshot.values)
    points = np.array([[snapshot.values[name] for name in names]])
    plan.prepare(snapshot.spec.dtype)
    curves = np.full((1, snapshot.epoch, len(cohort.CURVES)), np.nan)
    leaves = [np.asarray(leaf)[None] for leaf in jax.tree.leaves(snapshot.state)]
    arrays: dict[str, Any] = {
        "epoch": np.array(snapshot.epoch),
        "alive": np.array([0]),
        "curves": curves,
        "ended": np.array([], int),
    }
    arrays |= {f"state_{i:03d}": leaf for i, leaf in enumerate(leaves)}
    return cohort.train_cohort(
        snapshot.spec, names, points, chunk=chunk, checkpoint=_Loaded(arrays)
    )[0]


class _Loaded:
    """A checkpoint that is read and never written."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def load(self) -> dict[str, np.ndarray]:
        return self._arrays

    def save(self, arrays: Any) -> None:
        del arrays


def _named(state: State) -> dict[str, np.ndarray]:
    """Every array under its place in the state."""
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(where): np.asarray(leaf) for where, leaf in leaves}


@contents.derived(maxsize=16)
def _shapes(spec: Spec, names: tuple[str, ...]) -> Tree:
    """What the state of one network looks like."""
    common = program.common_of(spec, names)

    def begin(values: Any) -> State:
        hparams = unpacked(names, values)
        words = jnp.zeros(0, jnp.uint32)
        return train.begin(spec, hparams, train.drawn(spec, common, hparams, words))

    return jax.eval_shape(begin, packed(np.zeros((1, len(names))), names, spec.dtype)[0])
