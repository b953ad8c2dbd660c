"""Seeds travel whole, in either precision."""

import jax.numpy as jnp
import numpy as np
import pytest

import fractaljax as fj
from fractaljax.engine import cohort
from fractaljax.engine.hparams import packed, unpacked
from fractaljax.families.fractal import prepare

SEEDS = [0, 1, 2**16 - 1, 2**16, 2**24 + 1, 20261128, 20261129, 2**31 + 1, 2**32 - 1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_arrive_as_they_were_sent(dtype):
    names = ("optimizer.lr", "seed", "a.batch_seed")
    points = np.array([[0.1, seed, 2**32 - 1 - seed] for seed in SEEDS])
    values = packed(points, names, dtype)
    assert values.dtype == dtype
    found = unpacked(names, values.T)
    assert np.array_equal(found["optimizer.lr"] + jnp.zeros(9, dtype), points[:, 0].astype(dtype))
    for name, column in (("seed", 1), ("a.batch_seed", 2)):
        assert found[name].dtype == np.uint32
        assert np.array_equal(found[name], points[:, column])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["seed", "batch_seed"])
def test_a_seed_as_an_axis_is_the_seed_as_a_setting(name, dtype):
    prepare(dtype)
    problem = fj.Part("random_regression", points=6, inputs=3, batch=2, sampling="replacement")
    spec = fj.Spec(model=fj.Part("mlp", width=3), problem=problem, steps=4, dtype=dtype)
    low, high = 2**32 - 2, 2**32 - 1  # neighbours that float32 takes for one
    swept = fj.scan(spec, fj.Window(fj.Axis(name, low, high, 2, "linear")), chunk=4)["measure"]
    assert swept[0] != swept[1]
    for seed, value in zip(range(low, high + 1), swept, strict=True):
        alone = fj.Trainer(spec.updated({name: seed}), ["optimizer.lr"], chunk=4)
        assert np.allclose(alone(np.array([[0.1]]))["measure"], value, rtol=1e-4), seed


@pytest.mark.parametrize(("low", "n"), [(1, 6), (2**31, 7), (2**32 - 40, 40)])
def test_a_seed_is_an_axis_beside_the_published_draws(low, n):
    """`jnp.linspace` from 1 to 6 misses whole numbers."""
    prepare("float64")
    spec = fj.Spec(model=fj.Part("mlp", width=3), steps=2, dtype="float64", draws="legacy")
    window = fj.Window(fj.Axis("seed", low, low + n - 1, n, "linear"))
    assert fj.scan(spec, window, chunk=4).x.tolist() == list(range(low, low + n))


def test_members_of_neighbouring_seeds_are_different_networks():
    """Of a cohort in float32, where both seeds are the same number."""
    prepare("float32")
    spec = fj.Spec(model=fj.Part("mlp", width=3), steps=4, dtype="float32")
    one, other = cohort.drawn(spec, ["seed"], np.array([[20261128.0], [20261129.0]]))
    first = [params["layer_000"]["kernel"] for params, _ in (one, other)]
    assert not np.array_equal(*first)
