"""An experiment: arms of one training that differ in a few settings, seeds, and claims about them.

question: Does growth at extrema rescue a network that is too sparse to learn?
extends: [defaults.yaml]           # laid below this file
model: {name: masked_mlp, ...}     # the training, in the words of any config
epochs: 50
seeds: 16                          # so many, or a list
over: {model.density: [0.02, 0.1]} # values that every arm takes; an arm that sets its own has that,
                                   # and one that says over: null takes none
arms:
  static: {}
  grown: {growth: embedded}
  random:                          # as many edges as the arm `grown` of the same seed, at random
    growth: random
    take: {from: grown, growth.random.edges: edges_grown}
  bootstrapped:                    # from the network of another arm of the same seed
    start: {from: static, by: decisive, top: 20}
claims: {rescue: grown > static, place: grown > random, enough: static@0.02 ~ static@0.1}
margin: 0.01                       # differences of `measure` below this are none
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fractaljax.config.text import (
    check_imported,
    check_mapping,
    load_plugins,
    parse_override,
    read_extending,
)
from fractaljax.config.to_spec import to_training
from fractaljax.config.to_tree import training_tree
from fractaljax.config.trees import SETTINGS, canonical, layered, merged, nested
from fractaljax.errors import FractaljaxError, at, unknown
from fractaljax.spec import ALIASES, MAX_SEED, Spec, crossed

PLAIN = {
    "name": "",
    "question": "",
    "plugins": [],
    "epochs": 50,
    "seeds": 8,
    "over": {},
    "arms": {},
    "claims": {},
    "measure": "test_accuracy",
    "margin": 0.0,
    "snapshots": False,
}
NOT_READ = {  # -> what to do instead
    "steps": "epochs says how long a training is",
    "seed": "seeds says which",
    "fold": "arms are judged by the validation and test data",
    "metric": "arms are judged by the validation and test data",
    "evaluations": "arms are judged by the validation and test data",
    "axes": "an experiment has no window; it has over",
    "window": "an experiment has no window; it has over",
}
START = {"from": "", "by": "decisive", "top": 20, "second": 10, "strong": 0.7, "weak": 0.3}
BY = ("decisive", "copy")  # how an arm starts from the networks of another one
TAKE = "take"  # of an arm: the arm, and path -> reading of its member of the same seed
BASELINES = (
    "chance",
    "majority",
)  # sides of a claim that are no arms but accuracies
RELATIONS = (">", "<", "~")
_CLAIM = re.compile(r"\s*(\S+)\s*([><~])\s*(\S+)\s*")


class Arm(NamedTuple):
    """One way to train; `steps` of its Spec are not those of the experiment yet."""

    name: str
    spec: Spec
    over: dict[str, tuple[Any, ...]]  # canonical path -> values
    source: str  # the arm whose readings it takes; "" for none
    takes: dict[str, str]  # canonical path -> name of a reading
    start: dict[str, Any]  # as START: whose networks it starts from, and how; {} for its own


class Side(NamedTuple):
    """One side of a claim: an arm, at one of the values or at all."""

    arm: str
    at: str  # "" for all


class Claim(NamedTuple):
    """What is said of two sides, to be judged by the differences between members of a seed."""

    name: str
    one: Side
    relation: str  # of RELATIONS; ~: equal, up to the margin
    other: Side


class Experiment(NamedTuple):
    """An experiment, checked."""

    name: str
    question: str
    arms: dict[str, Arm]
    seeds: tuple[int, ...]
    epochs: int
    measure: str
    margin: float
    claims: tuple[Claim, ...]
    snapshots: bool  # whether the first seed of every arm is kept at its events
    tree: dict[str, Any]  # all of it; `parse_arms` makes the same experiment of it


def read_arms(path: str | Path, overrides: Iterable[str] = ()) -> Experiment:
    """The experiment of a YAML file and those it extends.

    Args:
        overrides: `path=value` texts; they win over the file, in the settings of all arms.

    Raises:
        FractaljaxError: for any key, value or name that is not understood.
    """
    path = Path(path)
    return parse_arms(read_tree(path), path.stem, overrides)


def parse_arms(
    tree: Mapping[str, Any],
    name: str,
    overrides: Iterable[str] = (),
    *,
    stored: Path | None = None,
) -> Experiment:
    """The experiment of a tree of settings; `name` is its name unless it says another.

    Args:
        stored: the folder that the tree was read from, if it is a result and not the user's own
            file: its plugins are never imported.
    """
    if stored is not None:
        check_imported(tree.get("plugins"), stored)
    plain, common = _parted(tree)
    for text in overrides:
        words, value = parse_override(text)
        if words[0] == "over":  # its keys are paths
            words = [words[0], ".".join(words[1:])] if words[1:] else words
        with at(f"override '{text}'"):
            extra, settings = _parted(nested(words, value))
            plain, common = merged(plain, extra), layered(common, settings)
    plain = PLAIN | plain
    load_plugins(plain["plugins"])
    arms = _arms(plain, common)
    experiment = Experiment(
        name=str(plain["name"] or name),
        question=str(plain["question"]),
        arms=arms,
        seeds=_seeds(plain["seeds"]),
        epochs=_whole("epochs", plain["epochs"], 1, 10**6),
        measure=str(plain["measure"]),
        margin=_number("margin", plain["margin"]),
        claims=tuple(_claim(n, text, arms) for n, text in _mapping("claims", plain).items()),
        snapshots=_either("snapshots", plain["snapshots"]),
        tree={},
    )
    told = {**plain, "name": experiment.name, **common}
    return experiment._replace(tree=json.loads(json.dumps(told)))


def describe(arm: Arm) -> dict[str, Any]:
    """The full settings of an arm."""
    return {k: v for k, v in training_tree(arm.spec).items() if k not in NOT_READ}


def read_tree(path: Path, more: Iterable[str] = (), below: tuple[Path, ...] = ()) -> dict[str, Any]:
    """A file laid over those that it extends.

    Args:
        more: words that it may have besides those of an experiment.
    """
    tree, names = read_extending(path, "experiment", below)
    plain: dict[str, Any] = {}
    common: dict[str, Any] = {}
    for text in names:
        extra, settings = _parted(read_tree(path.parent / text, (), (*below, path.resolve())))
        plain, common = merged(plain, extra), layered(common, settings)
    with at(str(path)):
        own = {word: tree.pop(word) for word in more if word in tree}
        extra, settings = _parted(tree)
        for key in ("arms", "claims", "over"):  # of this file alone: arms are not patched
            plain.pop(key, None) if key in extra else None
        return {**own, **merged(plain, extra), **layered(common, settings)}


def _parted(tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What only an experiment has, and the settings of its training, in one spelling."""
    for key in tree:
        if key in NOT_READ:
            raise FractaljaxError(f"{key} is not read: {NOT_READ[key]}")
        if key not in (*PLAIN, *SETTINGS, *ALIASES):
            known = [k for k in (*SETTINGS, *ALIASES) if k not in NOT_READ]
            raise unknown("setting", str(key), ["extends", *PLAIN, *known])
    plain = {key: value for key, value in tree.items() if key in PLAIN}
    return plain, canonical({key: value for key, value in tree.items() if key not in PLAIN})


