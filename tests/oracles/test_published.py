"""The published experiment: arrays from the paper's own reference code (tests/data).

Near the boundary late values are chaotic: a rounding anywhere changes them. Signs are compared
everywhere, values where training is smooth.
"""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

import fractaljax as fj
from fractaljax import config
from fractaljax.engine import coordinates

ROOT = Path(__file__).parents[2]
SAME_JAX = jax.__version__.startswith("0.10.")  # that of the figures in README: bits are its own
CASES = [
    ("linear", "overview", 0.995, 0.95),
    pytest.param("tanh", "overview", 0.995, 0.99, marks=pytest.mark.slow),
    pytest.param("tanh", "tile", 0.995, 0.99, marks=pytest.mark.slow),
    ("single", "tile", 0.995, 0.98),
]


@pytest.mark.parametrize(("condition", "experiment", "signs", "values"), CASES)
def test_condition_comes_out_again(condition, experiment, signs, values):
    reference = np.load(ROOT / "tests" / "data" / f"{condition}_{experiment}.npz")
    expected = reference["values"]
    spec, window = fj.load(ROOT / f"configs/paper/{condition}.yaml", only=experiment)
    assert spec.steps == json.loads(str(reference["settings"]))["opt_steps"]
    window = window.resized(len(expected))
    np.testing.assert_allclose([window.x.low, window.x.high], reference["x_log10"], atol=1e-12)
    np.testing.assert_allclose([window.y.low, window.y.high], reference["y_log10"], atol=1e-12)
    measure = fj.scan(spec, window, chunk=16)["measure"]
    assert np.mean(np.sign(measure) == np.sign(expected)) >= signs
    near = np.mean(np.abs(measure - expected) <= 1e-6 * np.abs(expected))
    assert near >= (values if SAME_JAX else 0.3)  # `logspace` has other last bits in another JAX


def test_published_draws():
    """The first weights and points of the notebook's key 0, as its generator drew them."""
    from fractaljax.engine.streams import shared_draws

    data, weights, batches, *_ = shared_draws(fj.load(ROOT / "configs/paper/tanh.yaml")[0])
    assert data.x.shape == (272, 16) and data.y.shape == (272, 1)
    assert weights["layer_000"]["kernel"].shape == (16, 16)
    assert batches.shape == (500,)
    linear = shared_draws(fj.load(ROOT / "configs/paper/linear.yaml")[0]).data
    assert linear.x.shape == (16, 16)
    single = shared_draws(fj.load(ROOT / "configs/paper/single.yaml")[0]).data
    assert single.x.shape == (1, 16)


def test_published_windows():
    """The windows of the paper's tiles, as they are printed."""
    printed = {
        "linear": (1.90010080e2, 1.90011840e2, 4.77745244e0, 4.77749670e0),
        "relu": (5.77622737e-1, 5.77625590e-1, 8.14432439e1, 8.14436463e1),
        "single": (4.8298735e1, 4.8299146e1, 1.82066141e1, 1.82067690e1),
        "minibatch": (
            2.673988354719570e-1,
            2.673988354750710e-1,
            1.742695097007110e2,
            1.742695097027410e2,
        ),
        "tanh": (1.329976231e1, 1.329978604e1, 2.003582269e2, 2.003585844e2),
        "offset": (1.960618282403e-1, 1.960618285243e-1, 3.9025460786300e1, 3.902546084290e1),
    }
    for condition, window in printed.items():
        raw = config.read(ROOT / f"configs/paper/{condition}.yaml")
        found = config.experiments(raw, only="tile")[0].window
        assert (found.x.min, found.x.max, found.y.min, found.y.max) == window


@pytest.mark.parametrize("condition", ["relu", "minibatch", "offset"])
def test_step_of_the_notebook(condition):
    """Conditions without a reference array, against the experiment written out by hand.

    Straight from the description of the notebook (arXiv:2402.06184 and its code): no Flax, no
    optax, no engine; a few steps, at rates where all losses stay smooth.
    """
    import jax.numpy as jnp

    spec, window = fj.load(
        ROOT / f"configs/paper/{condition}.yaml", ["steps=6", "fold={history: {every: 1}}"]
    )
    window = window.resized(3)
    history = fj.scan(spec, window, chunk=1)["history"]
    with jax.threefry_partitionable(False):
        rest, init = jax.random.split(jax.random.key(0))
        rest, kx = jax.random.split(rest)
        _, ky = jax.random.split(rest)
        first, last = jax.random.split(init)
        start = [jax.random.normal(first, (16, 16)), jax.random.normal(last, (16, 1))]
        x, y = jax.random.normal(kx, (272, 16)), jax.random.normal(ky, (272, 1))
        batches = [
            jax.random.randint(k, (16,), 0, 272) for k in jax.random.split(jax.random.key(42), 6)
        ]

    def loss(w, x, y):
        z = x @ w[0] / 4
        h = jax.nn.relu(z) * jnp.sqrt(2) if condition == "relu" else jnp.tanh(z * jnp.sqrt(2))
        return jnp.mean((h @ w[1] / 16 - y) ** 2)

    for row, y_value in enumerate(window.y.points()):
        for column, x_value in enumerate(window.x.points()):
            w, losses = list(start), []
            for t in range(6):
                rates = (x_value, y_value)
                if condition == "offset":
                    w, rates = [w[0] + x_value, w[1]], (y_value, y_value)
                bx, by = (x[batches[t]], y[batches[t]]) if condition == "minibatch" else (x, y)
                losses.append(float(loss(w, x, y)))
                grads = jax.grad(loss)(w, bx, by)
                w = [p - r * g for p, r, g in zip(w, rates, grads, strict=True)]
            expected = np.array(losses)
            found = history[row, column]
            smooth = np.isfinite(expected) & (expected < 1e3 * expected[0])
            np.testing.assert_allclose(found[smooth], expected[smooth], rtol=1e-6)
            assert smooth[:2].any()


