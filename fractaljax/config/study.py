"""A study: one training, several architectures, a space to search, and seeds.

extends: [defaults.yaml, search_space.yaml]     # laid below this file, in this order
problem: {name: digits, batch: 128, ...}        # the training, in the words of any config
epochs: 200
architectures: [[48, 40, 24], [64, 32, 16]]
space: {lr: {path: optimizer.lr, min: 1e-5, max: 3e-2, scale: log}, ...}
search: {trials: 30, seed: 1}
retrain: {seeds: [1, 2, 3]}
transfer: {seeds: [1, 2, 3]}
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.config.architectures import difference, parse_architectures
from fractaljax.config.layers import NOT_READ, PHASES, PLAIN, laid, read_layers
from fractaljax.config.space import Dimension, parse_space
from fractaljax.config.text import check_imported, check_mapping, load_plugins, parse_override
from fractaljax.config.to_spec import to_training
from fractaljax.config.to_tree import training_tree
from fractaljax.config.trees import nested
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.spec import MAX_SEED, Spec

DEFAULTS = {  # of the phases
    "search": {"trials": 30, "seed": 1, "draw_seed": 1, "sampler": "random", "batch": 0},
    "retrain": {"seeds": [1, 2, 3, 4, 5]},
    "transfer": {"seeds": [1, 2, 3, 4, 5]},
}
EPOCHS = 1000
LEARNING = ("tpe", "cmaes")  # samplers that learn from trials before
SAMPLERS = ("random", "qmc", *LEARNING)
MAX_EPOCHS, MAX_TRIALS = 10**6, 10**6


class Study(NamedTuple):
    """A study, checked; hyperparameters stand at the defaults of the Specs."""

    name: str
    specs: dict[str, Spec]  # architecture -> its training, without its number of steps
    epochs: int
    space: tuple[Dimension, ...]
    trials: int  # of each architecture
    search_seed: int  # of every trial's training
    draw_seed: int  # of the sampler
    sampler: str
    batch: int  # trials that are asked for at once; 0: all
    retrain_seeds: tuple[int, ...]
    transfer_seeds: tuple[int, ...]
    tree: dict[str, Any]  # all of it; `parse_study` makes the same study of it


def read_study(path: str | Path, overrides: Iterable[str] = ()) -> Study:
    """The study of a YAML file and those it extends.

    Args:
        overrides: `path=value` texts; they win over the file.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    path = Path(path)
    return parse_study(read_layers(path), path.stem, overrides)


def parse_study(
    tree: Mapping[str, Any],
    name: str,
    overrides: Iterable[str] = (),
    *,
    stored: Path | None = None,
) -> Study:
    """The study of a tree of settings; `name` is its name unless it says another.

    Args:
        stored: the folder that the tree was read from, if it is a result and not the user's own
            file: its plugins are never imported.
    """
    if stored is not None:
        check_imported(tree.get("plugins"), stored)
    tree = laid({}, tree)
    for text in overrides:
        words, value = parse_override(text)
        with at(f"override '{text}'"):
            tree = laid(tree, nested(words, value))
    load_plugins(tree.get("plugins", []))
    blocks = {phase: _block(phase, tree.get(phase)) for phase in PHASES}
    search = blocks["search"]
    seed = _whole("search.seed", search["seed"], 0, MAX_SEED)
    base = _training(tree, seed)
    specs = parse_architectures(tree.get("architectures"), base)
    study = Study(
        name=_name(tree.get("name", name)),
        specs=specs,
        epochs=_whole("epochs", tree.get("epochs", EPOCHS), 1, MAX_EPOCHS),
        space=_space(tree.get("space"), specs),
        trials=_whole("search.trials", search["trials"], 1, MAX_TRIALS),
        search_seed=seed,
        draw_seed=_whole("search.draw_seed", search["draw_seed"], 0, MAX_SEED),
        sampler=str(search["sampler"]),
        batch=_whole("search.batch", search["batch"], 0, MAX_TRIALS),
        retrain_seeds=_seeds("retrain.seeds", blocks["retrain"]["seeds"]),
        transfer_seeds=_seeds("transfer.seeds", blocks["transfer"]["seeds"]),
        tree={},
    )
    _check_sampler(study)
    return study._replace(tree=_tree(study, base, tree, blocks))


