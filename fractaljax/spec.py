"""Part and Spec: what one training is. Frozen and hashable: a Spec is the compile key.

A *path* is the one address of a value, `role.argument` (`fold.<name>.<argument>` for folds) or a
bare field of Spec; it is the same in YAML, on the command line, on an axis and in an error.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pydantic

from fractaljax import registry
from fractaljax.errors import FractaljaxError, at, unknown

ALIASES = {  # as the literature writes them; the first path that the Spec has is meant
    "LR0": ("optimizer.lr_in",),
    "LR1": ("optimizer.lr_out",),
    "LR_MID": ("optimizer.lr_mid",),
    "LR": ("optimizer.lr",),
    "MOMENTUM": ("optimizer.momentum",),
    "WEIGHT_DECAY": ("optimizer.weight_decay",),
    "BETA1": ("optimizer.beta1",),
    "BETA2": ("optimizer.beta2",),
    "EPS": ("optimizer.eps",),
    "INIT_OFFSET": ("rule.offset", "model.init_offset"),
    "INIT_SCALE": ("model.init_scale",),
    "GAMMA": ("model.gamma",),
}
MAX_STEPS = 10**9
MAX_WHOLE = 2**63 - 1  # no array is longer; products of a few are still floats


@dataclasses.dataclass(frozen=True, init=False)
class Part:
    """A named component and its arguments: `Part("mlp", width=16)`.

    Example:
        >>> fj.Part("mlp", width=16)["width"]
        16
    """

    name: str
    args: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, /, **args: Any):
        object.__setattr__(self, "name", name)
        frozen = {k: _frozen(v) for k, v in args.items()}
        object.__setattr__(self, "args", tuple(sorted(frozen.items())))

    def __getitem__(self, argument: str) -> Any:
        args = dict(self.args)
        if argument not in args:
            raise unknown(f"argument of '{self.name}'", argument, args)
        return args[argument]


@dataclasses.dataclass(frozen=True)
class Spec:
    """One training, complete: every argument of every part is checked and filled in.

    Args:
        model, problem, optimizer, schedule: parts of these roles.
        rule: a change of the weights during training, or None.
        growth: how the network itself changes when it grows; several, in their order.
        when, where: what decides when it grows (default: every few epochs), and at which units
            (default: at extrema of their activity); None where nothing grows.
        rates: factors on the learning rate of single weights, or None.
        stopping: when training ends early, by the loss on validation data, or None.
        fold: what is recorded of every step; several at once are allowed.
        metric: what is evaluated every so many steps, as curves; several at once.
        callback: what changes at some step: the size of the batches, the learning rate.
        steps: updates of the weights, `T`.
        evaluations: how often metrics are evaluated, at steps 0, k, 2 k, ... with
            `k = max(1, steps // evaluations)`; 0 where there are no metrics.
        seed: root of all random streams; may be an axis.
        data_seed, model_seed, batch_seed: roots of single streams instead; may be axes too.
        dtype: `float32` or `float64`, of weights, data and readings.
        redraw: every pixel has weights, data and batches of its own, a function of its values.
        draws: `fold_in` (a stream a purpose), or `legacy`: keys and generator of the paper's
            published notebook (JAX before 0.5), where `batches` do not depend on the seed.

    Raises:
        FractaljaxError: with the path, what it takes and the nearest name.

    Example:
        >>> spec = fj.Spec(model=fj.Part("mlp", width=8), steps=100)
        >>> spec.model["activation"]  # filled in
        'tanh'
        >>> spec.resolve("LR0")
        'optimizer.lr_in'
        >>> spec.updated({"model.width": 4}).model["width"]
        4
        >>> fj.Spec(model=fj.Part("mlp", widht=8))
        Traceback (most recent call last):
        fractaljax.errors.FractaljaxError: unknown argument of model 'mlp' 'model.widht'. ...
    """

    model: Part = Part("mlp")
    problem: Part = Part("random_regression")
    optimizer: Part = Part("sgd")
    schedule: Part = Part("constant")
    rule: Part | None = None
    when: Part | None = None
    where: Part | None = None
    growth: tuple[Part, ...] = ()
    rates: Part | None = None
    stopping: Part | None = None
    fold: tuple[Part, ...] = (Part("measure"),)
    metric: tuple[Part, ...] = ()
    callback: tuple[Part, ...] = ()
    steps: int = 500
    evaluations: int = 0
    seed: int = 0
    data_seed: int | None = None
    model_seed: int | None = None
    batch_seed: int | None = None
    dtype: str = "float32"
    redraw: bool = False
    draws: str = "fold_in"

    def __post_init__(self):
        for name in FIELDS:
            value = _convert(name, FIELDS[name], getattr(self, name))
            object.__setattr__(self, name, value)
        if not 1 <= self.steps <= MAX_STEPS:
            raise FractaljaxError(f"steps={self.steps}: allowed are 1 to {MAX_STEPS}")
        for name in SEEDS:
            if not 0 <= (getattr(self, name) or 0) <= MAX_SEED:
                raise FractaljaxError(f"{name}={getattr(self, name)}: allowed are 0 to {MAX_SEED}")
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise unknown(name, getattr(self, name), allowed)
        if self.redraw and self.draws == "legacy":
            raise FractaljaxError(
                "redraw: true needs draws: fold_in; the legacy draws are one for all"
            )
        if self.draws == "legacy":
            for name in SEEDS[1:]:
                if getattr(self, name) is not None:
                    raise FractaljaxError(
                        f"{name} is not read: draws is legacy, which has one seed"
                    )
        for role in PART_ROLES:
            part = getattr(self, role)
            if part is not None or role not in OPTIONAL_ROLES:
                object.__setattr__(self, role, _filled(role, role, part))
        for role in MANY_ROLES:
            object.__setattr__(self, role, filled_many(role, getattr(self, role)))
        self._check_growth()
        if self.stopping is not None and self.metric:
            raise FractaljaxError(
                "stopping: curves of metrics have the same steps for all networks, so that none "
                "may stop early; leave one of the two out"
            )
        if bool(self.metric) != bool(self.evaluations) or self.evaluations < 0:
            needed = "above 0" if self.metric else "0: there is no metric"
            raise FractaljaxError(f"evaluations={self.evaluations}: must be {needed}")

    def _check_growth(self) -> None:
        """Fills in when and where a network grows; refuses what nobody would read."""
        placed = any(growth.placed for growth in build(self, "growth", {}))
        for role, read, default in (
            ("when", bool(self.growth), "every"),
            ("where", placed, "extrema"),
        ):
            if getattr(self, role) is not None and not read:
                raise FractaljaxError(f"{role} is not read: no growth asks for it")
            if getattr(self, role) is None and read:
                object.__setattr__(self, role, _filled(role, role, Part(default)))
        asked = "growth" if self.growth else "rates" if self.rates else None
        if asked and build(self, "model", {}).masks is None:
            raise FractaljaxError(
                f"{asked}: model '{self.model.name}' has no masks; masked_mlp has"
            )
        if asked and self.metric:
            raise FractaljaxError(
                f"{asked} and metric: a network grows after whole epochs, metrics are evaluated "
                "at steps of their own; leave one of the two out"
            )

    @property
    def every(self) -> int:
        """Steps between two evaluations of the metrics, the first at step 0."""
        return max(1, self.steps // self.evaluations) if self.evaluations else self.steps

    @property
    def evaluated(self) -> range:
        """The steps at which metrics are evaluated, `K` of them, before the step's update."""
        return range(0, self.steps if self.evaluations else 0, self.every)

    def parts(self) -> Iterable[tuple[str, Part]]:
        """`(prefix of its paths, part)` for every part of the Spec."""
        for role in PART_ROLES:
            if getattr(self, role) is not None:
                yield role, getattr(self, role)
        for role in MANY_ROLES:
            for part in getattr(self, role):
                yield f"{role}.{part.name}", part

    def paths(self) -> dict[str, Any]:
        """Every path of the Spec and its value."""
        values = {f"{prefix}.{k}": v for prefix, part in self.parts() for k, v in part.args}
        return values | {name: getattr(self, name) for name in FIELDS}

    def resolve(self, name: str) -> str:
        """The canonical path of a path or alias; raises with the nearest name."""
        known = self.paths()
        for path in ALIASES.get(name.upper() if "." not in name else "", (name,)):
            if path in known:
                return path
        aliases = [a for a, paths in ALIASES.items() if any(p in known for p in paths)]
        raise unknown("path", name, [*known, *aliases])

    def traced(self, name: str) -> str:
        """`resolve`, for an axis: raises unless the value may be traced."""
        path = self.resolve(name)
        can = [p for p in self.paths() if self._may_trace(p)]
        if path not in can:
            raise FractaljaxError(
                f"{path} is static (a facet: give it a list instead). "
                f"An axis may be: {', '.join(can)}."
            )
        return path

    def batched(self, path: str) -> bool:
        """Whether a sweep takes values of a canonical path as points of one program; a facet
        otherwise, as numbers of something are even where they may be an axis."""
        argument = self._argument(path)
        return self._may_trace(path) and not (argument and argument.counts)

    def updated(self, values: Mapping[str, Any]) -> "Spec":
        """A copy with other values at some paths: `spec.updated({"model.depth": 3})`."""
        parts = {prefix: part for prefix, part in self.parts()}
        fields: dict[str, Any] = {}
        for name, value in values.items():
            prefix, _, argument = self.resolve(name).rpartition(".")
            if prefix:
                part = parts[prefix]
                parts[prefix] = Part(part.name, **dict(part.args) | {argument: value})
            else:
                fields[argument] = value
        roles = {role: parts[role] for role in PART_ROLES if role in parts}
        many = {
            role: tuple(p for prefix, p in parts.items() if prefix.startswith(f"{role}."))
            for role in MANY_ROLES
        }
        return dataclasses.replace(self, **roles, **many, **fields)

    def _may_trace(self, path: str) -> bool:
        argument = self._argument(path)
        if argument is not None:
            return argument.traced
        if path == "seed":
            return any(getattr(self, name) is None for name in SEEDS[1:])  # else nobody reads it
        return path in SEEDS and self.draws != "legacy"

    def _argument(self, path: str) -> registry.Argument | None:
        """The schema of an argument of a part; None for a field."""
        prefix, _, name = path.rpartition(".")
        if not prefix:
            return None
        return registry.arguments(prefix.split(".")[0], dict(self.parts())[prefix].name)[name]


