"""Growth as edits of masks: what stays zero, what stays the same function, what is counted."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fractaljax as fj
from fractaljax import registry
from fractaljax.engine import growth, train
from fractaljax.engine.streams import shared_draws
from fractaljax.engine.update import held
from fractaljax.errors import FractaljaxError
from fractaljax.parts import anatomy
from fractaljax.slots import map_slots
from fractaljax.spec import Part, Spec, build
from fractaljax.types import KINDS, Anatomy, Clock, Network

PRESERVING = ("clone", "insert_layer", "widen", "neck", "sort", "leak")
SITES = Part("extrema", high_by="quantile", high=0.7, low_by="quantile", low=0.3)
T = 6  # steps before an event


def spec(name="embedded", optimizer="adam", activation="tanh", **args):
    """Five layers of capacity, two of them empty."""
    widths, start = (12, 10, 12, 10, 12), (8, 0, 8, 0, 8)
    model = Part("masked_mlp", widths=widths, start=start, density=0.3, activation=activation)
    action = registry.lookup("growth", name)(**args)
    return Spec(
        model=model,
        problem=Part(
            "synthetic_classes", points=120, inputs=16, batch=30, sampling="epochs", test=20
        ),
        optimizer=Part(optimizer),
        growth=(Part(name, **args),),
        when=Part("every", epochs=1),
        where=SITES if action.placed else None,
        steps=24,
        dtype="float64",
    )


@pytest.fixture(scope="module")
def trained():
    """A network after some steps of Adam, its moments no longer zero."""
    s = spec()
    draws = shared_draws(s)
    step = jax.jit(lambda t, state: train.step(s, {}, draws, t, state))
    state = jax.jit(lambda: train.begin(s, {}, draws))()
    for t in range(T):
        state = step(t, state)
    return Network(state.params, state.opt, state.anatomy)


def acted(net, name, **args):
    """The network after one event, and what the ledger notes."""
    s = spec(name, **args)
    draws = shared_draws(s)

    def act(net):
        moment = growth._moment(s, {}, draws, jnp.int32(T))
        sites = build(s, "where", {})(net, moment) if s.where else ()
        return build(s, "growth", {})[0].act(net, sites, moment)

    return jax.jit(act)(net)


def outputs(net):
    s = spec()
    return np.asarray(build(s, "model", {}).apply(net.params, shared_draws(s).data.x))


def absent_is_zero(params, opt, masks):
    for name, own in params.items():
        for leaf, values in own.items():
            assert not np.asarray(values)[~np.asarray(masks[name][leaf])].any(), (name, leaf)

    def check(slot, where):
        assert not np.asarray(slot)[~np.asarray(masks[where[0]][where[1]])].any(), where
        return slot

    map_slots(check, opt, params)


def edges(net):
    return int(anatomy.count(anatomy.edges(net.anatomy)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in registry.names("growth") if n != "tournament"])
def test_what_does_not_exist_is_zero(trained, name):
    net, _ = acted(trained, name)
    absent_is_zero(net.params, held(net).opt, net.anatomy.masks)
    for tree in (net.params, net.opt):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESERVING)
def test_the_function_stays(trained, name):
    net, _ = acted(trained, name)
    before, after = growth.counts(trained.anatomy), growth.counts(net.anatomy)
    if name != "sort":
        assert after[0] > before[0], "nothing grew"
    assert np.abs(outputs(net) - outputs(trained)).max() < 1e-12
    if name in ("insert_layer", "neck"):
        assert after[2] == before[2] + 1


def test_a_copy_beside_its_unit_keeps_the_function_too(trained):
    net, _ = acted(trained, "clone", vertical=False)
    assert growth.counts(net.anatomy)[1] > growth.counts(trained.anatomy)[1]
    assert np.abs(outputs(net) - outputs(trained)).max() < 1e-12


@pytest.mark.slow
def test_sorting_moves_what_the_optimiser_remembers(trained):
    net, _ = acted(trained, "sort")
    norms = jnp.linalg.norm(net.params["layer_000"]["kernel"], axis=0)
    assert (np.diff(norms) <= 0).all() and not (np.diff(jnp.linalg.norm(
        trained.params["layer_000"]["kernel"], axis=0)) <= 0).all()  # fmt: skip
    pairs = []
    map_slots(lambda slot, where: pairs.append((where, slot)) or slot, net.opt, net.params)
    olds = []
    map_slots(lambda slot, where: olds.append(slot) or slot, trained.opt, trained.params)
    order = np.argsort(
        -np.linalg.norm(np.asarray(trained.params["layer_000"]["kernel"]), axis=0), kind="stable"
    )
    moved = [
        np.array_equal(new, np.asarray(old)[:, order])
        for (where, new), old in zip(pairs, olds, strict=True)
        if where == ("layer_000", "kernel")
    ]
    assert len(moved) == 2 and all(moved)  # both moments of Adam


def test_pruning_takes_the_weakest_and_as_many_as_came(trained):
    s = dataclasses.replace(
        spec("proportional", share=0.2), growth=(Part("proportional", share=0.2), Part("prune"))
    )
    draws = shared_draws(s)
    moment = growth._moment(s, {}, draws, jnp.int32(T))
    sites = jax.jit(lambda net: build(s, "where", {})(net, moment))(trained)
    more, less = build(s, "growth", {})
    grown = jax.jit(lambda net: more.act(net, sites, moment)[0])(trained)
    added = edges(grown) - edges(trained)
    assert added == math.ceil(0.2 * edges(trained))
    pruned = jax.jit(lambda net: less.act(net, sites, moment)[0])(grown)
    assert edges(pruned) == edges(trained)
    lost = [
        abs(float(w))
        for name, own in trained.params.items()
        for w in np.asarray(own["kernel"])[
            np.asarray(trained.anatomy.masks[name]["kernel"])
            & ~np.asarray(pruned.anatomy.masks[name]["kernel"])
        ]
    ]
    kept = [
        abs(float(w))
        for name, own in trained.params.items()
        for w in np.asarray(own["kernel"])[np.asarray(pruned.anatomy.masks[name]["kernel"])]
        if w
    ]
    assert len(lost) == added and max(lost) <= min(kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["set", "rigl"])
def test_rewiring_keeps_the_number_of_edges_of_every_layer(trained, name):
    net, _ = acted(trained, name)
    moved = 0
    for layer, own in net.anatomy.masks.items():
        old = trained.anatomy.masks[layer]["kernel"]
        assert own["kernel"].sum() == old.sum()
        moved += int((own["kernel"] != old).sum())
    assert moved > 0


@pytest.mark.slow
def test_rigl_grows_where_the_gradient_is_largest(trained):
    s = spec("rigl")
    moment = growth._moment(s, {}, shared_draws(s), jnp.int32(T))
    grads = moment.grads(trained.params)
    net, _ = acted(trained, "rigl")
    for layer in trained.params:
        old = np.asarray(trained.anatomy.masks[layer]["kernel"])
        new = np.asarray(net.anatomy.masks[layer]["kernel"]) & ~old
        could = np.asarray(anatomy.possible(trained.anatomy, skips=False)[layer]) & ~old & ~new
        size = np.abs(np.asarray(grads[layer]["kernel"]))
        if new.any() and could.any():
            assert size[new].min() >= size[could].max()


@pytest.mark.slow
def test_random_growth_ends_with_just_as_many_edges(trained):
    s = spec("random", edges=30.0, first=2.0, last=5.0)
    action, net, total = build(s, "growth", {})[0], trained, 0
    moment = growth._moment(s, {}, shared_draws(s), jnp.int32(T))
    act = jax.jit(lambda net, epoch: action.act(net, (), moment._replace(epoch=epoch))[0])
    for epoch in range(8):
        net = act(net, jnp.int32(epoch))
        total = edges(net) - edges(trained)
        assert total == round(30 * min(max((epoch - 1) / 4, 0), 1))
    assert total == 30


@pytest.mark.slow
def test_patches_are_dense_blocks_at_extrema(trained):
    net, _ = acted(trained, "patches", size=3.0, most=2.0)
    patch = KINDS.index("patch")
    host = np.asarray(net.anatomy.kind["layer_001"]["bias"]) == patch
    assert host.sum() in (3, 6, 9, 10)  # whole patches
    kernel = np.asarray(net.anatomy.masks["layer_001"]["kernel"])[:, host]
    assert (kernel.sum(axis=0) >= 1).all()


@pytest.mark.slow
def test_the_tournament_takes_the_best_bid_and_keeps_all(trained):
    s = spec("tournament", candidates=("embedded", "widen", "leak"), epochs=1, least=-1e9)
    draws = shared_draws(s)
    moment = growth._moment(s, {}, draws, jnp.int32(T))
    sites = jax.jit(lambda net: build(s, "where", {})(net, moment))(trained)
    action = build(s, "growth", {})[0]
    net, notes = jax.jit(lambda net: action.act(net, sites, moment))(trained)
    told = dict(zip(action.notes, map(float, notes), strict=True))
    names = ("embedded", "widen", "leak")
    bids = [told[f"{n}.gain"] / max(told[f"{n}.edges"], 1) for n in names]
    assert int(told["winner"]) == int(np.argmax(bids))
    winner = names[int(told["winner"])]
    assert edges(net) - edges(trained) == told[f"{winner}.edges"]
    none = spec("tournament", candidates=("leak",), epochs=0, least=1e9)
    same, notes = build(none, "growth", {})[0].act(trained, sites, moment)
    assert float(notes[0]) == -1 and edges(same) == edges(trained)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", registry.names("optimizer"))
def test_masks_hold_after_every_step_of_every_optimiser(optimizer):
    extra = {"momentum": 0.9} if optimizer in ("sgd", "rmsprop", "lars") else {}
    s = dataclasses.replace(
        spec(optimizer=optimizer),
        optimizer=Part(optimizer, lr=0.01, weight_decay=0.1, **extra),
        growth=(Part("leak"), Part("prune", share=0.9)),  # all edges, then most of them gone
        where=None,
        when=Part("every", epochs=2),
        rule=Part("drift", offset=0.1),
        rates=Part("dual"),
    )
    draws = shared_draws(s)
    grow = train.growing(s, {}, draws)
    length = train.stride(s, draws)
    step = jax.jit(lambda t, state: grow(t + 1, train.step(s, {}, draws, t, state)))
    state = jax.jit(lambda: train.begin(s, {}, draws))()
    for t in range(6 * length):
        state = step(jnp.int32(t), state)
        absent_is_zero(state.params, state.opt, state.anatomy.masks)
    assert int(state.anatomy.events) == 3


@pytest.mark.parametrize("density", [0.001, 0.02, 0.3, 1.0])
def test_counts_of_edges_are_exact(density):
    s = spec().updated({"model.density": density})
    draws = shared_draws(s)
    anatomy_ = jax.jit(lambda: train.begin(s, {}, draws).anatomy)()
    wanted = sum(
        max(1, math.floor(density * a * b + 1e-9)) for a, b in [(16, 8), (8, 8), (8, 8), (8, 10)]
    )
    assert int(growth.counts(anatomy_)[0]) == wanted
    assert int(growth.counts(anatomy_)[1]) == 24


def test_credits_balance():
    """What is earned less what is spent is what is left, and growth waits for it."""
    when = registry.lookup("when", "credits")(
        cost=30.0, per_spike=10.0, bootstrap=5.0, bootstrap_epochs=4.0, window=2, cooldown=2.0
    )
    s = spec()
    moment = growth._moment(s, {}, shared_draws(s), jnp.int32(0))
    carry, fired = when.init(jnp.zeros(())), []
    rng = np.random.default_rng(0)
    for epoch in range(1, 30):
        for _ in range(5):
            carry = when.observe(carry, jnp.asarray(rng.exponential()), jnp.zeros(()))
        carry, fire = when.ask(carry, None, moment._replace(epoch=jnp.int32(epoch)))
        told = {k: float(v) for k, v in when.reading(carry).items()}
        assert told["credits"] == told["earned"] - told["spent"] >= 0
        if fire:
            assert told["credits"] == 0
            fired.append(epoch)
    assert fired and min(np.diff(fired)) > 2
    assert told["spent"] >= 30 * len(fired)


def test_a_spike_is_a_jump_of_the_variance():
    when = registry.lookup("when", "spike")(threshold=0.5, window=4, cooldown=0.0)
    s = spec()
    moment = growth._moment(s, {}, shared_draws(s), jnp.int32(0))._replace(epoch=jnp.int32(1))

    def fires(norms):
        carry = when.init(jnp.zeros(()))
        for norm in norms:
            carry = when.observe(carry, jnp.asarray(float(norm)), jnp.zeros(()))
        return bool(when.ask(carry, None, moment)[1])

    assert not fires([1, 2] * 4)  # the same variance before and after
    assert fires([1, 2, 1, 2, 1, 3, 1, 3])  # 0.25 -> 1
    assert not fires([1, 2, 1, 2, 1, 2.2, 1, 2.2])  # 0.25 -> 0.36: by less than half
    assert not fires([1, 9, 1])  # too few


def tiny():
    """Two layers of one weight each by hand: the scaffold and what came at step 20."""

    def leaf(*values):
        return jnp.array([values])

    kernels = {"layer_000": leaf(1.0, 1.0), "layer_001": jnp.ones((3, 1)) / 2}
    params = {n: {"kernel": k, "bias": jnp.zeros(k.shape[1])} for n, k in kernels.items()}
    masks = {
        "layer_000": {"kernel": leaf(True, True), "bias": jnp.array([True, True])},
        "layer_001": {"kernel": jnp.array([[False], [True], [True]]), "bias": jnp.array([True])},
    }
    born = {
        "layer_000": {"kernel": leaf(0, 20), "bias": jnp.array([0, 0])},
        "layer_001": {"kernel": jnp.array([[0], [0], [10]]), "bias": jnp.array([0])},
    }
    kind = {
        "layer_000": {"kernel": leaf(0, 1), "bias": jnp.array([0, 0])},
        "layer_001": {"kernel": jnp.array([[0], [2], [3]]), "bias": jnp.array([0])},
    }
    ledger = jnp.array([[10.0], [20.0], [jnp.nan]])
    touched = jnp.array([[1, 0], [1, 2], [0, 0]])
    a = Anatomy(masks, born, kind, jnp.int32(2), touched, ledger)
    return Network(params, (), a), Clock(jnp.int32(40), 10, 5)


TABLE = {  # factors of (scaffold, patch) of layer 0 and (absent, neck, new) of layer 1, by hand
    ("cascading",): ([1, 1], [0.1**0.5] * 3),
    ("dual",): ([0.1, 0.5], [0.1, 0.5, 0.5]),
    ("age",): ([0.01, 1], [0.01, 0.01, 0.1]),  # events since: 2, 0; 2, 2, 1
    ("age", "unit=epochs", "period=2"): (
        [0.01, 0.1],
        [0.01, 0.01, 0.1**1.5],
    ),  # epochs: 4, 2; 4, 4, 3
    ("component",): ([0.1, 0.5], [0.1, 1, 1]),
    ("pretrained",): ([0.01, 1], [0.01, 0.01, 1]),
    ("after_growth",): ([0.25, 1], [0.25, 1, 1]),
    ("warm_up",): ([1, 0.4], [1, 1, 0.6]),
    ("freezing",): ([0, 0], [0.1] * 3),  # 40 of 50 steps: the last layer alone
    ("freezing", "refine=0.9"): ([1, 1], [1] * 3),
    ("freezing", "final=0.9"): ([0.01, 0.01], [0.01] * 3),
    ("freezing", "final=0.9", "layers=1"): ([0.01, 0.01], [0.1] * 3),
    ("differential",): ([0.63, 0.63], [0.49] * 3),
    ("sparsity",): ([0.5, 0.5], [0.5] * 3),
    ("sparsity", "sparse=2", "dense=3"): ([2, 2], [2] * 3),
    ("sedimentary",): ([1, 0.5], [1] * 3),
    ("sedimentary", "middle=3"): ([0.1, 0.5], [0.1, 0.1, 1]),
    ("sedimentary", "middle=2", "old=3"): ([0.01, 0.5], [0.01, 0.01, 0.1]),
    ("combined",): ([1, 0.5], [0.1**0.5, 0.8 * 0 + 1, 0.6]),
    ("combined", "period=2"): ([0.01, 0.5], [0.01 * 0.1**0.5, 1, 0.6]),
}


@pytest.mark.parametrize("row", TABLE, ids=" ".join)
def test_factors_on_the_rates_are_those_computed_by_hand(row):
    name, *words = row
    args = {}
    for word in words:
        key, _, value = word.partition("=")
        args[key] = value if value.isalpha() else int(value) if key == "layers" else float(value)
    net, clock = tiny()
    tree = registry.lookup("rates", name)(**args)(net, clock)
    for layer, wanted in zip(("layer_000", "layer_001"), TABLE[row], strict=True):
        found = jnp.broadcast_to(tree[layer]["kernel"], net.params[layer]["kernel"].shape)
        np.testing.assert_allclose(np.ravel(found), wanted, rtol=1e-6)


def test_every_strategy_has_a_row():
    assert {row[0] for row in TABLE} == set(registry.names("rates"))


def test_lars_is_the_ratio_of_the_norms():
    optimizer = registry.lookup("optimizer", "lars")(lr=0.1)
    params = {"layer_000": {"kernel": jnp.array([3.0, 4.0])}}
    grads = {"layer_000": {"kernel": jnp.array([0.6, 0.8])}}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    np.testing.assert_allclose(updates["layer_000"]["kernel"], [-0.3, -0.4], rtol=1e-6)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (Part("masked_mlp", widths=(4,), start=(5,)), "start=[5]"),
        (Part("masked_mlp", widths=(4,), density=0.0), "density=0.0"),
        (Part("masked_mlp", widths=()), "widths=[]"),
        (Part("masked_mlp", widths=(4, 4), start=(4, 0), reach=1), "reach=1"),
    ],
)
def test_capacities_that_are_none_are_refused(part, words):
    with pytest.raises(FractaljaxError, match="model: ") as caught:
        Spec(model=part)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"growth": ("embedded",)}, "growth: model 'mlp' has no masks"),
        ({"when": "every"}, "when is not read"),
        ({"growth": ("set",), "where": "extrema", "model": "masked_mlp"}, "where is not read"),
        ({"rates": "dual"}, "rates: model 'mlp' has no masks"),
        ({"growth": ("embeded",), "model": "masked_mlp"}, "Did you mean 'embedded'"),
    ],
)
def test_knobs_of_growth_are_read_or_refused(changes, words):
    parts = {
        k: tuple(map(Part, v)) if isinstance(v, tuple) else Part(v) for k, v in changes.items()
    }
    with pytest.raises(FractaljaxError) as caught:
        fj.Spec(**parts)
    assert words in str(caught.value)
