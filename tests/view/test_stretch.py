import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fractaljax.errors import FractaljaxError
from fractaljax.view.colours import MISSING
from fractaljax.view.stretch import STRETCHES, Scale, edges

TABLE = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)  # a level is its own colour
NUMBERS = st.floats(allow_nan=False, allow_infinity=True, width=32)
LISTS = st.lists(NUMBERS, min_size=1, max_size=40)


def levels(values, stretch="rank", reference=None, signed=True):
    reference = values if reference is None else reference
    found = edges(np.array(reference, float), stretch, signed=signed)
    values = np.array(values, float)
    return Scale(found, TABLE).colours(values, np.ones(values.shape, bool))[..., 0].astype(int)


def published(values, buffer=0.25):
    """The level of each value in the published notebook: its stretch, then 256 steps of [-1, 1]."""
    u = np.sort(values)
    negative = np.sum(u < 0)
    ranks = [np.linspace(-1, -buffer, negative), np.linspace(buffer, 1, len(u) - negative)]
    stretched = -np.interp(values, u, np.concatenate(ranks))
    return 255 - np.clip((stretched + 1) / 2 * 256, 0, 255).astype(int)


def test_rank_by_hand():
    # ranks of three: -1, -0.625, -0.25 and 0.25, 0.625, 1; the gap keeps levels 96 to 159 empty
    assert levels([-30, -2, -1, 0, 5, 1e9]).tolist() == [0, 47, 95, 160, 207, 255]


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=200, unique=True))
def test_rank_is_the_published_one(values):
    values = np.array(values)
    negative = np.sum(values < 0)
    assume(negative != 1 and len(values) - negative != 1)  # one value has no range to fill
    assert np.abs(levels(values) - published(values)).max() <= 1


@pytest.mark.parametrize("stretch", STRETCHES)
@given(values=LISTS, reference=LISTS)
def test_the_sign_is_kept_whatever_the_reference(stretch, values, reference):
    values = np.array(values)
    found = levels(values, stretch, reference)
    assert np.all(found[values < 0] < 128) and np.all(found[values >= 0] >= 128)


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("signed", [True, False])
@given(values=LISTS)
def test_a_stretch_is_monotone_and_its_edges_finite(stretch, signed, values):
    found = edges(np.array(values), stretch, signed=signed)
    assert found.shape == (255,) and np.all(np.isfinite(found)) and np.all(np.diff(found) >= 0)
    assert np.all(np.diff(levels(np.sort(values), stretch, signed=signed)) >= 0)


@given(LISTS)
def test_rank_ignores_a_monotone_change_of_one_side(values):
    values = np.array(values, np.float64)
    changed = np.where(values > 0, values * 4 + np.sqrt(values.clip(0)), values)
    np.testing.assert_array_equal(levels(values), levels(changed))


@pytest.mark.parametrize("stretch", STRETCHES)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize(
    "values", [[], [0.0], [-3.0] * 4, [7.0] * 4, [-np.inf, np.inf], [1e308, -1e308], [5e-324]]
)
@pytest.mark.filterwarnings("error")
def test_odd_references(stretch, signed, values):
    assert len(set(levels(values, stretch, signed=signed))) == len(set(values))


@pytest.mark.parametrize("stretch", STRETCHES)
def test_infinite_values_are_the_extremes(stretch):
    assert levels([-np.inf, -2, 3, np.inf], stretch)[[0, -1]].tolist() == [0, 255]


def test_one_sign_has_the_whole_range():
    values = np.geomspace(1, 1e6, 1000)
    for stretch in STRETCHES:
        found = levels(values, stretch, signed=False)
        assert (found[0], found[-1]) == (0, 255)
    assert levels([1, 4, 16, 64, 256], "log", signed=False).tolist() == [0, 64, 128, 192, 255]
    assert levels([-16, -4, -1], "log", signed=False).tolist() == [0, 128, 255]
    assert levels([10, 11, 14], "linear", signed=False).tolist() == [0, 64, 255]


def test_missing_pixels_are_grey():
    scale = Scale(edges(np.array([1.0, 2.0]), "linear", signed=False), TABLE)
    found = scale.colours(np.array([[1.0, np.nan, 2.0]]), np.array([[True, True, False]]))
    assert found.tolist() == [[[0, 0, 0], list(MISSING), list(MISSING)]]


def test_the_mean_of_two_scales_keeps_the_sign():
    rng = np.random.default_rng(0)
    one, two = (edges(rng.standard_normal(99) * s, "rank", signed=True) for s in (1, 1e9))
    found = Scale(0.3 * one + 0.7 * two, TABLE).colours(np.array([-1e-9, 0.0]), np.ones(2, bool))
    assert found[0, 0] < 128 <= found[1, 0]


def test_an_unknown_stretch_names_the_nearest():
    with pytest.raises(FractaljaxError, match=r"stretch 'ranks'.*Did you mean 'rank'"):
        edges(np.zeros(3), "ranks", signed=True)
