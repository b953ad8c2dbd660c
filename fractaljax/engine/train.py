"""One network, from its first weights to its reading. No batch axis in sight."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fractaljax.engine import descent, growth, metrics, order, stopping
from fractaljax.engine.hparams import Hparams
from fractaljax.engine.streams import (
    TAGS,
    Draws,
    cast,
    draw_data,
    draw_weights,
    drawn_precisely,
    generator,
    moments,
    own_purposes,
    shared_draws,
    source_of,
    stream,
    streams,
)
from fractaljax.engine.update import masked, updated
from fractaljax.errors import FractaljaxError
from fractaljax.pair import Course
from fractaljax.spec import Spec, build
from fractaljax.types import Array, Clock, Data, Key, Network, Snapshot, State, Tree


class Common(NamedTuple):
    """What networks side by side share."""

    source: Tree
    draws: Draws


def train(spec: Spec, hparams: Hparams, key: Key, data: Data) -> dict[str, Array]:
    """Trains one network and returns what its folds and metrics read.

    Args:
        spec: what to train.
        hparams: values over the Spec's own, by path or alias, scalars; they may be tracers.
        key: root of the random streams of this network. A concrete key draws in float64 and
            rounds, as a scan does; a traced one draws in the Spec's dtype.
        data: `x` `[N, I]`, `y` `[N, O]`, and validation data where the Spec has `stopping`.

    Returns:
        Reading name -> array, as folds, metrics and stopping of the Spec define them; a metric
        gives a curve, `[K, ...]` for the `K` steps of `spec.evaluated`.

    Raises:
        FractaljaxError: JAX is not in the Spec's precision, or a path is not traced.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> fj.prepare("float32")
        >>> x = jnp.linspace(-1, 1, 8)[:, None]
        >>> spec = fj.Spec(model=fj.Part("mlp", width=4), steps=50)
        >>> def measure(rate):
        ...     return fj.train(spec, {"LR": rate}, jax.random.key(0), fj.Data(x, x**2))["measure"]
        >>> jax.jit(jax.vmap(measure))(jnp.array([0.1, 1e6])) < 0  # two networks side by side
        Array([ True, False], dtype=bool)
    """
    check_precision(spec)
    hparams = {spec.traced(name): value for name, value in hparams.items()}
    with generator(spec), order.summed(order.PUBLISHED if order.published(spec) else order.XLA):
        weights = drawn_precisely(spec, key, data)
        own = [stream(spec, key, name) for name in ("batches", "noise", "growth")]
        draws = Draws(data, weights, own[0], own[1], own[2], moments(spec, data))
        return reading(spec, hparams, trained(spec, hparams, draws))


def trained(spec: Spec, hparams: Hparams, draws: Draws) -> State:
    """The state of one network after its last step, or once no reading can change any more."""
    stretch, grow = stride(spec, draws) or 1, growing(spec, hparams, draws)

    def going(carry: tuple[Array, State]) -> Array:
        t, state = carry
        return (t < spec.steps) & ~settled(spec, hparams, state)

    def some(carry: tuple[Array, State]) -> tuple[Array, State]:
        t, state = carry
        state = evaluate(spec, hparams, draws, t, state)
        count = jnp.minimum(stretch, spec.steps - t)

        def one(i: Array, state: State) -> State:
            return step(spec, hparams, draws, t + i, state)

        state = jax.lax.fori_loop(0, count, one, state)
        return t + count, grow(t + count, look(spec, hparams, draws, t + count, state))

    start = jnp.zeros((), jnp.int32), begin(spec, hparams, draws)
    return jax.lax.while_loop(going, some, start)[1]


def check_precision(spec: Course) -> None:
    """Raises unless JAX's global switch agrees with the Spec's dtype."""
    if (spec.dtype == "float64") != bool(jax.config.values["jax_enable_x64"]):
        raise FractaljaxError(
            f"the Spec is {spec.dtype}, JAX is not: call fractaljax.prepare('{spec.dtype}') first "
            "(fractaljax.load and the command line do)"
        )


def common(spec: Spec, names: tuple[str, ...]) -> Common:
    """What networks along these axes share: draws, and what the problem reads from disk where
    every network draws data of its own from it."""
    own = own_purposes(spec, names)
    source = cast(source_of(spec), spec.dtype) if "data" in own else ()
    return Common(source, _shared(spec, own))


def drawn(spec: Spec, common: Common, hparams: Hparams, words: Array) -> Draws:
    """The draws of one network: its own, from its values and not from its place, so that the same
    point has the same networks in every window, and those that all share."""
    own, shared = own_purposes(spec, hparams), common.draws
    data, summed, weights = shared.data, shared.moments, shared.weights
    with jax.enable_x64(True):  # then rounded, as the draws that all share
        keys = streams(spec, hparams, words)
        if "data" in own:
            data, summed = cast(draw_data(spec, keys.data, common.source), spec.dtype)
        if "init" in own:
            weights = cast(draw_weights(spec, keys.init, data), spec.dtype)
    batches = keys.batches if "batches" in own else shared.batches
    noise = keys.noise if "noise" in own else shared.noise
    growth_key = keys.growth if "growth" in own else shared.growth
    return Draws(data, weights, batches, noise, growth_key, summed)


def drawn_axes(spec: Spec, names: tuple[str, ...]) -> Draws:
    """Which of the draws have an axis over the networks: 0, or None where all share them."""
    own = own_purposes(spec, names)
    data, *rest = (0 if p in own else None for p in TAGS)
    return Draws(data, *rest, moments=data)


def _shared(spec: Spec, own: frozenset[str]) -> Draws:
    """The shared draws, without what no network takes."""
    if own == set(TAGS):
        return Draws((), (), (), (), ())
    draws = shared_draws(spec)
    if "data" in own:
        draws = draws._replace(data=(), moments=())
    elif not spec.metric:  # only metrics may look at test data while a network trains
        draws = draws._replace(data=draws.data._replace(test=()))
    return draws._replace(weights=()) if "init" in own else draws


def begin(spec: Spec, hparams: Hparams, draws: Draws) -> State:
    """The state before the first step."""
    params = build(spec, "model", hparams).init(draws.weights)
    rule = build(spec, "rule", hparams)
    params, rule_state = (params, ()) if rule is None else rule.init(params)
    anatomy = growth.begin(spec, draws, hparams, params)
    if anatomy:
        params = masked(params, anatomy.masks)
    opt = build(spec, "optimizer", hparams).init(params)
    when = build(spec, "when", hparams).init(jnp.zeros((), spec.dtype)) if spec.growth else ()
    length = descent.epoch_length(spec, hparams, draws.data)
    clock = Clock(jnp.zeros((), jnp.int32), length, max(1, spec.steps // length))
    rates = growth.factors(spec, hparams, clock, Network(params, opt, anatomy))
    folds = build(spec, "fold", hparams)
    carries = tuple(f.init(params, spec.steps) for f in folds)
    curves = ()
    if spec.metric:
        curves = metrics.blank(spec, lambda p: metrics.values(spec, hparams, draws, p), params)
    watch = stopping.begin(spec, hparams, draws, params, anatomy) if spec.stopping else ()
    return State(params, opt, rule_state, carries, curves, watch, anatomy, when, rates)


def growing(spec: Spec, hparams: Hparams, draws: Draws) -> Callable[[Array, State], State]:
    """`(t, state) -> state` after `t` steps, a multiple of `stride`: the network may grow."""
    if not (spec.growth or spec.rates):
        return lambda t, state: state

    def each(function: Callable) -> Callable[[Array, Tree], Tree]:
        return functools.partial(function, spec, hparams, draws)

    return growth.together(each)


def stride(spec: Spec, draws: Draws) -> int | None:
    """Steps between two moments at which a training is looked at; None: any number will do."""
    if spec.metric:
        return spec.every
    epochs = spec.stopping or spec.growth or spec.rates
    return descent.epoch_length(spec, {}, draws.data) if epochs else None


def evaluate(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> State:
    """Adds a point to every curve; `t` is one of `spec.evaluated`."""
    if not spec.metric:
        return state
    alive = metrics.finite(state.params)
    values = metrics.while_finite(alive, metrics.values(spec, hparams, draws, state.params))
    return state._replace(metric=metrics.appended(state.metric, t // spec.every, alive, values))


def step(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> State:
    """One step: loss and gradient, folds, update, rule."""
    apply = order.network(spec, hparams).apply
    found = descent.steepest(spec, hparams, draws, t, state.params)
    grads, watch, anatomy = found.grads, state.watch, state.anatomy
    if anatomy:
        grads = masked(grads, anatomy.masks)
    if spec.stopping:
        watch = stopping.noted(watch, found.trained, found.points)
    snapshot = Snapshot(t, spec.steps - t, found.shown, grads, state.params, apply)
    fold = folded(spec, hparams, snapshot, state.fold)
    network = Network(state.params, state.opt, anatomy)
    params, opt, _ = updated(spec, hparams, t, network, grads, state.rates)
    rule, rule_state, when = build(spec, "rule", hparams), state.rule, state.when
    if rule is not None:
        params, opt, rule_state = rule.update(params, opt, grads, rule_state, t)
        if anatomy:
            params = masked(params, anatomy.masks)
    if spec.growth:
        still = settled(spec, hparams, state)
        when = growth.observed(spec, hparams, state, still, grads, found.trained)
    return State(params, opt, rule_state, fold, state.metric, watch, anatomy, when, state.rates)


def look(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> State:
    """After `t` steps, a multiple of `stride` or the last: what decides on an early end."""
    if not spec.stopping:
        return state
    return state._replace(watch=stopping.looked(spec, hparams, draws, t, state))


def settled(spec: Spec, hparams: Hparams, state: State) -> Array:
    """Whether no later step can change any reading."""
    folds = zip(build(spec, "fold", hparams), state.fold, strict=True)
    still = [f.settled(c) for f, c in folds]
    if spec.metric:
        still.append(~state.metric.alive)
    if spec.stopping:
        still.append(stopping.spent(spec, hparams, state))
    return jnp.all(jnp.stack(still))


def reading(spec: Spec, hparams: Hparams, state: State) -> dict[str, Array]:
    """What the folds read in the end, the curves of the metrics, and where stopping left it."""
    found = [
        fold.final(carry, spec.steps)
        for fold, carry in zip(build(spec, "fold", hparams), state.fold, strict=True)
    ]
    if spec.metric:
        found.append(state.metric.values)
    if spec.stopping:
        found.append(stopping.reading(state.watch))
    if state.anatomy:
        found.append(growth.reading(spec, hparams, state))
    readings: dict[str, Array] = {}
    for some in found:
        if twice := sorted(set(some) & set(readings)):
            raise FractaljaxError(f"fold: '{twice[0]}' is recorded twice")
        readings |= some
    return readings


def folded(spec: Spec, hparams: Hparams, snapshot: Snapshot, carries: Tree) -> tuple[Tree, ...]:
    """Every fold's next carry; a settled one stands still, so that a reading never depends on
    how long the neighbours of a network run."""
    after = []
    for fold, carry in zip(build(spec, "fold", hparams), carries, strict=True):
        still, new = fold.settled(carry), fold.update(carry, snapshot)
        after.append(jax.tree.map(functools.partial(jnp.where, still), carry, new))
    return tuple(after)
