"""The problem `teacher`: its streams, its noise, its moments, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.engine import descent, streams
from fractaljax.errors import FractaljaxError
from fractaljax.parts import teacher as parts
from fractaljax.spec import build
from fractaljax.types import Data

SIZES = {"train_samples": 40, "test_samples": 30, "in_dim": 4, "out_dim": 4}


@pytest.fixture(autouse=True)
def double():
    fj.prepare("float64")


def spec(hidden_dim=6, **problem) -> fj.Spec:
    return fj.Spec(
        model=fj.Part("deep_linear", num_hidden=2, hidden_dim=hidden_dim),
        problem=fj.Part("teacher", **(SIZES | problem)),
        optimizer=fj.Part("sgd", lr=1e-3),
        steps=10,
        dtype="float64",
    )


def drawn(**problem) -> Data:
    return streams.shared_draws(spec(**problem)).data


def targets(data: Data, **problem) -> np.ndarray:
    """What the outputs are compared with, from the residuals of an output of zero."""
    made = build(spec(**problem), "problem", {})
    assert made.residuals is not None
    return -np.asarray(made.residuals(jnp.zeros((len(data.x), 4)), data.y))


@pytest.mark.parametrize(
    "change", [{"noise_std": 0.7}, {"test_samples": 11}, {"scale": 3.0}, {"batch": 5}]
)
def test_training_inputs_are_a_stream_of_their_own(change):
    np.testing.assert_array_equal(drawn().x, drawn(**change).x)


@pytest.mark.parametrize(
    "change",
    [{"noise_std": 0.7}, {"train_samples": 11}, {"online": True, "batch": 3}, {"batch": 5}],
)
def test_test_data_are_a_stream_of_their_own(change):
    plain, other = drawn().test, drawn(**change).test
    np.testing.assert_array_equal(plain.x, other.x)
    np.testing.assert_array_equal(targets(plain), targets(other, **change))


def test_only_training_targets_are_noisy():
    data = drawn(noise_std=0.7)
    noise = targets(data, noise_std=0.7) - targets(data)
    assert noise.std() == pytest.approx(0.7, rel=0.15)
    np.testing.assert_allclose(noise, 0.7 * data.y.noise, atol=1e-12)
    np.testing.assert_array_equal(targets(data.test, noise_std=0.7), targets(data.test))
    np.testing.assert_allclose(targets(data), data.x @ np.diag([10.0, 20, 30, 40]))


def fresh(t: int, **problem) -> Data:
    made = build(spec(online=True, batch=5, **problem), "problem", {})
    assert made.batch is not None
    return made.batch(streams.batch_stream(spec(), jax.random.key(3)), jnp.int32(t), drawn())


def test_online_points_are_new_at_every_step_and_do_not_move_with_the_noise():
    one = fresh(0)
    assert one.x.shape == (5, 4)
    np.testing.assert_array_equal(one.x, fresh(0, noise_std=0.5).x)
    assert not np.isin(one.x, fresh(1).x).any()
    noise = targets(fresh(0), noise_std=0.5) - targets(fresh(0))
    assert not np.isin(noise, one.x).any() and noise.std() > 0.2


def test_streams_of_neighbouring_seeds_share_nothing():
    """Where seeds are offset by one, the noise of one is the input of the next."""
    seen = []
    for seed in range(4):
        keys = streams.streams(spec(), {"seed": seed})
        data, _ = streams.draw_data(spec(), keys.data, ())
        weights = streams.draw_weights(spec(), keys.init, data)
        seen += [data.x, data.y.noise, data.test.x, *jax.tree.leaves(weights)]
    numbers = np.concatenate([np.ravel(a) for a in seen])
    numbers = numbers[numbers != 0]
    assert len(np.unique(numbers)) == len(numbers)


@pytest.mark.parametrize("own", ["data_seed", "model_seed", "batch_seed"])
def test_each_seed_moves_its_own_streams_only(own):
    plain, other = (streams.streams(spec(), {own: s}) for s in (0, 1))
    purposes = [k for k, v in streams.OWN_SEEDS.items() if v == own]
    for name in streams.Streams._fields:
        same = jax.random.key_data(getattr(plain, name)) == jax.random.key_data(
            getattr(other, name)
        )
        assert bool(same.all()) is (name not in purposes)
    roots = streams.streams(spec(), {"seed": 5}), streams.streams(spec(), {"seed": 9, own: 5})
    for purpose in purposes:
        one, same = (jax.random.key_data(getattr(root, purpose)).tolist() for root in roots)
        assert one == same


@pytest.mark.parametrize(
    ("matrix", "arguments", "values"),
    [
        ("diagonal", {"scale": 2.0}, [2, 4, 6, 8]),
        ("identity", {}, [1, 1, 1, 1]),
        ("power_law", {"scale": 8.0, "alpha": 2.0}, [8, 2, 8 / 9, 0.5]),
        ("power_law_topk", {"scale": 8.0, "alpha": 1.0, "k": 2}, [8, 4, 0, 0]),
    ],
)
@pytest.mark.parametrize("rotated", [False, True])
def test_teachers(matrix, arguments, values, rotated):
    given = {"matrix": matrix, "rotated": rotated, **arguments}
    data = drawn(**given)
    learned = np.linalg.lstsq(np.asarray(data.x), targets(data, **given), rcond=None)[0]
    singular = np.linalg.svd(learned)[1]
    np.testing.assert_allclose(singular, sorted(values, reverse=True), atol=1e-10)
    assert np.allclose(learned, np.diag(values)) is not (rotated and matrix != "identity")
    np.testing.assert_allclose(learned, learned.T, atol=1e-10)


def test_rotations_are_orthogonal_and_uniform():
    keys = jax.random.split(jax.random.key(0), 4000)
    rotations = np.asarray(jax.vmap(lambda key: parts._haar(key, 3))(keys))
    np.testing.assert_allclose(
        rotations @ rotations.transpose(0, 2, 1),
        np.broadcast_to(np.eye(3), (4000, 3, 3)),
        atol=1e-12,
    )
    assert np.abs(rotations.mean(axis=0)).max() < 0.04  # a plain QR has signs that are not random
    assert rotations[:, 0, 0].var() == pytest.approx(1 / 3, rel=0.06)


def test_active_inputs_span_the_first_eigenvectors():
    data = drawn(rotated=True, d_active=2, matrix="power_law")
    assert np.linalg.matrix_rank(data.x) == np.linalg.matrix_rank(data.test.x) == 2
    singular = np.linalg.svd(targets(data, rotated=True, matrix="power_law"))[1]
    assert (singular[:2] > 1).all() and (singular[2:] < 1e-9).all()
    gains = np.linalg.norm(targets(data, rotated=True, matrix="power_law"), axis=1)
    assert (gains / np.linalg.norm(data.x, axis=1)).min() > 50 / 2 - 1e-9


@pytest.mark.parametrize("rotated", [False, True])
def test_moments_have_the_loss_and_the_gradient_of_the_points(rotated):
    given = spec(noise_std=0.3, rotated=rotated)
    draws = streams.shared_draws(given)
    params = build(given, "model", {}).init(draws.weights)
    assert draws.whole.x.shape == (4, 4)

    def both(data):
        return jax.value_and_grad(lambda p: descent.loss(given, {}, p, data))(params)

    for points, moments in ((draws.data, draws.whole), (draws.data.test, draws.whole.test)):
        (loss, grads), (short, shorter) = both(points), both(moments)
        assert float(short) == pytest.approx(float(loss), rel=1e-12)
        for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(shorter), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_points_are_kept_where_they_are_fewer_or_the_model_is_not_linear():
    few = spec(train_samples=3)
    assert streams.shared_draws(few).whole.x.shape == (3, 4)
    curved = fj.Spec(problem=spec().problem, dtype="float64")
    assert streams.shared_draws(curved).whole.x.shape == (40, 4)


def test_an_epoch_shows_every_point_once_and_drops_the_remainder():
    made = build(spec(batch=12), "problem", {})
    assert made.batch is not None
    stream, data = streams.batch_stream(spec(), jax.random.key(3)), drawn()
    epochs = [
        np.concatenate([made.batch(stream, jnp.int32(t), data).x for t in range(start, start + 3)])
        for start in (0, 3)
    ]
    for epoch in epochs:
        assert len(np.unique(epoch, axis=0)) == 36
    assert not np.array_equal(*epochs)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"matrix": "diagnal"}, ["problem", "unknown teacher 'diagnal'", "diagonal"]),
        ({"alpha": 1.0}, ["alpha", "not read", "diagonal"]),
        ({"matrix": "identity", "scale": 2.0}, ["scale", "not read"]),
        ({"d_active": 5}, ["d_active=5", "1 to in_dim=4"]),
        ({"noise_std": -1.0}, ["noise_std=-1.0"]),
        ({"online": True}, ["batch", "online"]),
        ({"online": True, "batch": 3, "sampling": "epochs"}, ["sampling", "not read"]),
        ({"batch": 0}, ["batch=0"]),
        ({"test_samples": 0}, ["test_samples=0"]),
        ({"sampling": "epoch", "batch": 3}, ["sampling", "epochs"]),
        ({"rotated": True, "out_dim": 3}, ["rotated", "equal"]),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(FractaljaxError) as error:
        spec(**arguments)
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"out_dim": 3}, ["out_dim=3", "square"]), ({"matrix": "power_law_topk", "k": 9}, ["k=9"])],
)
def test_refusals_when_data_are_drawn(arguments, words):
    with pytest.raises(FractaljaxError) as error:
        drawn(**arguments)
    assert all(word in str(error.value) for word in words), error.value
