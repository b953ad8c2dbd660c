"""What can be computed by hand: the edge of a quadratic, and single steps of the optimisers."""

import jax
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.engine.streams import shared_draws
from fractaljax.errors import FractaljaxError
from fractaljax.spec import Part, Spec, build

RATE = {"layer_000": 0.5, "layer_001": 0.2, "layer_002": 0.08}  # the middle: sqrt(0.5 * 0.08)
PARAMS = {name: {"kernel": np.array([[1.0, -2.0]])} for name in RATE}
GRADS = [
    {name: {"kernel": np.array([[0.3, -0.1]])} for name in RATE},
    {name: {"kernel": np.array([[-0.2, 0.4]])} for name in RATE},
]


def test_edge_of_a_quadratic():
    """With the input layer at rest the loss is quadratic in the output layer, so gradient descent
    converges below `2 / lambda_max` and diverges above: the sign changes at that very pixel."""
    spec = Spec(
        model=Part("mlp", width=4, activation="linear"),
        problem=Part("random_regression", points=16, inputs=4),
        optimizer=Part("sgd", lr_in=0.0),
        steps=4000,
        dtype="float64",
    )
    data, weights, *_ = shared_draws(spec)
    features = np.asarray(data.x @ weights["layer_000"]["kernel"]) / 2 / 4  # 1/sqrt(4), then 1/4
    edge = 2 / np.linalg.eigvalsh(2 * features.T @ features / len(features))[-1]
    axis = fj.Axis("optimizer.lr_out", 0.98 * edge, 1.02 * edge, 40, scale="linear")
    converged = fj.scan(spec, fj.Window(axis), chunk=8)["measure"] < 0
    assert np.array_equal(converged, axis.points() < edge)


def stepped(name: str, **args) -> dict[str, np.ndarray]:
    """Weights after two updates with given gradients, by layer."""
    given = {"lr_in": 0.5, "lr_out": 0.08} | args
    optimizer = build(Spec(optimizer=Part(name, **given), dtype="float64"), "optimizer", {})
    params, state = jax.tree.map(np.array, PARAMS), None
    state = optimizer.init(params)
    for grads in GRADS:
        updates, state = optimizer.update(grads, state, params)
        params = jax.tree.map(lambda p, u: p + u, params, updates)
    return {layer: np.asarray(params[layer]["kernel"]) for layer in params}


def by_hand(rule) -> dict[str, np.ndarray]:
    """The same with `rule(w, g, memory, t, rate) -> (w, memory)` on plain arrays."""
    result = {}
    for layer, rate in RATE.items():
        w, memory = PARAMS[layer]["kernel"], (0.0, 0.0)
        for t, grads in enumerate(GRADS, 1):
            w, memory = rule(w, grads[layer]["kernel"], memory, t, rate)
        result[layer] = w
    return result


def sgd(momentum, nesterov, decay):
    def rule(w, g, memory, t, rate):
        g = g + decay * w
        trace = g + momentum * memory[0]
        step = g + momentum * trace if nesterov else trace
        return w - rate * step, (trace, 0.0)

    return rule


def adam(beta1, beta2, eps, decay, decoupled):
    def rule(w, g, memory, t, rate):
        g = g if decoupled else g + decay * w
        m = beta1 * memory[0] + (1 - beta1) * g
        v = beta2 * memory[1] + (1 - beta2) * g**2
        step = (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
        return w - rate * (step + (decay * w if decoupled else 0)), (m, v)

    return rule


def lion(beta1, beta2, decay):
    def rule(w, g, memory, t, rate):
        step = np.sign(beta1 * memory[0] + (1 - beta1) * g)
        return w - rate * (step + decay * w), (beta2 * memory[0] + (1 - beta2) * g, 0.0)

    return rule


def rmsprop(beta2, eps, momentum):
    def rule(w, g, memory, t, rate):
        v = beta2 * memory[1] + (1 - beta2) * g**2
        trace = g / np.sqrt(v + eps) + momentum * memory[0]
        return w - rate * trace, (trace, v)

    return rule


CASES = {
    "plain": ("sgd", {}, sgd(0, False, 0)),
    "momentum": ("sgd", {"momentum": 0.9, "weight_decay": 0.1}, sgd(0.9, False, 0.1)),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}, sgd(0.9, True, 0)),
    "adam": ("adam", {"weight_decay": 0.1}, adam(0.9, 0.999, 1e-8, 0.1, False)),
    "adamw": ("adamw", {"beta1": 0.8, "weight_decay": 0.1}, adam(0.8, 0.999, 1e-8, 0.1, True)),
    "rmsprop": ("rmsprop", {"momentum": 0.5}, rmsprop(0.9, 1e-8, 0.5)),
    "lion": ("lion", {"weight_decay": 0.1}, lion(0.9, 0.99, 0.1)),
}


@pytest.mark.parametrize("case", CASES)
def test_two_steps_by_hand(case):
    name, args, rule = CASES[case]
    found, expected = stepped(name, **args), by_hand(rule)
    for layer in expected:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-6, err_msg=layer)


def test_alternating_groups():
    """Layer i takes (lr_in, lr_out)[i mod 2]: the published rule for depth above 2."""
    found = stepped("sgd", grouping="alternating")
    moved = {layer: PARAMS[layer]["kernel"] - found[layer] for layer in found}
    np.testing.assert_allclose(moved["layer_000"], moved["layer_002"])
    np.testing.assert_allclose(moved["layer_001"] * 0.5, moved["layer_000"] * 0.08)


