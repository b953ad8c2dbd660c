"""Members of an architecture: trained as one batch, judged on the test data once they ended."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from flax import traverse_util

from fractaljax.config.space import Dimension
from fractaljax.engine import cohort, plan
from fractaljax.engine.scan import machine_record
from fractaljax.engine.streams import shared_draws
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec, build
from fractaljax.store.study_folder import Running

Values = Mapping[str, float]  # name of a dimension -> value


class Numeric(NamedTuple):
    """What the user pinned; None is free."""

    devices: int | None = None
    chunk: int | None = None


FREE = Numeric()


class Result(NamedTuple):
    """How one member did."""

    best_val_loss: float  # NaN: it never was finite
    test_loss: float  # of the weights of then
    best_epoch: int
    terminating_epoch: int
    test_accuracy: float  # NaN where the problem knows none


class Trained(NamedTuple):
    """A member with all that came of it."""

    result: Result
    training: np.ndarray  # [E] loss of every epoch
    validation: np.ndarray  # [E] NaN where there was no look
    weights: dict[str, np.ndarray]  # `layer_000/kernel` -> array


def training(spec: Spec, epochs: int) -> Spec:
    """The Spec with as many steps as these epochs have."""
    return spec.updated({"steps": epochs * cohort.epoch_length(spec)})


def machine(specs: Mapping[str, Spec], numeric: Numeric) -> dict[str, Any]:
    """By what these architectures are trained; raises where there are not as many devices."""
    mesh = plan.mesh(numeric.devices)
    chunks = {name: numeric.chunk or plan.cohort_chunk(spec, mesh) for name, spec in specs.items()}
    return {**machine_record(mesh), "chunk": chunks}


def scaling(spec: Spec) -> dict[str, float] | None:
    """What turns what was read into the inputs of the network: `(raw - offset) / scale`."""
    found = build(spec, "problem", {}).scaling
    return None if found is None else dict(zip(("offset", "scale"), found(), strict=True))


def train(
    spec: Spec,
    space: Sequence[Dimension],
    members: Sequence[Values],
    seeds: Sequence[int] | None,
    *,
    running: Running,
    numeric: Numeric,
    on_look: Callable[[cohort.Progress], Any] | None = None,
) -> list[Trained]:
    """Trains some members as one batch and judges them.

    Args:
        spec: of the architecture, with its steps.
        members: values of the space, one a member.
        seeds: of each member; None: the Spec's, with the same draws for all.
        running: keeps members in training.
    """
    if not members:
        return []
    test = shared_draws(spec).data.test
    if not test:
        raise FractaljaxError(
            f"problem '{spec.problem.name}' has no test data: give problem.test or "
            "problem.test_split"
        )
    names = tuple(dimension.path for dimension in space)
    points = np.array([[values[d.name] for d in space] for values in members]).reshape(
        -1, len(space)
    )
    if seeds is not None:
        names, points = (*names, "seed"), np.column_stack([points, seeds])
    found = cohort.train_cohort(
        spec,
        names,
        points,
        chunk=numeric.chunk,
        mesh=plan.mesh(numeric.devices),
        checkpoint=running,
        on_look=on_look,
    )
    scores = cohort.evaluate(spec, names, points, [member.params for member in found], test)
    return [_trained(member, i, scores) for i, member in enumerate(found)]


def _trained(member: cohort.Member, i: int, scores: Mapping[str, np.ndarray]) -> Trained:
    readings = member.readings
    learned = readings["best_epoch"] > 0
    judged = {name: float(values[i]) if learned else np.nan for name, values in scores.items()}
    result = Result(
        best_val_loss=readings["validation_loss"],
        test_loss=judged["loss"],
        best_epoch=int(readings["best_epoch"]),
        terminating_epoch=int(readings["stopped_epoch"]),
        test_accuracy=judged.get("accuracy", np.nan),
    )
    weights: Any = traverse_util.flatten_dict(member.params, sep="/")
    return Trained(result, member.curves["training"], member.curves["validation"], weights)
