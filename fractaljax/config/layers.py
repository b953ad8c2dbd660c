"""The files of a study: which extends which, whose words are whose, and what a later one changes.

Plain dictionaries only; `study` makes of them what is trained.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fractaljax.config.text import check_mapping, read_extending
from fractaljax.config.trees import SETTINGS, canonical, layered, merged, nested
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.spec import ALIASES, PART_ROLES

PHASES = ("search", "retrain", "transfer")
PLAIN = ("name", "plugins", "epochs", "architectures", "space", *PHASES)  # only a study has these
WIDTHS = "_layer_widths"  # of a key that holds a list of lists of widths
SPELLINGS = {  # as configs of the published study write it -> here
    "project_name": "name",
    "training.batch_size": "problem.batch",
    "training.max_epochs": "epochs",
    "training.patience": "stopping.patience",
    "training.min_delta": "stopping.min_delta",
    "training.val_interval": "stopping.interval",
    "training.val_schedule": "stopping.schedule",
    "training.optimizer": "optimizer.name",
    "training.loss": "problem.loss",
    "data.val_size": "problem.validation",
    "num_trials": "search.trials",
    "search.num_trials": "search.trials",
}
_LOOKS = "a study looks at the validation loss alone, when stopping says"
_FIXED = "the search draws it; one for all trials is optimizer."
_SPACE = "a study has no window; it has a space"
_KEPT = "pictures and the best weights are always kept"
_MEMORY = "the data are read into memory once"
_OWN = "values of one architecture are its own: architectures: {name: {model.widths: [...], "
NOT_READ = {  # -> what to do instead
    "steps": "epochs says how long a training is",
    "seed": "search.seed is that of every trial, search.draw_seed that of the draws",
    "fold": _LOOKS,
    "metric": _LOOKS,
    "evaluations": _LOOKS,
    "axes": _SPACE,
    "window": _SPACE,
    "phase": "fractaljax search, fractaljax transfer, and fractaljax run-transfer for both",
    "device": "JAX takes the accelerator that it finds; --devices says how many",
    "deterministic": "a study gives the same bits again on the same backend",
    "output_dir": "--out says where results go",
    "adamw": "what is searched is in the block space",
    "dropouts": _OWN + "model.dropout: 0.1}}",
    "leaky_relu_alphas": _OWN + "model.slope: 0.01}}",
    "training.log_interval": "progress is shown after every look at the validation data",
    "training.lr": f"{_FIXED}lr",
    "training.betas": f"{_FIXED}beta1 and optimizer.beta2",
    "training.eps": f"{_FIXED}eps",
    "training.weight_decay": f"{_FIXED}weight_decay",
    "data.root": "problem.data_dir and problem.manual_dir say where tfds finds a set",
    "data.train_size": "what is not held out is trained on",
    "data.preload": _MEMORY,
    "data.num_workers": _MEMORY,
    "data.pin_memory": _MEMORY,
    "data.prefetch_factor": _MEMORY,
    "data.persistent_workers": _MEMORY,
    "evaluation": "validation and test data are judged whole, not in batches",
    "artifacts": _KEPT,
    "transfer.search_dir": "fractaljax transfer takes the folder of a search",
}


def read_layers(path: Path, below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The settings of a file laid over those of the files that it extends, in `laid`'s form.

    Raises:
        FractaljaxError: with the file, and what in it is not understood.
    """
    tree, names = read_extending(path, "study", below)
    found: dict[str, Any] = {}
    for name in names:
        found = laid(found, read_layers(path.parent / name, (*below, path.resolve())))
    with at(str(path)):
        return laid(found, tree)


