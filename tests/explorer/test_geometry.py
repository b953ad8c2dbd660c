"""Samples of a map: the same place is the same number at every level, to any depth."""

import decimal
from decimal import Decimal

import numpy as np
import pytest

from fractaljax.errors import FractaljaxError
from fractaljax.explorer import geometry
from fractaljax.explorer.geometry import Place, Root
from fractaljax.window import Axis, Lattice

ROOTS = (
    Root.of(Axis("optimizer.lr_in", 1e-3, 1e6)),
    Root.of(Axis("optimizer.momentum", 0.0, 0.99, scale="linear")),
)
PLACES = [
    Place(4, 0, 0),
    Place(5, 0, 0),
    Place(6, 0, 0),
    Place(7, 1, 0),
    Place(10, 13, 2),
    Place(12, 33, 61),
    Place(26, 1_000_003, 77),
    Place(40, 2**33 + 12345, 2**33 - 5),
    Place(52, 2**45 + 12345, 2**44 - 5),
]


def points(place):
    window = geometry.window(ROOTS, place)
    return window.x.points(), window.y.points()


def coordinate(root, index, level):
    """Exact text of a sample's coordinate."""
    with decimal.localcontext(prec=100):
        return str(Decimal(repr(root.low)) + index * root.width / 2**level)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_other_levels_share_samples_bit_for_bit(place):
    x, y = points(place)
    parts = [*place.coarser(), *(part for parts in place.finer() for part in parts)]
    assert parts
    for part in parts:
        theirs = points(part.other)
        np.testing.assert_array_equal(theirs[0][part.theirs[1]], x[part.ours[1]])
        np.testing.assert_array_equal(theirs[1][part.theirs[0]], y[part.ours[0]])


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_finer_tiles_hold_every_sample_of_a_tile_once(place):
    for parts in place.finer():
        seen = np.zeros((place.side, place.side), int)
        for part in parts:
            seen[part.ours] += 1
        assert np.all(seen == 1)
        assert len({part.other.block for part in parts}) == 1


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_block_holds_its_tiles_bit_for_bit(place):
    x, y = points(place)
    block, (row, column) = geometry.block_window(ROOTS, place.block), place.inside
    n = place.side
    np.testing.assert_array_equal(block.x.points()[column * n : (column + 1) * n], x)
    np.testing.assert_array_equal(block.y.points()[row * n : (row + 1) * n], y)


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_samples_lie_where_exact_arithmetic_puts_them(place):
    for root, index, values in zip(ROOTS, (place.x, place.y), points(place), strict=True):
        with decimal.localcontext(prec=80):
            first = index * place.side
            shifts = [(first + i) * root.width / 2**place.level for i in range(place.side)]
            exact = [
                root.base * Decimal(10) ** s if root.scale == "log" else root.base + s
                for s in shifts
            ]
        np.testing.assert_array_almost_equal_nulp(values, np.array([*map(float, exact)]), 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("root", ROOTS, ids=lambda r: r.scale)
def test_neighbours_differ_down_to_the_floor_and_no_further(root, dtype):
    floor = root.floor_level(dtype)
    tiles = geometry.tiles_a_side(floor)
    share = np.linspace(0, 1, 50, endpoint=False)
    assert not any(root.lattice(floor, int(s * tiles) * 64, 64).merged(dtype) for s in share)
    below = [root.lattice(floor + 1, int(s * 2 * tiles) * 64, 64).merged(dtype) for s in share]
    assert any(below)


@pytest.mark.parametrize("level", [4, 9, 30, 31, 45, 50])
def test_a_click_finds_the_sample_that_its_coordinates_are(level):
    i, j = 2 ** (level - 1) + 3, 5
    where = coordinate(ROOTS[0], i, level), coordinate(ROOTS[1], j, level)
    expected = ROOTS[0].at(i, level), ROOTS[1].at(j, level)
    assert geometry.point(ROOTS, where, None, 50) == expected
    assert geometry.point(ROOTS, where, level, 50) == expected


def test_a_click_with_a_level_takes_the_nearest_sample_and_without_one_the_place_itself():
    x, y = geometry.point(ROOTS, ("1.5003", "0.5"), 6, 50)
    assert (x, y) == (ROOTS[0].at(32, 6), ROOTS[1].at(32, 6))
    x, y = geometry.point(ROOTS, ("1.5003", "0.5"), None, 50)
    assert x == pytest.approx(10**1.5003, rel=1e-15) and y == 0.5


def test_a_map_of_values_near_one():
    """Its coordinates descend while values ascend; everything else is as on other axes."""
    roots = (Root.of(Axis("optimizer.beta2", 0.9, 0.999, 64, "log1m")), ROOTS[1])
    near_one = roots[0]
    assert (near_one.low, near_one.high, near_one.width) == (-1.0, -3.0, 2)
    for level, index in ((6, 0), (9, 3), (31, 2**30), (40, 12345 * 2**20)):
        with decimal.localcontext(prec=80):
            shifts = [(index + i) * near_one.width / 2**level for i in range(64)]
            exact = np.array([float(1 - Decimal(10) ** (-1 - s)) for s in shifts])
        values = near_one.lattice(level, index // 64 * 64, 64).points()
        np.testing.assert_array_almost_equal_nulp(values[index % 64 :], exact[: 64 - index % 64], 1)
        assert np.all(np.diff(values) > 0)
    where = str(Decimal(-1) - 21 * near_one.width / 2**9), "0.5"
    assert geometry.point(roots, where, None, 40)[0] == near_one.at(21, 9)
    box = geometry.box_window(roots, (("-2", "-2.5"), ("0.2", "0.4")), 16)
    assert box.x.points()[0] == 0.99 and box.x.span == pytest.approx(0.5 * 15 / 16)
    for wrong in ("-0.9", "-3.1"):
        with pytest.raises(FractaljaxError, match=r"runs from -1\.0 to -3\.0"):
            geometry.point(roots, (wrong, "0.5"), None, 40)
    for dtype in ("float32", "float64"):
        floor = near_one.floor_level(dtype)
        last = 2**floor - 64
        assert not near_one.lattice(floor, last, 64).merged(dtype)
    assert near_one.floor_level("float64") > near_one.floor_level("float32")


def test_a_map_may_start_from_the_lattice_of_a_deep_zoom():
    centre = Decimal("1.12345678901234567890123456789")
    axis = Lattice.around("optimizer.lr_in", centre, 1e-10, 256, "log")
    root = Root.of(axis)
    np.testing.assert_allclose(root.lattice(8, 0, 64).points(), axis.points()[:64], rtol=3e-16)
    assert root.floor_level("float64") == pytest.approx(56 - np.log2(9e10), abs=1)
    with pytest.raises(FractaljaxError, match="too narrow"):
        Root.of(Lattice.around("optimizer.lr_in", centre, 1e-14, 256, "log"))


@pytest.mark.parametrize(
    "text",
    ["", "nan", "1e999", "0x10", "1_0", "\N{ARABIC-INDIC DIGIT ONE}", "1" * 30, "--1", "1 2"],
)
def test_what_is_no_plain_decimal_number_is_refused(text):
    with pytest.raises(FractaljaxError, match="decimal number"):
        geometry.number(text)


def test_a_place_outside_the_map_is_refused():
    with pytest.raises(FractaljaxError, match=r"outside the map.*lr_in runs from -3\.0 to 6\.0"):
        geometry.point(ROOTS, ("6.1", "0.5"), None, 50)
