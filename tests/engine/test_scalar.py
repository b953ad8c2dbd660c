"""A value that is an axis in float32 trains as the same value that is a setting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import fractaljax as fj
from fractaljax import registry
from fractaljax.engine.hparams import packed, unpacked
from fractaljax.scalar import Scalar
from fractaljax.spec import build

RATES = np.array([1e-3, 0.01, 0.1, 1.0])
X = jnp.asarray(np.arange(1, 6, dtype=np.float32))


@pytest.fixture(autouse=True)
def _single():
    fj.prepare("float32")


def traced(function, value):
    """What a function of a value makes of one that is traced, in a program of several."""
    one = packed(np.array([[value], [value]]), ["optimizer.beta2"], "float32")
    run = jax.vmap(lambda row: function(unpacked(["optimizer.beta2"], row)["optimizer.beta2"]))
    return jax.tree.map(lambda leaf: np.asarray(leaf[1]), jax.jit(run)(one))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e30])
def test_all_53_bits_arrive(scale):
    values = np.random.default_rng(0).normal(size=1000) * scale
    columns = packed(values[:, None], ["model.gamma"], "float32")
    assert columns.dtype == np.float32
    arrived = jax.vmap(lambda row: unpacked(["model.gamma"], row)["model.gamma"].exact)(columns)
    assert np.array_equal(arrived, values)


def test_what_float32_does_not_hold_arrives_as_there():
    values = np.array([1e300, -np.inf, np.nan, 1e-300, 0.0])
    columns = packed(values[:, None], ["model.gamma"], "float32")
    arrived = jax.vmap(lambda row: unpacked(["model.gamma"], row)["model.gamma"] * X[:1])(columns)
    assert np.array_equal(arrived[:, 0], values.astype("float32"), equal_nan=True)


def test_seeds_and_values_travel_side_by_side():
    names = ["seed", "optimizer.lr", "data_seed", "model.gamma"]
    points = np.array([[2**32 - 1, 0.1, 65536, 0.3], [7, 1 / 3, 2**31 + 1, 1e-9]])
    for row, (seed, rate, data, gamma) in zip(
        packed(points, names, "float32"), points, strict=True
    ):
        found = unpacked(names, jnp.asarray(row))
        assert (int(found["seed"]), int(found["data_seed"])) == (seed, data)
        assert (float(found["optimizer.lr"]), float(found["model.gamma"])) == (rate, gamma)


FUNCTIONS = {
    "one minus": lambda b: (1 - b) * X,
    "inverse": lambda b: X / (1 / (1 - b)),
    "numbers": lambda b: (2 * b + 1 - b / 3 - b // 0.3 + b % 0.3) * X,
    "minus": lambda b: abs(-b) * X,
    "power of a number": lambda b: (1 - b**3) * X,
    "power of an array": lambda b: b**X,
    "of numpy": lambda b: np.float32(3) * b + np.arange(5, dtype=np.float32) * b * X,
    "where": lambda b: jnp.where(b > X * 0.3, b, X),
    "against a number": lambda b: jnp.where(b > 0.5, X, -X),
    "stack": lambda b: jnp.stack([b, 1 - b]),
    "whole numbers": lambda b: jnp.arange(3) * b,
    "maximum": lambda b: jnp.maximum(1 - b, X),
    "loop": lambda b: lax.fori_loop(0, 3, lambda i, y: y * (1 - b), X),
    "gradient": lambda b: jax.grad(lambda y: jnp.sum((1 - b) * y))(X),
    "cosine": lambda b: jnp.cos(b),
    "whole numbers of numpy": lambda b: (1 - b / np.int64(1) * np.prod((1, 1))) * X,
    "a single number": lambda b: (1 - np.array(1.0) * b) * X,
    "narrow numbers": lambda b: (1 - b * np.float32(1)) * X,
    "plus": lambda b: (1 - +b) * X,
    "divmod": lambda b: sum(divmod(b, 0.3)) * X,
    "sum of two": lambda b: (b + b * b - b) * X,
}


@pytest.mark.parametrize("value", [0.999, 0.1, 1 - 1e-12])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arithmetic_is_that_of_a_python_float(name, value):
    """Each operation by itself: what a compiler makes of several is its own."""
    exact = unpacked(
        ["model.gamma"], jnp.asarray(packed(np.array([[value]]), ["model.gamma"], "float32")[0])
    )
    found, right = FUNCTIONS[name](exact["model.gamma"]), FUNCTIONS[name](value)
    assert found.dtype == right.dtype == jnp.float32
    assert np.array_equal(found, right)
    assert np.allclose(traced(FUNCTIONS[name], value), right, rtol=3e-7, atol=0)


def test_a_scalar_can_be_asked_like_an_array():
    kinds = traced(lambda b: (b.astype(jnp.int32), b.sqrt() * X, jnp.asarray(b)), 0.25)
    assert [kind.dtype for kind in kinds] == ["int32", "float32", "float32"]
    with pytest.raises(jax.errors.TracerBoolConversionError):
        traced(lambda b: X if b > 0.5 else -X, 0.25)
    with pytest.raises(jax.errors.ConcretizationTypeError):
        traced(lambda b: X * float(b), 0.25)
    with pytest.raises(AttributeError):
        traced(lambda b: b.no_such_thing, 0.25)


def test_one_minus_a_value_near_one_keeps_its_digits():
    """At 0.99999 a float32 tracer is off by 1.4e-3 of it; up to 1 - 1e-12 by nothing here."""
    for value in (0.999, 0.99999, 1 - 1e-9, 1 - 1e-12):
        assert traced(lambda b: (1 - b) * jnp.ones(()), value) == np.float32(1 - value)


def update(optimizer, hparams, steps):
    """The last of so many updates that gradients of one sign make, of every point `[P, ...]`. As in
    a scan, the number of the step is none that a compiler knows."""
    params = {f"layer_{i:03}": {"kernel": X[: i + 2] / 7} for i in range(3)}
    grads = jax.tree.map(lambda w: w * w + 0.1, params)
    spec = fj.Spec(optimizer=optimizer)

    def last(row, steps):
        made = build(spec, "optimizer", unpacked(tuple(hparams), row))

        def one(_, carry):
            return made.update(grads, carry[1], params)

        return lax.fori_loop(0, steps, one, (grads, made.init(params)))[0]

    points = np.stack(np.broadcast_arrays(*hparams.values()), axis=-1)
    packed_points = packed(points, tuple(hparams), "float32")
    return jax.jit(jax.vmap(last, in_axes=(0, None)))(packed_points, steps)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("name", registry.names("optimizer"))
def test_the_first_updates_of_an_axis_are_those_of_the_setting_within_two_ulp(name, steps):
    part = fj.Spec(optimizer=fj.Part(name)).optimizer
    own = {"momentum": 0.9, "weight_decay": 1e-3}  # nothing happens at 0, their default
    values = {k: own.get(k, v) for k, v in part.args if isinstance(v, float)}
    axes = {f"optimizer.{k}": np.full(len(RATES), v) for k, v in values.items()}
    rates = {"optimizer.lr": RATES}
    found = update(part, rates | axes, steps)
    right = update(fj.Part(name, **values), rates, steps)
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(right), strict=True):
        np.testing.assert_array_max_ulp(np.asarray(one), np.asarray(two), maxulp=2)


def test_rates_between_layers_are_rounded_once():
    spec = fj.Spec(optimizer=fj.Part("sgd", lr_in=0.1, lr_out=0.3))
    part = spec.optimizer
    paths = {"optimizer.lr_in": np.array([0.1, 0.2]), "optimizer.lr_out": np.array([0.3, 0.7])}
    found = update(part, paths, 1)["layer_001"]["kernel"]
    for i, (one, two) in enumerate(zip(*paths.values(), strict=True)):
        rate = np.float32(np.sqrt(one) * np.sqrt(two))
        kernel = np.asarray(X[:3] / 7)
        np.testing.assert_array_max_ulp(
            np.asarray(found[i]), -rate * (kernel * kernel + np.float32(0.1)), 2
        )


def test_a_scan_along_beta2_holds_the_training_of_the_setting():
    """Adam at 0.999 ended up to one per cent elsewhere after 100 steps."""
    spec = fj.Spec(model=fj.Part("mlp", width=8), optimizer=fj.Part("adam", lr=0.01), steps=100)
    window = fj.Window(fj.Axis("optimizer.beta2", 0.9, 0.999, n=2, scale="linear"))
    along = fj.scan(spec, window, chunk=2)["measure"]
    rate = fj.Window(fj.Axis("optimizer.lr", 0.01, 0.02, n=2))
    for i, value in enumerate((0.9, 0.999)):
        alone = fj.scan(spec.updated({"optimizer.beta2": value}), rate, chunk=2)
        assert along[i] == pytest.approx(alone["measure"][0], rel=2e-6)


def test_traced_values_of_a_user_stay_what_they_are():
    """`train` takes arrays: no Scalar is made of them."""
    seen = []
    assert isinstance(unpacked(["model.gamma"], jnp.zeros(3))["model.gamma"], Scalar)
    x = jnp.linspace(-1, 1, 8)[:, None]
    spec = fj.Spec(model=fj.Part("mlp", width=4), optimizer=fj.Part("adam"), steps=3)

    def one(beta):
        seen.append(type(beta))
        return fj.train(spec, {"BETA2": beta}, jax.random.key(0), fj.Data(x, x**2))["measure"]

    assert np.isfinite(jax.jit(one)(jnp.float32(0.9)))
    assert not issubclass(seen[0], Scalar)
