"""When a network grows."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from fractaljax.errors import FractaljaxError
from fractaljax.registry import register
from fractaljax.types import Array, Moment, Network, Tree, When

MOST = 10**6  # of whole numbers: an experiment has no more epochs


@register("when", "every")
def every(epochs: int = 5, first: float = 0.0, last: float = math.inf, most: int = 16) -> When:
    """After every so many epochs.

    Args:
        epochs: between two events.
        first, last: no event before the one epoch and after the other.
        most: events at most; the ledger has as many rows.
    """
    _check(most, epochs=epochs)

    def ask(carry: Tree, net: Network, moment: Moment) -> tuple[Tree, Array]:
        return carry, (moment.epoch >= first) & (moment.epoch <= last)

    return When(lambda zero: (), lambda c, norm, loss: c, _each(epochs), ask, most)


@register("when", "at")
def at(epoch: float = 20.0) -> When:
    """Once, after an epoch."""

    def ask(carry: Tree, net: Network, moment: Moment) -> tuple[Tree, Array]:
        return carry, moment.epoch == jnp.round(jnp.asarray(epoch))

    return When(lambda zero: (), lambda c, norm, loss: c, _each(1), ask, 1)


class _Norms(NamedTuple):
    norms: Array  # [2 w], the newest last
    seen: Array  # steps since the last event
    spikes: Array


@register("when", "spike")
def spike(
    threshold: float = 0.5,
    window: int = 10,
    cooldown: float = 1.0,
    epochs: int = 1,
    most: int = 16,
) -> When:
    """When the variance of the gradient's norm jumps.

    A spike is `|v - u| / u > threshold`, `u` and `v` the population variances of the norm over the
    steps before the last and over the last `window`; of `u = 0`, any change. One within the epochs
    since the last question is enough.

    Args:
        threshold: of the relative change.
        window: steps of a variance.
        cooldown: epochs after an event without another.
        epochs: between two questions.
        most: events at most.
    """
    _check(most, window=window, epochs=epochs)

    def init(zero: Array) -> tuple:
        norms = _Norms(
            jnp.zeros(2 * window, zero.dtype), jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        )
        return norms, jnp.full((), -(10**6), jnp.int32)

    def observe(carry: tuple, norm: Array, loss: Array) -> tuple:
        return _noticed(carry[0], norm, threshold, window), carry[1]

    def ask(carry: tuple, net: Network, moment: Moment) -> tuple[tuple, Array]:
        norms, last = carry
        fire = (norms.spikes > 0) & (moment.epoch - last > cooldown)
        now = jnp.asarray(moment.epoch, jnp.int32)
        return (
            norms._replace(spikes=jnp.zeros_like(norms.spikes)),
            jnp.where(fire, now, last),
        ), fire

    return When(init, observe, _each(epochs), ask, most)


class _Account(NamedTuple):
    norms: _Norms
    earned: Array
    spent: Array
    quiet: Array  # the epoch until which nothing is earned
    asked: Array  # epochs asked so far


@register("when", "credits")
def credits(
    cost: float = 100.0,
    per_spike: float = 10.0,
    per_correct: float = 0.0,
    bootstrap: float = 5.0,
    bootstrap_epochs: float = 14.0,
    threshold: float = 0.5,
    window: int = 10,
    cooldown: float = 10.0,
    most: int = 16,
) -> When:
    """When the network has earned it: an economy of credits.

    Credits are earned by spikes of the variance of the gradient's norm (as in `spike`), by correct
    predictions, and at first for nothing; growth spends all there are. What is earned less what is
    spent is what is left.

    Args:
        cost: credits at which it grows.
        per_spike: for every step that is a spike.
        per_correct: an epoch, times the share of training points that are predicted correctly.
        bootstrap: an epoch, for the first `bootstrap_epochs`, while it has not grown.
        threshold, window: of a spike.
        cooldown: epochs after an event in which nothing is earned.
        most: events at most.
    """
    _check(most, window=window)

    def init(zero: Array) -> _Account:
        whole = jnp.zeros((), jnp.int32)
        norms = _Norms(jnp.zeros(2 * window, zero.dtype), whole, whole)
        return _Account(norms, zero, zero, jnp.full((), -1, jnp.int32), whole)

    def observe(c: _Account, norm: Array, loss: Array) -> _Account:
        norms = _noticed(c.norms, norm, threshold, window)
        more = per_spike * (norms.spikes - c.norms.spikes)
        open_ = c.asked >= c.quiet
        more = jnp.asarray(more, c.earned.dtype)
        return c._replace(norms=norms, earned=c.earned + jnp.where(open_, more, 0))

    def ask(c: _Account, net: Network, moment: Moment) -> tuple[_Account, Array]:
        new = (c.spent == 0) & (moment.epoch <= bootstrap_epochs)
        earned = c.earned + jnp.where(new, jnp.asarray(bootstrap, c.earned.dtype), 0)
        if not (
            isinstance(per_correct, float) and per_correct == 0
        ):  # it costs a look at all points
            more = per_correct * moment.accuracy(net.params)
            earned += jnp.where(moment.epoch > c.quiet, jnp.asarray(more, earned.dtype), 0)
        left = earned - c.spent
        fire = left >= cost
        epoch = jnp.asarray(moment.epoch, jnp.int32)
        until = jnp.where(
            fire, epoch + jnp.asarray(jnp.round(jnp.asarray(cooldown)), jnp.int32), c.quiet
        )
        return _Account(c.norms, earned, c.spent + jnp.where(fire, left, 0), until, epoch), fire

    def reading(c: _Account) -> dict[str, Array]:
        return {"credits": c.earned - c.spent, "earned": c.earned, "spent": c.spent}

    return When(init, observe, _each(1), ask, most, reading)


class _Plateau(NamedTuple):
    best: Array  # smallest loss
    waited: Array  # questions since then


@register("when", "plateau")
def plateau(
    patience: float = 2.0,
    gain: float = 0.01,
    target: float = 1.0,
    epochs: int = 2,
    most: int = 16,
) -> When:
    """When training no longer gets on, until it is good enough: indefinite growth.

    Args:
        patience: questions without a loss on the training data that is smaller by `gain`.
        gain: as a share of the smallest loss so far.
        target: accuracy on the training data from which on nothing grows.
        epochs: between two questions.
        most: events at most: the cap.
    """
    _check(most, epochs=epochs)

    def init(zero: Array) -> _Plateau:
        return _Plateau(jnp.full_like(zero, jnp.inf), jnp.zeros((), jnp.int32))

    def ask(c: _Plateau, net: Network, moment: Moment) -> tuple[_Plateau, Array]:
        loss = moment.loss(net.params)
        better = loss < c.best * (1 - gain)
        waited = jnp.where(better, 0, c.waited + 1)
        fire = (waited >= patience) & ~(moment.accuracy(net.params) >= target)
        best = jnp.where(better, loss, c.best)
        return _Plateau(best, jnp.where(fire, 0, waited)), fire

    return When(init, lambda c, norm, loss: c, _each(epochs), ask, most)


def _noticed(c: _Norms, norm: Array, threshold: float, window: int) -> _Norms:
    """One more gradient norm."""
    norms = jnp.concatenate([c.norms[1:], norm[None]])
    before, now = jnp.var(norms[:window]), jnp.var(norms[window:])
    jump = jnp.where(before > 0, jnp.abs(now - before) > threshold * before, now > 0)
    seen = c.seen + 1
    return _Norms(norms, seen, c.spikes + (jump & (seen >= 2 * window)).astype(jnp.int32))


def _each(epochs: int):
    return lambda epoch, total: (epoch > 0) & (epoch % epochs == 0)


def _check(most: int, **numbers: int) -> None:
    for name, value in {"most": most, **numbers}.items():
        if not 1 <= value <= MOST:
            raise FractaljaxError(f"{name}={value}: allowed are 1 to {MOST}")
