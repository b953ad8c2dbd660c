"""The networks of the transfer study against computation by hand, in plain numpy."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import fractaljax as fj
from fractaljax.engine import streams, train
from fractaljax.engine.descent import steepest
from fractaljax.parts import models
from fractaljax.spec import build

EIGHT = [
    (252, 32, 16),
    (248, 32, 92),
    (244, 48, 56),
    (216, 120, 84),
    (188, 192, 112),
    (160, 264, 140),
    (160, 204, 224),
    (120, 204, 408),
]
HYPER = {"lr": 0.01, "beta1": 0.9, "beta2": 0.97, "eps": 1e-7, "weight_decay": 0.05}


def spec(**changes):
    settings = {
        "model": fj.Part(
            "mlp",
            widths=(7, 5),
            activation="leaky_relu",
            slope=0.06,
            bias=True,
            parametrisation="torch",
        ),
        "problem": fj.Part("digits", points=40, scaling="unit"),
        "optimizer": fj.Part("adamw", **HYPER),
        "fold": (),
        "dtype": "float64",
        "seed": 3,
    }
    return fj.Spec(**settings | changes)


@pytest.mark.parametrize("widths", EIGHT)
def test_all_eight_have_the_same_number_of_parameters(widths):
    one = spec(model=fj.Part("mlp", widths=widths, bias=True, parametrisation="torch"))
    assert streams.count_parameters(one, 784, 10) == 206_614


def forward(params, x, slope):
    """Inputs of every layer, sums of every layer, and the outputs."""
    inputs, sums = [x], []
    for name in sorted(params):
        z = inputs[-1] @ params[name]["kernel"] + params[name]["bias"]
        sums.append(z)
        inputs.append(np.where(z > 0, z, slope * z))
    return inputs[:-1], sums, sums[-1]


def by_hand(params, x, y, slope):
    """Loss and gradient of the mean cross entropy."""
    inputs, sums, outputs = forward(params, x, slope)
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    p = shifted / shifted.sum(axis=1, keepdims=True)
    loss = -np.mean(np.log((p * y).sum(axis=1)))
    delta, grads = (p - y) / len(x), {}
    for i, name in reversed(list(enumerate(sorted(params)))):
        grads[name] = {"kernel": inputs[i].T @ delta, "bias": delta.sum(axis=0)}
        if i:
            back = delta @ params[name]["kernel"].T
            delta = back * np.where(sums[i - 1] > 0, 1, slope)
    return loss, grads


def arrays(tree):
    return jax.tree.map(np.asarray, tree)


def averaged(old, new, beta):
    return jax.tree.map(lambda a, b: beta * a + (1 - beta) * b, old, new)


def test_two_steps_of_adamw_by_hand():
    one, draws = spec(), streams.shared_draws(spec())
    x, y = np.asarray(draws.data.x), np.asarray(draws.data.y)
    state = train.begin(one, {}, draws)
    params = arrays(state.params)
    first = jax.tree.map(np.zeros_like, params)
    second = jax.tree.map(np.zeros_like, params)
    for t in range(2):
        found = steepest(one, {}, draws, jnp.int32(t), state.params)
        loss, grads = by_hand(params, x, y, 0.06)
        assert float(found.shown) == pytest.approx(loss, rel=1e-12)
        for a, b in zip(jax.tree.leaves(found.grads), jax.tree.leaves(grads), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)
        state = train.step(one, {}, draws, jnp.int32(t), state)
        h, n = HYPER, t + 1
        squares = jax.tree.map(np.square, grads)
        first, second = averaged(first, grads, h["beta1"]), averaged(second, squares, h["beta2"])

        def updated(p, m, v, n=n, h=h):
            p = p - h["lr"] * h["weight_decay"] * p  # decoupled, biases too
            m, v = m / (1 - h["beta1"] ** n), v / (1 - h["beta2"] ** n)
            return p - h["lr"] * m / (np.sqrt(v) + h["eps"])

        params = jax.tree.map(updated, params, first, second)
        for a, b in zip(jax.tree.leaves(state.params), jax.tree.leaves(params), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


def test_weights_and_biases_start_uniform():
    one = spec(model=fj.Part("mlp", widths=(300, 200), bias=True, parametrisation="torch"))
    params = train.begin(one, {}, streams.shared_draws(one)).params
    for layer in params.values():
        bound = 1 / math.sqrt(layer["kernel"].shape[0])
        for leaf in layer.values():
            numbers = np.ravel(leaf) / bound
            assert abs(numbers).max() <= 1
            assert stats.kstest(numbers, "uniform", (-1, 2)).pvalue > 1e-4
        assert abs(np.corrcoef(layer["kernel"][0], layer["bias"])[0, 1]) < 0.4


def test_without_dropout_nothing_is_random_and_the_loss_that_is_shown_never_is():
    assert build(spec(), "model", {}).noisy is None
    dropping = spec(model=fj.Part("mlp", **dict(spec().model.args) | {"dropout": 0.4}))
    draws = streams.shared_draws(dropping)
    params = train.begin(dropping, {}, draws).params
    plain = steepest(spec(), {}, draws, jnp.int32(0), params)
    found = [steepest(dropping, {}, draws, jnp.int32(t), params) for t in range(2)]
    assert float(found[0].shown) == pytest.approx(float(plain.shown), rel=1e-12)
    losses = {float(plain.trained), *(float(f.trained) for f in found)}
    assert len(losses) == 3  # the gradient sees another network at every step


def test_dropout_zeroes_its_share_of_units_and_scales_up_the_rest():
    def dropped(key, rate, shape=(400, 500)):
        x = jnp.ones(shape)
        return np.asarray(models.Dropout(rate).apply({}, x, rngs={"dropout": key}))

    key = jax.random.key(0)
    for rate in (0.01, 0.3, 0.5):
        kept = dropped(key, rate)
        assert set(np.unique(kept)) == {0.0, np.float64(1 / (1 - rate))}
        deviation = math.sqrt(rate * (1 - rate) / kept.size)
        assert abs((kept == 0).mean() - rate) < 4 * deviation
    zero, other = (dropped(jax.random.key(i), 0.5) == 0 for i in range(2))
    limit = 4 / math.sqrt(zero.size)
    assert abs(np.corrcoef(zero.ravel(), other.ravel())[0, 1]) < limit  # of two steps
    assert abs(np.corrcoef(zero[:, 1:].ravel(), zero[:, :-1].ravel())[0, 1]) < limit
    assert abs(np.corrcoef(zero[1:].ravel(), zero[:-1].ravel())[0, 1]) < limit
    counts = zero.sum(axis=1)  # of a unit over the points: binomial
    assert stats.kstest((counts - 250) / math.sqrt(125), "norm").pvalue > 1e-4


def test_dropout_differs_between_layers_and_seeds_and_not_with_the_rate():
    def masks(seed, rate):
        one = spec(
            model=fj.Part("mlp", **dict(spec().model.args) | {"widths": (64, 64), "dropout": rate}),
            seed=seed,
        )
        draws = streams.shared_draws(one)
        params = train.begin(one, {}, draws).params
        model = build(one, "model", {})
        seen = []
        ones = models._mixed

        def spied(bits):
            seen.append(bits)
            return ones(bits)

        models._mixed = spied
        try:
            model.noisy(params, draws.data.x, draws.noise)
        finally:
            models._mixed = ones
        return [np.asarray(seen[0]), np.asarray(seen[2])]

    one = masks(3, 0.1)
    assert not np.array_equal(one[0], one[1])
    np.testing.assert_array_equal(one, masks(3, 0.4))  # rates share their numbers
    assert not np.array_equal(one[0], masks(4, 0.1)[0])
