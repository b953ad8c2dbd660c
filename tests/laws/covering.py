"""Few trainings that hold all parts, and every pair of those that can be combined freely.

`STILL` is a covering array: every pair of a model, optimiser, problem, schedule, rule and stopping
that fits together is in one of its trainings, with all folds; teachers and callbacks take turns.
`GROWING` has every growth, when, where and rates in turn: a pair of every two of them would take
over two hundred trainings. `EACH` is enough where parts do not meet: it holds every part. A part
that is added is in here by itself.
"""

import dataclasses
import itertools
import random
from collections.abc import Iterable, Mapping
from typing import Any

from fractaljax import registry
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec

STEPS = 12  # enough for a fold's tail to begin and for momentum to matter
TRIES = 40  # completions of a pair; without one that is allowed, the two do not fit together
SIZES = {  # so that compiling takes longer than training
    "mlp": {"width": 4},
    "deep_linear": {"num_hidden": 1, "hidden_dim": 4},
    "masked_mlp": {"widths": (6, 4, 5), "start": (4, 0, 3), "density": 0.5},
    "random_regression": {"points": 9, "inputs": 4, "batch": 5, "sampling": "passes"},
    "synthetic_classes": {"points": 30, "inputs": 4, "batch": 8, "sampling": "passes"},
    "digits": {"points": 30, "pool": 4, "batch": 8, "sampling": "passes"},
    "teacher": {
        **{"in_dim": 3, "out_dim": 3, "train_samples": 12, "test_samples": 6},
        **{"batch": 4, "sampling": "replacement"},
    },
}
GROWN = {  # so that networks do grow within `STEPS` epochs of one step
    "extrema": {"high": 0.0, "low": 0.5},
    "embedded": {"dead": 0.9, "saturated": 0.9},
    "patches": {"size": 2.0, "targets": 2.0, "inputs": 2.0},
    "every": {"epochs": 4},
    "at": {"epoch": 4.0},
    "spike": {"threshold": 0.0, "window": 2},
    "credits": {"cost": 5.0, "window": 2, "cooldown": 3.0},
    "plateau": {"patience": 1.0, "gain": 1.0, "epochs": 4, "target": 2.0},
}
ADDERS = ("embedded",)  # stand before what removes or follows, so that there is something to do
FOLLOWERS = ("prune", "random")
ON_DISK = ("tfds",)  # problems that need files: see tests/parts/test_datasets.py
Row = dict[str, str | None]  # role -> part; None where the Spec is without


def named(role: str) -> list[str]:
    """The parts of a role that train here."""
    return [name for name in registry.names(role) if name not in ON_DISK]


def part(name: str, **more: Any) -> Part:
    """A part in its small size."""
    return Part(name, **SIZES.get(name, {}) | GROWN.get(name, {}) | more)


def spec(row: Row) -> Spec | None:
    """A training of these parts; None where they do not fit together."""
    held = {"validation": 4} if row["stopping"] else {}
    others = {r: part(n) if n else None for r, n in row.items() if r not in ("problem", "model")}
    try:
        return Spec(
            model=part(row["model"]),
            problem=part(row["problem"], **held),
            fold=tuple(map(Part, registry.names("fold"))),
            steps=STEPS,
            dtype="float64",
            **others,
        )
    except FractaljaxError:
        return None


def pairs(row: Row) -> set[tuple]:
    """All pairs of parts in a row."""
    return set(itertools.combinations(sorted(row.items()), 2))


def paired(levels: Mapping[str, list[str | None]]) -> list[Row]:
    """Rows of one level a role, so that every pair of levels that fits is in one of them."""
    chance, rows, roles = random.Random(0), [], sorted(levels)
    wanted = [
        ((a, x), (b, y))
        for a, b in itertools.combinations(roles, 2)
        for x, y in itertools.product(levels[a], levels[b])
    ]
    chance.shuffle(wanted)
    missing = dict.fromkeys(wanted)
    while missing:
        pair = next(iter(missing))
        tries = [
            {role: chance.choice(levels[role]) for role in roles} | dict(pair) for _ in range(TRIES)
        ]
        tries.sort(key=lambda row: -len(pairs(row) & missing.keys()))
        row = next(filter(spec, tries), None)
        if row:
            rows.append(row)
        for found in pairs(row) if row else {pair}:
            missing.pop(found, None)
    return rows


def still() -> list[Spec]:
    """Networks that do not grow."""
    levels = {role: named(role) for role in ("model", "optimizer", "problem", "schedule")}
    levels |= {role: [None, *named(role)] for role in ("rule", "stopping")}
    specs = [spec(row) for row in paired(levels)]
    teachers = itertools.cycle(registry.names("teacher"))
    switching = [name for name in registry.names("callback") if "switch" in name]
    anywhere = [name for name in registry.names("callback") if "switch" not in name]
    taught, other = itertools.cycle([None, *switching]), itertools.cycle([None, *anywhere])
    for i, one in enumerate(specs):
        callback = next(other)
        if one.problem.name == "teacher":
            matrix = Part("teacher", **dict(one.problem.args) | {"matrix": next(teachers)})
            one, callback = dataclasses.replace(one, problem=matrix), next(taught)
        specs[i] = dataclasses.replace(one, callback=(Part(callback),) if callback else ())
    return specs


def growing() -> list[Spec]:
    """Networks that grow."""
    rates, whens = [None, *registry.names("rates")], registry.names("when")
    growths, optimizers = registry.names("growth"), registry.names("optimizer")
    schedules, specs = registry.names("schedule"), []
    for i, rate in enumerate(rates):
        own = growths[i :: len(rates)]
        own = [*ADDERS, *own] if {*own} & {*FOLLOWERS} else own
        one = Spec(
            model=part("masked_mlp"),
            problem=Part("random_regression", points=8, inputs=4),
            optimizer=Part(optimizers[i % len(optimizers)]),
            schedule=Part(schedules[i % len(schedules)]),
            growth=tuple(map(part, own)),
            when=part(whens[i % len(whens)]),
            rates=Part(rate) if rate else None,
            steps=STEPS,
            dtype="float64",
        )
        specs.append(dataclasses.replace(one, where=one.where and part("extrema")))
    return specs


def title(one: Spec) -> str:
    """The parts of a Spec, for the name of its test."""
    roles = ("model", "problem", "optimizer", "schedule", "rule", "stopping", "when", "rates")
    parts = [getattr(one, role) for role in roles] + [*one.growth, *one.callback]
    return "-".join(p.name for p in parts if p)


def parts_of(specs: Iterable[Spec]) -> set[tuple[str, str]]:
    """`(role, name)` of every part in these Specs, teachers among them."""
    found = set()
    for one in specs:
        found |= {(prefix.split(".")[0], p.name) for prefix, p in one.parts()}
        if one.problem.name == "teacher":
            found.add(("teacher", one.problem["matrix"]))
    return found


def each(specs: list[Spec]) -> list[Spec]:
    """Few of these Specs that hold every part of them."""
    chosen, missing = [], parts_of(specs)
    while missing:
        chosen.append(max(specs, key=lambda one: len(parts_of([one]) & missing)))
        missing -= parts_of(chosen)
    return chosen


STILL, GROWING = still(), growing()
EACH = each([*STILL, *GROWING])
