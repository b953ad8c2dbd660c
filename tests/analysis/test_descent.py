import numpy as np
import pytest

from fractaljax.analysis import descent, stability
from fractaljax.errors import FractaljaxError


def test_gradient_descent_below_and_above_the_mean():
    rng = np.random.default_rng(0)
    base = np.geomspace(10, 1, 41)
    sgd = base * np.exp(0.01 * rng.normal(size=(50, 41)))
    sgd[:, 0] = base[0]
    lower, higher = (descent.below(base * f, sgd) for f in (0.9, 1.1))
    assert (lower.share, lower.certain, lower.above) == (1, 1, 0)
    assert (higher.share, higher.certain, higher.above) == (0, 0, 1)
    np.testing.assert_allclose(lower.ratio[1:], sgd.mean(0)[1:] / (0.9 * base[1:]))
    same = descent.below(sgd.mean(0), sgd)
    assert same.certain == same.above == 0


def test_the_first_evaluation_does_not_count():
    gd, sgd = np.array([0.0, 2.0, 2.0]), np.array([[1.0, 1, 3], [1, 1.2, 3.2]])
    assert descent.below(gd, sgd).share == 0.5


@pytest.mark.parametrize(
    ("gd", "sgd"),
    [
        (np.ones(3), np.ones((4, 2))),
        (np.ones(3), np.ones((1, 3))),
        (np.full(3, np.nan), np.ones((2, 3))),
    ],
)
def test_what_cannot_be_compared_is_said(gd, sgd):
    with pytest.raises(FractaljaxError):
        descent.below(gd, sgd)


def test_signal_to_noise():
    found = descent.signal_to_noise(np.array([1.0, 4.0, 1.0]), np.array([2.0, 1.0, 1e-13]))
    np.testing.assert_array_equal(found, [0.5, 4.0, np.nan])


def test_edges_of_stability():
    rates = np.array([1.0, 2.0, 3.0])
    diverged = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
    low, high = stability.edges(rates, diverged)
    np.testing.assert_array_equal(low, [2, 1, np.nan, 3])
    np.testing.assert_array_equal(high, [3, 2, 1, np.inf])
    with pytest.raises(FractaljaxError):
        stability.edges(rates[::-1], diverged)
