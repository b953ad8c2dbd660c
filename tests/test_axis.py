"""Lattices: shared samples, deep coordinates, and the way to text and back."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fractaljax as fj
from fractaljax import config
from fractaljax.axis import Axis, Lattice
from fractaljax.errors import FractaljaxError
from fractaljax.window import Window

X, Y = "optimizer.lr_in", "optimizer.lr_out"
CENTER = Decimal("1.1238438123456789012345")


def lattice(level: int, n: int = 16, scale: str = "log") -> Lattice:
    return Lattice.around(X, CENTER, 9.0 / 2**level, n, scale)


@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("level", [0, 3, 20, 40])
def test_a_level_holds_the_samples_of_the_one_before_bit_for_bit(level, n, scale):
    coarse, fine = lattice(level, n, scale), lattice(level + 1, n, scale)
    common = np.intersect1d(coarse.points(), fine.points())
    even = [i for i in range(fine.first, fine.first + n) if i % 2 == 0]
    assert len(common) == len(even) >= n // 2


@settings(deadline=None)
@given(st.floats(-6, 6), st.floats(-2.5, 2.5))
def test_samples_are_the_powers_of_ten_they_stand_for(center, distance):
    axis = Lattice.around(X, Decimal(center), abs(distance) + 0.01, 8, "log")
    with localcontext(prec=90):
        origin, pitch = Decimal(axis.origin) + Decimal(axis.residue), Decimal(axis.pitch)
        exact = [float(origin * 10 ** (i * pitch)) for i in range(axis.first, axis.first + 8)]
    np.testing.assert_array_equal(axis.points(), exact)


def test_the_centre_is_a_sample_and_a_centre_keeps_its_digits():
    axis = lattice(30, 64)
    assert axis.points()[32] == axis.origin == float(Decimal(10) ** CENTER)
    assert abs(axis.center - CENTER) < Decimal("1e-30")
    assert abs(Axis(X, 1e-3, 1e6).center - Decimal("1.5")) < Decimal("1e-15")


def test_coordinates_go_as_deep_as_the_values():
    def plain(level: int) -> int:
        half = 4.5 / 2**level
        at = float(CENTER)
        return Axis(X, 10 ** (at - half), 10 ** (at + half), 4096).merged("float64")

    deep = max(k for k in range(60) if not lattice(k, 4096).merged("float64"))
    flat = max(k for k in range(48) if not plain(k))
    assert (flat, deep) == (45, 45)  # and the values themselves end there:
    spacing = np.spacing(lattice(46, 4096).origin)
    steps = np.diff(lattice(46, 4096).points())
    assert set(steps) == {0.0, spacing}


def test_a_coarser_resolution_of_a_lattice_keeps_its_extent_and_samples():
    window = Window(lattice(5, 64), Lattice.around(Y, CENTER, 0.5, 64, "log"))
    small = window.resized(16)
    assert small.shape == (16, 16)
    assert set(small.x.points()) <= set(window.x.points())
    assert small.x.width == window.x.width


def test_a_lattice_comes_back_from_text(tmp_path):
    spec = fj.Spec()
    window = Window(lattice(33, 17), Lattice.around(Y, Decimal("2.3"), 1e-9, 33, "log"))
    raw = config.parse(config.dump(spec, window), "text", "text")
    assert config.experiments(raw)[0].window == window


@pytest.mark.parametrize(
    "arguments, says",
    [
        ({"origin": 0.0, "width": 1.0}, "origin=0.0 on a log axis"),
        ({"origin": 1.0, "width": 0.0}, "width=0.0 must be above 0"),
        ({"origin": float("inf"), "width": 1.0}, "origin=inf must be finite"),
        ({"origin": 1.0, "width": 1.0, "start": 1e15}, "within 2\\^53"),
        ({"origin": 1.0, "width": 1.0, "scale": "cubic"}, "cubic"),
    ],
)
def test_impossible_lattices_are_refused(arguments, says):
    with pytest.raises(FractaljaxError, match=says):
        Lattice(X, **arguments)


def test_a_centre_beyond_float64_is_refused():
    with pytest.raises(FractaljaxError, match="origin=inf"):
        Lattice.around(X, Decimal(400), 1.0, 8, "log")