FIELDS = {
    "steps": int,
    "evaluations": int,
    "seed": int,
    "data_seed": int | None,
    "model_seed": int | None,
    "batch_seed": int | None,
    "dtype": str,
    "redraw": bool,
    "draws": str,
}
SEEDS = ("seed", "data_seed", "model_seed", "batch_seed")
MAX_SEED = 2**32 - 1
CHOICES = {"dtype": ("float32", "float64"), "draws": ("fold_in", "legacy")}
PART_ROLES = (
    "model", "problem", "optimizer", "schedule", "rule", "when", "where", "rates", "stopping",
)  # fmt: skip
OPTIONAL_ROLES = ("rule", "when", "where", "rates", "stopping")  # a Spec may be without
MANY_ROLES = ("growth", "fold", "metric", "callback")  # of these a Spec has any number


def _frozen(value: Any) -> Any:
    """Lists as tuples and blocks as tuples of pairs, so that a part can be hashed."""
    if isinstance(value, Mapping):
        return tuple((k, _frozen(v)) for k, v in value.items())
    return tuple(_frozen(v) for v in value) if isinstance(value, list | tuple) else value


def facets(spec: Spec, values: Mapping[str, Iterable[Any]]) -> list[Spec]:
    """All combinations of values on static paths, the first path slowest; one compile each.

    Example:
        >>> wider = fj.facets(fj.Spec(), {"model.width": [4, 8], "model.depth": [2, 3]})
        >>> [(spec.model["width"], spec.model["depth"]) for spec in wider]
        [(4, 2), (4, 3), (8, 2), (8, 3)]
    """
    for path, choices in values.items():
        if isinstance(choices, str) or not isinstance(choices, Iterable):
            raise FractaljaxError(f"facets: {path} needs a list of values, not {choices!r}")
    return [spec.updated(combination) for combination in crossed(values)]