def _tree(
    study: Study, base: Spec, tree: Mapping[str, Any], blocks: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole study as text has it."""
    training = {k: v for k, v in training_tree(base).items() if k not in NOT_READ}
    told = {
        "name": study.name,
        "plugins": tree.get("plugins", []),
        **training,
        "epochs": study.epochs,
        "architectures": {a: difference(base, spec) for a, spec in study.specs.items()},
        "space": tree["space"],
        **blocks,
    }
    return json.loads(json.dumps(told))


def _training(tree: Mapping[str, Any], seed: int) -> Spec:
    """What all architectures share, with the seed of the search."""
    settings = {key: value for key, value in tree.items() if key not in PLAIN}
    spec = to_training({**settings, "seed": seed, "fold": {}})
    if spec.data_seed is None:  # points are held out once, for all seeds
        spec = spec.updated({"data_seed": seed})
    if spec.stopping is None:
        raise FractaljaxError("stopping: a study needs it, as in stopping: patience")
    known, name = spec.paths(), spec.problem.name
    if not known.get("problem.validation", True):
        raise FractaljaxError(f"problem.validation=0: a study needs points of {name} held out")
    if not (known.get("problem.test", True) and known.get("problem.test_split", True)):
        path = "test" if "problem.test" in known else "test_split"
        raise FractaljaxError(f"problem.{path}: a study needs test data of {name}")
    with at("retrain.seeds"):
        spec.traced("seed")
    return spec


def _space(given: Any, specs: Mapping[str, Spec]) -> tuple[Dimension, ...]:
    """The space, which every architecture must have."""
    found = ()
    for name, spec in specs.items():
        with at(f"architectures.{name}"):
            space = parse_space(given or {}, spec)
            if found and space != found:
                raise FractaljaxError("the names of the space mean other paths than before")
            found = space
    for dimension in found:
        if len({spec.paths()[dimension.path] for spec in specs.values()}) > 1:
            raise FractaljaxError(
                f"space.{dimension.name}: {dimension.path} is that of an architecture"
            )
    return found


def _check_sampler(study: Study) -> None:
    if study.sampler not in SAMPLERS:
        raise unknown("sampler (search.sampler)", study.sampler, SAMPLERS)
    if study.sampler in LEARNING and not 0 < study.batch < study.trials:
        raise FractaljaxError(
            f"search.batch={study.batch}: {study.sampler} learns between batches; give one from 1 "
            f"to {study.trials - 1} (search.trials={study.trials})"
        )


def _block(phase: str, given: Any) -> dict[str, Any]:
    check_mapping(phase, given or {})
    for word in given or {}:
        if word not in DEFAULTS[phase]:
            raise unknown("setting", f"{phase}.{word}", [f"{phase}.{k}" for k in DEFAULTS[phase]])
    return {**DEFAULTS[phase], **(given or {})}


def _name(value: Any) -> str:
    plain = isinstance(value, str) and "\0" not in value
    if not plain or value in ("", ".", "..") or Path(value).name != value:
        raise FractaljaxError(f"name={value!r}: must be a text that can name a folder")
    return value


def _seeds(where: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not value:
        raise FractaljaxError(f"{where}={value!r}: takes a list of whole numbers")
    seeds = tuple(_whole(where, one, 0, MAX_SEED) for one in value)
    if len(set(seeds)) < len(seeds):
        raise FractaljaxError(f"{where}={value}: a seed is given twice")
    return seeds


def _whole(where: str, value: Any, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise FractaljaxError(f"{where}={value!r}: takes a whole number from {least} to {most}")
    return value
