"""Pair: two trainings in lockstep on the same data, and what is compared between them."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from fractaljax.errors import FractaljaxError, unknown
from fractaljax.spec import Part, Spec, filled_many

SIDES = ("a", "b")
SAME = ("steps", "dtype", "seed", "data_seed", "redraw", "draws")  # of both sides


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two Specs, trained step by step side by side on the same data.

    Args:
        a, b: what to train. Their problems may differ in the size of the batches only.
        comparison: what is evaluated of both at once, as curves; several at once.
        evaluations: as in `Spec`, for the metrics of both sides too.

    A path of a Pair is a path of its Specs, which means both, or that path under `a.` or `b.`.

    Raises:
        FractaljaxError: with the path, what it takes and the nearest name.
    """

    a: Spec
    b: Spec
    comparison: tuple[Part, ...] = ()
    evaluations: int = 250

    def __post_init__(self):
        object.__setattr__(self, "comparison", filled_many("comparison", self.comparison))
        for name in SAME:
            one, other = (getattr(side, name) for side in self.sides.values())
            if one != other:
                raise FractaljaxError(f"{name}: {one} for a, {other} for b; a pair has one")
        a, b = (dict(side.problem.args) for side in self.sides.values())
        differing = sorted(k for k in a if k not in BATCHES and a[k] != b.get(k))
        if self.a.problem.name != self.b.problem.name or differing:
            where = f"problem.{differing[0]}" if differing else "problem"
            raise FractaljaxError(f"{where}: must be the same for a and b: they share the data")
        for side, spec in self.sides.items():
            if spec.fold:
                raise FractaljaxError(f"{side}.fold: a pair records metrics, no folds")
            if spec.stopping:
                raise FractaljaxError(
                    f"{side}.stopping: a pair records metrics, and has no early end"
                )
            for role in ("growth", "rates"):
                if getattr(spec, role):
                    raise FractaljaxError(f"{side}.{role}: networks of a pair do not grow")
            if spec.metric and spec.evaluations != self.evaluations:
                raise FractaljaxError(
                    f"evaluations: {spec.evaluations} for {side}, {self.evaluations} for the pair"
                )
        if not self.evaluations > 0:
            raise FractaljaxError(f"evaluations={self.evaluations}: must be above 0")

    @property
    def sides(self) -> dict[str, Spec]:
        """The two Specs by name."""
        return {"a": self.a, "b": self.b}

    @property
    def every(self) -> int:
        """Steps between two evaluations, the first at step 0."""
        return max(1, self.steps // self.evaluations)

    @property
    def evaluated(self) -> range:
        """The steps at which metrics are evaluated, before the step's updates."""
        return range(0, self.steps, self.every)

    @property
    def steps(self) -> int:
        return self.a.steps

    @property
    def seed(self) -> int:
        return self.a.seed

    @property
    def dtype(self) -> str:
        return self.a.dtype

    @property
    def redraw(self) -> bool:
        return self.a.redraw

    @property
    def draws(self) -> str:
        return self.a.draws

    def parts(self) -> Iterable[tuple[str, Part]]:
        """`(prefix of its paths, part)` for every part of both Specs and every comparison."""
        for side, spec in self.sides.items():
            for prefix, part in spec.parts():
                yield f"{side}.{prefix}", part
        for part in self.comparison:
            yield f"comparison.{part.name}", part

    def paths(self) -> dict[str, Any]:
        """Every path and its value: of one side, and without a side where both agree."""
        one, other = self.a.paths(), self.b.paths()
        both = {path: v for path, v in one.items() if path in other and v == other[path]}
        sides = {f"{s}.{path}": v for s in SIDES for path, v in self.sides[s].paths().items()}
        return {**both, **sides, "evaluations": self.evaluations}

    def resolve(self, name: str) -> str:
        """The canonical path of a path or alias; raises with the nearest name."""
        side, _, rest = name.partition(".")
        if side in SIDES:
            return f"{side}.{self.sides[side].resolve(rest)}"
        found = []
        for spec in self.sides.values():
            try:
                found.append(spec.resolve(name))
            except FractaljaxError:
                continue
        if not found:
            raise unknown("path", name, {*self.paths(), *self.a.paths(), *self.b.paths()})
        return found[0]

    def traced(self, name: str) -> str:
        """`resolve`, for an axis: raises unless the value may be traced."""
        path = self.resolve(name)
        side, _, rest = path.partition(".")
        if side in SIDES and _is_shared(rest):
            raise FractaljaxError(f"{path}: must be the same for a and b: they share the data")
        if side in SIDES:
            return f"{side}.{self.sides[side].traced(rest)}"
        for spec in self._having(path).values():
            spec.traced(path)
        return path

    def batched(self, path: str) -> bool:
        """As `Spec.batched`."""
        side, _, rest = path.partition(".")
        if side in SIDES:  # of what both must share, one side alone is refused when it is made
            return not _is_shared(rest) and self.sides[side].batched(rest)
        having = self._having(path).values()
        return bool(having) and all(spec.batched(path) for spec in having)

    def updated(self, values: Mapping[str, Any]) -> "Pair":
        """A copy with other values at some paths."""
        changes: dict[str, dict[str, Any]] = {side: {} for side in SIDES}
        fields: dict[str, Any] = {}
        for name, value in values.items():
            if name == "evaluations":
                fields[name] = value
                for side, spec in self.sides.items():
                    if spec.metric:
                        changes[side][name] = value
                continue
            path = self.resolve(name)
            side, _, rest = path.partition(".")
            if side in SIDES:
                changes[side][rest] = value
            else:
                for side in self._having(path):
                    changes[side][path] = value
        sides = {side: self.sides[side].updated(changes[side]) for side in SIDES}
        return dataclasses.replace(self, **sides, **fields)

    def split(self, hparams: Mapping[str, Any], side: str) -> dict[str, Any]:
        """The values of one side, under the paths of its Spec."""
        spec = self.sides[side]
        own = {p[2:]: v for p, v in hparams.items() if p.startswith(f"{side}.")}
        both = {p: v for p, v in hparams.items() if p.partition(".")[0] not in SIDES}
        return {p: v for p, v in both.items() if p in spec.paths()} | own

    def _having(self, path: str) -> dict[str, Spec]:
        return {side: spec for side, spec in self.sides.items() if path in spec.paths()}


def _is_shared(path: str) -> bool:
    """Whether both sides must have the same value of a path."""
    role, _, argument = path.partition(".")
    return path in SAME or (role == "problem" and argument not in BATCHES)


BATCHES = ("batch", "sampling")  # of a problem: which of its points one side looks at
Course = Spec | Pair  # what one pixel trains


def trainings(course: Course) -> tuple[Spec, ...]:
    """The one Spec, or both of a pair."""
    return tuple(course.sides.values()) if isinstance(course, Pair) else (course,)
