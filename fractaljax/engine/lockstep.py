"""Two networks in lockstep: what `train` is for one, for a Pair.

In every step both sides see the same data, each its own batches of them. Metrics of a side and
comparisons of the two are evaluated before the updates of their step.
"""

from typing import NamedTuple

import jax.numpy as jnp

from fractaljax.engine import metrics, train
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.metrics import Curves
from fractaljax.engine.streams import Draws
from fractaljax.errors import FractaljaxError, at
from fractaljax.pair import SIDES, Pair
from fractaljax.spec import build_many
from fractaljax.types import Array, State, Tree

Sides = dict[str, Tree]  # the same thing of side a and of side b
SidesDraws = dict[str, Draws]


class PairState(NamedTuple):
    """Everything a pair carries from step to step: arrays only."""

    sides: dict[str, State]
    curves: Curves


def common(pair: Pair, names: tuple[str, ...]) -> Sides:
    """What pairs along these axes share, a side."""
    return {s: train.common(pair.sides[s], _own_names(pair, names, s)) for s in SIDES}


def drawn(pair: Pair, common: Sides, hparams: Hparams, words: Array) -> SidesDraws:
    """The draws of one pair."""
    return {s: train.drawn(pair.sides[s], common[s], pair.split(hparams, s), words) for s in SIDES}


def drawn_axes(pair: Pair, names: tuple[str, ...]) -> SidesDraws:
    """Which of the draws have an axis over the pairs."""
    return {s: train.drawn_axes(pair.sides[s], _own_names(pair, names, s)) for s in SIDES}


def begin(pair: Pair, hparams: Hparams, draws: SidesDraws) -> PairState:
    """The state before the first step."""
    sides = {s: train.begin(pair.sides[s], pair.split(hparams, s), draws[s]) for s in SIDES}
    sides = {s: state._replace(metric=()) for s, state in sides.items()}  # the pair keeps them all
    blank = metrics.blank(pair, lambda p: _values(pair, hparams, draws, p), _params(sides))
    return PairState(sides, blank)


def evaluate(
    pair: Pair, hparams: Hparams, draws: SidesDraws, t: Array, state: PairState
) -> PairState:
    """Adds a point to every curve; `t` is one of `pair.evaluated`."""
    params = _params(state.sides)
    alive, values = _alive(params), _values(pair, hparams, draws, params)
    any_alive = jnp.any(jnp.stack([*alive.values()]))
    return state._replace(curves=metrics.appended(state.curves, t // pair.every, any_alive, values))


def step(pair: Pair, hparams: Hparams, draws: SidesDraws, t: Array, state: PairState) -> PairState:
    """One step of either side."""
    return state._replace(
        sides={
            s: train.step(pair.sides[s], pair.split(hparams, s), draws[s], t, state.sides[s])
            for s in SIDES
        }
    )


def stride(pair: Pair, draws: SidesDraws) -> int:
    """Steps between two evaluations."""
    del draws
    return pair.every


def look(pair: Pair, hparams: Hparams, draws: SidesDraws, t: Array, state: PairState) -> PairState:
    """Nothing: a pair has no early end."""
    del pair, hparams, draws, t
    return state


def settled(pair: Pair, hparams: Hparams, state: PairState) -> Array:
    """Whether no later step can change any reading."""
    del pair, hparams
    return ~state.curves.alive


def reading(pair: Pair, hparams: Hparams, state: PairState) -> dict[str, Array]:
    """The curves: `<name>_a` and `<name>_b` of the sides, and the comparisons."""
    del pair, hparams
    return state.curves.values


def _values(pair: Pair, hparams: Hparams, draws: SidesDraws, params: Sides) -> dict[str, Array]:
    found: dict[str, Array] = {}
    alive = _alive(params)
    for s in SIDES:
        own = metrics.values(pair.sides[s], pair.split(hparams, s), draws[s], params[s])
        own = metrics.while_finite(alive[s], own)
        found |= {f"{name}_{s}": value for name, value in own.items()}
    seen = [
        metrics.evaluation(pair.sides[s], pair.split(hparams, s), draws[s], params[s])
        for s in SIDES
    ]
    comparisons = build_many("comparison", pair.comparison, {})
    for part, compare in zip(pair.comparison, comparisons, strict=True):
        with at(f"comparison.{part.name}"):
            some = metrics.while_finite(alive["a"] & alive["b"], compare(*seen))
        if twice := sorted(set(some) & set(found)):
            raise FractaljaxError(f"comparison: '{twice[0]}' is recorded twice")
        found |= some
    return found


def _alive(params: Sides) -> dict[str, Array]:
    return {s: metrics.finite(params[s]) for s in SIDES}


def _params(sides: dict[str, State]) -> Sides:
    return {s: state.params for s, state in sides.items()}


def _own_names(pair: Pair, names: tuple[str, ...], side: str) -> tuple[str, ...]:
    return tuple(pair.split(dict.fromkeys(names), side))