def laid(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a study over others, block by block.

    Architectures take the place of those before. Choices of the space take the place of a range,
    a range that of choices, and null takes a value out of it.

    Args:
        base: a result of this function, or nothing.
        patch: in any words that are understood.
    """
    patch = _own_words(patch)
    base_plain, base_settings = _parted(base)
    plain, settings = _parted(patch)
    result = merged(base_plain, plain)
    if "architectures" in plain:
        result["architectures"] = plain["architectures"]
    if "space" in plain:
        result["space"] = _laid_space(base_plain.get("space") or {}, plain["space"])
    return {**result, **_laid_training(base_settings, settings)}


def _own_words(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with one spelling a setting."""
    plain: dict[str, Any] = {}
    training: dict[str, Any] = {}
    others: list[tuple[str, Any]] = []
    for path, value in _entries(tree):
        key, _, inner = path.partition(".")
        if path in NOT_READ:
            raise FractaljaxError(f"{path} is not read: {NOT_READ[path]}")
        if path in SPELLINGS:
            if _holds(tree, SPELLINGS[path]):
                raise FractaljaxError(
                    f"{path} and {SPELLINGS[path]} are one setting; give one of them"
                )
            others.append((SPELLINGS[path], value))
        elif inner and key not in PHASES:
            known = [word for word in (*SPELLINGS, *NOT_READ) if word.startswith(f"{key}.")]
            raise unknown("setting", path, known)
        elif key in PLAIN:
            plain = merged(plain, nested(path.split("."), value))
        elif key.endswith(WIDTHS):
            plain = merged(plain, {"architectures": {key: value}})
        elif key in SETTINGS or key in ALIASES:
            training[key] = value
        else:
            raise unknown("setting", key, ["extends", *PLAIN, *SETTINGS, *ALIASES])
    training = canonical(training)
    for path, value in others:
        words = _translated(path, value)
        if next(iter(words)) in PLAIN:
            plain = merged(plain, words)
        else:
            training = _laid_training(training, words)
    return {**plain, **training}


def _entries(tree: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Settings by path; blocks in which another's words may stand one by one."""
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if "." in str(key):
            raise FractaljaxError(f"'{key}': a path is for overrides; in a file it is a block")
        if key in ("training", "data", "search", "transfer"):
            check_mapping(key, value)
            found += [(f"{key}.{inner}", one) for inner, one in value.items()]
        else:
            found.append((str(key), value))
    return found


def _holds(tree: Any, path: str) -> bool:
    for key in path.split("."):
        if not (isinstance(tree, Mapping) and key in tree):
            return False
        tree = tree[key]
    return True


def _translated(path: str, value: Any) -> dict[str, Any]:
    if path == "stopping.schedule":
        value = _published_schedule(value)
    tree = nested(path.split("."), value)
    if "stopping" in tree:
        tree["stopping"]["name"] = "patience"  # the only one that study had
    return tree


def _published_schedule(value: Any) -> list[list[int]]:
    """`[{until_epoch: 100, interval: 5}, {interval: 4}]` without its last part, which is
    `stopping.interval`."""
    try:
        return [[entry["until_epoch"], entry["interval"]] for entry in value]
    except (TypeError, KeyError):
        raise FractaljaxError(
            f"training.val_schedule={value!r}: takes [{{until_epoch: 100, interval: 5}}, ...]; "
            "what holds after the last is training.val_interval"
        ) from None


def _parted(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What only a study has, and the settings of its training."""
    plain = {key: value for key, value in tree.items() if key in PLAIN}
    return plain, {key: value for key, value in tree.items() if key not in PLAIN}


def _laid_training(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`layered`, where arguments below are those of the part that is named only above."""
    base = dict(base)
    for role in PART_ROLES:
        old, new = base.get(role), patch.get(role)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and "name" not in old:
            base[role] = {**old, **({"name": new["name"]} if "name" in new else {})}
    return layered(base, patch)


def _laid_space(base: Mapping[str, Any], patch: Any) -> dict[str, Any]:
    check_mapping("space", patch)
    kept = {}
    for name, old in base.items():
        new = patch.get(name, {})
        gone: tuple[str, ...] = ()
        if isinstance(new, Mapping) and "choices" in new:
            gone = ("min", "max", "scale")
        elif isinstance(new, Mapping) and "min" in new:
            gone = ("choices",)
        kept[name] = {key: one for key, one in old.items() if key not in gone}
    tree = merged(kept, patch)
    for name, entry in tree.items():
        if entry is not None:
            check_mapping(f"space.{name}", entry)
    return {name: entry for name, entry in tree.items() if entry is not None}
