"""The order in which the sums of a training are taken: the engine's own, or the published one.

The paper's notebook writes its products with points first and scales the output twice by
`1 / sqrt(fan_in)`. In float64 that is another last bit, and near the boundary the last bit decides
the outcome. `Model.published` is a network in that order; the program of a kernel `published`
takes it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from fractaljax.engine.hparams import Hparams
from fractaljax.engine.streams import shared_draws
from fractaljax.pair import Course, trainings
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Model, Tree

XLA, NATIVE, PUBLISHED = KERNELS = "xla", "native", "published"
# who takes the steps: a compiled JAX program, a kernel of ours, or the former in published order
_PUBLISHED: ContextVar[bool] = ContextVar("_PUBLISHED", default=False)


def published(spec: Course) -> bool:
    """Whether numbers are to come out as published, which takes the published order of sums."""
    return spec.draws == "legacy" and spec.dtype == "float64"


def begun_with(result: Mapping[str, Any]) -> str:
    """The kernel of a result by its numeric setting or its provenance; there was a time without
    another than `xla`, when results did not say it."""
    return result.get("kernel", XLA)


def automatic(spec: Course) -> str:
    """The kernel of JAX programs where none is pinned."""
    return XLA if why_not(spec) else PUBLISHED


def why_not(spec: Course) -> str | None:
    """Why no kernel `published` is needed, or possible; None where it is."""
    if not published(spec):
        return "it is for draws=legacy with dtype=float64"
    if not any(map(_differs, trainings(spec))):
        return "kernel=xla has the published order here, or the notebook has no such network"
    return None


def _differs(spec: Spec) -> bool:
    """Whether the published order is another one than that of the model's `apply`."""
    ordered = build(spec, "model", {}).published
    if ordered is None:
        return False
    points = shared_draws(spec).data.x.shape[0]
    batch = spec.paths().get("problem.batch") or points
    return any(ordered(count) is not None for count in (points, batch))


@contextlib.contextmanager
def summed(kernel: str) -> Iterator[None]:
    """Networks that are traced meanwhile take sums in the order of a kernel."""
    token = _PUBLISHED.set(kernel == PUBLISHED)
    try:
        yield
    finally:
        _PUBLISHED.reset(token)


def network(spec: Spec, hparams: Hparams) -> Model:
    """The model of a training, whose `apply` takes sums in the order asked for."""
    model = build(spec, "model", hparams)
    if not _PUBLISHED.get() or model.published is None:
        return model
    ordered = model.published

    def apply(params: Tree, x: Array) -> Array:
        return (ordered(x.shape[0]) or model.apply)(params, x)

    return model._replace(apply=apply)