def _arms(plain: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Arm]:
    blocks = _mapping("arms", plain)
    if not blocks:
        raise FractaljaxError("arms: at least one is needed")
    arms: dict[str, Arm] = {}
    for name, block in blocks.items():
        if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)):
            raise FractaljaxError(f"arms.{name}: a name has letters, digits, _ and - alone")
        with at(f"arms.{name}"):
            check_mapping("an arm", block or {})
            own = dict(block or {})
            take, ranges = own.pop(TAKE, {}), own.pop("over", plain["over"]) or {}
            begin = _start(own.pop("start", {}), arms)
            settings, extra = canonical(own), [k for k in own if k in NOT_READ]
            if extra:
                raise FractaljaxError(f"{extra[0]} is not read: {NOT_READ[extra[0]]}")
            spec = to_training(layered(common, settings))
            if spec.stopping is None:
                raise FractaljaxError("stopping: is needed, to judge by the validation data")
            over = {
                spec.resolve(str(path)): _values(str(path), values)
                for path, values in _mapping("over", {"over": ranges}).items()
                if not _sets(settings, spec.resolve(str(path)))
            }
            for combination in crossed(over):
                spec.updated(combination)
            source, takes = _takes(take, arms, spec)
            if begin and (over or arms[begin["from"]].over):
                raise FractaljaxError("start: not where over has values; they are other networks")
            arms[str(name)] = Arm(str(name), spec, over, source, takes, begin)
    return arms


