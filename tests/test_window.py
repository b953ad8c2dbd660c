"""Windows: where the pixels lie, how a window is cut, and when it is too deep."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fractaljax.axis import MAX_SIDE
from fractaljax.errors import FractaljaxError
from fractaljax.window import Axis, Window

X, Y = "optimizer.lr_in", "optimizer.lr_out"
SIDES = st.integers(1, 40)
NUMBERS = st.floats(width=64)  # NaN, infinities and the smallest floats among them


def window(nx: int, ny: int | None) -> Window:
    return Window(Axis(X, 1e-3, 1e6, nx), None if ny is None else Axis(Y, 0.0, 2.0, ny, "linear"))


def test_points_hold_both_ends_in_float64():
    log, linear = Axis(X, 1e-3, 1e6, 10).points(), Axis(X, -0.5, 2.0, 6, "linear").points()
    assert log.dtype == linear.dtype == np.float64
    np.testing.assert_allclose(log, 10.0 ** np.arange(-3, 7), rtol=1e-15)
    np.testing.assert_array_equal(linear, [-0.5, 0.0, 0.5, 1.0, 1.5, 2.0])


@settings(deadline=None)
@given(st.floats(-300, 300), st.floats(1e-3, 5), st.integers(2, 500))
def test_points_rise_from_end_to_end(low, width, n):
    axis = Axis(X, 10.0**low, 10.0 ** (low + width), n)
    points = axis.points()
    assert np.all(np.diff(points) > 0)
    np.testing.assert_allclose(points[[0, -1]], [axis.min, axis.max], rtol=1e-12)


def test_a_single_sample_lies_in_the_middle():
    np.testing.assert_allclose(Axis(X, 1e-2, 1e4, 1).points(), [10.0], rtol=1e-15)
    assert Axis(X, 1.0, 2.0, 1, "linear").points() == [1.5]


def test_the_first_row_holds_the_lowest_value_and_x_runs_along_it():
    small = window(3, 2)
    points = small.points(small.tiles(0)[0])
    np.testing.assert_array_equal(points[:, 0], np.tile(small.x.points(), 2))
    np.testing.assert_array_equal(points[:, 1], np.repeat([0.0, 2.0], 3))


def test_points_of_the_tiles_are_the_points_of_the_window():
    """The last bit of a rate decides a pixel: a tile must not compute its own values."""
    big = window(23, 17)
    whole = big.points(big.tiles(0)[0]).reshape(17, 23, 2)
    for tile in big.tiles(5):
        np.testing.assert_array_equal(
            big.points(tile), whole[tile.rows, tile.columns].reshape(-1, 2)
        )


@settings(deadline=None)
@given(SIDES, st.none() | SIDES, st.integers(0, 50))
def test_tiles_cover_every_pixel_exactly_once(nx, ny, side):
    cut = window(nx, ny)
    covered = np.zeros(cut.grid, int)
    rows, columns = cut.tile_shape(side)
    for tile in cut.tiles(side):
        assert tile.shape[0] <= rows and tile.shape[1] <= columns
        assert (tile.top % rows, tile.left % columns) == (0, 0)
        covered[tile.rows, tile.columns] += 1
    assert (covered == 1).all()
    assert side or cut.tiles(side) == [(0, cut.grid[0], 0, nx)]


def test_shapes_of_one_and_of_two_axes():
    assert (window(5, 3).shape, window(5, 3).grid, window(5, 3).size) == ((3, 5), (3, 5), 15)
    assert (window(5, None).shape, window(5, None).grid, window(5, None).size) == ((5,), (1, 5), 5)


def test_resized_keeps_the_place():
    small = window(5, 3)
    assert small.resized(8).shape == (8, 8)
    assert small.resized(8, 4).shape == (4, 8)
    assert small.resized(8, 4).resized(5, 3) == small
    assert window(5, None).resized(7) == window(7, None)


def test_zoom_is_around_the_center_in_axis_coordinates():
    near = window(5, 3).zoom((1.0, 0.5), 4.0)
    np.testing.assert_allclose([near.x.low, near.x.high], [1 - 9 / 8, 1 + 9 / 8])
    np.testing.assert_allclose([near.y.min, near.y.max], [0.25, 0.75])
    assert near.shape == (3, 5)
    again = near.zoom((1.0, 0.5), 0.25)  # a factor below 1 zooms out
    np.testing.assert_allclose([again.x.low, again.x.high], [-3.5, 5.5])


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_a_zoom_factor_is_a_number_above_zero(factor):
    with pytest.raises(FractaljaxError, match="zoom factor"):
        window(5, 3).zoom((0.0, 1.0), factor)


def test_a_center_has_a_number_an_axis():
    with pytest.raises(FractaljaxError, match="center has 1 numbers, the window 2 axes"):
        window(5, 3).zoom((0.0,), 2.0)


def test_zero_lies_on_linear_axes_only():
    assert Axis(X, 0.0, 1.0, 3, "linear").points()[0] == 0
    with pytest.raises(FractaljaxError, match=r"min=0\.0 on a log axis must be above 0"):
        Axis(X, 0.0, 1.0)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"min": -1.0}, "above 0"),
        ({"min": math.nan}, "finite"),
        ({"max": math.inf}, "finite"),
        ({"min": 2.0, "max": 2.0}, "below max"),
        ({"min": 3.0}, "below max"),
        ({"n": 0}, "0 samples; allowed are 1 to"),
        ({"n": -4}, "-4 samples"),
        ({"n": MAX_SIDE + 1}, "samples; allowed"),
        ({"n": 10**30}, "samples; allowed"),
        ({"scale": "lin"}, "Did you mean 'linear'"),
    ],
)
def test_a_bad_axis_is_refused_by_name(arguments, words):
    with pytest.raises(FractaljaxError, match=words) as error:
        Axis(X, **{"min": 1.0, "max": 2.0, **arguments})
    assert X in str(error.value)


def test_two_axes_are_different_ones():
    with pytest.raises(FractaljaxError, match="two different ones"):
        Window(Axis(X, 1.0, 2.0), Axis(X, 3.0, 4.0))


@pytest.mark.parametrize(("dtype", "other"), [("float32", "fewer pixels"), ("float64", "fewer")])
def test_a_window_too_deep_is_refused_with_the_depth(dtype, other):
    depth = {"float32": 24, "float64": 54}[dtype]
    deep = window(64, None).zoom((1.0,), 2.0**depth)
    with pytest.raises(FractaljaxError) as error:
        deep.check(dtype)
    message = str(error.value)
    assert X in message and dtype in message and other in message
    # the zoom depth that the window has, and the one from which on 64 samples merge
    assert f"2^{deep.x.depth():.1f}" in message
    floor = deep.x.floor_depth(dtype)
    assert f"2^{floor:.1f}" in message
    window(64, None).zoom((1.0,), 2.0 ** (floor - 1)).check(dtype)
    with pytest.raises(FractaljaxError):
        # floats near 10 are up to eight times finer than the worst ones
        window(64, None).zoom((1.0,), 2.0 ** (floor + 4)).check(dtype)


def test_merging_is_a_matter_of_the_dtype():
    deep = window(64, None).zoom((1.0,), 2.0**24)
    deep.check("float64")
    with pytest.raises(FractaljaxError, match="Use float64 or fewer pixels"):
        deep.check("float32")


@pytest.mark.parametrize("scale", ["log", "linear"])
def test_even_ends_that_merge_are_refused_with_the_depth(scale):
    """One float apart in native units: log10 of the two ends may be the same number."""
    merged = 0
    for low in (1.0, 3e5, 7.7e-3, 123.456):
        axis = Axis(X, low, float(np.nextafter(low, np.inf)), 8, scale)
        merged += axis.low == axis.high
        with pytest.raises(FractaljaxError, match=r"merge from zoom 2\^"):
            Window(axis).check("float64")
    assert scale == "linear" or merged  # the case this test is about did occur


@pytest.mark.parametrize("center", [(1.0, 1.0), (0.0, 1.0)])
def test_a_zoom_beyond_float64_names_the_depth(center):
    """`min must be below max` would be true and of no help."""
    with pytest.raises(FractaljaxError, match=r"zoom 2\^66\.4"):
        window(8, 8).zoom(center, 1e20)


@pytest.mark.filterwarnings("error")
def test_values_beyond_float32_are_refused_without_a_warning():
    """A warning would be a second line on the terminal."""
    with pytest.raises(FractaljaxError, match="leave the range of float32"):
        Window(Axis(X, 1e30, 1e60, 8)).check("float32")
    with pytest.raises(FractaljaxError, match="leave the range of float32"):
        Window(Axis(X, -1e308, 1e308, 8, "linear")).check("float32")


@settings(deadline=None)
@given(NUMBERS, NUMBERS, st.integers(-2, 40), st.sampled_from(["log", "linear"]), NUMBERS, NUMBERS)
@pytest.mark.filterwarnings("error")
def test_any_numbers_make_a_window_or_one_clear_error(low, high, n, scale, center, factor):
    """Whatever is accepted has finite points that differ; whatever is not is a FractaljaxError."""
    for dtype in ("float32", "float64"):
        try:
            axis = Axis(X, low, high, n, scale)
            for same in (axis, axis.between(axis.low, axis.high)):
                zoomed = Window(same).zoom((center,), factor)
                zoomed.check(dtype)
                points = zoomed.x.points().astype(dtype)
                assert np.isfinite(points).all() and np.unique(points).size == n
        except FractaljaxError:
            continue


@given(NUMBERS, NUMBERS)
def test_between_takes_axis_coordinates_or_refuses(low, high):
    axis = Axis(X, 1.0, 2.0)
    try:
        moved = axis.between(low, high)
    except FractaljaxError:
        return
    np.testing.assert_allclose([moved.low, moved.high], [low, high], atol=1e-12)
