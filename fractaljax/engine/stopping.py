"""Early stopping of one network: the weights that were best, and when it ended."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.engine import descent
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.streams import Draws
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Data, State, Tree


class Kept(NamedTuple):
    """A network as it is kept."""

    params: Tree
    masks: Tree  # which of the weights exist; () where all do


class Watch(NamedTuple):
    """What early stopping carries from step to step."""

    rule: Tree  # of the Stopping
    kept: Kept  # of the best look
    best: Array  # its loss on the validation data; NaN while there is none
    best_accuracy: Array  # and its accuracy; NaN where the problem knows none
    best_epoch: Array  # 0 while there is none
    epoch: Array  # of the last look, or of the end
    summed: Array  # loss times points in this epoch
    seen: Array  # points in this epoch
    training: Array  # mean loss over the points of the last epoch, as gradients saw it
    validation: Array  # of the last epoch; NaN where there was no look
    accuracy: Array  # as `validation`


def begin(spec: Spec, hparams: Hparams, draws: Draws, params: Tree, anatomy: Tree) -> Watch:
    """Before the first step."""
    if not draws.data.valid:
        raise FractaljaxError(
            f"stopping: problem '{spec.problem.name}' has no validation data"
            + (": give problem.validation" if "problem.validation" in spec.paths() else "")
        )
    length = descent.epoch_length(spec, hparams, draws.data)
    if spec.steps < length:
        raise FractaljaxError(f"steps={spec.steps}: an epoch has {length}; stopping needs one")
    rule = build(spec, "stopping", hparams)
    zero, none = jnp.zeros((), spec.dtype), jnp.full((), jnp.nan, spec.dtype)
    count = jnp.zeros((), jnp.int32)
    kept = Kept(params, anatomy.masks if anatomy else ())
    return Watch(rule.init(zero), kept, none, none, count, count, zero, zero, none, none, none)


def noted(watch: Watch, loss: Array, points: Array) -> Watch:
    """After a step: its loss on so many points."""
    return watch._replace(summed=watch.summed + loss * points, seen=watch.seen + points)


def looked(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> Watch:
    """After `t` steps: where these end an epoch, a look at the validation data if one is due.

    A network whose patience is spent stands still, however long its neighbours run.
    """
    length = descent.epoch_length(spec, hparams, draws.data)
    rule, epochs = build(spec, "stopping", hparams), spec.steps // length
    epoch, watch = t // length, state.watch
    zero = jnp.zeros_like(watch.summed)
    network = Kept(state.params, state.anatomy.masks if state.anatomy else ())
    ended = watch._replace(
        summed=zero,
        seen=zero,
        training=watch.summed / watch.seen,
        validation=jnp.full_like(watch.validation, jnp.nan),
        accuracy=jnp.full_like(watch.accuracy, jnp.nan),
    )

    def look() -> Watch:
        loss, accuracy = _judged(spec, hparams, state.params, draws.data.valid)
        carry, better = rule.update(watch.rule, loss)
        better &= jnp.isfinite(loss)

        def kept(new: Array, old: Array) -> Array:
            return jnp.where(better, new, old)

        return ended._replace(
            rule=carry,
            kept=jax.tree.map(kept, network, watch.kept),
            best=kept(loss, watch.best),
            best_accuracy=kept(accuracy, watch.best_accuracy),
            best_epoch=kept(epoch, watch.best_epoch),
            epoch=epoch,
            validation=loss,
            accuracy=accuracy,
        )

    # ifs in the program, not selects: the step is one for all networks side by side
    def at_end() -> Watch:
        new = jax.lax.cond(rule.due(epoch, epochs), look, lambda: ended)
        return jax.tree.map(lambda n, o: jnp.where(rule.spent(watch.rule), o, n), new, watch)

    return jax.lax.cond(t % length == 0, at_end, lambda: watch)


def _judged(spec: Spec, hparams: Hparams, params: Tree, data: Data) -> tuple[Array, Array]:
    """Loss and accuracy on some data."""
    outputs = build(spec, "model", hparams).apply(params, data.x)
    problem = build(spec, "problem", hparams)
    loss, accuracy = problem.loss(outputs, data.y), problem.scores.get("accuracy")
    return loss, jnp.full_like(loss, jnp.nan) if accuracy is None else accuracy(outputs, data.y)


def spent(spec: Spec, hparams: Hparams, state: State) -> Array:
    """Whether no later look can count."""
    return build(spec, "stopping", hparams).spent(state.watch.rule)


def reading(watch: Watch) -> dict[str, Array]:
    """`validation_loss` at its best, `validation_accuracy` there, `best_epoch` (0: it never was
    finite), `stopped_epoch`."""
    return {
        "validation_loss": watch.best,
        "validation_accuracy": watch.best_accuracy,
        "best_epoch": watch.best_epoch,
        "stopped_epoch": watch.epoch,
    }