def crossed(values: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """The product of all values, as one dictionary a combination."""
    return [dict(zip(values, c, strict=True)) for c in itertools.product(*values.values())]


def is_seed(path: str) -> bool:
    """Whether a path is that of a seed, of a Spec or of one side of a pair."""
    return path.rpartition(".")[2] in SEEDS


def build(spec: Spec, role: str, hparams: Mapping[str, Any]) -> Any:
    """The component of a role, with traced values in the place of their arguments.

    The one place where a tracer meets its factory.

    Returns:
        The contract of the role (see `types`); a tuple of them for roles of any number; None
        for one that a Spec may be without, and is.
    """
    if role in MANY_ROLES:
        return build_many(role, getattr(spec, role), hparams)
    part = getattr(spec, role)
    return None if part is None else _made(role, role, part, hparams)


def build_many(role: str, parts: Iterable[Part], hparams: Mapping[str, Any]) -> tuple[Any, ...]:
    """`build` for parts that stand side by side, each under its own name."""
    return tuple(_made(role, f"{role}.{part.name}", part, hparams) for part in parts)


def _made(role: str, prefix: str, part: Part, hparams: Mapping[str, Any]) -> Any:
    args = {k: hparams.get(f"{prefix}.{k}", v) for k, v in part.args}
    factory = registry.lookup(role, part.name)
    with at(prefix):
        return factory(**args)


def filled_many(role: str, parts: Any) -> tuple[Part, ...]:
    """Parts that stand side by side, complete; each name once."""
    parts = parts if isinstance(parts, tuple | list) else (parts,)
    names = [str(getattr(part, "name", part)) for part in parts]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FractaljaxError(f"{role}: '{twice[0]}' is named twice; each name once")
    return tuple(_filled(role, f"{role}.{n}", p) for n, p in zip(names, parts, strict=True))


def _filled(role: str, prefix: str, part: Any) -> Part:
    """The part with all its arguments converted, and built once so that bad ones fail now."""
    if not isinstance(part, Part):
        raise FractaljaxError(f"{prefix} must be a Part('name', argument=value), not {part!r}")
    schema = registry.arguments(role, part.name)
    for name in dict(part.args):
        if name not in schema:
            raise unknown(
                f"argument of {role} '{part.name}'",
                f"{prefix}.{name}",
                [f"{prefix}.{a}" for a in schema],
            )
    given = {name: argument.default for name, argument in schema.items()} | dict(part.args)
    args = {n: _convert(f"{prefix}.{n}", schema[n].annotation, v) for n, v in given.items()}
    full = Part(part.name, **args)
    _made(role, prefix, full, {})
    return full


def _convert(path: str, annotation: Any, value: Any) -> Any:
    """The value in its declared type: `1e-3`, which YAML reads as text, becomes a number."""
    kinds = registry.kinds(annotation)
    wanted = " or ".join(
        "null" if k is type(None) else k.__name__ if isinstance(k, type) else str(k) for k in kinds
    )
    wrong = FractaljaxError(f"{path}={value!r}: takes {wanted}")
    if bool not in kinds and any(isinstance(one, bool) for one in _single(value)):
        raise wrong
    try:
        value = _adapter(str(annotation), annotation).validate_python(value)
    except pydantic.ValidationError:
        raise wrong from None
    if isinstance(value, float) and math.isnan(value):
        raise wrong
    if any(isinstance(one, int) and abs(one) > MAX_WHOLE for one in _single(value)):
        raise FractaljaxError(f"{path}={value}: a whole number has 63 bits at most")
    return value


@functools.lru_cache(maxsize=512)
def _adapter(shown: str, annotation: Any) -> pydantic.TypeAdapter:
    """What checks values of a type; `shown` tells unions of another order apart, which are equal
    and yet do not read a text alike."""
    del shown
    return pydantic.TypeAdapter(annotation)


def _single(value: Any) -> Iterator[Any]:
    """The values in lists within each other."""
    if isinstance(value, list | tuple):
        for one in value:
            yield from _single(one)
    else:
        yield value
