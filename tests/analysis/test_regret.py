"""Regret by hand, intervals that cover, agreement of ranks, and what explains a loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fractaljax.analysis import regret
from fractaljax.analysis.optimum import optimum, slope
from fractaljax.errors import FractaljaxError

LOSSES = np.array([[[0.10, 0.12], [0.20, 0.24]], [[0.30, 0.10], [0.05, 0.07]]])  # [T, S, K]
OWN = np.array([[0.10, 0.12], [0.05, 0.07]])


def test_regret_by_hand():
    found = regret.regret(LOSSES, OWN)
    np.testing.assert_allclose(found.mean_test, [[0.11, 0.22], [0.2, 0.06]])
    np.testing.assert_allclose(found.mean_regret, [[0, 0.11], [0.14, 0]], atol=1e-15)
    np.testing.assert_allclose(found.min_regret, [[-0.01, 0.09], [0.04, -0.01]])
    np.testing.assert_allclose(found.max_regret, [[0.01, 0.13], [0.24, 0.01]])
    np.testing.assert_allclose(found.mean_relative_regret, [[1, 2], [0.2 / 0.06, 1]])
    np.testing.assert_allclose(found.var_regret, [[1e-4, 4e-4], [1e-2, 1e-4]])
    assert regret.statistics(OWN[0]) == pytest.approx((0.11, 1e-4, 0.10, 0.12))


def test_no_ratio_to_a_baseline_of_zero_and_no_number_without_one():
    found = regret.regret(LOSSES, np.array([[0.0, 0.0], [np.nan, np.nan]]))
    assert np.isnan(found.mean_relative_regret).all()
    np.testing.assert_allclose(found.mean_regret[0], [0.11, 0.22])
    assert np.isnan(found.mean_regret[1]).all()


def test_of_the_same_losses_the_interval_is_a_point_and_there_is_nothing_to_test():
    rng = np.random.default_rng(0)
    own = rng.normal(size=(2, 8))
    losses = own[:, None] + np.array([[0.0, 1.0], [1.0, 0.0]])[..., None] * rng.random((2, 2, 8))
    found = regret.tests(losses, own)
    np.testing.assert_array_equal([np.diag(found.low), np.diag(found.high)], 0)
    assert np.isnan(np.diag(found.p_holm)).all() and (np.diag(found.p) == 1).all()
    others = ~np.eye(2, dtype=bool)  # two cells are tested, and all their differences are positive
    np.testing.assert_allclose(found.p[others], 2 / 2**8)
    np.testing.assert_allclose(found.p_holm[others], 2 * 2 / 2**8)
    mean = regret.regret(losses, own).mean_regret
    assert (found.low <= mean + 1e-12).all() and (mean <= found.high + 1e-12).all()


def test_a_few_seeds_have_no_interval():
    found = regret.tests(LOSSES, OWN)
    assert np.isnan([found.low, found.high, found.p_holm]).all() and (found.pairs == 2).all()
    losses = np.ones((1, 2, 8))
    losses[0, 0, 3] = np.inf  # no mean, so no interval of what is left either
    found = regret.tests(losses, np.zeros((1, 8)))
    assert found.pairs.tolist() == [[0, 8]]
    np.testing.assert_array_equal(found.low, [[np.nan, 1]])


@pytest.mark.parametrize("seeds", [6, 12, 20])
def test_intervals_cover_the_true_regret(seeds):
    rng, inside, trials = np.random.default_rng(0), 0, 200
    for _ in range(trials):
        common = rng.normal(0, 1.0, seeds)  # of a seed, on both sides
        own = (1.0 + common + rng.normal(0, 0.1, seeds))[None]
        losses = (1.5 + common + rng.normal(0, 0.1, seeds))[None, None]
        found = regret.tests(losses, own)
        inside += bool(found.low[0, 0] <= 0.5 <= found.high[0, 0])
        assert found.high[0, 0] - found.low[0, 0] < 0.8  # what seeds share cancels
    assert 0.90 * trials < inside < 0.995 * trials


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(3, 12))
@settings(deadline=None, max_examples=30)
def test_ranks_agree_with_scipy(seed, architectures, trials):
    losses = np.random.default_rng(seed).random((architectures, trials)).round(1)
    found = regret.rank_correlation(losses)
    for i in range(architectures):
        for j in range(architectures):
            if len(set(losses[i])) > 1 and len(set(losses[j])) > 1:
                expected = stats.spearmanr(losses[i], losses[j]).statistic
                assert found[i, j] == pytest.approx(expected, abs=1e-12)
            else:
                assert np.isnan(found[i, j])


def test_what_diverged_ranks_last():
    losses = np.array([[0.1, 0.2, np.nan, np.inf], [1.0, 2.0, 3.0, 3.0]])
    np.testing.assert_allclose(regret.rank_correlation(losses), 1)


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 6), st.integers(1, 6))
@settings(deadline=None, max_examples=50)
def test_shares_sum_to_one(seed, targets, sources, seeds):
    found = regret.shares(np.random.default_rng(seed).random((targets, sources, seeds)))
    assert sum(found) == pytest.approx(1) and min(found) >= -1e-12


def test_planted_effects_are_found():
    rng = np.random.default_rng(1)
    target, source = np.arange(4.0)[:, None, None], 2 * np.arange(5.0)[None, :, None]
    whole = target + source + np.zeros((4, 5, 3))
    found = regret.shares(whole)
    by_target, by_source = target.var(), source.var()
    assert found.target == pytest.approx(by_target / (by_target + by_source))
    assert (found.interaction, found.seed) == pytest.approx((0, 0), abs=1e-12)
    assert regret.shares(rng.normal(size=(1, 1, 50))).seed == pytest.approx(1)
    crossed = (target - 1.5) * (source - 4) + np.zeros((4, 5, 3))
    assert regret.shares(crossed).interaction == pytest.approx(1)


def test_what_is_not_finite_is_left_out_the_fewest_first():
    whole = np.random.default_rng(0).random((4, 4, 2))
    holed = whole.copy()
    holed[2] = np.nan
    assert regret.shares(holed) == pytest.approx(regret.shares(np.delete(whole, 2, axis=0)))
    with pytest.raises(FractaljaxError, match="no finite test loss"):
        regret.shares(np.full((2, 2, 2), np.nan))


def test_the_best_rate_lies_between_the_rates():
    rates = np.logspace(-4, 0, 17)
    true = np.array([3e-3, 1e-2, 5e-2])
    losses = np.exp(0.3 * np.log(rates / true[:, None]) ** 2)
    np.testing.assert_allclose(optimum(rates, losses), true, rtol=1e-9)
    assert slope([16, 64, 256], 0.5 * np.array([16.0, 64, 256]) ** -1.5) == pytest.approx(-1.5)


def test_rates_that_diverged_are_no_candidates():
    rates = np.logspace(-3, 0, 4)
    losses = np.array([[3.0, 2.0, np.nan, np.inf], [np.nan] * 4, [1.0, 2.0, 3.0, 4.0]])
    found = optimum(rates, losses)
    np.testing.assert_allclose(found, [rates[1], np.nan, rates[0]])
    assert np.isnan(slope([8, 16, 32], np.array([0.1, np.nan, np.nan])))
