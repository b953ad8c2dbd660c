"""The uncertainty exponent against boundaries of known dimension."""

import numpy as np
import pytest

from fractaljax.analysis import null, uncertainty
from fractaljax.analysis.dimension import uncertainty as by_pairs


def measured(outcome, count, axes, *, smallest=1e-7, seed=0):
    """Pairs whose outcomes a function of the position tells."""

    def judge(base, steps):
        at = base if steps is None else base + steps
        return outcome(at), np.ones(len(base), bool)

    return uncertainty.measure(judge, count, axes, smallest, np.random.default_rng(seed))


def below_weierstrass(dimension):
    rng, waves = np.random.default_rng(0), 1.5 ** np.arange(50)
    phases = rng.uniform(0, 2 * np.pi, len(waves))

    def outcome(at):
        graph = np.cos(2 * np.pi * at[:, :1] * waves + phases) @ waves ** (dimension - 2)
        return 6 * at[:, 1] < graph

    return outcome


def between_cantor(at):
    """Outcomes alternate with the size of the gap of the middle-third Cantor set."""
    place, inside = at[:, 0] + 0.5, np.ones(len(at), bool)
    found = np.zeros(len(at), bool)
    for k in range(30):
        place = 3 * place
        digit, place = np.floor(place), place % 1
        found |= inside & (digit == 1) & (k % 2 == 0)
        inside &= digit != 1
    return found


@pytest.mark.parametrize(
    ("dimension", "tolerance"),
    [(1.2, 0.1), (1.5, 0.04), (1.66, 0.03), (1.9, 0.03)],  # rougher: more pairs differ
)
def test_graphs(dimension, tolerance):
    """Also where box counting at any resolution reads low."""
    found = by_pairs([(0, measured(below_weierstrass(dimension), 8192, 2))], 2).pooled
    assert found.dimension == pytest.approx(dimension, abs=tolerance)
    assert found.low < found.dimension < found.high < found.low + 0.15


def test_one_axis():
    found = by_pairs([(0, measured(between_cantor, 8192, 1))], 1).pooled
    assert found.dimension == pytest.approx(np.log(2) / np.log(3), abs=0.03)


@pytest.mark.parametrize("axes", [1, 2])
def test_a_smooth_boundary(axes):
    levels = []
    for k in (0, 6, 30):
        scale = (2.0**-k,) * axes
        made = measured(lambda at, scale=scale: null.converged(at, scale), 2**18, axes, seed=k)
        levels.append((k, made))
    found = by_pairs(levels, axes)
    assert found.pooled.dimension == pytest.approx(axes - 1, abs=0.02)
    assert [level.number for level in found.levels] == [0, 6, 30]


def test_intervals_hold_the_truth():
    outcome = below_weierstrass(1.5)
    found = [by_pairs([(0, measured(outcome, 512, 2, seed=s))], 2).pooled for s in range(30)]
    held = [one.low <= 1.52 <= one.high for one in found]  # what many pairs converge to
    assert np.mean(held) >= 0.75
    scatter = np.std([one.dimension for one in found])
    width = np.mean([one.high - one.low for one in found])
    assert 2 * scatter < width < 8 * scatter


def test_noise_is_unresolved():
    def noise(at):  # any step decides anew
        return (np.frombuffer(at.tobytes(), np.uint64).reshape(at.shape)[:, 0] * 0x9E3779B97F4A7C15
                >> np.uint64(40)) % 2 == 0  # fmt: skip

    pairs = measured(noise, 512, 2)
    assert len(pairs.distances) == len(uncertainty.distances(1e-7))
    found = by_pairs([(3, pairs)], 2)
    assert found.levels[0].note == "unresolved" and found.pooled is None


def test_no_boundary_and_too_few():
    flat = measured(lambda at: np.ones(len(at), bool), 64, 2)
    assert by_pairs([(0, flat)], 2).levels[0].note == "no boundary"
    assert len(flat.distances) == 1  # it does not go on where nothing differs
    few = measured(lambda at: at[:, 0] > 0, 64, 2)
    found = by_pairs([(0, few)], 2)
    assert found.levels[0].note == "too few pairs differ" and found.pooled is None


@pytest.mark.parametrize("smallest, distances", [(1.0, 0), (0.05, 1)])
def test_near_the_floor_a_boundary_is_not_denied(smallest, distances):
    level = measured(lambda at: at[:, 0] > 0, 512, 2, smallest=smallest)
    assert len(level.distances) == distances
    assert by_pairs([(0, level)], 2).levels[0].note == "too near to the precision floor"


def test_pairs_lie_in_the_window_at_their_distance():
    seen = []

    def judge(base, steps):
        seen.append((base, steps))
        return base[:, 0] > 0, np.ones(len(base), bool)

    pairs = uncertainty.measure(judge, 2000, 2, 1e-4, np.random.default_rng(0))
    base = seen[0][0]
    assert seen[0][1] is None and (np.abs(base) <= 0.5).all()
    for distance, (same, steps) in zip(pairs.distances, seen[1:], strict=True):
        np.testing.assert_array_equal(same, base)
        np.testing.assert_allclose(np.hypot(*steps.T), distance)
        assert (np.abs(base + steps) <= 0.5).all()


def test_unknown_pairs_do_not_count():
    pairs = measured(below_weierstrass(1.5), 4096, 2)
    known = pairs.known.copy()
    known[:, :1000] = False
    fewer = pairs._replace(known=known)
    assert (fewer.asked == 3096).all()
    assert (fewer.differing == pairs.differ[:, 1000:].sum(1)).all()
    level = by_pairs([(0, fewer)], 2).levels[0]
    assert level.trained == pytest.approx(3096 / 4096)
