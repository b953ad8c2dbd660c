"""Verdicts are rare where there is nothing, and found where there is something."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fractaljax.analysis import paired
from fractaljax.analysis.paired import REFUTED, SUPPORTED, TOO_FEW, UNDECIDED

DECIDED = (SUPPORTED, REFUTED)


def compared(differences, relation=">", margin=0.0):
    return paired.compared(np.asarray(differences, float), 0.0, relation, margin)


def judged(*rows, relation=">", margin=0.0):
    return paired.verdicts([compared(row, relation, margin) for row in rows])


def binomial(trials, rate=paired.LEVEL):
    """How often at most, in all but one of 10,000 repetitions."""
    return stats.binom.ppf(1 - 1e-4, trials, rate)


@pytest.mark.parametrize("relation", [">", "<", "~"])
@pytest.mark.parametrize("seeds", [1, 2, 3, 5])
def test_of_noise_few_seeds_say_nothing(seeds, relation):
    noise = np.random.default_rng(seeds).normal(size=(500, seeds))
    for row in noise:
        (found,) = judged(row, relation=relation)
        assert found.verdict == found.alone == TOO_FEW and np.isnan(found.p_holm)
        assert found.words == f"no verdict: {seeds} pair{'s' * (seeds > 1)}, 6 are needed"


@pytest.mark.parametrize(("seeds", "relation"), [*product([6, 8, 12], [">", "<", "~"]), (20, ">")])
def test_of_noise_verdicts_are_as_rare_as_the_level(seeds, relation):
    """The centre lies on the margin: no verdict is right there."""
    trials, margin = 150 if seeds > 12 else 1000, 0.5
    noise = np.random.default_rng(seeds).normal(margin, 1.0, (trials, seeds))
    if relation == "<":
        noise = -noise
    found = [judged(row, relation=relation, margin=margin)[0] for row in noise]
    verdicts = sum(one.verdict in DECIDED for one in found)
    assert 0 < verdicts <= binomial(trials)
    assert {one.verdict for one in found} <= {*DECIDED, UNDECIDED}


@pytest.mark.parametrize(("seeds", "claims"), [(6, 1), (8, 2), (10, 13), (16, 13)])
def test_of_many_claims_about_noise_one_is_wrong_as_rarely_as_the_level(seeds, claims):
    trials = 60 if seeds > 12 else 600
    rng, alone, wrong = np.random.default_rng(seeds), 0, 0
    for _ in range(trials):
        base = rng.normal(size=seeds)  # all are held against the same arm, as in configs/growth
        found = judged(*(rng.normal(size=seeds) - base for _ in range(claims)))
        alone += any(one.alone in DECIDED for one in found)
        wrong += any(one.verdict in DECIDED for one in found)
    assert wrong <= binomial(trials)
    if claims == 13:  # what goes wrong without the correction
        assert alone > 1.5 * binomial(trials)


def test_claims_of_noise_hide_no_effect():
    rng = np.random.default_rng(0)
    rows = [rng.normal(size=16) for _ in range(12)]
    found = judged(rng.normal(3, 1, 16), rng.normal(-3, 1, 16), *rows)
    assert [one.verdict for one in found[:2]] == [SUPPORTED, REFUTED]


def test_a_real_effect_is_found_with_eight_seeds():
    rng = np.random.default_rng(0)
    effect = rng.normal(1.0, 0.3, 8)
    assert judged(effect)[0].verdict == SUPPORTED and judged(-effect)[0].verdict == REFUTED
    assert judged(effect, relation="<")[0].verdict == REFUTED
    assert judged(effect, relation="~", margin=0.1)[0].verdict == REFUTED
    assert judged(effect, relation="~", margin=2.0)[0].verdict == SUPPORTED
    assert judged(effect, margin=1.0)[0].verdict == UNDECIDED
    assert judged(effect, margin=2.0)[0].verdict == REFUTED


def test_many_claims_take_more_seeds_than_one():
    effect = np.random.default_rng(0).normal(1.0, 0.1, (13, 10))
    for found in judged(*effect[:, :8]):  # 13 * 2 / 2^8 is above the level
        assert (found.alone, found.verdict, found.needed) == (SUPPORTED, TOO_FEW, 10)
        assert found.words == "no verdict: 8 pairs, 10 are needed for 13 claims"
        assert found.p_holm == pytest.approx(13 * 2 / 2**8)
    assert {found.verdict for found in judged(*effect)} == {SUPPORTED}
    assert {found.words for found in judged(*effect[:, :3])} == {
        "no verdict: 3 pairs, 10 are needed for 13 claims"
    }


def test_claims_that_cannot_be_tested_do_not_count_in_the_correction():
    effect = np.linspace(1, 2, 6)
    few = [effect[:5]] * 12
    one, *others = judged(effect, *few)
    assert one.verdict == SUPPORTED and one.p_holm == 2 / 2**6
    assert {other.verdict for other in others} == {TOO_FEW}
    lost = paired.compared([*effect, np.nan, np.inf, -np.inf], np.zeros(9), ">", 0)
    assert lost.difference.n == 6 and lost.p == 2 / 2**6
    (none,) = paired.verdicts([paired.compared([np.inf, np.nan], [np.inf, 1.0], ">", 0)])
    assert none.words == "no verdict: 0 pairs, 6 are needed"


def test_pairs_on_the_margin_carry_no_sign():
    tied = np.array([0.0] * 5 + [1.0, 1.0, 2.0])
    (found,) = judged(tied)
    assert found.words == "no verdict: 3 of 8 pairs differ from the margin, 6 are needed"
    accuracies = np.array([0.95, 0.87, 0.64, 0.71, 0.33, 0.58])
    for dtype in ("float32", "float64"):  # .01 apart, up to rounding
        found = paired.compared(
            accuracies.astype(dtype), (accuracies - 0.01).astype(dtype), ">", 0.01
        )
        assert (found.differ, found.p) == (0, 1)
    assert judged(np.zeros(8), relation="~", margin=0.1)[0].verdict == SUPPORTED


def test_more_claims_than_can_be_tested_say_so():
    (one, *_) = paired.verdicts([compared(np.linspace(1, 2, 30))] * 1700)
    assert one.words == "no verdict: 30 pairs, and at most 1,638 claims can be tested, not 1,700"


@given(st.integers(0, 1000), st.integers(2, 10), st.booleans())
@settings(deadline=None, max_examples=60)
def test_p_is_that_of_scipy(seed, n, ties):
    values = np.random.default_rng(seed).normal(0.3, 1.0, n)
    values = values.round(0) if ties else values
    found = stats.permutation_test(
        (values - 0.25,), lambda v, axis: v.mean(axis), permutation_type="samples", vectorized=True
    )
    assert compared(values, margin=0.25).p == pytest.approx(found.pvalue)


def test_of_many_seeds_p_is_close_to_that_of_scipy():
    values = np.random.default_rng(2).normal(0.25, 1.0, 40)
    found = stats.permutation_test(
        (values,), lambda v, axis: v.mean(axis), permutation_type="samples", vectorized=True,
        n_resamples=50_000, rng=np.random.default_rng(3),
    )  # fmt: skip
    one = compared(values)
    assert 0.05 < one.p < 0.3 and one.p == pytest.approx(found.pvalue, abs=0.01)
    assert compared(values) == one  # the same for the same values


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_the_step_down_of_the_definition(p):
    adjusted = paired.holm(p)
    order = sorted(range(len(p)), key=lambda i: p[i])
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min((len(p) - rank) * p[i], 1))
        assert adjusted[i] == pytest.approx(least)


@given(st.integers(0, 1000), st.integers(6, 12), st.floats(-1, 1))
@settings(deadline=None, max_examples=60)
def test_the_interval_holds_what_the_test_does_not_reject(seed, n, centre):
    values = np.random.default_rng(seed).normal(size=n)
    low, high = paired.interval(values)
    assert (low <= centre <= high) == (compared(values, margin=centre).p > paired.LEVEL)


@pytest.mark.parametrize("n", [6, 10, 24])
def test_intervals_cover_as_often_as_they_say(n):
    rng, trials = np.random.default_rng(n), 150 if n > 16 else 400
    ends = np.array([paired.interval(rng.normal(size=n)) for _ in range(trials)])
    missed = np.sum((ends[:, 0] > 0) | (ends[:, 1] < 0))
    assert 0 < missed <= binomial(trials)
    assert np.isnan(paired.interval(np.arange(5.0))).all()


def test_differences_are_paired():
    rng = np.random.default_rng(0)
    seeds = rng.normal(size=20)
    found = paired.difference(seeds + 1 + 0.01 * rng.normal(size=20), seeds)
    assert found.n == 20 and 0.98 < found.low < found.mean < found.high < 1.02
    assert paired.difference([1.0, np.nan, 3.0], [0.0, 0.0, np.inf]).n == 1
    assert paired.difference([np.nan], [1.0]).n == 0


def test_nothing_is_said_where_nothing_is_claimed():
    assert paired.verdicts([]) == []
