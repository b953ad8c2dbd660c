"""Networks that grow: when they are asked, what then changes, and what is noted of it.

Growth is a write into masks of a fixed shape, so that networks at different stages train side by
side. All networks of a chunk are asked at the same epochs; where none of them answers yes, nothing
else is computed.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fractaljax import contents
from fractaljax.engine import descent
from fractaljax.engine.hparams import Hparams, unpacked
from fractaljax.engine.streams import Draws, shared_draws
from fractaljax.engine.update import held, masked, updated
from fractaljax.errors import at
from fractaljax.spec import Spec, build
from fractaljax.types import LEDGER, Anatomy, Array, Clock, Data, Moment, Network, State, Tree

SAMPLE = 4096  # training points that growth looks at, at most


def begin(spec: Spec, draws: Draws, hparams: Hparams, params: Tree) -> Tree:
    """What exists before the first step; () where the model has no masks."""
    model = build(spec, "model", hparams)
    if model.masks is None:
        return ()
    masks = model.masks(draws.weights)
    # at least one row: arrays of no size lose their place on the devices
    rows = build(spec, "when", hparams).most if spec.growth else 1
    return Anatomy(
        masks,
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int32), params),
        jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int8), params),
        jnp.zeros((), jnp.int32),
        jnp.zeros((3, len(params)), jnp.int32),
        jnp.full((rows, len(columns(spec))), jnp.nan, spec.dtype),
    )


def columns(spec: Spec) -> tuple[str, ...]:
    """Names of what a ledger notes of an event."""
    parts = zip(spec.growth, build(spec, "growth", {}), strict=True)
    return (*LEDGER, *(f"{part.name}.{note}" for part, growth in parts for note in growth.notes))


def observed(
    spec: Spec, hparams: Hparams, state: State, still: Array, grads: Tree, loss: Array
) -> Tree:
    """The carry of what decides when to grow, after it has seen a step."""
    squares = [jnp.sum(leaf**2) for leaf in jax.tree.leaves(grads)]
    norm = jnp.sqrt(jnp.sum(jnp.stack(squares)))
    new = build(spec, "when", hparams).observe(state.when, norm, loss)
    return jax.tree.map(functools.partial(jnp.where, still), state.when, new)


def together(each: Callable[[Callable], Callable[[Array, Any], Any]]) -> Callable:
    """`(t, state) -> state` after whole epochs, for one network or several side by side.

    Args:
        each: turns `(spec, hparams, draws, t, x)` of one network into `(t, x)` of all.
    """
    ask, act, rate = each(_asked), each(_grown), each(rated)

    def grow(t: Array, state: Tree) -> Tree:
        state, fire = ask(t, state)
        state = jax.lax.cond(jnp.any(fire), lambda: act(t, (state, fire)), lambda: state)
        return rate(t, state)

    return grow


def rated(spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State) -> State:
    """The factors on the rates, as of the end of an epoch."""
    if not spec.rates:
        return state
    clock = _clock(spec, draws, t)
    rates = jax.lax.cond(
        t % clock.length == 0,
        lambda: factors(spec, hparams, clock, _network(state)),
        lambda: state.rates,
    )
    return state._replace(rates=rates)


def factors(spec: Spec, hparams: Hparams, clock: Clock, network: Network) -> Tree:
    """A factor on the rate of every weight, or ()."""
    rates = build(spec, "rates", hparams)
    if rates is None:
        return ()
    tree = rates(network, clock)
    return jax.tree.map(
        lambda p, f: jnp.broadcast_to(jnp.asarray(f, p.dtype), p.shape), network.params, tree
    )


def reading(spec: Spec, hparams: Hparams, state: State) -> dict[str, Array]:
    """How large a network has become, and what decided on it."""
    edges, units, layers = counts(state.anatomy)
    found = {"edges": edges, "units": units, "layers": layers}
    if spec.growth:
        found |= {"events": state.anatomy.events}
        found |= build(spec, "when", hparams).reading(state.when)
    return found


def counts(anatomy: Anatomy) -> tuple[Array, Array, Array]:
    """Edges, hidden units and hidden layers that exist; biases are no edges."""
    *hidden, _ = sorted(anatomy.masks)
    edges = sum(jnp.sum(own["kernel"], dtype=jnp.int32) for own in anatomy.masks.values())
    units = [jnp.sum(anatomy.masks[name]["bias"], dtype=jnp.int32) for name in hidden]
    none = jnp.zeros((), jnp.int32)
    return edges, sum(units, none), sum(((u > 0).astype(jnp.int32) for u in units), none)


@contents.derived(maxsize=16)
def extreme_share(spec: Spec, names: tuple[str, ...]) -> Callable[[Array, Tree, Tree], Array]:
    """`(values [A + S], params, masks)` -> share of the hidden units that are sites, on the data of
    training that all share."""
    draws = shared_draws(spec)

    def share(values: Array, params: Tree, masks: Tree) -> Array:
        hparams, blank = unpacked(names, values), jnp.zeros((), jnp.int32)
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int8), params)
        anatomy = Anatomy(masks, zeros, zeros, blank, blank, blank)
        moment = _moment(spec, hparams, draws, blank)
        sites = build(spec, "where", hparams)(Network(params, (), anatomy), moment)
        return jnp.sum(sites.high | sites.low) / jnp.maximum(counts(anatomy)[1], 1)

    return jax.jit(share)


def _asked(
    spec: Spec, hparams: Hparams, draws: Draws, t: Array, state: State
) -> tuple[State, Array]:
    """Whether a network grows now."""
    no = jnp.zeros((), bool)
    if not spec.growth:
        return state, no
    when, clock = build(spec, "when", hparams), _clock(spec, draws, t)
    epoch = t // clock.length

    def ask() -> tuple[Tree, Array]:
        moment = _moment(spec, hparams, draws, t)
        carry, fire = when.ask(state.when, _network(state), moment)
        return carry, fire & (state.anatomy.events < when.most)

    whole = (t % clock.length == 0) & (t < spec.steps)
    carry, fire = jax.lax.cond(whole & when.due(epoch, clock.epochs), ask, lambda: (state.when, no))
    return state._replace(when=carry), fire


def _grown(
    spec: Spec, hparams: Hparams, draws: Draws, t: Array, asked: tuple[State, Array]
) -> State:
    """A network after an event, where it was to grow."""
    state, fire = asked
    moment, network = _moment(spec, hparams, draws, t), _network(state)
    with at("where"):
        where = build(spec, "where", hparams)
        sites = where(network, moment) if where else ()
    grown, notes = network, ()
    for i, growth in enumerate(build(spec, "growth", hparams)):
        with at(f"growth.{spec.growth[i].name}"):
            own = moment._replace(key=jax.random.fold_in(moment.key, i))
            grown, some = growth.act(grown, sites, own)
        notes += some
    grown = held(grown)
    old, new = network.anatomy, grown.anatomy
    changed = jnp.stack(
        [
            jnp.any(jnp.stack([jnp.any(a != b) for a, b in zip(*leaves, strict=True)]))
            for leaves in (
                (jax.tree.leaves(old.masks[name]), jax.tree.leaves(new.masks[name]))
                for name in sorted(old.masks)
            )
        ]
    )
    took = fire & jnp.any(changed)
    before, after = counts(old), counts(new)
    sizes = [count for pair in zip(before, after, strict=True) for count in pair]
    found = [jnp.sum(sites.high), jnp.sum(sites.low)] if sites else [jnp.nan, jnp.nan]
    row = jnp.stack([jnp.asarray(v, spec.dtype) for v in (t, *sizes, *found, *notes)])
    ledger = old.ledger.at[old.events].set(row)
    beside = jnp.zeros_like(changed).at[1:].set(changed[:-1]).at[:-1].max(changed[1:])
    where_to = jnp.stack([changed, beside & ~changed, ~(beside | changed)]).astype(jnp.int32)
    noted = new._replace(events=old.events + 1, touched=old.touched + where_to, ledger=ledger)
    return _chosen(
        fire,
        state._replace(
            params=grown.params,
            opt=grown.opt,
            anatomy=_chosen(took, noted, new),
        ),
        state,
    )


def _moment(spec: Spec, hparams: Hparams, draws: Draws, t: Array) -> Moment:
    clock = _clock(spec, draws, t)
    whole: Data = draws.data._replace(test=(), valid=())
    data = jax.tree.map(lambda leaf: leaf[:SAMPLE], whole)
    model, problem = build(spec, "model", hparams), build(spec, "problem", hparams)

    def accuracy(params: Tree) -> Array:
        if "accuracy" not in problem.scores:
            return jnp.full((), jnp.nan, spec.dtype)
        return problem.scores["accuracy"](model.apply(params, data.x), data.y)

    def loss(params: Tree) -> Array:
        return descent.loss(spec, hparams, params, data)

    def practise(network: Network, epochs: int) -> Network:
        rates = factors(spec, hparams, clock, network)

        def one(i: Array, network: Network) -> Network:
            grads = descent.steepest(spec, hparams, draws, t + i, network.params).grads
            grads = masked(grads, network.anatomy.masks)
            return updated(spec, hparams, t + i, network, grads, rates)

        return jax.lax.fori_loop(0, epochs * clock.length, one, held(network))

    return Moment(
        t,
        t // clock.length,
        clock.epochs,
        jax.random.fold_in(draws.growth, t),
        data,
        model,
        loss,
        accuracy,
        jax.grad(loss),
        practise,
        lambda function, tree: jax.vmap(function)(tree),
    )


def _clock(spec: Spec, draws: Draws, t: Array) -> Clock:
    length = descent.epoch_length(spec, {}, draws.data)
    return Clock(t, length, max(1, spec.steps // length))


def _network(state: State) -> Network:
    return Network(state.params, state.opt, state.anatomy)


def _chosen(yes: Array, new: Tree, old: Tree) -> Tree:
    return jax.tree.map(functools.partial(jnp.where, yes), new, old)
