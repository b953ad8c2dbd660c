"""Deep linear networks against plain numpy, against closed forms, and in lockstep."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.engine import program, streams
from fractaljax.engine.plan import mesh
from fractaljax.errors import FractaljaxError
from fractaljax.pair import Pair
from fractaljax.parts.teacher import Targets
from fractaljax.spec import build
from fractaljax.types import Data, Model

POINTS = {"train_samples": 24, "test_samples": 16, "in_dim": 3, "out_dim": 3, "scale": 1.0}


@pytest.fixture(autouse=True)
def double():
    fj.prepare("float64")


def spec(
    steps=12, evaluations=12, lr=0.05, callback=(), metric=("test_loss",), seeds=None, **problem
):
    return fj.Spec(
        model=fj.Part("deep_linear", num_hidden=2, hidden_dim=5),
        problem=fj.Part("teacher", **(POINTS | problem)),
        optimizer=fj.Part("sgd", lr=lr),
        fold=(),
        metric=tuple(fj.Part(name) for name in metric),
        callback=callback,
        steps=steps,
        evaluations=evaluations,
        dtype="float64",
        **(seeds or {}),
    )


def trained(course, names=("batch_seed",), points=((0.0,),)) -> dict[str, np.ndarray]:
    """Readings `[P, ...]`."""
    return program.compile_tile(course, names, len(points), 2, mesh(1)).run(np.array(points))


def by_hand(given: fj.Spec, batches: list[int | None], rates: list[float]) -> np.ndarray:
    """The test loss at every step, with numpy, sample by sample."""
    draws = streams.shared_draws(given)
    problem = build(given, "problem", {})
    weights = [np.array(w["kernel"]) for _, w in sorted(draws.weights.items())]
    weights = [w * 5 ** (-given.model["gamma"] / 2) for w in weights]
    matrix = np.diag(given.problem["scale"] * np.arange(1.0, 4))
    test, losses, start, phase = np.array(draws.data.test.x), [], 0, 0
    for t, (size, rate) in enumerate(zip(batches, rates, strict=True)):
        if t and size != batches[t - 1]:
            start, phase = t, phase + 1
        outputs = test @ weights[0] @ weights[1] @ weights[2]
        losses.append(np.mean((outputs - test @ matrix) ** 2))
        if size is None:
            data = draws.data
        else:
            other = problem.resized(size)
            keys = streams.batch_stream(given, draws.batches, phase)
            data = other.batch(keys, jnp.int32(t - start), draws.data)
        x = np.array(data.x)
        y = x @ matrix + given.problem["noise_std"] * np.array(data.y.noise)
        hidden = [x, x @ weights[0], x @ weights[0] @ weights[1]]
        error = 2 * (hidden[2] @ weights[2] - y) / y.size
        grads = [
            hidden[0].T @ error @ weights[2].T @ weights[1].T,
            hidden[1].T @ error @ weights[2].T,
            hidden[2].T @ error,
        ]
        weights = [w - rate * g for w, g in zip(weights, grads, strict=True)]
    return np.array(losses)


SGD = {"batch": 5, "noise_std": 0.4}
SWITCH = fj.Part("switch_batch_size", step=4, batch_size=7)
FULL = fj.Part("multi_switch_batch_size", schedule=[[3, 8], [7, None]])
DECAY = fj.Part("lr_decay", decay_every=5, factor=0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "batches", "rates"),
    [
        (spec(noise_std=0.4), [None] * 12, [0.05] * 12),
        (spec(**SGD), [5] * 12, [0.05] * 12),
        (spec(online=True, **SGD), [5] * 12, [0.05] * 12),
        (spec(callback=(SWITCH,), **SGD), [5] * 4 + [7] * 8, [0.05] * 12),
        (spec(callback=(SWITCH,), online=True, **SGD), [5] * 4 + [7] * 8, [0.05] * 12),
        (spec(callback=(FULL,), **SGD), [5] * 3 + [8] * 4 + [None] * 5, [0.05] * 12),
        (spec(callback=(DECAY,), **SGD), [5] * 12, [0.05] * 5 + [0.025] * 5 + [0.0125] * 2),
        (
            spec(callback=(DECAY, FULL), **SGD),
            [5] * 3 + [8] * 4 + [None] * 5,
            [0.05] * 5 + [0.025] * 5 + [0.0125] * 2,
        ),
    ],
    ids=["full", "epochs", "online", "switch", "online switch", "schedule", "decay", "both"],
)
def test_training_is_what_it_is_by_hand(given, batches, rates):
    expected = by_hand(given, batches, rates)
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(trained(given)["test_loss"][0], expected, rtol=1e-10)


def test_evaluations_come_before_the_update_of_every_kth_step():
    every = trained(spec(steps=23, evaluations=23, **SGD))["test_loss"][0]
    some = spec(steps=23, evaluations=5, **SGD)
    assert list(some.evaluated) == [0, 4, 8, 12, 16, 20]
    np.testing.assert_array_equal(trained(some)["test_loss"][0], every[::4])


def test_runs_of_different_length_agree_where_both_are():
    short, long = (trained(spec(steps=s, evaluations=s, **SGD))["test_loss"][0] for s in (9, 17))
    np.testing.assert_array_equal(short, long[:9])


def test_a_run_that_blows_up_is_nan_from_there_on_beside_neighbours_that_do_not():
    names, points = ("optimizer.lr", "batch_seed"), [(1e3, 0.0), (0.05, 0.0)]
    curves = trained(spec(steps=40, evaluations=40, **SGD), names, points)["test_loss"]
    alone = trained(spec(steps=40, evaluations=40, **SGD), names, points[1:])["test_loss"]
    assert np.isnan(curves[0, -1]) and np.isfinite(curves[0, :3]).all()
    assert np.isnan(curves[0][np.argmax(np.isnan(curves[0])) :]).all()
    np.testing.assert_array_equal(curves[1], alone[0])


def test_seeds_are_batched_and_each_moves_what_it_names():
    names = ("data_seed", "model_seed", "batch_seed")
    points = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    curves = trained(spec(**SGD), names, points)["test_loss"]
    plain, data, model, batch = curves
    assert data[0] != plain[0] and model[0] != plain[0] and batch[0] == plain[0]
    assert len({curve[-1] for curve in curves}) == 4
    pinned = spec(seeds={"data_seed": 0, "model_seed": 0, "batch_seed": 1}, **SGD)
    one = trained(pinned, ("model.gamma",), [(1.0,)])["test_loss"][0]
    np.testing.assert_allclose(one, batch, rtol=1e-12)


def test_scale_gamma_and_noise_are_axes():
    names = ("problem.scale", "model.gamma", "problem.noise_std")
    curve = trained(spec(**SGD), names, [(0.5, 1.5, 0.1)])["test_loss"][0]
    changed = spec(**SGD).updated(
        {"problem.scale": 0.5, "model.gamma": 1.5, "problem.noise_std": 0.1}
    )
    np.testing.assert_allclose(curve, trained(changed)["test_loss"][0], rtol=1e-12)


# ---- closed forms


def balanced(start: float = 1e-3) -> Model:
    """Every layer the same multiple of the identity, the product of all `start`."""
    linear = build(spec(), "model", {})

    def init(draws):
        layers = {k: {"kernel": jnp.eye(*w["kernel"].shape)} for k, w in draws.items()}
        return jax.tree.map(lambda w: w * start ** (1 / len(draws)), layers)

    return linear._replace(init=init)


@pytest.fixture
def saxe(monkeypatch):
    from fractaljax import registry

    monkeypatch.setitem(registry._PARTS, "model", dict(registry._PARTS["model"]))

    def balanced_model(hidden: int = 1) -> Model:
        """Balanced."""
        made = registry.lookup("model", "deep_linear")(hidden, 3, 1.0)
        return balanced()._replace(draw=made.draw, apply=made.apply)

    registry._PARTS["model"]["balanced"] = balanced_model


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "steps"), [(1, 10_000), (2, 20_000), (3, 40_000)])
def test_modes_follow_saxe_closed_form(saxe, hidden, steps):
    """arXiv:1312.6120, equations 6 to 11: with whitened inputs and balanced weights the modes are
    independent, `da/dt = (2 / O) L a^(2 - 2 / L) (s - a)`."""
    rate, start = 8.0 / steps, 1e-3  # small steps: the closed form is of a flow
    values = np.array([2.0, 4.0, 6.0])  # of the teacher
    x = np.linalg.qr(np.random.default_rng(0).normal(size=(30, 3)))[0] * np.sqrt(30)
    targets = Targets(jnp.eye(3), jnp.ones((30, 1)), jnp.asarray(x), jnp.zeros((30, 3)))
    data = Data(jnp.asarray(x), targets)
    given = fj.Spec(
        model=fj.Part("balanced", hidden=hidden),
        problem=fj.Part("teacher", in_dim=3, out_dim=3, scale=2.0),
        optimizer=fj.Part("sgd", lr=rate),
        fold=(),
        metric=(fj.Part("singular_values"),),
        steps=steps,
        evaluations=400,
        dtype="float64",
    )
    modes = jax.jit(lambda: fj.train(given, {}, jax.random.key(0), data))()["singular_values"]
    times = rate * np.array(given.evaluated)
    layers = hidden + 1
    for i, s in enumerate(values):
        if layers == 2:  # equation 8, solved
            growth = np.exp(4 * s * times / 3)
            expected = s * growth / (growth - 1 + s / start)
        else:
            expected = _integrated(s, layers, start, times)
        np.testing.assert_allclose(modes[:, 2 - i], expected, rtol=0.01)


def _integrated(s: float, layers: int, start: float, times: np.ndarray) -> np.ndarray:
    """The mode of a deeper network from the inverse of its closed form: time as an integral."""
    from scipy.integrate import solve_ivp

    def slope(_, a):
        return 2 / 3 * layers * a ** (2 - 2 / layers) * (s - a)

    return solve_ivp(slope, (0, times[-1]), [start], t_eval=times, rtol=1e-10, atol=1e-14).y[0]


def test_one_layer_is_stable_up_to_two_over_the_largest_eigenvalue():
    given = spec(steps=4000, evaluations=0, metric=()).updated({"model.num_hidden": 0})
    given = fj.Spec(
        **{f: getattr(given, f) for f in ("model", "problem", "optimizer")},
        steps=4000,
        dtype="float64",
    )
    x = np.array(streams.shared_draws(given).data.x)
    edge = 2 / (2 / 3 * np.linalg.eigvalsh(x.T @ x / len(x))[-1])
    window = fj.Window(fj.Axis("optimizer.lr", 0.98 * edge, 1.02 * edge, 41))
    measure = fj.scan(given, window)["measure"]
    rates = window.x.points()
    assert (measure[rates < 0.999 * edge] < 0).all() and (measure[rates > 1.001 * edge] > 0).all()


def test_balance_is_kept_under_small_steps():
    """Arora et al., arXiv:1802.06509: W W^T - W'^T W' of neighbouring layers does not move under
    gradient flow; under steps of a rate it moves in proportion to it."""
    drift = []
    for rate, steps in ((1e-2, 200), (1e-3, 2000)):
        given = spec(steps=steps, evaluations=20, lr=rate, metric=("balance_diffs",))
        curve = trained(given)["balance_diffs"][0]
        drift.append(np.abs(curve - curve[0]).max())
        assert np.abs(curve[0]).max() > 0.1
    assert drift[1] < 0.02 and drift[1] < drift[0] / 5


# ---- pairs


def pair(a=None, b=None, **given) -> Pair:
    base = spec(metric=("test_loss", "weight_norm"), **(SGD | given))
    names = ("param_distance", "param_cosine_sim", "layer_distances", "frobenius_distance")
    parts = tuple(fj.Part(name) for name in names)
    return Pair(base.updated(a or {}), base.updated(b or {}), parts, base.evaluations)


def test_the_same_twice_is_at_distance_zero():
    found = trained(pair(), ("model.gamma",), [(1.0,), (1.5,)])
    for name in ("param_distance", "layer_distances", "frobenius_distance"):
        assert (found[name] == 0).all()
    np.testing.assert_allclose(found["param_cosine_sim"], 1, rtol=1e-12)
    np.testing.assert_array_equal(found["test_loss_a"], found["test_loss_b"])
    assert found["test_loss_a"][0, -1] != found["test_loss_a"][1, -1]


def test_other_batches_drive_a_pair_apart_from_where_it_starts_together():
    found = trained(pair(b={"batch_seed": 1}), ("model.gamma",), [(1.0,)])
    distance = found["param_distance"][0]
    assert distance[0] == 0 and (distance[1:] > 0).all()


def test_a_side_is_what_it_is_alone():
    both = pair(b={"problem.batch": None, "optimizer.lr": 0.02})
    found = trained(both, ("a.batch_seed",), [(3.0,)])
    for side, alone in (("a", trained(both.a, points=[(3.0,)])), ("b", trained(both.b))):
        np.testing.assert_allclose(found[f"test_loss_{side}"], alone["test_loss"], rtol=1e-12)


def test_metrics_of_one_side_only():
    base = pair()
    quiet = fj.Spec(
        **{f: getattr(base.b, f) for f in ("model", "problem", "optimizer", "steps")},
        fold=(),
        dtype="float64",
    )
    found = trained(
        Pair(base.a, quiet, base.comparison, base.evaluations), ("model.gamma",), [(1.0,)]
    )
    assert "test_loss_a" in found and "test_loss_b" not in found and "param_distance" in found


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"b": {"problem.scale": 2.0}}, ["problem.scale", "share the data"]),
        ({"b": {"steps": 24}}, ["steps", "12", "24"]),
        ({"b": {"data_seed": 4}}, ["data_seed"]),
    ],
)
def test_what_pairs_cannot_be(changes, words):
    with pytest.raises(FractaljaxError) as error:
        pair(**changes)
    assert all(word in str(error.value) for word in words), error.value


def test_decompositions_run_on_all_devices_at_once():
    """Batches of them would wait for each other for ever (`parts/lapack.py`)."""
    given = fj.Spec(
        model=fj.Part("deep_linear", num_hidden=2, hidden_dim=30),
        problem=fj.Part("teacher", rotated=True, in_dim=30, out_dim=30),
        fold=(),
        metric=(fj.Part("layer_singular_values"), fj.Part("hessian_spectrum", iterations=30)),
        steps=2,
        evaluations=2,
        dtype="float64",
    )
    tile = program.compile_tile(given, ("data_seed", "model_seed"), 16, 4, mesh())
    found = tile.run(np.array([(s, s) for s in range(16)], float))
    assert np.isfinite(found["hessian_largest"]).all()
    assert (np.diff(found["layer_singular_values_1"], axis=-1) <= 0).all()


def test_a_seed_trains_the_same_network_swept_or_fixed_also_in_float32():
    fj.prepare("float32")
    base = dataclasses.replace(spec(**SGD), dtype="float32")
    for path in ("model_seed", "data_seed"):
        swept = trained(base, (path,), [(2.0,), (3.0,)])["test_loss"][1]
        fixed = trained(base.updated({path: 3}))["test_loss"][0]
        np.testing.assert_allclose(swept, fixed, rtol=1e-5)


def test_online_points_are_the_same_in_both_precisions():
    double = trained(spec(online=True, **SGD))["test_loss"]
    fj.prepare("float32")
    single = trained(dataclasses.replace(spec(online=True, **SGD), dtype="float32"))["test_loss"]
    np.testing.assert_allclose(single, double, rtol=1e-4)


def test_a_side_that_blows_up_leaves_the_other_its_curves():
    found = trained(pair(a={"optimizer.lr": 1e3}, steps=40, evaluations=40), ("b.batch_seed",))
    assert np.isnan(found["test_loss_a"][0, -1]) and np.isnan(found["param_distance"][0, -1])
    assert np.isfinite(found["test_loss_b"]).all()


def test_one_side_cannot_have_data_of_its_own():
    for path in ("a.data_seed", "b.problem.noise_std"):
        with pytest.raises(FractaljaxError, match="share the data"):
            pair().traced(path)