SUMS = [  # what the notebook takes: width, depth, activation, points, batch, drift
    (16, 2, "tanh", "matching", 0, False),
    (16, 3, "tanh", "matching", 0, False),
    (8, 2, "tanh", "matching", 0, False),
    (12, 4, "tanh", "matching", 0, False),
    (8, 3, "relu", "matching", 0, False),
    (8, 3, "linear", 8, 0, False),
    (16, 2, "tanh", "single", 0, False),
    (8, 3, "tanh", "single", 0, False),
    (8, 3, "tanh", "matching", 16, False),
    (8, 3, "tanh", "matching", 0, True),
]
# networks side by side: XLA may sum in another order for another number
BESIDE = [*((case, 8) for case in SUMS), ((16, 2, "linear", 16, 0, False), 256)]


@pytest.mark.parametrize(("case", "beside"), BESIDE, ids=lambda case: str(case))
def test_sums_are_taken_in_the_published_order(case, beside):
    """All losses of some steps to the last bit, at as many networks side by side."""
    width, depth, activation, points, batch, drift = case
    changes = [f"model.width={width}", f"problem.inputs={width}", f"model.depth={depth}"]
    changes += [
        f"model.activation={activation}",
        f"problem.points={points}",
        f"problem.batch={batch}",
    ]
    changes += ["steps=12", "fold={history: {every: 1}}"]
    config = "offset" if drift else "tanh"
    spec, window = fj.load(ROOT / f"configs/paper/{config}.yaml", changes, only="overview")
    window = window.resized(beside // 2, 2)
    found = fj.scan(spec, window, chunk=beside, devices=1)["history"].reshape(beside, 12)
    window = coordinates.begun(spec, window)
    expected = _notebook(case, window.points(window.tiles(0)[0]), 12)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(np.isfinite(found), finite)  # else training has failed for good
    if SAME_JAX:
        np.testing.assert_array_equal(found[finite], expected[finite])
    else:  # which sums XLA takes in which order is another matter there
        first = np.nan_to_num(expected[:, :3])
        np.testing.assert_allclose(np.nan_to_num(found[:, :3]), first, rtol=1e-9)
    assert finite[:, :3].mean() > 0.5


def _notebook(case, points, steps):
    """Losses `[P, T]` of the notebook's own step, vmapped, one jitted call a step."""
    import jax.numpy as jnp

    width, depth, activation, number, batch, drift = case
    act = {
        "tanh": lambda z: jnp.tanh(z * jnp.sqrt(2)),
        "relu": lambda z: jax.nn.relu(z) * jnp.sqrt(2),
        "linear": lambda z: z,
    }[activation]
    weights = width * width * (depth - 1) + width
    n = {"matching": weights, "single": 1}.get(number, number)
    with jax.threefry_partitionable(False):
        rest, init = jax.random.split(jax.random.key(0))
        rest, kx = jax.random.split(rest)
        _, ky = jax.random.split(rest)
        shapes = [(width, width)] * (depth - 1) + [(width, 1)]
        keys = jax.random.split(init, depth)
        start = [jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True)]
        x, y = jax.random.normal(kx, (n, width)), jax.random.normal(ky, (n, 1))
        keys = jax.random.split(jax.random.key(42), steps)
        chosen = [jax.random.randint(k, (batch,), 0, n) if batch else jnp.arange(n) for k in keys]

    def loss(theta, x, y):
        for w in theta:
            z = jnp.dot(x, w) / jnp.sqrt(w.shape[0])
            x = act(z)
        return jnp.mean((z / jnp.sqrt(w.shape[0]) - y) ** 2)

    def step(theta, point, chosen):
        if drift:
            theta = [theta[0] + point[0], *theta[1:]]
        rates = [point[1] if drift else point[i % 2] for i in range(depth)]
        value, grads = jax.value_and_grad(loss)(theta, x, y)
        if batch:
            grads = jax.grad(loss)(theta, x[chosen], y[chosen])
        return [t - r * g for t, r, g in zip(theta, rates, grads, strict=True)], value

    many = jax.jit(jax.vmap(step, in_axes=(0, 0, None)))
    theta, losses = [jnp.tile(w, (len(points), 1, 1)) for w in start], []
    for now in chosen:
        theta, value = many(theta, jnp.asarray(points), now)
        losses.append(value)
    return np.stack(losses, axis=1)