def _takes(take: Any, arms: Mapping[str, Arm], spec: Spec) -> tuple[str, dict[str, str]]:
    check_mapping(TAKE, take)
    if not take:
        return "", {}
    if "from" not in take:
        raise FractaljaxError(f"{TAKE}: {', '.join(map(str, take))}: an arm is needed beside, from")
    source = str(take["from"])
    if source not in arms:
        raise unknown(f"{TAKE}.from: arm before this one", source, arms)
    return source, {spec.traced(str(k)): str(v) for k, v in take.items() if k != "from"}


def _start(block: Any, arms: Mapping[str, Arm]) -> dict[str, Any]:
    check_mapping("start", block)
    if not block:
        return {}
    for key in block:
        if key not in START:
            raise unknown("setting", f"start.{key}", [f"start.{k}" for k in START])
    found = START | dict(block)
    if found["from"] not in arms:
        raise unknown("start.from: arm before this one", str(found["from"]), arms)
    if found["by"] not in BY:
        raise unknown("start.by", str(found["by"]), BY)
    for key in ("top", "second"):
        found[key] = _whole(f"start.{key}", found[key], 0, 10**6)
    for key in ("strong", "weak"):
        found[key] = _number(f"start.{key}", found[key])
    return found


def _sets(settings: Mapping[str, Any], path: str) -> bool:
    """Whether settings of an arm say what stands at a path."""
    tree: Any = settings
    for key in path.split("."):
        if not (isinstance(tree, Mapping) and key in tree):
            return False
        tree = tree[key]
    return True


def _claim(name: str, text: Any, arms: Mapping[str, Arm]) -> Claim:
    match = _CLAIM.fullmatch(str(text))
    if match is None:
        raise FractaljaxError(f"claims.{name}={text!r}: takes 'arm > arm', with <, > or ~")
    sides = []
    for side in (match[1], match[3]):
        arm, _, value = side.partition("@")
        if arm not in (*arms, *BASELINES):
            raise unknown(f"claims.{name}: arm", arm, [*arms, *BASELINES])
        if value:
            over = arms[arm].over if arm in arms else {}
            known = [str(v) for values in over.values() for v in values]
            if value not in known:
                raise unknown(f"claims.{name}: value of over", value, known)
        sides.append(Side(arm, value))
    return Claim(str(name), sides[0], match[2], sides[1])


def _mapping(key: str, plain: Mapping[str, Any]) -> Mapping[str, Any]:
    check_mapping(key, plain[key] or {})
    return plain[key] or {}


def _values(path: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list) or not values:
        raise FractaljaxError(f"over.{path}={values!r}: takes a list of values")
    return tuple(tuple(v) if isinstance(v, list) else v for v in values)


def _seeds(value: Any) -> tuple[int, ...]:
    if isinstance(value, list):
        found = tuple(_whole("seeds", seed, 0, MAX_SEED) for seed in value)
        if not found or len(set(found)) < len(found):
            raise FractaljaxError(f"seeds={value}: takes each once, and at least one")
        return found
    return tuple(range(_whole("seeds", value, 1, 10**6)))


def _either(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise FractaljaxError(f"{key}={value!r}: takes true or false")
    return value


def _whole(where: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise FractaljaxError(f"{where}={value!r}: takes a whole number, {low} to {high}")
    return value


def _number(where: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = -1.0
    if isinstance(value, bool) or not 0 <= found < float("inf"):
        raise FractaljaxError(f"{where}={value!r}: takes a number of at least 0")
    return found
