"""Intervals against scipy and by hand, what is not finite, and moving averages against a loop."""

import numpy as np
import pytest
from scipy import stats

from fractaljax.analysis.bands import band, smooth
from fractaljax.errors import FractaljaxError

pytestmark = pytest.mark.filterwarnings("error")


def normal(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("ci", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("shape", [(2, 3), (7, 4), (5, 3, 2)])
def test_a_metric_of_both_signs_has_students_interval(shape, ci):
    values = normal(shape)
    found = band(values, ci)
    low, high = stats.t.interval(ci, shape[0] - 1, values.mean(0), stats.sem(values, axis=0))
    np.testing.assert_allclose(found.mean, values.mean(0), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.low, low, rtol=1e-9)
    np.testing.assert_allclose(found.high, high, rtol=1e-9)
    assert found.runs == shape[0]
    assert (found.n == shape[0]).all()


def test_a_positive_metric_has_the_interval_in_its_logarithm():
    found = band(np.array([[1.0], [2.0], [6.0]]))
    t = 0.95 / np.sqrt(2 * 0.975 * 0.025)  # of two degrees of freedom, in closed form
    ratio = np.exp(t * np.sqrt(7 / 3) / 3)  # the variance is 7
    np.testing.assert_allclose([found.mean[0], found.low[0]], [3, 3 / ratio], rtol=1e-12)
    np.testing.assert_allclose(found.high, [3 * ratio], rtol=1e-12)


def test_a_band_of_positive_values_stays_positive_where_the_linear_one_does_not():
    values = np.exp(3 * normal((4, 200)))
    found = band(values)
    assert (found.low > 0).all()
    assert (found.low < found.mean).all()
    assert (found.high > found.mean).all()
    assert (band(np.concatenate([values, -values[:1]])).low < 0).any()


def test_both_intervals_agree_where_runs_hardly_differ():
    values = 5 + 1e-4 * normal((30, 6))
    found, mirrored = band(values), band(-values)
    np.testing.assert_allclose(found.low, -mirrored.high, rtol=1e-8)
    np.testing.assert_allclose(found.high, -mirrored.low, rtol=1e-8)


def test_one_negative_value_anywhere_makes_the_whole_metric_linear():
    values = np.exp(normal((5, 3)))
    values[0, 2] = -1
    found = band(values)
    np.testing.assert_allclose(found.mean - found.low, found.high - found.mean, rtol=1e-12)


def test_zeros_are_no_negative_values():
    found = band(np.array([[0.0, 0.0], [0.0, 2.0], [0.0, 1.0]]))
    np.testing.assert_array_equal([found.mean[0], found.low[0], found.high[0]], 0)
    assert 0 < found.low[1] < 1 < found.high[1]


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_runs_count_while_they_are_finite(gap):
    values = np.exp(normal((4, 5)))
    values[1, 2:] = values[3, 4:] = gap
    found = band(values)
    np.testing.assert_array_equal(found.n, [4, 4, 3, 3, 2])
    assert found.runs == 4
    np.testing.assert_allclose(found.mean[2:4], values[[0, 2, 3], 2:4].mean(0))
    alone = band(values[[0, 2], 4:])
    np.testing.assert_allclose([found.low[4], found.high[4]], [alone.low[0], alone.high[0]])


def test_one_run_has_a_mean_and_no_band_and_none_has_neither():
    values = np.array([[0.1, np.nan, 7e-320], [np.nan, np.nan, np.nan]])
    found = band(values)
    np.testing.assert_array_equal(found.mean, values[0])  # to the last bit
    assert np.isnan([found.low, found.high]).all()
    np.testing.assert_array_equal(found.n, [1, 0, 1])
    assert np.isnan(band(np.zeros((0, 3))).mean).all()


def test_what_is_about_to_diverge_does_not_overflow():
    found, small = band(np.array([[1e300], [3e300]])), band(np.array([[1.0], [3.0]]))
    np.testing.assert_allclose(found.high / 1e300, small.high)
    np.testing.assert_allclose(found.low / 1e300, small.low)
    assert band(np.array([[1e300], [3e300]]), 0.999999).high == np.inf


@pytest.mark.parametrize("ci", [0, 1, 95, -0.5, np.nan])
def test_an_interval_covers_a_share(ci):
    with pytest.raises(FractaljaxError, match=r"ci=.*between 0 and 1"):
        band(np.ones((2, 2)), ci)


@pytest.mark.parametrize("window", [1, 2, 5, 40])
@pytest.mark.parametrize("shape", [(12,), (12, 3), (1,)])
def test_smoothing_is_a_trailing_mean_with_the_first_point_before_it(shape, window):
    curve = normal(shape)
    wanted = [
        np.mean([curve[max(k - back, 0)] for back in range(window)], axis=0)
        for k in range(len(curve))
    ]
    found = smooth(curve, window)
    assert found.shape == curve.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-15)


def test_smoothing_keeps_gaps_and_what_comes_before_them():
    found = smooth(np.array([1.0, 2, np.nan, 4, 5, 6]), 2)
    np.testing.assert_array_equal(found, [1, 1.5, np.nan, np.nan, 4.5, 5.5])
    np.testing.assert_array_equal(smooth(np.array([np.inf, -np.inf]), 2), [np.inf, np.nan])
    curve = normal(4)
    assert smooth(curve, 0) is curve
    with pytest.raises(FractaljaxError, match="smoothing=-1"):
        smooth(curve, -1)
