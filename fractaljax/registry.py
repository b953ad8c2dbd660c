"""A plain dict a role. A component is a factory: its signature is its schema.

Arguments annotated `int`, `bool`, `str` or `tuple` are static (they set a shape or a program);
those annotated `float` may be traced, and so may be an axis.
"""

import functools
import importlib
import inspect
import types
from collections.abc import Callable
from typing import Any, NamedTuple, Union, get_args, get_origin

from fractaljax.errors import FractaljaxError, unknown

ROLES = (
    "model",
    "problem",
    "teacher",
    "optimizer",
    "schedule",
    "callback",
    "rule",
    "when",
    "where",
    "growth",
    "rates",
    "stopping",
    "fold",
    "metric",
    "comparison",
    "colormap",
)
_PARTS: dict[str, dict[str, Callable]] = {role: {} for role in ROLES}
_HOMES = {"colormap": "fractaljax.view.colours"}  # the other roles live in fractaljax.parts


class Argument(NamedTuple):
    """One argument of a factory."""

    name: str
    annotation: Any
    default: Any

    @property
    def traced(self) -> bool:
        """Whether the argument may be a traced value, hence an axis."""
        return float in kinds(self.annotation)

    @property
    def counts(self) -> bool:
        """Whether the argument may be a number of something, for which a program that knows it is
        smaller and faster."""
        return int in kinds(self.annotation)


def register(role: str, name: str) -> Callable[[Callable], Callable]:
    """Decorator: makes a factory known as `name` in its role.

    Raises:
        FractaljaxError: the role is unknown, an argument lacks a default or an annotation.

    Example:
        >>> @fj.register("schedule", "halved")
        ... def halved(at: float = 0.5):
        ...     '''Half the rate from a share of the training on.'''
        ...     return lambda t, steps: 1 - 0.5 * (t >= at * steps)
        >>> fj.Spec(schedule=fj.Part("halved")).traced("schedule.at")  # may be an axis
        'schedule.at'
    """
    if role not in _PARTS:
        raise unknown("role", role, ROLES)

    def add(factory: Callable) -> Callable:
        for p in inspect.signature(factory).parameters.values():
            if p.default is p.empty or p.annotation is p.empty:
                raise FractaljaxError(f"{role} '{name}': '{p.name}' needs a type and a default")
        if not factory.__module__.startswith("fractaljax."):
            _of(role)  # ours come first, so that a name that is taken is known to be
        known = _PARTS[role].get(name)
        if known is not None and known.__module__ != factory.__module__:
            raise FractaljaxError(f"{role} '{name}' is taken by {known.__module__}; choose another")
        _PARTS[role][name] = factory
        return factory

    return add


def lookup(role: str, name: str) -> Callable:
    """The factory registered as `name`; raises with the nearest name when there is none."""
    known = _of(role)
    if name not in known:
        raise unknown(role, name, known)
    return known[name]


def names(role: str) -> list[str]:
    """All registered names of a role, sorted."""
    return sorted(_of(role))


def arguments(role: str, name: str) -> dict[str, Argument]:
    """The schema of a factory, in the order of its signature."""
    return dict(_schema(lookup(role, name)))


@functools.lru_cache(maxsize=1024)
def _schema(factory: Callable) -> dict[str, Argument]:
    signature = inspect.signature(factory, eval_str=True)
    return {
        p.name: Argument(p.name, p.annotation, p.default) for p in signature.parameters.values()
    }


def describe(role: str, name: str) -> str:
    """The first line of a factory's docstring."""
    return (inspect.getdoc(lookup(role, name)) or "").split("\n")[0]


def homes() -> set[str]:
    """Modules outside this package that registered parts."""
    made = {factory.__module__ for parts in _PARTS.values() for factory in parts.values()}
    return {name for name in made if not name.startswith("fractaljax.")}


def _of(role: str) -> dict[str, Callable]:
    if role not in _PARTS:
        raise unknown("role", role, ROLES)
    importlib.import_module(_HOMES.get(role, "fractaljax.parts"))
    return _PARTS[role]


def kinds(annotation: Any) -> tuple[Any, ...]:
    """The types that an annotation allows: `float | None` allows two."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)