def test_rates_nobody_reads_are_refused():
    with pytest.raises(FractaljaxError, match=r"optimizer: lr_mid is not read"):
        Spec(optimizer=Part("sgd", grouping="alternating", lr_mid=0.1))
    with pytest.raises(FractaljaxError, match=r"optimizer: lr is not read"):
        Spec(optimizer=Part("sgd", lr=0.1, lr_in=0.1, lr_out=0.1))


SCHEDULES = {
    "constant": (Part("constant"), lambda t: 1.0),
    "warm": (Part("constant", warmup=0.4), lambda t: min(1.0, (t + 1) / 4)),
    "cosine": (Part("cosine", final=0.1), lambda t: 0.1 + 0.9 * (1 + np.cos(np.pi * t / 10)) / 2),
    "step": (Part("step", every=0.3, factor=0.5), lambda t: 0.5 ** (t // 3)),
    "linear": (Part("linear", final=0.2), lambda t: 1 - 0.8 * t / 10),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_schedules(case):
    part, expected = SCHEDULES[case]
    schedule = build(Spec(schedule=part, dtype="float64"), "schedule", {})
    for t in range(10):
        factor = 1.0 if schedule is None else float(schedule(t, 10))
        assert factor == pytest.approx(expected(t), rel=1e-6)


def test_schedule_scales_every_rate():
    """A step schedule that drops to zero after half the steps: nothing moves after that."""
    spec = Spec(
        model=Part("mlp", width=4),
        problem=Part("random_regression", points=8, inputs=4),
        schedule=Part("step", every=0.5, factor=0.0),
        fold=(Part("history", every=1),),
        steps=10,
        dtype="float64",
    )
    losses = fj.scan(spec, fj.Window(fj.Axis("optimizer.lr", 0.5, 1.0, 2)))["history"]
    assert (np.diff(losses[:, :6]) != 0).all() and (np.diff(losses[:, 6:]) == 0).all()


def xavier(width: int) -> float:
    """Output over input size of two linear layers, 16 inputs and 8 outputs."""
    return (2 / (16 + width) * width * 2 / (width + 8)) ** 0.5


SIZE_RATIOS = {  # of the outputs at width 1024 over width 64
    "ntk": 1.0,
    "standard": xavier(1024) / xavier(64),
    "mean_field": 0.25,  # 1 / sqrt(width)
    "mup": 0.25,
    "mup_adam": 0.25,
}


@pytest.mark.parametrize("name", SIZE_RATIOS)
def test_parametrisations_at_the_start(name):
    """How the size of the output at initialisation depends on the width."""
    x = np.asarray(jax.random.normal(jax.random.key(1), (64, 16)))
    sizes = []
    for width in (64, 1024):
        spec = Spec(model=Part("mlp", width=width, activation="linear", parametrisation=name))
        model = build(spec, "model", {})
        draws = [model.draw(jax.random.key(s), x, 8) for s in range(4)]
        sizes.append(np.std([np.asarray(model.apply(model.init(d), x)) for d in draws]))
    assert sizes[1] / sizes[0] == pytest.approx(SIZE_RATIOS[name], rel=0.2)


def test_residual_blocks():
    """`(x + f(x)) / sqrt(2)` over pairs of hidden layers, a layer left over plain."""
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, 4)))
    spec = Spec(model=Part("mlp", width=4, depth=5, residual=True, parametrisation="standard"))
    model = build(spec, "model", {})
    params = model.init(model.draw(jax.random.key(0), x, 1))
    w = [np.asarray(params[f"layer_{i:03d}"]["kernel"]) for i in range(5)]
    h = np.tanh(x @ w[0])
    h = (h + np.tanh(np.tanh(h @ w[1]) @ w[2])) / np.sqrt(2)
    expected = np.tanh(h @ w[3]) @ w[4]
    np.testing.assert_allclose(model.apply(params, x), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("tanh", lambda z: np.tanh(np.sqrt(2) * z)),
        ("sin", lambda z: np.sin(np.sqrt(2) * z)),
        ("relu", lambda z: np.sqrt(2) * np.maximum(z, 0)),
        ("linear", lambda z: z),
        ("silu", lambda z: np.sqrt(2) * z / (1 + np.exp(-z))),
        ("leaky_relu", lambda z: np.sqrt(2 / (1 + 0.1**2)) * np.where(z > 0, z, 0.1 * z)),
    ],
)
def test_mean_field_forward(name, formula):
    x = np.asarray(jax.random.normal(jax.random.key(1), (5, 4)))
    slope = {"slope": 0.1} if name == "leaky_relu" else {}
    model = build(
        Spec(model=Part("mlp", width=4, activation=name, bias=True, **slope)), "model", {}
    )
    params = model.init(model.draw(jax.random.key(0), x, 1))
    params["layer_000"]["bias"] += 0.3
    w = [np.asarray(params[f"layer_{i:03d}"]["kernel"]) for i in range(2)]
    np.testing.assert_allclose(
        model.apply(params, x), formula(x @ w[0] / 2 + 0.3) @ w[1] / 4, rtol=1e-5
    )
